//! Keeps the mirrors of static pods as `pod_lifecycle::static_pods::mirror` plans them: on every change of a mirror or
//! of a static pod, and again after a failure.

use crate::{context::Context, pods::Pods};
use api_types::{object::Watched, plan::Target};
use client::Backoff;
use parking_lot::Mutex;
use pod_lifecycle::{
    core::{Node, Pod},
    names,
    static_pods::{
        Local,
        mirror::{self, Action},
    },
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Notify;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The mirrors that the API has, by `namespace/name`.
#[derive(Default)]
pub struct Mirrors {
    known: Mutex<BTreeMap<String, Arc<Pod>>>,
    pub changed: Notify,
}

impl Mirrors {
    pub fn put(&self, mirror: Arc<Pod>) {
        self.known.lock().insert(names::full_name(&mirror), mirror);
        self.changed.notify_one();
    }

    /// Another of the same name may have come meanwhile.
    pub fn remove(&self, mirror: &Pod) {
        let mut known = self.known.lock();
        let name = names::full_name(mirror);
        if known.get(&name).is_some_and(|k| names::uid(k) == names::uid(mirror)) {
            known.remove(&name);
        }
        drop(known);
        self.changed.notify_one();
    }

    pub fn get(&self, name: &str) -> Option<Arc<Pod>> {
        self.known.lock().get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.known.lock().keys().cloned().collect()
    }
}

/// Keeps them for as long as the kubelet runs.
pub async fn run(pods: Arc<Pods>) {
    let context = pods.context().clone();
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    context.node.synced().await;
    loop {
        let mut good = true;
        let names: BTreeSet<String> = pods.mirrors().names().into_iter().chain(pods.static_names()).collect();
        for name in names {
            if let Err(error) = reconcile(&context, &pods, &name).await {
                tracing::warn!(pod = name, "cannot keep a static pod's mirror: {error:#}");
                good = false;
            }
        }
        if good {
            backoff.reset();
            pods.mirrors().changed.notified().await;
        } else {
            tokio::time::sleep(backoff.next(&context.jitter)).await;
        }
    }
}

async fn reconcile(context: &Context, pods: &Pods, name: &str) -> anyhow::Result<()> {
    let local = pods.static_local(name);
    let mirror = pods.mirrors().get(name);
    match (mirror::plan(&local, mirror.as_deref()), mirror) {
        (Some(Action::Delete { uid }), Some(mirror)) => {
            let target = Target { uid: Some(uid), ..Target::of(&*mirror) };
            match context.api.delete(&target, None, Some(0)).await {
                Err(error) if !error.is_not_found() && !error.is_conflict() => return Err(error.into()),
                _ => pods.mirror_gone(&mirror),
            }
        }
        (Some(Action::Create), _) => {
            let Local::Wanted(pod) = local else { return Ok(()) };
            let node = context.node.get("", &context.config.node_name);
            let Some(node) = node.filter(|n: &Arc<Node>| n.metadata.deletion_timestamp.is_none()) else {
                anyhow::bail!("the node is not in the API");
            };
            let body: Value = json!(mirror::object(&pod, &node));
            match context.api.create::<Pod>(&Pod::RESOURCE, names::namespace(&pod), &body).await {
                // The watch shows it: ours, or one that is in its way.
                Err(error) if error.already_exists() => {}
                Err(error) => return Err(error.into()),
                Ok(made) => pods.mirror_seen(Arc::new(made)),
            }
        }
        _ => {}
    }
    Ok(())
}
