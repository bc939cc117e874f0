//! Builders of objects for tests: valid, complete, and as small as they can be.
//!
//! Clocks and runtimes that tests control live with the traits they implement (`component`, `cri`).

mod meta;
mod network;
#[cfg(feature = "objects")]
pub mod objects;
mod workload;

pub use meta::Built;
pub use network::{endpoint_slice, service};
pub use workload::{container, deployment, node, pod, pod_template, replica_set};
