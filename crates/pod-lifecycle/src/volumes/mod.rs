//! The files that ConfigMap, Secret, downward API and projected volumes consist of.
//!
//! [`payload`] computes the wanted files from the spec and the objects; [`atomic`] decides whether
//! and how they are put on disk. Writing is the kubelet's.

pub mod atomic;
pub mod payload;

use std::collections::BTreeMap;

/// Relative path to content and mode.
pub type Files = BTreeMap<String, File>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner that a service account token needs when the container is not root's.
    pub owner: Option<i64>,
}
