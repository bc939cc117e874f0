//! The loop that keeps the kernel's rules up to date: take in what has changed, apply the difference, and again.
//!
//! The first transaction says everything, whatever a former proxy left. When a difference fails, somebody else has
//! touched the table: everything is said again, and if that fails too, the table is made anew.

use std::{net::IpAddr, sync::Arc, time::Duration};

use client::{Backoff, Event, Jitter, Store, Subscription};
use component::Clock;
use jiff::Timestamp;
use service_rules::{
    Rules, Settings,
    object::{EndpointSlice, Node, Service},
    rules::Transaction,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep},
};

use crate::{
    Parts,
    config::NodePortAddresses,
    health::Health,
    kernel::{Kernel, UdpFrontends},
    metrics::metrics,
};

pub struct Sync {
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    nodes: Store<Node>,
    rules: Rules,
    node_ports: NodePortAddresses,
    kernel: Arc<dyn Kernel>,
    clock: Arc<dyn Clock>,
    jitter: Jitter,
    health: Arc<Health>,
    flows: watch::Sender<UdpFrontends>,
    /// The kernel's state is unknown: the next transaction says everything.
    lost: bool,
    /// When the pods changed that led to the changes not yet applied.
    triggers: Vec<Timestamp>,
}

impl Sync {
    pub fn new(
        services: Store<Service>,
        slices: Store<EndpointSlice>,
        nodes: Store<Node>,
        settings: Settings,
        node_ports: NodePortAddresses,
        parts: Parts,
        health: Arc<Health>,
    ) -> Self {
        let (flows, inbox) = watch::channel(UdpFrontends::new());
        tokio::spawn(forget_flows(parts.kernel.clone(), inbox));
        Self {
            services,
            slices,
            nodes,
            rules: Rules::new(settings),
            node_ports,
            kernel: parts.kernel,
            clock: parts.clock,
            jitter: Jitter::new(parts.seed),
            health,
            flows,
            lost: true,
            triggers: Vec::new(),
        }
    }

    pub async fn run(mut self) {
        // On half the knowledge, half the services would be cut off.
        self.services.synced().await;
        self.slices.synced().await;
        self.nodes.synced().await;
        let mut services = self.services.subscribe();
        let mut slices = self.slices.subscribe();
        let mut nodes = self.nodes.subscribe();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let tampering = self.kernel.tampering(&self.rules.settings().table).unwrap_or_else(|error| {
            tracing::warn!("rules that others delete will be missing until the next change fails: {error:#}");
            Arc::new(Notify::new())
        });
        // The first difference of pods' changes to rules would be that of long ago.
        let mut first = true;
        loop {
            self.take_in(&mut services, &mut slices, &mut nodes);
            if std::mem::take(&mut first) {
                self.triggers.clear();
            }
            if self.lost || self.rules.has_changes() {
                self.health.queued();
                if self.apply().await {
                    backoff.reset();
                } else {
                    sleep(backoff.next(&self.jitter)).await;
                }
                continue;
            }
            tokio::select! {
                event = services.next() => self.service(event),
                event = slices.next() => self.slice(event),
                event = nodes.next() => self.node(event),
                () = tampering.notified() => {
                    tracing::warn!("somebody else has deleted rules; making them again");
                    self.lost = true;
                }
            }
            metrics().last_queued.set(self.seconds());
        }
    }

    fn take_in(
        &mut self,
        services: &mut Subscription<Service>,
        slices: &mut Subscription<EndpointSlice>,
        nodes: &mut Subscription<Node>,
    ) {
        while let Some(event) = nodes.try_next() {
            self.node(event);
        }
        while let Some(event) = services.try_next() {
            self.service(event);
        }
        while let Some(event) = slices.try_next() {
            self.slice(event);
        }
    }

    fn service(&mut self, event: Event<Service>) {
        metrics().service_changes.inc();
        match event {
            Event::Applied { new, .. } => self.rules.apply_service(new),
            Event::Deleted(old) => self.rules.remove_service(&old.metadata.namespace, &old.metadata.name),
        }
    }

