//! What the tasks that carry out a worker's effects tell it.

use jiff::Timestamp;
use pod_lifecycle::{
    core::ResourceRequirements,
    probe::{Kind, Outcome},
};
use std::collections::BTreeMap;

#[derive(Debug)]
pub enum Report {
    /// Something has started: worth a look, and a status.
    Progress,
    /// The start task has done what it could.
    Started(Started),
    /// Everything was told to stop, and has, or could not be told.
    Stopped {
        failed: bool,
    },
    CleanedUp,
    /// When a token in the pod's volumes is to be renewed.
    Renew(Option<Timestamp>),
    /// A probe has come to a new verdict on a container.
    Probe {
        container: String,
        kind: Kind,
        verdict: Outcome,
    },
}

#[derive(Debug, Default)]
pub struct Started {
    /// Why containers do not run: reason and message by name.
    pub waiting: BTreeMap<String, (String, String)>,
    /// When to try again what failed.
    pub again_at: Option<Timestamp>,
    /// What running containers have now, or why they do not, by id.
    pub resized: Vec<(String, Result<ResourceRequirements, String>)>,
    /// Nothing of the pod could be started at all.
    pub failed: bool,
    /// When a token in the pod's volumes is to be renewed.
    pub renew_at: Option<Timestamp>,
}
