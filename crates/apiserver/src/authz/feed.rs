//! Feeds the authorizers: a watch per resource, each of which begins again by itself when it falls off the log.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use api_rules::authz::{
    node::PodRefs,
    rbac::{Binding, Role},
};
use component::Shutdown;
use store::{Event, EventType, Filter, Freshness, Object, WatchFrom};
use tokio::sync::watch;

use super::Authorizer;
use crate::core::{Core, without_owners};

/// Between two attempts to watch while the storage fails.
const RETRY: Duration = Duration::from_millis(200);

const RBAC: &str = "rbac.authorization.k8s.io";
const SOURCES: [(&str, &str); 5] =
    [(RBAC, "clusterroles"), (RBAC, "clusterrolebindings"), (RBAC, "roles"), (RBAC, "rolebindings"), ("", "pods")];

/// How many of the sources have been read once.
pub struct Progress(watch::Sender<usize>);

impl Default for Progress {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Progress {
    pub async fn done(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|done| *done == SOURCES.len()).await;
    }
}

pub fn start(core: &Arc<Core>, authorizer: &Arc<Authorizer>, shutdown: &Shutdown) {
    for (group, resource) in SOURCES {
        let (core, authorizer, shutdown) = (Arc::clone(core), Arc::clone(authorizer), shutdown.clone());
        tokio::spawn(async move {
            shutdown.or(follow(&core, &authorizer, group, resource)).await;
        });
    }
}

async fn follow(core: &Core, authorizer: &Authorizer, group: &str, resource: &'static str) {
    let mut known = HashSet::new();
    let mut is_first = true;
    loop {
        let outcome = follow_once(core, authorizer, group, resource, &mut known, &mut is_first).await;
        if let Err(why) = outcome {
            tracing::debug!(resource, "authorizer starts its watch again: {why:#}");
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Reads the present state, forgets what is no longer there, and follows changes until the watch ends.
async fn follow_once(
    core: &Core,
    authorizer: &Authorizer,
    group: &str,
    resource: &'static str,
    known: &mut HashSet<String>,
    is_first: &mut bool,
) -> anyhow::Result<()> {
    let Some(id) = core.resource(group, resource) else { anyhow::bail!("not a stored resource") };
    let mut watcher = core.store.watch(&id, Filter::everything(), WatchFrom::State(Freshness::Any)).await?;
    let mut seen = Some(HashSet::new());
    loop {
        match watcher.next().await? {
            store::Step::Events(events) => {
                for event in events {
                    take(authorizer, resource, &event, known);
                    if let Some(seen) = &mut seen {
                        seen.insert(event.object.key().to_owned());
                    }
                }
            }
            store::Step::Synced(_) => {
                if let Some(seen) = seen.take() {
                    for gone in known.extract_if(|key| !seen.contains(key)) {
                        authorizer.forget(resource, &gone);
                    }
                }
                if std::mem::take(is_first) {
                    authorizer.feed.0.send_modify(|done| *done += 1);
                }
            }
        }
    }
}

fn take(authorizer: &Authorizer, resource: &str, event: &Event, known: &mut HashSet<String>) {
    let key = event.object.key();
    if event.kind == EventType::Deleted {
        known.remove(key);
        authorizer.forget(resource, key);
        return;
    }
    known.insert(key.to_owned());
    if let Err(why) = authorizer.learn(resource, &event.object) {
        // What cannot be read grants nothing.
        authorizer.forget(resource, key);
        tracing::warn!(resource, key, "authorizer ignores an object: {why}");
    }
}

impl Authorizer {
    fn learn(&self, resource: &str, object: &Object) -> Result<(), serde_json::Error> {
        let (namespace, name) = (object.namespace(), object.name());
        match resource {
            "clusterroles" | "roles" => {
                let role: Role = serde_json::from_slice(&object.json())?;
                self.rbac.write().set_role(namespace, name, role);
            }
            "clusterrolebindings" | "rolebindings" => {
                let binding: Binding = serde_json::from_slice(&object.json())?;
                self.rbac.write().set_binding(namespace, name, binding);
            }
            _ => {
                let refs = PodRefs::of(&without_owners(object));
                self.nodes.write().graph.set_pod(namespace, name, refs);
            }
        }
        Ok(())
    }

    fn forget(&self, resource: &str, key: &str) {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        match resource {
            "clusterroles" | "roles" => self.rbac.write().remove_role(namespace, name),
            "clusterrolebindings" | "rolebindings" => self.rbac.write().remove_binding(namespace, name),
            _ => self.nodes.write().graph.remove_pod(namespace, name),
        }
    }
}
