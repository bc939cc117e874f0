//! The ConfigMaps and Secrets that one pod refers to, each through its own watch: a node sees
//! nothing of what its pods do not use. Pods that use the same object share its watch.

use crate::context::Context;
use api_types::object::Watched;
use client::{Informers, Store, Target};
use futures::future::join_all;
use pod_lifecycle::{
    core::{ConfigMap, Pod, Secret},
    env::Sources,
    names,
    volumes::payload,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::Notify, task::AbortHandle};

/// How long a container's start waits for the objects it needs before it says so.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Default)]
pub struct Objects {
    maps: BTreeMap<String, Entry<ConfigMap>>,
    secrets: BTreeMap<String, Entry<Secret>>,
    namespace: String,
    pull_secrets: Vec<String>,
}

struct Entry<K> {
    store: Store<K>,
    listener: AbortHandle,
}

impl<K> Drop for Entry<K> {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Objects {
    /// Watches everything the pod refers to; `changed` is told of every change from then on.
    pub fn of(context: &Context, pod: &Pod, changed: &Arc<Notify>) -> Self {
        let (maps, secrets) = payload::references(pod);
        let namespace = names::namespace(pod).to_owned();
        let pull = pod.spec.as_ref().and_then(|s| s.image_pull_secrets.as_deref()).unwrap_or_default();
        Self {
            maps: maps.into_iter().map(|n| (n.clone(), entry(&context.informers, &namespace, &n, changed))).collect(),
            secrets: secrets
                .into_iter()
                .map(|n| (n.clone(), entry(&context.informers, &namespace, &n, changed)))
                .collect(),
            pull_secrets: pull.iter().map(|r| r.name.clone()).collect(),
            namespace,
        }
    }

    /// Waits until it is known which of them exist.
    pub async fn synced(&self) -> Result<(), String> {
        let maps = join_all(self.maps.values().map(|e| e.store.synced()));
        let secrets = join_all(self.secrets.values().map(|e| e.store.synced()));
        let both = futures::future::join(maps, secrets);
        let failed = |kind: &str| format!("failed to sync {kind} cache: timed out waiting for the condition");
        match tokio::time::timeout(PATIENCE, both).await {
            Ok(_) => Ok(()),
            Err(_) if self.maps.values().any(|e| !e.store.has_synced()) => Err(failed("configmap")),
            Err(_) => Err(failed("secret")),
        }
    }

    /// Those pull secrets that exist.
    pub fn pull_secrets(&self) -> Vec<Arc<Secret>> {
        self.pull_secrets.iter().filter_map(|n| self.secret(n)).collect()
    }
}

fn entry<K: Watched>(informers: &Informers, namespace: &str, name: &str, changed: &Arc<Notify>) -> Entry<K> {
    let target = Target::of::<K>().in_namespace(namespace).fields(&format!("metadata.name={name}"));
    let store: Store<K> = informers.store_of(target);
    let (mut changes, changed) = (store.subscribe(), changed.clone());
    let listener = tokio::spawn(async move {
        loop {
            changes.next().await;
            changed.notify_one();
        }
    });
    Entry { store, listener: listener.abort_handle() }
}

impl Sources for Objects {
    fn config_map(&self, name: &str) -> Option<Arc<ConfigMap>> {
        self.maps.get(name)?.store.get(&self.namespace, name)
    }

    fn secret(&self, name: &str) -> Option<Arc<Secret>> {
        self.secrets.get(name)?.store.get(&self.namespace, name)
    }
}
