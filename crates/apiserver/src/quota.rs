//! Quotas are charged in the transaction that changes an object, so that they are exact at every moment and never
//! exceeded, whatever the number of servers.
//!
//! Writers of one namespace that has quotas take turns: they would only undo each other's transactions. A namespace without
//! quotas costs a look into the cache.

use std::{collections::HashMap, sync::Arc};

use api_rules::{
    admission::resource_quota::{Change, charge},
    encode, value,
};
use api_types::Status;
use parking_lot::Mutex;
use serde_json::Value;
use store::{Check, Freshness, Object, ResourceRef, Write, backend::Revision};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::{answer, claims::Claims, core::Core, registry::Served};

/// Namespaces whose turns are remembered before those that nobody waits for are forgotten.
const REMEMBERED: usize = 1024;

pub struct Quotas {
    core: Arc<Core>,
    /// By namespace: the revision at which its quotas were charged last, if nothing has gone wrong since.
    turns: Mutex<HashMap<String, Arc<Turn<Option<Revision>>>>>,
}

/// A turn: to be committed with the object, and told of it.
pub struct Charge {
    pub claims: Claims,
    turn: OwnedMutexGuard<Option<Revision>>,
}

impl Charge {
    /// The next turn need not ask etcd for what is newest.
    pub fn committed(mut self, revision: Revision) {
        *self.turn = Some(revision);
    }
}

/// The object that is about to change.
#[derive(Clone, Copy)]
pub struct About<'a> {
    pub served: &'a Served,
    pub namespace: &'a str,
    pub name: &'a str,
    pub old: Option<&'a Value>,
    pub new: Option<&'a Value>,
}

impl About<'_> {
    fn change(&self) -> Change<'_> {
        Change { resource: &self.served.group_resource, old: self.old, new: self.new }
    }

    /// A quota is not charged in the transaction that writes it.
    fn is_itself(&self, quota: &Object) -> bool {
        let resource = &self.served.group_resource;
        resource.group.is_empty() && resource.resource == "resourcequotas" && quota.name() == self.name
    }
}

impl Quotas {
    pub fn new(core: Arc<Core>) -> Self {
        Self { core, turns: Mutex::default() }
    }

    /// What has to be committed with a change; `None` when no quota is concerned.
    ///
    /// # Errors
    /// When a quota does not allow it.
    pub async fn charge(&self, about: About<'_>) -> Result<Option<Charge>, Status> {
        let Some(id) = self.core.resource("", "resourcequotas").filter(|_| !about.namespace.is_empty()) else {
            return Ok(None);
        };
        let seen = self.seen(&id, about);
        let Some(first) = seen.first().filter(|_| concerned(&seen, about)) else { return Ok(None) };
        let lock = self.turn(about.namespace);
        let mut turn = lock.lock_owned().await;
        // Taken back out until the commit succeeded: a failed one may mean that others write too.
        let mut freshness = turn.take().map_or(Freshness::Latest, Freshness::AtLeast);
        loop {
            let wait = self.core.store.get(&id, about.namespace, first.name(), freshness);
            wait.await.map_err(answer::store_error)?;
            match self.claims(&id, about) {
                Ok(claims) if claims.writes.is_empty() => return Ok(None),
                Ok(claims) => return Ok(Some(Charge { claims, turn })),
                // Refused by the newest state only.
                Err(_) if freshness != Freshness::Latest => freshness = Freshness::Latest,
                Err(why) => return Err(Status::forbidden(&about.served.group_resource, about.name, why)),
            }
        }
    }

    fn turn(&self, namespace: &str) -> Arc<Turn<Option<Revision>>> {
        let mut turns = self.turns.lock();
        if turns.len() >= REMEMBERED {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        turns.entry(namespace.to_owned()).or_default().clone()
    }

    fn seen(&self, id: &ResourceRef, about: About<'_>) -> Vec<Arc<Object>> {
        let all = self.core.store.snapshot(id);
        let here = all.iter().flat_map(|all| all.range(Some(about.namespace), None));
        here.filter(|quota| !about.is_itself(quota)).cloned().collect()
    }

    fn claims(&self, id: &ResourceRef, about: About<'_>) -> Result<Claims, String> {
        let mut claims = Claims::default();
        for seen in self.seen(id, about) {
            let Some(mut charged) = charge(about.change(), &seen.value())? else { continue };
            value::remove(&mut charged, &["metadata", "resourceVersion"]);
            let key = self.core.store.key(id, about.namespace, seen.name());
            claims.checks.push(Check::unchanged(key.clone(), seen.revision()));
            claims.writes.push(Write::put(key, encode(&charged)));
        }
        Ok(claims)
    }
}

fn concerned(quotas: &[Arc<Object>], about: About<'_>) -> bool {
    quotas.iter().any(|quota| !matches!(charge(about.change(), &quota.value()), Ok(None)))
}
