//! Admission: what the cluster adds to an object, and what it refuses, beyond the kind's own rules.
//!
//! A plugin is a file and a line in [`plugins`]; the order of that list is upstream's and the order they run in. Plugins
//! see the request, the object and a [`World`] of already known objects; they read no store. Whether an object exists
//! that the world does not show is for the caller to find out *before* it asks.

mod default_class;
mod default_toleration_seconds;
mod limit_ranger;
mod namespace_lifecycle;
mod node_restriction;
mod persistent_volume_claim_resize;
mod priority;
pub mod resource_quota;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;

use std::sync::Arc;

use api_types::{GroupResource, GroupVersionKind, GroupVersionResource, Status};
use serde_json::Value;

use crate::authz::User;

pub use service_account::{API_ACCESS_VOLUME_PREFIX, DEFAULT_SERVICE_ACCOUNT};

/// What is about to happen to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

/// The circumstances of a write; the object itself is passed beside it.
#[derive(Clone, Debug)]
pub struct AdmissionRequest<'a> {
    pub operation: Operation,
    pub user: &'a User,
    /// Of the object (for subresources with a body of their own: of that body).
    pub kind: GroupVersionKind,
    pub resource: GroupVersionResource,
    /// Empty for none.
    pub subresource: &'a str,
    /// Empty for cluster-scoped objects.
    pub namespace: &'a str,
    /// Empty on a create with generateName.
    pub name: &'a str,
    /// On update and delete.
    pub old: Option<&'a Value>,
    pub dry_run: bool,
}

impl AdmissionRequest<'_> {
    /// Whether it is about this resource of the core group, with this subresource.
    fn is_core(&self, resource: &str, subresource: &str) -> bool {
        self.resource.group.is_empty() && self.resource.resource == resource && self.subresource == subresource
    }

    fn is(&self, group: &str, resource: &str) -> bool {
        self.resource.group == group && self.resource.resource == resource
    }

    fn group_resource(&self) -> GroupResource {
        self.resource.group_resource()
    }

    /// The refusal of an admission plugin, in upstream's words.
    fn forbidden(&self, why: impl std::fmt::Display) -> Status {
        Status::forbidden(&self.group_resource(), self.name, why)
    }
}

/// Other objects a plugin may ask for, as one consistent view. Fresh enough that "absent" may be believed.
pub trait World {
    /// An object in its storage version; an empty namespace for cluster-scoped ones.
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>>;

    /// All objects of a cluster-scoped resource.
    fn list(&self, group: &str, resource: &str) -> Vec<Arc<Value>>;

    /// The objects of a resource in a namespace, by name.
    fn list_in(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>>;

    /// Letters for a generated name, as many as `generateName` adds.
    fn suffix(&self) -> String;
}

/// One rule of the cluster. Mutation runs through all plugins before the first validation.
pub trait Plugin: Sync {
    /// Upstream's name.
    fn name(&self) -> &'static str;

    /// Fills in or refuses. `object` is `Null` on deletes and connects.
    fn mutate(&self, _request: &AdmissionRequest, _object: &mut Value, _world: &dyn World) -> Result<(), Status> {
        Ok(())
    }

    /// Refuses; sees the object as it will be stored.
    fn validate(&self, _request: &AdmissionRequest, _object: &Value, _world: &dyn World) -> Result<(), Status> {
        Ok(())
    }
}

/// The one place a plugin is switched on. Order is the order of evaluation.
pub fn plugins() -> &'static [&'static dyn Plugin] {
    &[
        &namespace_lifecycle::NamespaceLifecycle,
        &limit_ranger::LimitRanger,
        &service_account::ServiceAccount,
        &node_restriction::NodeRestriction,
        &taint_nodes_by_condition::TaintNodesByCondition,
        &priority::Priority,
        &default_toleration_seconds::DefaultTolerationSeconds,
        &default_class::DefaultStorageClass,
        &storage_object_in_use_protection::StorageObjectInUseProtection,
        &persistent_volume_claim_resize::PersistentVolumeClaimResize,
        &runtime_class::RuntimeClass,
        &default_class::DefaultIngressClass,
    ]
}

pub fn mutate(request: &AdmissionRequest, object: &mut Value, world: &dyn World) -> Result<(), Status> {
    plugins().iter().try_for_each(|plugin| plugin.mutate(request, object, world))
}

/// A delete or connect has nothing to fill in: this alone refuses what either phase would.
pub fn validate(request: &AdmissionRequest, object: &Value, world: &dyn World) -> Result<(), Status> {
    if matches!(request.operation, Operation::Delete | Operation::Connect) {
        mutate(request, &mut Value::Null, world)?;
    }
    plugins().iter().try_for_each(|plugin| plugin.validate(request, object, world))
}

#[cfg(test)]
mod tests;
