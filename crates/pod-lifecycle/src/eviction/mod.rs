//! Node-pressure eviction: when the node runs out of something, which condition it shows, which pods it refuses, and
//! which one goes first.
//!
//! * [`thresholds`]: what is configured, and when it is met.
//! * [`manager`]: what is met for how long, from one look at the node to the next.
//! * [`rank`]: the order in which pods go; [`message`]: what they are told.
//! * [`local_storage`]: pods that exceed limits of their own, pressure or not.
//!
//! Measuring, freeing images and stopping pods are the kubelet's. The rules and words are upstream's eviction manager's.

pub mod local_storage;
pub mod manager;
pub mod message;
pub mod rank;
#[cfg(test)]
mod tests;
pub mod thresholds;

pub use manager::{Manager, Outcome, Settings};
pub use thresholds::{Amount, Signal, Threshold};

use crate::{
    admission::tolerates,
    core::{Pod, Taint},
    names, qos,
    status::Verdict,
};
use std::collections::{BTreeMap, BTreeSet};

/// The reason of pods that were evicted or refused, and of the event.
pub const EVICTED: &str = "Evicted";
/// The reason of the condition `DisruptionTarget`.
pub const BY_KUBELET: &str = "TerminationByKubelet";

/// Conditions of the node, in upstream's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    MemoryPressure,
    DiskPressure,
    PidPressure,
}

impl Condition {
    pub fn as_str(self) -> &'static str {
        match self {
            Condition::MemoryPressure => "MemoryPressure",
            Condition::DiskPressure => "DiskPressure",
            Condition::PidPressure => "PIDPressure",
        }
    }
}

/// How much there is of what a signal is about: bytes, inodes or process ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    pub available: u64,
    pub capacity: u64,
}

pub type Observations = BTreeMap<Signal, Observation>;

/// What one pod uses. What could not be measured is missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    pub containers: BTreeMap<String, ContainerUsage>,
    /// By the volume's name; bytes of `emptyDir` volumes on disk.
    pub empty_dirs: BTreeMap<String, u64>,
    /// Files and directories of all of it.
    pub inodes: u64,
    pub processes: u64,
}

/// In bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerUsage {
    pub memory: u64,
    pub root: u64,
    pub logs: u64,
}

impl Usage {
    pub fn memory(&self) -> u64 {
        self.containers.values().map(|c| c.memory).sum()
    }

    /// Writable layers, logs and volumes.
    pub fn disk(&self) -> u64 {
        let containers: u64 = self.containers.values().map(|c| c.root + c.logs).sum();
        containers + self.empty_dirs.values().sum::<u64>()
    }
}

/// Whether a node under pressure takes another pod.
pub fn admit(pod: &Pod, conditions: &BTreeSet<Condition>) -> Result<(), Verdict> {
    if conditions.is_empty() || names::is_critical(pod) {
        return Ok(());
    }
    if conditions.iter().eq([&Condition::MemoryPressure]) {
        let taint =
            Taint { key: "node.kubernetes.io/memory-pressure".into(), effect: "NoSchedule".into(), ..Taint::default() };
        if qos::class(pod) != qos::Class::BestEffort || tolerates(pod, &taint) {
            return Ok(());
        }
    }
    let list: Vec<&str> = conditions.iter().map(|c| c.as_str()).collect();
    Err(Verdict::rejected(EVICTED, &format!("The node had condition: [{}]. ", list.join(" "))))
}

/// The end of a pod that is evicted, with the message that its status, condition and event carry.
pub fn verdict(message: &str) -> Verdict {
    Verdict { reason: EVICTED.into(), message: message.to_owned(), disruption: Some(BY_KUBELET) }
}
