//! The finalizer `customresourcecleanup`: before a definition goes, all its instances do.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use api_rules::{
    authz::User,
    custom::establish::{Condition, FINALIZER, set_condition},
    value,
};
use component::Shutdown;
use http::HeaderMap;
use parking_lot::Mutex;
use serde_json::Value;
use store::{Check, Filter, Freshness, ListAt, Step, Transaction, WatchError, WatchFrom, Write};

use super::{GROUP, RESOURCE, Shared, status};
use crate::{
    core::{Core, Served},
    query::Query,
    request::RequestInfo,
    rest::{Call, delete::delete_object, delete_options::DeleteOptions},
};

/// Between two attempts while something fails.
const RETRY: Duration = Duration::from_secs(1);
const BATCH: usize = 256;

/// Begins to remove the instances of a definition, unless that has begun.
pub fn start(shared: &Arc<Shared>, name: &str, shutdown: &Shutdown) {
    if !shared.finalizing.lock().insert(name.to_owned()) {
        return;
    }
    let (shared, name, shutdown) = (shared.clone(), name.to_owned(), shutdown.clone());
    tokio::spawn(async move {
        let work = async {
            while let Err(why) = finalize(&shared, &name).await {
                tracing::warn!(definition = name, "its instances are not gone yet: {why:#}");
                let _ = say_failed(&shared.app.core, &name, &format!("{why:#}")).await;
                tokio::time::sleep(RETRY).await;
            }
        };
        shutdown.or(work).await;
        shared.finalizing.lock().remove(&name);
    });
}

async fn newest(core: &Core, name: &str) -> anyhow::Result<Option<Value>> {
    let id = core.resource(GROUP, RESOURCE).context("definitions are not stored")?;
    Ok(core.store.get(&id, "", name, Freshness::Latest).await?.map(|object| object.value()))
}

async fn finalize(shared: &Arc<Shared>, name: &str) -> anyhow::Result<()> {
    let core = &shared.app.core;
    let Some(crd) = newest(core, name).await? else { return Ok(()) };
    let stored = shared.stored.lock().get(name).cloned();
    if let Some(stored) = stored {
        let why = "CustomResource deletion is in progress";
        say(core, &crd, Condition::terminating(true, "InstanceDeletionInProgress", why)).await?;
        remove_all(shared, &stored).await.context("could not issue all deletes")?;
        gone(core, &stored).await.context("could not confirm zero CustomResources remaining")?;
    }
    match newest(core, name).await? {
        Some(crd) => release(core, crd).await,
        None => Ok(()),
    }
}

async fn say(core: &Core, crd: &Value, condition: Condition) -> anyhow::Result<()> {
    let mut new = crd.clone();
    set_condition(&mut new, &condition, core.clock.now());
    if new == *crd { Ok(()) } else { status::write(core, crd, new).await }
}

async fn say_failed(core: &Core, name: &str, why: &str) -> anyhow::Result<()> {
    match newest(core, name).await? {
        Some(crd) => say(core, &crd, Condition::terminating(true, "InstanceDeletionFailed", why)).await,
        None => Ok(()),
    }
}

/// Deletes every instance, by the rules of any other delete.
async fn remove_all(shared: &Arc<Shared>, stored: &Arc<Served>) -> anyhow::Result<()> {
    let store = &shared.app.core.store;
    let names = *stored.kind.names();
    let (user, headers, warnings) = (User::loopback(), HeaderMap::new(), Mutex::default());
    let info = RequestInfo {
        verb: "deletecollection",
        is_resource: true,
        group: names.group,
        version: names.version,
        resource: names.plural,
        ..RequestInfo::default()
    };
    let call = Call {
        app: &shared.app,
        served: stored,
        user: &user,
        info,
        query: Query::default(),
        headers: &headers,
        body: bytes::Bytes::new(),
        warnings: &warnings,
        upgrade: None,
    };
    let id = stored.id.as_ref().context("custom resources are stored")?;
    let mut list = store.list(id, None, None, ListAt::Fresh(Freshness::Latest)).await?;
    loop {
        let objects = list.chunk(store, BATCH).await?;
        if objects.is_empty() {
            return Ok(());
        }
        for object in objects {
            let one = call.of(object.namespace(), object.name());
            match delete_object(&one, &DeleteOptions::default()).await {
                Ok(_) => {}
                Err(status) if status.code == 404 => {}
                Err(status) => bail!("{}: {}", object.key(), status.message),
            }
        }
    }
}

/// Waits until the last instance is gone: some wait for others to take their finalizers off.
async fn gone(core: &Core, stored: &Served) -> anyhow::Result<()> {
    let id = stored.id.as_ref().context("custom resources are stored")?;
    let mut watcher = core.store.watch(id, Filter::everything(), WatchFrom::State(Freshness::Latest)).await?;
    loop {
        let step = match watcher.next().await {
            Ok(step) => step,
            Err(WatchError::Expired) => bail!("the instances are to be looked at again"),
            Err(error) => return Err(error.into()),
        };
        let is_empty = core.store.snapshot(id).is_some_and(|all| all.is_empty());
        if is_empty && matches!(step, Step::Synced(_) | Step::Events(_)) {
            return Ok(());
        }
    }
}

/// Takes the finalizer off; without another one the definition is gone with that.
async fn release(core: &Core, crd: Value) -> anyhow::Result<()> {
    let id = core.resource(GROUP, RESOURCE).context("definitions are not stored")?;
    let mut finalizers = value::items(&crd, &["metadata", "finalizers"]).to_vec();
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    if finalizers.is_empty() {
        let key = core.store.key(&id, "", value::text(&crd, &["metadata", "name"]));
        let revision = value::text(&crd, &["metadata", "resourceVersion"]).parse()?;
        let checks = vec![Check::unchanged(key.clone(), revision)];
        return match core.store.commit(Transaction { checks, writes: vec![Write::delete(key)] }).await? {
            store::Outcome::Committed { .. } => Ok(()),
            store::Outcome::Refused { .. } => bail!("the definition has changed meanwhile"),
        };
    }
    let mut new = crd.clone();
    value::set(&mut new, &["metadata", "finalizers"], finalizers.into());
    set_condition(
        &mut new,
        &Condition::terminating(false, "InstanceDeletionCompleted", "removed all instances"),
        core.clock.now(),
    );
    status::write(core, &crd, new).await
}
