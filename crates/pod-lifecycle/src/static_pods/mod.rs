//! Static pods: those that a node runs because a file or a URL of its own says so.
//!
//! Who such a pod is ([`identify`]), what it may not refer to ([`api_reference`]), which of two under one name runs
//! ([`Succession`]), and what is to be done about its mirror, the object by which the API shows it ([`mirror`]).
//! Reading manifests, defaults and validation are the kubelet's; so is every request.

mod identity;
pub mod mirror;
mod references;
mod succession;

pub use identity::{Origin, identify};
pub use references::api_reference;
pub use succession::{Local, Succession};
