//! Metadata, the same for every kind.

use api_types::k8s_openapi::{
    Metadata,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
};
use jiff::Timestamp;

/// Changes to the metadata of an object under construction.
pub trait Built: Metadata<Ty = ObjectMeta> + Sized {
    fn namespace(mut self, namespace: &str) -> Self {
        self.metadata_mut().namespace = Some(namespace.to_owned());
        self
    }

    fn uid(mut self, uid: &str) -> Self {
        self.metadata_mut().uid = Some(uid.to_owned());
        self
    }

    fn label(mut self, key: &str, value: &str) -> Self {
        self.metadata_mut().labels.get_or_insert_default().insert(key.to_owned(), value.to_owned());
        self
    }

    fn annotation(mut self, key: &str, value: &str) -> Self {
        self.metadata_mut().annotations.get_or_insert_default().insert(key.to_owned(), value.to_owned());
        self
    }

    fn created(mut self, at: Timestamp) -> Self {
        self.metadata_mut().creation_timestamp = Some(Time(at));
        self
    }

    /// Marked for deletion since `at`.
    fn deleting(mut self, at: Timestamp) -> Self {
        self.metadata_mut().deletion_timestamp = Some(Time(at));
        self
    }

    fn finalizer(mut self, name: &str) -> Self {
        self.metadata_mut().finalizers.get_or_insert_default().push(name.to_owned());
        self
    }

    /// Controlled by `owner`, whose uid is its name if it has none.
    fn owned_by<O: Metadata<Ty = ObjectMeta>>(mut self, owner: &O) -> Self {
        let meta = owner.metadata();
        let name = meta.name.clone().unwrap_or_default();
        self.metadata_mut().owner_references.get_or_insert_default().push(OwnerReference {
            api_version: O::API_VERSION.to_owned(),
            kind: O::KIND.to_owned(),
            uid: meta.uid.clone().unwrap_or_else(|| name.clone()),
            name,
            controller: Some(true),
            block_owner_deletion: Some(true),
        });
        self
    }
}

impl<T: Metadata<Ty = ObjectMeta>> Built for T {}

/// In namespace `default`, with its name as uid.
pub fn namespaced(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some("default".to_owned()),
        uid: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}
