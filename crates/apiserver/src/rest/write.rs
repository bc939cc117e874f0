//! The way of a changed object into the store, common to all verbs that change one.
//!
//! The first attempt trusts the cache: the transaction compares the revision, so a stale read costs a second attempt
//! and never a lost write. What would be refused, or changes nothing, is judged on the newest state only.

use std::sync::Arc;

use api_rules::{apply, encode_with, value};
use api_types::Status;
use bytes::Bytes;
use serde_json::Value;
use store::{Check, KeyValue, Object, Outcome, StoreError, Transaction, Write};

use super::{Call, ownership::New};
use crate::{
    answer,
    claims::Claims,
    quota::{About, Charge},
    request::{AdmissionRequest, Operation},
};

/// Attempts of a write that compares no resourceVersion of the client's.
pub const ATTEMPTS: usize = 64;

/// The stored object that a write starts from.
#[derive(Clone)]
pub struct Current {
    pub object: Arc<Object>,
    /// In the version of the request, with its resourceVersion, without its managedFields.
    pub value: Value,
    /// `metadata.managedFields` as they are stored: JSON, empty if there are none.
    pub managed: Bytes,
    /// Whether etcd itself said so, rather than the cache.
    pub is_newest: bool,
}

/// What became of a write.
pub enum Written {
    /// The object as stored now, with its resourceVersion, in the storage version.
    Stored(Bytes),
    /// Someone was faster; what is stored now (`None`: nothing).
    Raced(Option<Current>),
}

impl Call<'_> {
    fn as_current(&self, object: Arc<Object>, is_newest: bool) -> Result<Current, Status> {
        let body = object.body();
        let split = apply::split(&body)
            .map_err(|error| Status::internal(format!("a stored object cannot be read: {error}")))?;
        let managed = if split.managed.is_empty() { Bytes::new() } else { body.slice_ref(split.managed) };
        let value = self.served.kind.from_storage(split.object);
        Ok(Current { object, value, managed, is_newest })
    }

    /// What the cache has, or else what is stored.
    pub async fn start(&self) -> Result<Option<Current>, Status> {
        match self.core().store.cached(self.id()?, self.namespace(), self.info.name) {
            Some(object) => self.as_current(object, false).map(Some),
            None => self.newest().await,
        }
    }

    /// What is stored, past the cache.
    pub async fn newest(&self) -> Result<Option<Current>, Status> {
        let store = &self.core().store;
        let found = store.get_stored(self.id()?, self.namespace(), self.info.name).await;
        found.map_err(answer::store_error)?.map(|object| self.as_current(object, true)).transpose()
    }

    /// The same object at its newest, once; an error if `current` already is.
    pub async fn again(&self, current: &Current, error: Status) -> Result<Option<Current>, Status> {
        if current.is_newest { Err(error) } else { self.newest().await }
    }

    pub fn key(&self, name: &str) -> Result<String, Status> {
        Ok(self.core().store.key(self.id()?, self.namespace(), name))
    }

    /// Writes `new` over what was at `current` (`None`: nothing), with all claims, or learns who was faster.
    pub async fn store(
        &self,
        name: &str,
        current: Option<&Current>,
        new: New,
        claims: Claims,
        dry_run: bool,
    ) -> Result<Written, Status> {
        let charge = self.charge(name, current, Some(&new.value)).await?;
        let stored = self.encode(new);
        if dry_run {
            return Ok(Written::Stored(at_revision_of(current, stored)));
        }
        let lease = match self.served.kind.time_to_live() {
            Some(seconds) => Some(self.core().store.lease(seconds as i64).await.map_err(answer::store_error)?),
            None => None,
        };
        let write = Write::Put { key: self.key(name)?, value: stored.clone(), lease };
        match self.commit(name, current, write, claims, charge).await? {
            Outcome::Committed { revision } => {
                let json = store::object::with_revision(&stored, revision);
                Ok(Written::Stored(json.ok_or_else(|| Status::internal("an object without metadata was written"))?))
            }
            Outcome::Refused { current, .. } => self.raced(current),
        }
    }

    /// `new` as it is answered when it is not written over `current`.
    pub fn unwritten(&self, current: &Current, new: New) -> Bytes {
        at_revision_of(Some(current), self.encode(new))
    }

    fn encode(&self, new: New) -> Bytes {
        let value = to_stored(self.served.kind.to_storage(new.value));
        encode_with(&value, &new.managed).into()
    }

    /// Removes what is at `current`, with all claims, or learns who was faster.
    pub async fn remove(&self, name: &str, current: &Current, claims: Claims) -> Result<Written, Status> {
        let charge = self.charge(name, Some(current), None).await?;
        let write = Write::delete(self.key(name)?);
        match self.commit(name, Some(current), write, claims, charge).await? {
            Outcome::Committed { .. } => Ok(Written::Stored(current.object.body())),
            Outcome::Refused { current, .. } => self.raced(current),
        }
    }

    async fn commit(
        &self,
        name: &str,
        current: Option<&Current>,
        write: Write,
        claims: Claims,
        charge: Option<Charge>,
    ) -> Result<Outcome, Status> {
        let revision = current.map_or(0, |current| current.object.revision());
        let mut checks = vec![Check::unchanged(self.key(name)?, revision)];
        checks.extend(claims.checks);
        let mut writes = vec![write];
        writes.extend(claims.writes);
        let turn = charge.map(|mut charge| {
            let claims = std::mem::take(&mut charge.claims);
            checks.extend(claims.checks);
            writes.extend(claims.writes);
            charge
        });
        let outcome = self.core().store.commit(Transaction { checks, writes }).await.map_err(answer::store_error)?;
        if let (Some(turn), Outcome::Committed { revision }) = (turn, &outcome) {
            turn.committed(*revision);
        }
        Ok(outcome)
    }

    /// What the change takes from the namespace's quotas, or gives back.
    async fn charge(
        &self,
        name: &str,
        current: Option<&Current>,
        new: Option<&Value>,
    ) -> Result<Option<Charge>, Status> {
        let old = current.map(|current| &current.value);
        let (served, namespace) = (self.served, self.namespace());
        self.app.quotas.charge(About { served, namespace, name, old, new }).await
    }

    fn raced(&self, current: Vec<Option<KeyValue>>) -> Result<Written, Status> {
        let Some(stored) = current.into_iter().next().flatten() else { return Ok(Written::Raced(None)) };
        let decoded =
            self.core().store.decode(self.id()?, &stored).map_err(|error: StoreError| answer::store_error(error))?;
        Ok(Written::Raced(Some(self.as_current(decoded, true)?)))
    }

    /// The circumstances of a write to the object itself or one of its subresources.
    pub fn admission<'r>(
        &'r self,
        operation: Operation,
        name: &'r str,
        old: Option<&'r Value>,
        dry_run: bool,
    ) -> AdmissionRequest<'r> {
        let names = self.served.kind.names();
        AdmissionRequest {
            operation,
            user: self.user,
            kind: names.gvk(),
            resource: names.gvr(),
            subresource: self.info.subresource,
            namespace: if self.served.is_namespaced() { self.info.namespace } else { "" },
            name,
            old,
            dry_run,
        }
    }
}

