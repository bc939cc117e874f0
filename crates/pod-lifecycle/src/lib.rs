//! What happens to a pod on its node, decided without doing any of it.
//!
//! * [`worker`]: the life of one pod as a state machine, from first sight to gone.
//! * [`actions`]: which sandbox and containers to start and stop, from the spec and what the runtime shows.
//! * [`backoff`], [`probe`], [`termination`]: when to try again, what probes mean, how long a stop may take.
//! * [`status`]: the `PodStatus` the API shows, and the patch that gets it there.
//! * [`env`], [`downward`], [`hosts`], [`dns`], [`volumes`]: the content a container finds inside.
//! * [`qos`], [`resources`], [`cgroup`], [`security`]: what the kernel is told.
//! * [`eviction`]: what a node that runs out of something does about it.
//! * [`resize`]: what a running pod gets of the resources it comes to ask for.
//! * [`static_pods`]: pods that come from the node's own files.
//! * [`admission`], [`image`], [`gc`], [`support`]: what the node accepts, pulls, forgets and refuses.
//!
//! Nothing here reads a clock, a file or a socket: time and observations are arguments, and the
//! answers are values that the kubelet carries out.

pub mod actions;
pub mod admission;
pub mod backoff;
pub mod cgroup;
pub mod dns;
pub mod downward;
pub mod env;
pub mod eviction;
pub mod gc;
pub mod hosts;
pub mod image;
pub mod names;
pub mod observed;
pub mod probe;
pub mod qos;
pub mod resize;
pub mod resources;
pub mod security;
pub mod static_pods;
pub mod status;
pub mod support;
pub mod termination;
pub mod volumes;
pub mod worker;

#[cfg(test)]
mod samples;

pub use api_types::k8s_openapi::api::core::v1 as core;
pub use observed::{ContainerPhase, ContainerSeen, PodSeen, SandboxSeen};
