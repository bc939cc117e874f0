//! Watches nodes, their leases and pods for [`controllers::node_lifecycle`].

use std::sync::Arc;

use api_types::{object::Object, plan::Decision};
use client::{Event, Store, Target, WorkQueue};
use controllers::{
    node_lifecycle::{Config, Monitor, Observed, Rates, changes_zone},
    view::{Lease, Node, Pod},
};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Pods, Reconciler};

const ACCOUNT: &str = "node-controller";
const LEASES: &str = "kube-node-lease";

struct NodeLifecycle {
    nodes: Store<Node>,
    leases: Store<Lease>,
    pods: Pods,
    monitor: Mutex<Monitor>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let options = &context.options;
    let config = Config {
        grace: options.node_monitor_grace_period,
        rates: Rates {
            normal: options.node_eviction_rate,
            secondary: options.secondary_node_eviction_rate,
            large: options.large_cluster_size_threshold,
            unhealthy: options.unhealthy_zone_threshold,
        },
    };
    let executor = context.executor(ACCOUNT);
    let nodes = kit::observed::<Node>(context, &executor);
    let leases = context.informers.store_of::<Lease>(Target::of::<Lease>().in_namespace(LEASES));
    let pods = context.pods().clone();
    executor.observe(&<Pod as api_types::object::Watched>::RESOURCE, &pods.store);
    let queue = Arc::new(WorkQueue::new("node_lifecycle_controller"));
    nodes.on_event({
        let (queue, nodes) = (queue.clone(), nodes.clone());
        move |event| node_changed(event, &nodes, &queue)
    });
    leases.on_event({
        let queue = queue.clone();
        move |event| queue.add(Key::new("", event.object().name()))
    });
    let reconciler = NodeLifecycle {
        nodes: nodes.clone(),
        leases: leases.clone(),
        pods: pods.clone(),
        monitor: Mutex::new(Monitor::new(config)),
    };
    let synced = async move {
        nodes.synced().await;
        leases.synced().await;
        pods.store.synced().await;
    };
    Ok(vec![kit::run(context, reconciler, executor, queue, 4, synced)])
}

fn node_changed(event: &Event<Node>, nodes: &Store<Node>, queue: &WorkQueue<Key>) {
    let (old, new) = match event {
        Event::Applied { old, new } => (old.as_deref(), Some(&**new)),
        Event::Deleted(old) => (Some(&**old), None),
    };
    queue.add(Key::of(&**event.object()));
    if changes_zone(old, new) {
        // The zone's health decides how fast the other unready nodes are emptied.
        for node in nodes.list().iter().filter(|node| node.condition("Ready").is_none_or(|r| r.status != "True")) {
            queue.add(Key::of(&**node));
        }
    }
}

impl Reconciler for NodeLifecycle {
    const NAME: &'static str = "node-lifecycle-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let mut monitor = self.monitor.lock();
        let Some(node) = self.nodes.get("", &key.name) else {
            monitor.forget(&key.name);
            return None;
        };
        let listening = self.nodes.listening_for().min(self.leases.listening_for()).unwrap_or_default();
        let plan = monitor.reconcile(&Observed {
            node: &node,
            lease: self.leases.get(LEASES, &key.name).as_deref(),
            nodes: &|| self.nodes.list(),
            pods: &|| self.pods.by_node.get(&key.name),
            listening,
            now: extra.now,
        });
        Some(Decision::Do(plan))
    }
}
