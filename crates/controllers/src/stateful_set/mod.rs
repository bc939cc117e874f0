//! StatefulSet: pods with names of their own, one after the other, each with volumes that outlive it.
//!
//! Decides which of its pods to make, to replace and to let go, in which order and of which revision of the template;
//! which volume claims to make and who owns them; which revisions to keep; and the set's status. Binding volumes,
//! running pods and answering for their names are others' business. A pod's volumes are not compared with the
//! templates: the API lets neither change.

mod claims;
mod identity;
mod plan;
mod replicas;
mod revision;
mod status;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use api_types::k8s_openapi::api::{
    apps::v1::{ControllerRevision, StatefulSet},
    core::v1::PersistentVolumeClaim,
};
use jiff::Timestamp;

use crate::{adoption::Live, view::Pod};

pub use claims::has_claim;
pub use plan::reconcile;

/// All that a decision depends on.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    pub set: &'a StatefulSet,
    /// Pods of the namespace whose controller is the set, and those without a controller.
    pub pods: &'a [Arc<Pod>],
    /// Revisions of the namespace whose controller is the set, and those without a controller.
    pub revisions: &'a [Arc<ControllerRevision>],
    /// Whether a revision of this name exists in the namespace, whoever owns it.
    pub revision_taken: &'a dyn Fn(&str) -> bool,
    /// The volume claim of this name in the namespace.
    pub claim: &'a dyn Fn(&str) -> Option<Arc<PersistentVolumeClaim>>,
    /// The set as the API has it now; asked for before adopting.
    pub live: Option<&'a Live>,
    pub now: Timestamp,
}
