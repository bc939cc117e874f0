//! What every stored object has in common: which resource it belongs to, and the metadata by which caches and
//! controllers know it.
//!
//! A component that caches objects declares a slim type with the fields it needs, gives it a [`Meta`], and names its
//! resource with [`watched!`](crate::watched). The full types of k8s-openapi are [`Watched`] as they are.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::{
    ClusterResourceScope, NamespaceResourceScope,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::names::{GroupVersionKind, GroupVersionResource};

/// Where a kind is served.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    /// Empty for the core group.
    pub group: Cow<'static, str>,
    pub version: Cow<'static, str>,
    pub kind: Cow<'static, str>,
    /// Lower-case plural, as in paths.
    pub plural: Cow<'static, str>,
    pub namespaced: bool,
}

impl Resource {
    pub const fn new(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
        namespaced: bool,
    ) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
            plural: Cow::Borrowed(plural),
            namespaced,
        }
    }

    pub fn gvr(&self) -> GroupVersionResource {
        GroupVersionResource::new(self.group.clone(), self.version.clone(), self.plural.clone())
    }

    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::new(self.group.clone(), self.version.clone(), self.kind.clone())
    }

    pub fn api_version(&self) -> String {
        crate::names::api_version(&self.group, &self.version)
    }

    /// The path of the collection; all namespaces when `namespace` is empty or the kind has none.
    pub fn collection_path(&self, namespace: &str) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if self.namespaced && !namespace.is_empty() {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        path.push('/');
        path.push_str(&self.plural);
        path
    }

    pub fn object_path(&self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.collection_path(namespace))
    }
}

/// Something with a place in the API and an identity.
pub trait Object: DeserializeOwned + Send + Sync + 'static {
    /// Empty for objects without a namespace.
    fn namespace(&self) -> &str;
    fn name(&self) -> &str;
    fn uid(&self) -> &str;
    fn resource_version(&self) -> &str;

    /// Drops what no cache needs, right after decoding.
    fn slim(&mut self) {}
}

/// An [`Object`] whose resource is known from its type.
pub trait Watched: Object {
    const RESOURCE: Resource;
}

/// Object metadata as caches keep it: without managed fields, which are most of its size, and with those annotations
/// only that `A` has fields for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "A: Default + Deserialize<'de>"))]
pub struct Meta<A = NoAnnotations> {
    pub name: Box<str>,
    pub namespace: Box<str>,
    pub uid: Box<str>,
    pub resource_version: Box<str>,
    pub generation: i64,
    pub labels: BTreeMap<String, String>,
    pub annotations: A,
    pub creation_timestamp: Option<Time>,
    pub deletion_timestamp: Option<Time>,
    pub deletion_grace_period_seconds: Option<i64>,
    #[serde(deserialize_with = "exact")]
    pub owner_references: Vec<OwnerReference>,
    #[serde(deserialize_with = "exact")]
    pub finalizers: Vec<String>,
}

/// Keeps no annotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub struct NoAnnotations {}

/// A list in a cache: without the room in which it has grown, which is for four elements at least.
pub fn exact<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Box::<[T]>::deserialize(deserializer).map(Vec::from)
}

impl<A> Meta<A> {
    /// The owner that manages this object, if any.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller == Some(true))
    }

    pub fn deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
}

/// Makes an [`Object`] of a type that has a field `metadata: Meta`, whatever its resource.
#[macro_export]
macro_rules! object {
    ($type:ty) => {
        impl $crate::object::Object for $type {
            fn namespace(&self) -> &str {
                &self.metadata.namespace
            }
            fn name(&self) -> &str {
                &self.metadata.name
            }
            fn uid(&self) -> &str {
                &self.metadata.uid
            }
            fn resource_version(&self) -> &str {
                &self.metadata.resource_version
            }
        }
    };
}

/// Names the resource of a slim type that has a field `metadata: Meta`.
///
/// `watched!(Pod, "", "v1", "Pod", "pods", namespaced)`
#[macro_export]
macro_rules! watched {
    ($type:ty, $group:literal, $version:literal, $kind:literal, $plural:literal, namespaced) => {
        $crate::watched!(@ $type, $group, $version, $kind, $plural, true);
    };
    ($type:ty, $group:literal, $version:literal, $kind:literal, $plural:literal, cluster) => {
        $crate::watched!(@ $type, $group, $version, $kind, $plural, false);
    };
    (@ $type:ty, $group:literal, $version:literal, $kind:literal, $plural:literal, $namespaced:literal) => {
        $crate::object!($type);
        impl $crate::object::Watched for $type {
            const RESOURCE: $crate::object::Resource =
                $crate::object::Resource::new($group, $version, $kind, $plural, $namespaced);
        }
    };
}

/// Whether a scope marker of k8s-openapi has namespaces.
pub trait Scope {
    const NAMESPACED: bool;
}
impl Scope for NamespaceResourceScope {
    const NAMESPACED: bool = true;
}
impl Scope for ClusterResourceScope {
    const NAMESPACED: bool = false;
}

impl<K> Object for K
where
    K: k8s_openapi::Metadata<Ty = ObjectMeta> + DeserializeOwned + Send + Sync + 'static,
{
    fn namespace(&self) -> &str {
        self.metadata().namespace.as_deref().unwrap_or_default()
    }
    fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }
    fn uid(&self) -> &str {
        self.metadata().uid.as_deref().unwrap_or_default()
    }
    fn resource_version(&self) -> &str {
        self.metadata().resource_version.as_deref().unwrap_or_default()
    }
    fn slim(&mut self) {
        self.metadata_mut().managed_fields = None;
    }
}

impl<K> Watched for K
where
    K: k8s_openapi::Metadata<Ty = ObjectMeta> + DeserializeOwned + Send + Sync + 'static,
    K::Scope: Scope,
{
    const RESOURCE: Resource =
        Resource::new(K::GROUP, K::VERSION, K::KIND, K::URL_PATH_SEGMENT, <K::Scope as Scope>::NAMESPACED);
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{apps::v1::Deployment, core::v1::Node};

    use super::*;

    #[derive(Deserialize)]
    struct SlimPod {
        metadata: Meta,
    }
    watched!(SlimPod, "", "v1", "Pod", "pods", namespaced);

    #[test]
    fn paths() {
        assert_eq!(Deployment::RESOURCE.object_path("a", "b"), "/apis/apps/v1/namespaces/a/deployments/b");
        assert_eq!(Node::RESOURCE.object_path("", "n"), "/api/v1/nodes/n");
        assert_eq!(SlimPod::RESOURCE.collection_path(""), "/api/v1/pods");
    }

    #[test]
    fn slim_metadata_skips_the_rest() {
        let pod: SlimPod = serde_json::from_str(
            r#"{"metadata":{"name":"p","namespace":"n","uid":"u","resourceVersion":"7","managedFields":[{"x":1}]},"spec":{}}"#,
        )
        .unwrap();
        assert_eq!((pod.name(), pod.namespace(), pod.uid(), pod.resource_version()), ("p", "n", "u", "7"));
    }
}
