//! The container runtime as the rest of Kogge sees it: one object-safe [`Runtime`] trait over CRI v1.
//!
//! Two implementations exist: [`containerd::Containerd`] speaks CRI to a runtime's socket and takes from containerd's
//! own services what CRI lacks (the event stream, image import); [`fake::Fake`] is an in-memory twin, deterministic
//! and driven by tokio's clock, for the simulation and for tests. One contract suite holds both to the same behaviour.
//!
//! What a call means is CRI's business, so its messages (`k8s_cri::v1`, re-exported as [`v1`]) are the vocabulary.
//! Deliberately absent: retries, caching and any knowledge of pods. Whoever calls decides those.

pub mod containerd;
mod error;
pub mod fake;
mod reference;
mod runtime;
pub mod testing;

pub use error::{Error, PullFailure, Result};
pub use k8s_cri::v1;
pub use reference::normalize;
pub use runtime::{BoxFuture, CgroupDriver, Change, Event, EventStream, ExecOutput, Runtime, RuntimeVersion};
