//! DaemonSet: a pod on every node that fits.
//!
//! Decides on which nodes a pod should be, which pods have to go, how an update proceeds over the nodes, which
//! revisions of the template to keep, and the set's status. The pods are bound to their nodes by node affinity; placing
//! them is the scheduler's business, as is refusing them for want of room.

mod nodes;
mod placement;
mod plan;
mod pods;
mod retry;
mod revision;
mod rolling;
mod status;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use api_types::k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use jiff::Timestamp;

use crate::{
    adoption::Live,
    view::{Node, Pod},
};

pub use nodes::{Judge, Verdict};
pub use plan::reconcile;
pub use retry::Retries;

/// Pods made or deleted in one plan, as upstream's burst.
pub const BURST: usize = 250;

/// All that a decision depends on.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    pub set: &'a DaemonSet,
    pub nodes: &'a [Arc<Node>],
    /// Pods of the namespace whose controller is the set, and those without a controller.
    pub pods: &'a [Arc<Pod>],
    /// Revisions of the namespace whose controller is the set, and those without a controller.
    pub revisions: &'a [Arc<ControllerRevision>],
    /// Whether a revision of this name exists in the namespace, whoever owns it.
    pub revision_taken: &'a dyn Fn(&str) -> bool,
    /// The set as the API has it now; asked for before adopting.
    pub live: Option<&'a Live>,
    pub now: Timestamp,
}
