//! The wire types of Kubernetes v1.36 and what everyone needs of them: names of kinds, quantities,
//! selectors, field errors, `Status`, and objects as caches hold them.
//!
//! Nothing here does I/O, reads a clock or knows a single kind's rules: those are `api-rules`.

pub mod cron;
pub mod field;
mod flat_map;
pub mod names;
pub mod object;
pub mod plan;
pub mod quantity;
pub mod quota;
pub mod selector;
pub mod status;

pub use flat_map::FlatMap;
pub use k8s_openapi;
pub use names::{GroupKind, GroupResource, GroupVersionKind, GroupVersionResource};
pub use quantity::Quantity;
pub use status::Status;
