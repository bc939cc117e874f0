//! Garbage collection: objects go when the last of their owners has gone.
//!
//! An incremental state machine over a graph of who owns whom, told of every object of every kind. It decides what to
//! delete, whom to release, and which finalizers to take off; an owner that looks absent is never believed to be so
//! without having been seen going, or asking the API.

mod graph;
mod plan;

#[cfg(test)]
mod tests;

use api_types::{
    k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time},
    object,
    object::{Resource, exact},
    plan::{Plan, Target},
};
use serde::Deserialize;

pub use graph::Graph;

pub const FOREGROUND: &str = "foregroundDeletion";
pub const ORPHAN: &str = "orphan";

/// An object as the collector sees it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Object {
    pub metadata: ObjectMeta,
}
object!(Object);

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMeta {
    pub name: Box<str>,
    pub namespace: Box<str>,
    pub uid: Box<str>,
    pub resource_version: Box<str>,
    #[serde(deserialize_with = "exact")]
    pub owner_references: Vec<OwnerReference>,
    #[serde(deserialize_with = "exact")]
    pub finalizers: Vec<Box<str>>,
    pub deletion_timestamp: Option<Time>,
}

impl ObjectMeta {
    fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|own| &**own == finalizer)
    }

    fn deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// Being deleted, and waiting for its dependents to go first.
    fn in_foreground(&self) -> bool {
        self.deleting() && self.has(FOREGROUND)
    }
}

/// What to do about one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Do(Plan),
    /// Ask the API whether this owner exists. If it does not, tell the graph and decide again; if it does, the graph will
    /// see it soon: decide again later, for it may go before it was ever seen. Its uid is in the target.
    Ask(Target),
}

/// Which resource a reference's `apiVersion` and `kind` mean.
pub type Mapping<'a> = &'a dyn Fn(&str, &str) -> Option<Resource>;
