//! Pods in CRI's terms: the configuration of sandboxes and containers.

pub mod container;
pub mod mounts;
pub mod sandbox;
mod security;
