//! The plugin and the agent in network namespaces of the test's own: nodes and their pods, with real packets.
//!
//! Needs root, `unshare`, `nsenter`, `ip`, `nft` and `busybox`; without root it is skipped with a message.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod agent;
mod node;
mod plugin;
