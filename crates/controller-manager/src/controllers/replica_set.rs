//! Watches ReplicaSets and pods for [`controllers::replica_set`].

use std::sync::Arc;

use api_types::{
    k8s_openapi::api::apps::v1::ReplicaSet,
    object::{Object, Watched},
    plan::Decision,
    selector::Selector,
};
use client::{Event, Index, Store, WorkQueue};
use controllers::{
    replica_set::{Observed, reconcile},
    view::Pod,
};
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Pods, Reconciler};

const ACCOUNT: &str = "replicaset-controller";

struct ReplicaSets {
    sets: Store<ReplicaSet>,
    pods: Pods,
    /// By the uid of their controller.
    siblings: Index<ReplicaSet>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let sets = kit::observed::<ReplicaSet>(context, &executor);
    let pods = context.pods().clone();
    executor.observe(&Pod::RESOURCE, &pods.store);
    let queue = Arc::new(WorkQueue::new("replicaset"));
    kit::enqueue(&sets, &queue);
    pods.store.on_event({
        let (queue, sets) = (queue.clone(), sets.clone());
        move |event| pod_changed(event, &sets, &queue)
    });
    let reconciler = ReplicaSets {
        pods: pods.clone(),
        siblings: sets.index(|set| controller_of(set).into_iter().collect()),
        sets: sets.clone(),
    };
    let synced = async move {
        sets.synced().await;
        pods.store.synced().await;
    };
    let workers = context.options.concurrent_replicaset_syncs;
    Ok(vec![kit::run(context, reconciler, executor, queue, workers, synced)])
}

fn controller_of(set: &ReplicaSet) -> Option<String> {
    let owners = set.metadata.owner_references.as_ref()?;
    owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone())
}

/// The set that controls the pod now or did before; for an orphan, every set that might adopt it.
fn pod_changed(event: &Event<Pod>, sets: &Store<ReplicaSet>, queue: &WorkQueue<Key>) {
    for pod in event.both() {
        match pod.metadata.controller() {
            Some(owner) if owner.kind == "ReplicaSet" => queue.add(Key::new(pod.namespace(), &owner.name)),
            Some(_) => {}
            None if matches!(event, Event::Deleted(_)) => {}
            None => {
                for set in sets.list_in(pod.namespace()) {
                    let selector = set.spec.as_ref().map(|spec| Selector::from_label_selector(&spec.selector));
                    if selector.is_some_and(|s| s.is_ok_and(|selector| selector.matches(&pod.metadata.labels))) {
                        queue.add(Key::of(&*set));
                    }
                }
            }
        }
    }
}

impl Reconciler for ReplicaSets {
    const NAME: &'static str = "replicaset-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let set = self.sets.get(&key.namespace, &key.name)?;
        let mut pods = self.pods.by_owner.get(set.uid());
        pods.extend(self.pods.orphans.get(&key.namespace));
        let related: Vec<Arc<Pod>> = match controller_of(&set) {
            None => pods.clone(),
            Some(owner) => {
                self.siblings.get(&owner).iter().flat_map(|sibling| self.pods.by_owner.get(sibling.uid())).collect()
            }
        };
        let Extra { live, failure, now } = extra;
        Some(reconcile(&Observed { set: &set, pods: &pods, related: &related, live, failure, now }))
    }
}