fn at_revision_of(current: Option<&Current>, stored: Bytes) -> Bytes {
    let revision = current.map(|current| current.object.revision());
    revision.and_then(|revision| store::object::with_revision(&stored, revision)).unwrap_or(stored)
}

/// Metadata that is not stored.
const NOT_STORED: [&str; 2] = ["resourceVersion", "selfLink"];

/// Whether a write would change nothing, however its keys are ordered. Its owners are not looked at.
pub fn changes_nothing(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return old == new };
    old.len() == new.len()
        && old.iter().all(|(name, value)| match new.get(name) {
            Some(other) if name == "metadata" => same_metadata(value, other),
            other => other == Some(value),
        })
}

fn same_metadata(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return old == new };
    let is_stored = |name: &&String| !NOT_STORED.contains(&name.as_str());
    old.keys().filter(is_stored).count() == new.keys().filter(is_stored).count()
        && old.keys().filter(is_stored).all(|name| old.get(name) == new.get(name))
}

/// Without what is not stored.
fn to_stored(mut object: Value) -> Value {
    for member in NOT_STORED {
        value::remove(&mut object, &["metadata", member]);
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changes_nothing() {
        let old = json!({"kind": "A", "metadata": {"name": "a", "resourceVersion": "1"}, "x": [1]});
        let check = |new: Value, expected: bool| assert_eq!(changes_nothing(&old, &new), expected, "{new}");
        check(json!({"x": [1], "metadata": {"name": "a"}, "kind": "A"}), true);
        check(json!({"x": [1], "metadata": {"name": "a", "resourceVersion": "2", "selfLink": "/"}, "kind": "A"}), true);
        check(json!({"x": [1], "metadata": {"name": "a", "uid": "u"}, "kind": "A"}), false);
        check(json!({"x": [2], "metadata": {"name": "a"}, "kind": "A"}), false);
        check(json!({"metadata": {"name": "a"}, "kind": "A"}), false);
    }
}
