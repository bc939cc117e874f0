//! One active instance among several, by a Lease, with upstream's timings.
//!
//! A lease that nobody holds, or that this process held before, is taken at once. Whether another holder is alive is
//! judged by when its lease was last seen to change, on this machine's monotonic clock: the holder's idea of the time
//! does not matter. Who loses the lease stops acting and keeps its caches.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use api_types::{
    k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime},
    object::Watched,
    plan::Target,
};
use component::{Clock, Shutdown};
use prometheus::{IntGaugeVec, Opts};
use serde_json::json;
use tokio::{sync::watch, time::Instant};

use crate::{
    api::{Api, Error},
    backoff::{Backoff, Jitter},
};

const JITTER: f64 = 1.2;
const FIRST_RETRY: Duration = Duration::from_millis(100);

static STATUS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let opts = Opts::new(
        "leader_election_master_status",
        "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. 'name' is the string used to identify the lease. Please make sure to group by name.",
    );
    let gauge = IntGaugeVec::new(opts, &["name"]).expect("a valid metric");
    crate::metrics::register(gauge.clone());
    gauge
});

#[derive(Clone, Debug)]
pub struct LeaseName {
    pub namespace: String,
    pub name: String,
}

/// How long a lease holds without news, after how long without success its holder gives up, and how often one tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimings {
    pub lease_duration: Duration,
    pub renew_deadline: Duration,
    pub retry_period: Duration,
}

impl Default for LeaseTimings {
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// Whether this process leads. Clones see the same.
#[derive(Clone)]
pub struct Leadership(watch::Receiver<bool>);

impl Leadership {
    /// Always leads: where election is switched off.
    pub fn always() -> Self {
        let (sender, receiver) = watch::channel(true);
        // Without a sender the value stays for ever.
        drop(sender);
        Self(receiver)
    }

