//! Extenders: programs elsewhere that have a say in where pods go (`extenders` of `KubeSchedulerConfiguration`).
//!
//! Here is whom a pod concerns, what they are asked, and what their answers mean. Asking them is I/O, and so the
//! `scheduler` crate's: an attempt stops at a [`Question`], and goes on with the [`Answer`].

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde::Deserialize;

use crate::{
    cluster::{NodeId, Resident},
    config::{ConfigError, duration},
    cycle::FitError,
    framework::MAX_NODE_SCORE,
    queue::InFlight,
    shape::Shape,
};

/// The largest score that an extender may give.
pub const MAX_EXTENDER_PRIORITY: i64 = 10;
/// What a point of theirs is worth beside the plugins' scores.
pub const POINT: i64 = MAX_NODE_SCORE / MAX_EXTENDER_PRIORITY;

/// One of the configured extenders.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Extender {
    pub url_prefix: String,
    pub filter_verb: String,
    pub preempt_verb: String,
    pub prioritize_verb: String,
    pub weight: i64,
    pub bind_verb: String,
    #[serde(rename = "enableHTTPS")]
    pub enable_https: bool,
    pub tls_config: TlsConfig,
    #[serde(rename = "httpTimeout", deserialize_with = "duration")]
    pub timeout: Duration,
    /// It knows the nodes itself: names are enough.
    pub node_cache_capable: bool,
    pub managed_resources: Vec<ManagedResource>,
    /// Pods go their way without it when it cannot be reached.
    pub ignorable: bool,
}

impl Default for Extender {
    fn default() -> Self {
        Self {
            url_prefix: String::new(),
            filter_verb: String::new(),
            preempt_verb: String::new(),
            prioritize_verb: String::new(),
            weight: 0,
            bind_verb: String::new(),
            enable_https: false,
            tls_config: TlsConfig::default(),
            timeout: Duration::from_secs(5),
            node_cache_capable: false,
            managed_resources: Vec::new(),
            ignorable: false,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TlsConfig {
    pub insecure: bool,
    pub server_name: String,
    pub cert_file: String,
    pub key_file: String,
    pub ca_file: String,
    /// Base64, as the next two.
    pub cert_data: String,
    pub key_data: String,
    pub ca_data: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ManagedResource {
    pub name: String,
    pub ignored_by_scheduler: bool,
}

impl Extender {
    /// Without managed resources all pods are its concern; else those that ask for one of them.
    pub fn is_interested(&self, shape: &Shape) -> bool {
        let asked = &shape.footprint.requests.extended;
        self.managed_resources.is_empty()
            || self.managed_resources.iter().any(|managed| asked.iter().any(|(name, _)| **name == *managed.name))
    }

    fn takes_part_in_choice(&self) -> bool {
        !self.filter_verb.is_empty() || !self.prioritize_verb.is_empty()
    }
}

/// What upstream refuses at its start.
pub(crate) fn check(extenders: &[Extender]) -> Result<(), ConfigError> {
    let wrong = |at: usize, what: String| Err(ConfigError::Invalid(format!("extenders[{at}].{what}")));
    let (mut binders, mut managed) = (0, BTreeSet::new());
    for (at, extender) in extenders.iter().enumerate() {
        if extender.url_prefix.is_empty() {
            return wrong(at, "urlPrefix: must not be empty".into());
        }
        if !extender.prioritize_verb.is_empty() && extender.weight <= 0 {
            return wrong(at, "weight: must have a positive weight applied to it".into());
        }
        binders += usize::from(!extender.bind_verb.is_empty());
        for resource in &extender.managed_resources {
            if !resource.name.contains('/') || resource.name.starts_with("requests.") {
                return wrong(
                    at,
                    format!("managedResources: {:?} is an invalid extended resource name", resource.name),
                );
            }
            if !managed.insert(&resource.name) {
                return wrong(
                    at,
                    format!("managedResources: duplicate extender managed resource name {:?}", resource.name),
                );
            }
        }
    }
    if binders > 1 {
        return Err(ConfigError::Invalid(format!("extenders: found {binders} extenders implementing bind")));
    }
    Ok(())
}

/// The places in the configured list of those who are asked about a pod.
pub(crate) fn interested(extenders: &[Extender], shape: &Shape) -> Vec<usize> {
    let takes_part = |extender: &Extender| extender.takes_part_in_choice() && extender.is_interested(shape);
    (0..extenders.len()).filter(|at| takes_part(&extenders[*at])).collect()
}

/// The same, about preemption.
pub(crate) fn interested_in_preemption(extenders: &[Extender], shape: &Shape) -> Vec<usize> {
    let asked = |extender: &Extender| !extender.preempt_verb.is_empty() && extender.is_interested(shape);
    (0..extenders.len()).filter(|at| asked(&extenders[*at])).collect()
}

/// Which of the nodes that the plugins leave a pod may have, and how good they are.
#[derive(Clone, Debug)]
pub struct Question {
    pub pod: InFlight,
    /// Those who are asked, in order, each about what the former has left.
    pub extenders: Vec<usize>,
    pub nodes: Vec<Arc<str>>,
    pub(crate) ids: Vec<NodeId>,
    /// Why the other nodes would not do.
    pub(crate) refused: Box<FitError>,
    /// Only the node was looked at that room had been made on.
    pub(crate) only_meant: bool,
}

/// What the extenders say to it; places are those in [`Question::nodes`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Nodes {
        /// With the weighted sum of their points.
        passed: Vec<(usize, i64)>,
        refused: Vec<Refused>,
    },
    /// One that must be heard could not be.
    Failed(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub place: usize,
    pub reason: String,
    /// Fewer pods on the node might help.
    pub resolvable: bool,
}

/// On which of these nodes pods may be evicted for a pod.
#[derive(Clone, Debug)]
pub struct PreemptionQuestion {
    pub pod: InFlight,
    pub extenders: Vec<usize>,
    pub candidates: Vec<Candidate>,
    pub(crate) error: Box<FitError>,
}

/// A node, and what the pod would cost there.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub node: Arc<str>,
    pub victims: Vec<Resident>,
    pub broken_budgets: usize,
}

/// What the extenders leave of the candidates, or why one that must be heard could not be.
pub type PreemptionAnswer = Result<Vec<Candidate>, String>;
