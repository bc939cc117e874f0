//! EndpointSlice: the addresses behind a Service, in slices of at most 100, changed as little as possible.
//!
//! Decides which pods are endpoints of a service, under which conditions they are to be used, and how they lie in
//! slices. Slices that others manage are not looked at.

mod members;
mod plan;
mod slices;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use api_types::k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::view::{Node, Pod, Service};

pub(crate) use members::{AddressType, has_hostname, pod_reference, port_of};
pub use plan::reconcile;

pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
pub const MANAGER: &str = "endpointslice-controller.k8s.io";
pub(crate) const HEADLESS: &str = "service.kubernetes.io/headless";
pub const PER_SLICE: usize = 100;

/// All that a decision depends on.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    pub service: &'a Service,
    /// Pods of the namespace that the service selects.
    pub pods: &'a [Arc<Pod>],
    pub node: &'a dyn Fn(&str) -> Option<Arc<Node>>,
    /// The service's slices that this controller manages.
    pub slices: &'a [Arc<EndpointSlice>],
}
