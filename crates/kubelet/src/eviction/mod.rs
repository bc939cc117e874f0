//! Node-pressure eviction, carried out: measures, lets `pod_lifecycle::eviction` decide, frees what nobody needs, and
//! stops at most one pod at a time.

mod measure;
pub mod usage;

use crate::{config::KubeletConfiguration, context::Context, images_gc, note, pods::Pods};
use measure::Meter;
use parking_lot::RwLock;
use pod_lifecycle::{
    core::Pod,
    eviction::{
        self, Condition, Manager, Observation, Settings, Threshold, local_storage, message,
        rank::{self, Candidate},
        thresholds::{self, Given},
    },
    names, termination,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::Notify;

/// As often as upstream looks; neither memory nor disks report by themselves.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A pod that was evicted is waited for before another one is chosen.
const PATIENCE: Duration = Duration::from_secs(30);
/// Seconds for a pod that exceeds a limit of its own.
const AT_ONCE: i64 = 1;

/// What the node is short of, for those who report it and those who admit pods.
#[derive(Default)]
pub struct Pressure {
    conditions: RwLock<BTreeSet<Condition>>,
    pub changed: Notify,
}

impl Pressure {
    pub fn conditions(&self) -> BTreeSet<Condition> {
        self.conditions.read().clone()
    }

    fn set(&self, conditions: BTreeSet<Condition>) {
        let before = std::mem::replace(&mut *self.conditions.write(), conditions.clone());
        if before != conditions {
            self.changed.notify_one();
        }
    }
}

/// # Errors
/// When the configuration has a threshold that is none.
pub fn settings(file: &KubeletConfiguration) -> anyhow::Result<Settings> {
    let soft_grace = file.eviction_soft_grace_period.iter().map(|(name, time)| (name.clone(), time.0)).collect();
    let given = Given {
        hard: &file.hard_thresholds(),
        soft: &file.eviction_soft,
        soft_grace: &soft_grace,
        minimum_reclaim: &file.eviction_minimum_reclaim,
    };
    Ok(Settings {
        thresholds: thresholds::parse(given)?,
        transition: file.eviction_pressure_transition_period.0,
        max_pod_grace: i64::from(file.eviction_max_pod_grace_period),
    })
}

/// Looks after the node for as long as the kubelet runs.
pub async fn run(context: Arc<Context>, pods: Arc<Pods>, settings: Settings) {
    let mut keeper = Keeper { meter: Meter::default(), manager: Manager::new(settings), context, pods };
    loop {
        match keeper.look().await {
            Some(uid) => keeper.pods.wait_ended(&uid, PATIENCE).await,
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

struct Keeper {
    context: Arc<Context>,
    pods: Arc<Pods>,
    meter: Meter,
    manager: Manager,
}

impl Keeper {
    /// The uid of a pod that had to go.
    async fn look(&mut self) -> Option<String> {
        let seen = self.meter.observe(&self.context).await;
        let outcome = self.manager.look(&seen, self.context.clock.now());
        self.context.pressure.set(outcome.conditions);
        let active = self.pods.active();
        if let Some(uid) = self.enforce_own_limits(&active).await {
            return Some(uid);
        }
        let threshold = outcome.relieve?;
        let text = format!("Attempting to reclaim {}", threshold.signal.resource());
        tracing::warn!(signal = threshold.signal.as_str(), "{text}");
        self.context.warn(note::node(&self.context.config.node_name), "EvictionThresholdMet", &text);
        if threshold.signal.is_disk() && self.free_disk().await {
            return None;
        }
        let seen = seen.get(&threshold.signal).copied().unwrap_or_default();
        self.evict_one(&active, &threshold, seen).await
    }

    /// Pods over a limit of their own all go.
    async fn enforce_own_limits(&self, active: &[Arc<Pod>]) -> Option<String> {
        let limited: Vec<Arc<Pod>> = active.iter().filter(|pod| local_storage::is_limited(pod)).cloned().collect();
        if limited.is_empty() {
            return None;
        }
        let usage = usage::of_pods(&self.context, &limited).await;
        let mut gone = None;
        for pod in &limited {
            let reason = usage.get(names::uid(pod)).and_then(|usage| local_storage::exceeded(pod, usage));
            if let Some(text) = reason
                && self.evict(pod, &text, AT_ONCE)
            {
                gone = Some(names::uid(pod).to_owned());
            }
        }
        gone
    }

    /// Removes what has ended and images that nobody uses; whether that was enough.
    async fn free_disk(&mut self) -> bool {
        self.pods.remove_ended_containers().await;
        if let Err(error) = images_gc::remove_unused(&self.context).await {
            tracing::warn!("cannot remove unused images: {error:#}");
        }
        let seen = self.meter.observe(&self.context).await;
        self.manager.relieved(&seen)
    }

    async fn evict_one(&self, active: &[Arc<Pod>], threshold: &Threshold, seen: Observation) -> Option<String> {
        let usage = usage::of_pods(&self.context, active).await;
        let mut candidates: Vec<Candidate> =
            active.iter().map(|pod| Candidate { pod, usage: usage.get(names::uid(pod)) }).collect();
        rank::rank(&mut candidates, threshold.signal);
        for candidate in candidates {
            let text = message::evicted(candidate.pod, candidate.usage, threshold, seen);
            let grace = self.manager.grace(threshold, termination::grace(candidate.pod));
            if self.evict(candidate.pod, &text, grace) {
                return Some(names::uid(candidate.pod).to_owned());
            }
        }
        tracing::warn!("unable to evict any pods from the node");
        None
    }

    fn evict(&self, pod: &Pod, text: &str, grace: i64) -> bool {
        if names::is_critical(pod) {
            tracing::warn!(pod = names::formatted(pod), "cannot evict a critical pod");
            return false;
        }
        tracing::warn!(pod = names::formatted(pod), grace, "evicting: {text}");
        self.context.warn(note::pod(pod), eviction::EVICTED, text);
        self.pods.evict(names::uid(pod), eviction::verdict(text), grace)
    }
}
