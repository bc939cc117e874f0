//! What `make bench` measures: a whole cluster on this machine, then an API server alone on its own etcd;
//! and, for `make bench-sched`, a scheduler beside those two.
//!
//! Figures are processor seconds and memory wherever possible, because those hardly depend on the machine; times are
//! given with the runtime's own floor from the same run. `docs/performance.md` says how to read them.

pub mod api;
pub mod cluster;
pub mod crowds;
pub mod floor;
pub mod load;
mod pki;
pub mod process;
pub mod report;
pub mod sched;
pub mod workloads;
