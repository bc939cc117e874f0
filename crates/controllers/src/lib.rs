//! The brains of the controllers: what is seen and the time → what to write.
//!
//! One folder per controller, or a file where it is small. In a folder `mod.rs` has the public types and the one entry function, `plan.rs` the decision,
//! `status.rs` what is reported, `tests.rs` the tables and the convergence test. Nothing here does I/O, reads a clock
//! or draws a random number; `controller-manager` gathers what is seen and carries the plans out.

pub mod adoption;
pub mod bootstrap_tokens;
pub mod certificate_cleaner;
pub mod certificates;
pub mod cidr;
pub mod cluster_role_aggregation;
pub mod cron_job;
pub mod daemon_set;
pub mod deployment;
pub mod disruption;
pub mod endpoint_slice;
pub mod endpoint_slice_mirroring;
pub mod endpoints;
pub mod garbage_collector;
pub mod history;
pub mod job;
pub mod namespace;
pub mod node_ipam;
pub mod node_lifecycle;
pub mod persistent_volume;
pub mod pod_gc;
pub mod replica_set;
pub mod resource_quota;
pub mod root_ca_publisher;
pub mod service_account;
pub mod service_account_token;
pub mod share;
pub mod stateful_set;
pub mod storage_protection;
pub mod taint_eviction;
mod template;
pub mod time;
pub mod ttl;
pub mod ttl_after_finished;
pub mod view;
pub mod workload;

#[cfg(test)]
mod world;