    fn slice(&mut self, event: Event<EndpointSlice>) {
        metrics().endpoint_changes.inc();
        match event {
            Event::Applied { old, new } => {
                if let Some(old) = old.filter(|old| old.service() != new.service()) {
                    self.rules.remove_slice(&old);
                }
                let trigger = new.metadata.annotations.last_change.as_deref();
                self.triggers.extend(trigger.and_then(|time| time.parse::<Timestamp>().ok()));
                self.rules.apply_slice(new);
            }
            Event::Deleted(old) => self.rules.remove_slice(&old),
        }
    }

    fn node(&mut self, event: Event<Node>) {
        let node = match event {
            // Its addresses stay in use: whoever deletes a Node object does not cut its traffic off.
            Event::Deleted(_) => return self.health.node_deleted(true),
            Event::Applied { new, .. } => new,
        };
        self.health.node_deleted(node.metadata.deleting());
        let internal = node.status.addresses.iter().filter(|a| a.r#type == "InternalIP");
        let of_node: Vec<IpAddr> = internal.filter_map(|a| a.address.parse().ok()).collect();
        let mut settings = self.rules.settings().clone();
        settings.node_port_addresses = self.node_ports.choose(&of_node, &self.kernel.addresses());
        if settings != *self.rules.settings() {
            tracing::info!(addresses = ?settings.node_port_addresses, "node ports are open on these addresses");
            self.rules.set_settings(settings);
            self.ensure_routes(of_node);
        }
    }

    fn ensure_routes(&self, of_node: Vec<IpAddr>) {
        let kernel = self.kernel.clone();
        tokio::spawn(async move {
            for ip in of_node {
                if let Err(error) = kernel.ensure_route(ip).await {
                    tracing::warn!("{error:#}");
                }
            }
        });
    }

    /// Brings the kernel up to date; false if it could not be.
    async fn apply(&mut self) -> bool {
        let began = Instant::now();
        let mut full = self.lost;
        let applied = if self.lost {
            None
        } else {
            let transaction = self.rules.changes();
            full = false;
            self.try_apply(transaction).await
        };
        let applied = match applied {
            Some(applied) => Some(applied),
            None => {
                full = true;
                let transaction = self.rules.everything(false);
                match self.try_apply(transaction).await {
                    Some(applied) => Some(applied),
                    None => {
                        let transaction = self.rules.everything(true);
                        self.try_apply(transaction).await
                    }
                }
            }
        };
        self.lost = applied.is_none();
        let Some(Transaction { udp, .. }) = applied else { return false };
        self.health.applied();
        self.show(began.elapsed(), full);
        if udp {
            // The rules come first: a flow deleted before them would be remembered wrongly again.
            self.flows.send_replace(self.rules.udp());
        }
        true
    }

    async fn try_apply(&self, transaction: Transaction) -> Option<Transaction> {
        if transaction.text.is_empty() {
            return Some(transaction);
        }
        match self.kernel.apply(&transaction.text).await {
            Ok(()) => Some(transaction),
            Err(error) => {
                metrics().failures.inc();
                tracing::warn!("rules not applied: {error:#}");
                None
            }
        }
    }

    fn seconds(&self) -> f64 {
        self.clock.now().as_millisecond() as f64 / 1000.0
    }

    fn show(&mut self, took: Duration, full: bool) {
        let metrics = metrics();
        metrics.sync.observe(took.as_secs_f64());
        let kind = if full { &metrics.full_sync } else { &metrics.partial_sync };
        kind.observe(took.as_secs_f64());
        metrics.last_sync.set(self.seconds());
        let (services, endpoints) = self.rules.counts();
        metrics.services.set(services as i64);
        metrics.endpoints.set(endpoints as i64);
        let now = self.clock.now();
        for trigger in self.triggers.drain(..) {
            metrics.network_programming.observe(now.duration_since(trigger).as_secs_f64().max(0.0));
        }
        tracing::debug!(?took, full, services, endpoints, "rules applied");
    }
}

/// Deletes stale UDP flows beside the loop.
async fn forget_flows(kernel: Arc<dyn Kernel>, mut inbox: watch::Receiver<UdpFrontends>) {
    while inbox.changed().await.is_ok() {
        let wanted = inbox.borrow_and_update().clone();
        match kernel.forget_stale(&wanted).await {
            Ok(count) => metrics().stale_flows.inc_by(count as u64),
            Err(error) => tracing::warn!("stale UDP flows may remain: {error:#}"),
        }
    }
}
