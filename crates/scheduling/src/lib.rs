//! Where pods go: the scheduler's brain.
//!
//! It holds the nodes as columns of numbers ([`cluster`]), the pods that wait ([`queue`]), the rules ([`plugins`], one
//! file each under upstream's names) and the cycle that applies them ([`cycle`]). [`Scheduler`] ties them together as one
//! state machine: it is fed what the watches say, and answers which pod goes where.
//!
//! It does no I/O, reads no clock and draws no random number: the time and the tie-breaking seed are arguments. What
//! it decides is carried out by the `scheduler` crate.

pub mod cluster;
pub mod config;
pub mod cycle;
pub mod extenders;
pub mod features;
pub mod framework;
pub mod node_selector;
pub mod object;
pub mod peers;
pub mod plugins;
pub mod profile;
pub mod queue;
pub mod resources;
pub mod scheduler;
pub mod shape;
pub mod spread;
pub mod storage;
#[cfg(test)]
mod testing;
pub mod volumes;

pub use config::Configuration;
pub use scheduler::{Attempt, Nomination, Placement, Preemption, Scheduler};
