//! Everything a component needs to live with the API server: a connection, shared caches of what it watches, a work
//! queue, the execution of plans, events, leader election, and who may use its own port.
//!
//! A thin layer over kube-rs' client. It decides nothing about any kind: that is for the brains. All timers are
//! tokio's and all timestamps come from a [`component::Clock`], so that everything here runs under a paused clock.

pub mod access;
mod api;
mod backoff;
mod cache;
mod connect;
mod credentials;
mod dial;
pub mod discovery;
pub mod executor;
#[cfg(test)]
mod fake;
mod informer;
pub mod kubeconfig;
mod leader;
mod metrics;
mod outside;
mod recorder;
mod store;
mod subscription;
mod work_queue;

pub use access::DelegatedAccess;
pub use api::{Api, Error};
pub use api_types::object::{Meta, Object, Resource, Watched};
pub use backoff::{Backoff, Jitter};
pub use connect::{Connector, connect, connect_in_cluster, from_service};
pub use credentials::TokenSource;
pub use executor::Executor;
pub use informer::{Informers, Target};
pub use leader::{LeaderElector, Leadership, LeaseName, LeaseTimings};
pub use outside::Outside;
pub use recorder::Recorder;
pub use store::{Event, Index, Store};
pub use subscription::Subscription;
pub use work_queue::WorkQueue;
