//! ReplicaSet and ReplicationController: keep as many pods as are wanted.
//!
//! Decides which pods belong to the set, how many to make or which to delete, and the set's status. What a pod does once
//! it exists is the scheduler's and the kubelet's business.

mod plan;
mod rank;
mod replicated;
mod status;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use api_types::plan::Failure;
use jiff::Timestamp;

pub use crate::adoption::Live;
use crate::view::Pod;

pub use plan::reconcile;
pub use replicated::Replicated;

/// Pods made or deleted in one plan, as upstream's burst.
pub const BURST: usize = 500;

/// All that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a, S> {
    pub set: &'a S,
    /// Pods of the namespace whose controller is the set, and those without a controller.
    pub pods: &'a [Arc<Pod>],
    /// Active pods of all sets that share this one's owner, for spreading deletions over nodes.
    pub related: &'a [Arc<Pod>],
    /// The set as the API has it now; asked for before adopting.
    pub live: Option<&'a Live>,
    /// The write at which the last plan stopped.
    pub failure: Option<&'a Failure>,
    pub now: Timestamp,
}
