//! The way of a changed object into the store, common to all verbs that change one.
//!
//! The first attempt trusts the cache: the transaction compares the revision, so a stale read costs a second attempt
//! and never a lost write. What would be refused, or changes nothing, is judged on the newest state only.

use std::sync::Arc;

use api_rules::{encode, is_noop, value};
use api_types::Status;
use bytes::Bytes;
use serde_json::Value;
use store::{Check, KeyValue, Object, Outcome, StoreError, Transaction, Write};

use super::Call;
use crate::{
    answer,
    claims::Claims,
    request::{AdmissionRequest, Operation},
};

/// Attempts of a write that compares no resourceVersion of the client's.
pub const ATTEMPTS: usize = 64;

/// The stored object that a write starts from.
#[derive(Clone)]
pub struct Current {
    pub object: Arc<Object>,
    /// In the version of the request, with its resourceVersion.
    pub value: Value,
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
    fn as_current(&self, object: Arc<Object>, is_newest: bool) -> Current {
        let value = self.served.kind.from_storage(object.value());
        Current { object, value, is_newest }
    }

    /// What the cache has, or else what is stored.
    pub async fn start(&self) -> Result<Option<Current>, Status> {
        match self.core().store.cached(self.id()?, self.namespace(), self.info.name) {
            Some(object) => Ok(Some(self.as_current(object, false))),
            None => self.newest().await,
        }
    }

    /// What is stored, past the cache.
    pub async fn newest(&self) -> Result<Option<Current>, Status> {
        let store = &self.core().store;
        let found = store.get_stored(self.id()?, self.namespace(), self.info.name).await;
        Ok(found.map_err(answer::store_error)?.map(|object| self.as_current(object, true)))
    }

    /// The same object at its newest, once; an error if `current` already is.
    pub async fn again(&self, current: &Current, error: Status) -> Result<Option<Current>, Status> {
        if current.is_newest { Err(error) } else { self.newest().await }
    }

    pub fn key(&self, name: &str) -> Result<String, Status> {
        Ok(self.core().store.key(self.id()?, self.namespace(), name))
    }

    /// Writes `value` over what was at `current` (`None`: nothing), with all claims, or learns who was faster.
    pub async fn store(
        &self,
        name: &str,
        current: Option<&Current>,
        value: Value,
        claims: Claims,
        dry_run: bool,
    ) -> Result<Written, Status> {
        let stored: Bytes = encode(&to_stored(self.served.kind.to_storage(value))).into();
        if dry_run {
            let revision = current.map(|current| current.object.revision());
            let json = revision.and_then(|revision| store::object::with_revision(&stored, revision)).unwrap_or(stored);
            return Ok(Written::Stored(json));
        }
        let lease = match self.served.kind.time_to_live() {
            Some(seconds) => Some(self.core().store.lease(seconds as i64).await.map_err(answer::store_error)?),
            None => None,
        };
        let write = Write::Put { key: self.key(name)?, value: stored.clone(), lease };
        match self.commit(name, current, write, claims).await? {
            Outcome::Committed { revision } => {
                let json = store::object::with_revision(&stored, revision);
                Ok(Written::Stored(json.ok_or_else(|| Status::internal("an object without metadata was written"))?))
            }
            Outcome::Refused { current, .. } => self.raced(current),
        }
    }

    /// Removes what is at `current`, with all claims, or learns who was faster.
    pub async fn remove(&self, name: &str, current: &Current, claims: Claims) -> Result<Written, Status> {
        let write = Write::delete(self.key(name)?);
        match self.commit(name, Some(current), write, claims).await? {
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
    ) -> Result<Outcome, Status> {
        let revision = current.map_or(0, |current| current.object.revision());
        let mut checks = vec![Check::unchanged(self.key(name)?, revision)];
        checks.extend(claims.checks);
        let mut writes = vec![write];
        writes.extend(claims.writes);
        let outcome = self.core().store.commit(Transaction { checks, writes }).await;
        outcome.map_err(answer::store_error)
    }

    fn raced(&self, current: Vec<Option<KeyValue>>) -> Result<Written, Status> {
        let Some(stored) = current.into_iter().next().flatten() else { return Ok(Written::Raced(None)) };
        let decoded =
            self.core().store.decode(self.id()?, &stored).map_err(|error: StoreError| answer::store_error(error))?;
        Ok(Written::Raced(Some(self.as_current(decoded, true))))
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

/// Whether a write would change nothing, however its keys are ordered.
pub fn changes_nothing(old: &Value, new: &Value) -> bool {
    is_noop(&to_stored(old.clone()), &to_stored(new.clone()))
}

/// Without what is not stored.
fn to_stored(mut object: Value) -> Value {
    for member in ["resourceVersion", "managedFields", "selfLink"] {
        value::remove(&mut object, &["metadata", member]);
    }
    object
}
