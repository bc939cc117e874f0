//! Deployment: brings pods from one template to the next by scaling ReplicaSets.
//!
//! Decides which ReplicaSet is the newest, how far each may be scaled now, which old ones to forget, and the rollout's
//! status. Pods are the ReplicaSets' business.

mod plan;
mod revision;
mod rolling;
mod scaling;
mod sets;
mod status;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use api_types::plan::Failure;
use jiff::Timestamp;

use crate::{
    adoption::Live,
    view::Pod,
    workload::{Deployment, ReplicaSet},
};

pub use plan::reconcile;

/// All that a decision depends on.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    pub deployment: &'a Deployment,
    /// ReplicaSets of the namespace whose controller is the deployment, and those without a controller.
    pub sets: &'a [Arc<ReplicaSet>],
    /// Whether a ReplicaSet of this name exists in the namespace, whoever owns it.
    pub name_taken: &'a dyn Fn(&str) -> bool,
    /// Pods of the deployment's ReplicaSets; only `Recreate` looks at them.
    pub pods: &'a [Arc<Pod>],
    /// The deployment as the API has it now; asked for before adopting.
    pub live: Option<&'a Live>,
    /// The write at which the last plan stopped.
    pub failure: Option<&'a Failure>,
    pub now: Timestamp,
}