    pub fn leads(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once this process leads.
    pub async fn gained(&mut self) {
        self.reaches(true).await;
    }

    /// Returns once this process no longer leads.
    pub async fn lost(&mut self) {
        self.reaches(false).await;
    }

    async fn reaches(&mut self, wanted: bool) {
        if self.0.wait_for(|leads| *leads == wanted).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

pub struct LeaderElector {
    api: Api,
    lease: LeaseName,
    timings: LeaseTimings,
    identity: String,
    clock: Arc<dyn Clock>,
    jitter: Jitter,
    leads: watch::Sender<bool>,
    seen: Option<Seen>,
}

/// The lease as it was seen last, and since when it has been so.
struct Seen {
    lease: Lease,
    holder: String,
    renewed: Option<MicroTime>,
    duration: Duration,
    since: Instant,
}

impl LeaderElector {
    /// `identity` must be this process's alone, and should stay the same over its restarts.
    pub fn new(client: kube::Client, lease: LeaseName, identity: &str, clock: Arc<dyn Clock>) -> Self {
        STATUS.with_label_values(&[&lease.name]).set(0);
        Self {
            api: client.into(),
            jitter: Jitter::from_name(identity),
            lease,
            timings: LeaseTimings::default(),
            identity: identity.to_owned(),
            clock,
            leads: watch::Sender::new(false),
            seen: None,
        }
    }

    /// Other timings than upstream's defaults.
    pub fn timed(mut self, timings: LeaseTimings) -> Self {
        self.timings = timings;
        self
    }

    pub fn leadership(&self) -> Leadership {
        Leadership(self.leads.subscribe())
    }

    /// Takes part in the election until shutdown begins, then gives the lease back.
    pub async fn run(mut self, shutdown: Shutdown) {
        while shutdown.or(self.acquire()).await.is_some() {
            self.set(true);
            let lost = shutdown.or(self.keep()).await;
            self.set(false);
            if lost.is_none() {
                break;
            }
            tracing::warn!(lease = self.lease.name, "lost the lease");
        }
        self.release().await;
    }

    fn set(&self, leads: bool) {
        STATUS.with_label_values(&[&self.lease.name]).set(i64::from(leads));
        self.leads.send_replace(leads);
        if leads {
            tracing::info!(lease = self.lease.name, identity = self.identity, "leading");
        }
    }

    async fn acquire(&mut self) {
        let mut told = false;
        let mut backoff = Backoff::new(FIRST_RETRY, self.timings.retry_period);
        loop {
            let pause = match self.attempt().await {
                Ok(true) => return,
                // Another one holds it, or was quicker.
                Ok(false) => self.jitter.spread(self.timings.retry_period, JITTER),
                Err(error) if error.is_conflict() || error.already_exists() => FIRST_RETRY,
                // Whether it is free is not known yet: a server that comes up is asked soon.
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        let error = anyhow::Error::new(error);
                        tracing::warn!(lease = self.lease.name, "cannot take the lease: {error:#}");
                    }
                    backoff.next(&self.jitter)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Renews until it has not succeeded for too long, or somebody else holds the lease.
    async fn keep(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.timings.retry_period).await;
            let attempt = tokio::time::timeout_at(renewed + self.timings.renew_deadline, self.attempt());
            match attempt.await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => {
                    let error = anyhow::Error::new(error);
                    tracing::debug!(lease = self.lease.name, "cannot renew the lease: {error:#}");
                }
                Err(_) => {}
            }
            if renewed.elapsed() >= self.timings.renew_deadline {
                return;
            }
        }
    }

    /// One try to take or renew; whether the lease is ours by now.
    async fn attempt(&mut self) -> Result<bool, Error> {
        let mine = self.seen.as_ref().is_some_and(|seen| seen.holder == self.identity);
        if !(mine && *self.leads.borrow()) {
            self.look().await?;
        }
        let Some(seen) = &self.seen else {
            return self.create().await;
        };
        let mine = seen.holder == self.identity;
        let free = seen.holder.is_empty() || seen.renewed.is_none();
        if !mine && !free && seen.since.elapsed() < seen.duration {
            return Ok(false);
        }
        match self.write(seen, mine).await {
            Ok(lease) => {
                self.see(&lease);
                Ok(true)
            }
            Err(error) => {
                // Somebody wrote it: look again before the next try.
                if error.is_conflict() || error.is_not_found() {
                    self.look().await?;
                    return Ok(self.is_mine());
                }
                Err(error)
            }
        }
    }

    fn is_mine(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.holder == self.identity)
    }

    async fn look(&mut self) -> Result<(), Error> {
        match self.api.get::<Lease>(&self.lease.namespace, &self.lease.name).await? {
            Some(lease) => self.see(&lease),
            None => self.seen = None,
        }
        Ok(())
    }

    fn see(&mut self, lease: &Lease) {
        let spec = lease.spec.clone().unwrap_or_default();
        let renewed = spec.renew_time;
        let holder = spec.holder_identity.unwrap_or_default();
        let unchanged = |seen: &&Seen| seen.renewed == renewed && seen.holder == holder;
        let since = self.seen.as_ref().filter(unchanged).map_or_else(Instant::now, |seen| seen.since);
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        self.seen = Some(Seen {
            lease: lease.clone(),
            holder,
            renewed,
            duration: seconds.map_or(self.timings.lease_duration, Duration::from_secs),
            since,
        });
    }

    async fn create(&mut self) -> Result<bool, Error> {
        let now = MicroTime(self.clock.now());
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.lease.name, "namespace": self.lease.namespace},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": self.timings.lease_duration.as_secs(),
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        });
        let lease: Lease = self.api.create(&Lease::RESOURCE, &self.lease.namespace, &lease).await?;
        self.see(&lease);
        Ok(true)
    }

    /// Writes the lease as it was seen, with ourselves as its holder.
    async fn write(&self, seen: &Seen, mine: bool) -> Result<Lease, Error> {
        let now = MicroTime(self.clock.now());
        let mut lease = seen.lease.clone();
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = i32::try_from(self.timings.lease_duration.as_secs()).ok();
        spec.renew_time = Some(now.clone());
        if !mine {
            spec.acquire_time = Some(now);
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default() + 1);
        }
        self.replace(&lease).await
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, Error> {
        let target = Target::of(lease);
        self.api.replace(&target, None, &json!(lease)).await
    }

    /// Lets the next one in without waiting.
    async fn release(&mut self) {
        let Some(seen) = self.seen.take().filter(|seen| seen.holder == self.identity) else { return };
        let now = MicroTime(self.clock.now());
        let mut lease = seen.lease;
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(now.clone());
        spec.acquire_time = Some(now);
        let releasing = self.replace(&lease);
        match tokio::time::timeout(self.timings.retry_period, releasing).await {
            Ok(Ok(_)) => tracing::info!(lease = self.lease.name, "gave the lease back"),
            Ok(Err(error)) => tracing::debug!(lease = self.lease.name, "cannot give the lease back: {error}"),
            Err(_) => tracing::debug!(lease = self.lease.name, "cannot give the lease back in time"),
        }
    }
}

#[cfg(test)]
mod tests;
