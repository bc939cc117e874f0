//! A cluster on one machine: certificates, configuration files, node namespaces, and the supervision of processes. And
//! what a cluster of several machines needs of that, for systemd to run ([`install`]).
//!
//! `kctl cluster …` and the cluster tests are thin shells over the functions re-exported here. What is to run, with
//! which flags and files, is decided by pure functions (`layout`, `processes`, `config`); `up`, `down` and `node`
//! make the machine match. Nothing here speaks for a component: whatever runs is an ordinary process that could
//! have been started by hand with the very same files.

mod addons;
mod archive;
mod bootstrap;
mod cgroups;
mod config;
mod dns_probe;
mod down;
mod gate;
mod images;
pub mod install;
mod layout;
mod lock;
mod machine;
mod mounts;
mod network;
mod node;
mod options;
mod pki;
mod proc;
mod processes;
mod progress;
mod record;
mod registry;
mod spawn;
mod status;
mod supervisor;
mod sysctl;
mod up;

pub use config::CgroupDriver;
pub use down::down;
pub use images::{import_into as image_import, load as image_load};
pub use layout::Layout;
pub use node::{NodeAction, node};
pub use options::{DEFAULT_DIR, Options};
pub use progress::{Progress, Silent};
pub use registry::serve_images;
pub use status::{NodeStatus, ProcessState, ProcessStatus, Status, status};
pub use supervisor::supervise;
pub use up::{Summary, up};
