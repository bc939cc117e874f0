//! Runs the admission plugins of `api-rules` with the cluster as the watch cache has it, and keeps people from granting
//! permissions, or having certificates signed, without the right to it.

mod certificates;
mod rbac_escalation;

use std::cell::Cell;
use std::sync::Arc;

use api_rules::admission::{self, AdmissionRequest, World};
use api_types::Status;
use serde_json::Value;
use store::Freshness;

use crate::{
    answer,
    authz::Authorizer,
    core::{Core, without_owners},
};

pub struct Chain {
    core: Arc<Core>,
    authorizer: Arc<Authorizer>,
}

impl Chain {
    pub fn new(core: Arc<Core>, authorizer: Arc<Authorizer>) -> Self {
        Self { core, authorizer }
    }

    /// Fills in what the cluster adds, or refuses. Doing so twice does no more than once.
    pub async fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) -> Result<(), Status> {
        match self.once(|world| admission::mutate(request, object, world)) {
            (Err(_), true) => {}
            (outcome, _) => return outcome,
        }
        self.refresh().await?;
        self.once(|world| admission::mutate(request, object, world)).0
    }

    /// Refuses; sees the object as it will be stored.
    pub async fn validate(&self, request: &AdmissionRequest<'_>, object: &Value) -> Result<(), Status> {
        rbac_escalation::check(&self.authorizer, request, object)?;
        certificates::check(&self.authorizer, request, object)?;
        match self.once(|world| admission::validate(request, object, world)) {
            (Err(_), true) => {}
            (outcome, _) => return outcome,
        }
        self.refresh().await?;
        self.once(|world| admission::validate(request, object, world)).0
    }

    /// The outcome, and whether an object was missed: it may be so new that the cache does not have it.
    fn once(&self, run: impl FnOnce(&dyn World) -> Result<(), Status>) -> (Result<(), Status>, bool) {
        let world = Cached { core: &self.core, missed: Cell::new(false) };
        let outcome = run(&world);
        (outcome, world.missed.get())
    }

    /// Waits until the cache has everything that was written before now.
    async fn refresh(&self) -> Result<(), Status> {
        let Some(id) = self.core.resource("", "namespaces") else { return Ok(()) };
        self.core.store.get(&id, "", "default", Freshness::Latest).await.map(|_| ()).map_err(answer::store_error)
    }
}

struct Cached<'a> {
    core: &'a Core,
    missed: Cell<bool>,
}

impl World for Cached<'_> {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let found = self.core.cached(group, resource, namespace, name);
        self.missed.set(self.missed.get() || found.is_none());
        found.map(|object| Arc::new(without_owners(&object)))
    }

    fn list(&self, group: &str, resource: &str) -> Vec<Arc<Value>> {
        let all = self.core.cached_list(group, resource);
        all.iter().flat_map(|all| all.iter()).map(|object| Arc::new(without_owners(object))).collect()
    }

    fn list_in(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        let all = self.core.cached_list(group, resource);
        let here = all.iter().flat_map(|all| all.range(Some(namespace), None));
        here.map(|object| Arc::new(without_owners(object))).collect()
    }

    fn suffix(&self) -> String {
        self.core.random.suffix()
    }
}

#[cfg(test)]
mod tests;
