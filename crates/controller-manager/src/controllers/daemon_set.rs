//! Watches DaemonSets, nodes, pods and revisions for [`controllers::daemon_set`].

use std::{collections::HashMap, sync::Arc};

use api_types::{
    k8s_openapi::{api::apps::v1::DaemonSet, apimachinery::pkg::apis::meta::v1::LabelSelector},
    object::{Object, Watched},
    plan::Decision,
};
use client::{Event, Store, WorkQueue};
use controllers::{
    daemon_set::{Judge, Observed, Retries, reconcile},
    view::{Node, Pod},
};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::{owned, revisions::Revisions};
use crate::kit::{self, Context, Extra, Key, Pods, Reconciler};

const ACCOUNT: &str = "daemon-set-controller";
const KIND: &str = "DaemonSet";

struct DaemonSets {
    sets: Store<DaemonSet>,
    nodes: Store<Node>,
    pods: Pods,
    revisions: Revisions,
    retries: Mutex<HashMap<Key, Retries>>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let sets = kit::observed::<DaemonSet>(context, &executor);
    let revisions = Revisions::new(context, &executor);
    let nodes = context.informers.store::<Node>();
    let pods = context.pods().clone();
    executor.observe(&Pod::RESOURCE, &pods.store);
    let queue = Arc::new(WorkQueue::new("daemonset"));
    kit::enqueue(&sets, &queue);
    revisions.wake_owners(KIND, &queue);
    pods.store.on_event({
        let (queue, sets) = (queue.clone(), sets.clone());
        move |event| owned::pod_changed(event, KIND, &sets, selector, &queue)
    });
    nodes.on_event({
        let (queue, sets) = (queue.clone(), sets.clone());
        move |event| node_changed(event, &sets, &queue)
    });
    let reconciler = DaemonSets {
        sets: sets.clone(),
        nodes: nodes.clone(),
        pods: pods.clone(),
        revisions: revisions.clone(),
        retries: Mutex::default(),
    };
    let synced = async move {
        sets.synced().await;
        nodes.synced().await;
        pods.store.synced().await;
        revisions.synced().await;
    };
    let workers = context.options.concurrent_daemonset_syncs;
    Ok(vec![kit::run(context, reconciler, executor, queue, workers, synced)])
}

fn selector(set: &DaemonSet) -> Option<&LabelSelector> {
    set.spec.as_ref().map(|spec| &spec.selector)
}

/// The sets for which a node came, went, or became another.
fn node_changed(event: &Event<Node>, sets: &Store<DaemonSet>, queue: &WorkQueue<Key>) {
    let old = match event {
        Event::Applied { old: Some(old), new } => {
            if old.metadata.labels == new.metadata.labels && old.spec.taints == new.spec.taints {
                return;
            }
            Some(old)
        }
        _ => None,
    };
    for set in sets.list() {
        let judge = Judge::new(&set);
        if old.is_none_or(|old| judge.verdict(old) != judge.verdict(event.object())) {
            queue.add(Key::of(&*set));
        }
    }
}

impl Reconciler for DaemonSets {
    const NAME: &'static str = "daemonset-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let mut retries = self.retries.lock().remove(key).unwrap_or_default();
        let set = self.sets.get(&key.namespace, &key.name)?;
        let mut pods = self.pods.by_owner.get(set.uid());
        pods.extend(self.pods.orphans.get(&key.namespace));
        let seen = Observed {
            set: &set,
            nodes: &self.nodes.list(),
            pods: &pods,
            revisions: &self.revisions.of(&*set),
            revision_taken: &|name| self.revisions.taken(&key.namespace, name),
            live: extra.live,
            now: extra.now,
        };
        let decision = reconcile(&seen, &mut retries);
        if !retries.is_empty() {
            self.retries.lock().insert(key.clone(), retries);
        }
        Some(decision)
    }
}
