//! Watches ReplicaSets, ReplicationControllers and pods for [`controllers::replica_set`].

use std::sync::Arc;

use api_types::{
    k8s_openapi::api::core::v1::ReplicationController,
    object::{Object, Watched},
    plan::Decision,
};
use client::{Event, Index, Store, WorkQueue};
use controllers::{
    adoption,
    replica_set::{Observed, Replicated, reconcile},
    view::Pod,
    workload::ReplicaSet,
};
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Pods, Reconciler};

/// What the two controllers are called.
trait Named: Replicated {
    const NAME: &'static str;
    const ACCOUNT: &'static str;
    const QUEUE: &'static str;
}

impl Named for ReplicaSet {
    const NAME: &'static str = "replicaset-controller";
    const ACCOUNT: &'static str = "replicaset-controller";
    const QUEUE: &'static str = "replicaset";
}

impl Named for ReplicationController {
    const NAME: &'static str = "replicationcontroller-controller";
    const ACCOUNT: &'static str = "replication-controller";
    const QUEUE: &'static str = "replicationmanager";
}

struct Replicas<S> {
    sets: Store<S>,
    pods: Pods,
    /// By the uid of their controller.
    siblings: Index<S>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    Ok(vec![watch::<ReplicaSet>(context, context.options.concurrent_replicaset_syncs)])
}

pub fn start_replication(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    Ok(vec![watch::<ReplicationController>(context, context.options.concurrent_rc_syncs)])
}

fn watch<S: Named>(context: &Context, workers: usize) -> JoinHandle<()> {
    let executor = context.executor(S::ACCOUNT);
    let sets = kit::observed::<S>(context, &executor);
    let pods = context.pods().clone();
    executor.observe(&Pod::RESOURCE, &pods.store);
    let queue = Arc::new(WorkQueue::new(S::QUEUE));
    kit::enqueue(&sets, &queue);
    pods.store.on_event({
        let (queue, sets) = (queue.clone(), sets.clone());
        move |event| pod_changed(event, &sets, &queue)
    });
    let reconciler = Replicas {
        pods: pods.clone(),
        siblings: sets.index(|set| controller_of(set).into_iter().collect()),
        sets: sets.clone(),
    };
    let synced = async move {
        sets.synced().await;
        pods.store.synced().await;
    };
    kit::run(context, reconciler, executor, queue, workers, synced)
}

fn controller_of<S: Named>(set: &S) -> Option<String> {
    adoption::controller(set.metadata()).map(|owner| owner.uid.clone())
}

/// The set that controls the pod now or did before; for an orphan, every set that might adopt it.
fn pod_changed<S: Named>(event: &Event<Pod>, sets: &Store<S>, queue: &WorkQueue<Key>) {
    for pod in event.both() {
        match pod.metadata.controller() {
            Some(owner) if owner.kind == S::RESOURCE.kind => queue.add(Key::new(pod.namespace(), &owner.name)),
            Some(_) => {}
            None if matches!(event, Event::Deleted(_)) => {}
            None => {
                for set in sets.list_in(pod.namespace()) {
                    if set.selector().is_some_and(|selector| selector.matches(&pod.metadata.labels)) {
                        queue.add(Key::of(&*set));
                    }
                }
            }
        }
    }
}

impl<S: Named> Reconciler for Replicas<S> {
    const NAME: &'static str = S::NAME;

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let set = self.sets.get(&key.namespace, &key.name)?;
        let mut pods = self.pods.by_owner.get(set.uid());
        pods.extend(self.pods.orphans.get(&key.namespace));
        let related: Vec<Arc<Pod>> = match controller_of(&*set) {
            None => pods.clone(),
            Some(owner) => {
                self.siblings.get(&owner).iter().flat_map(|sibling| self.pods.by_owner.get(sibling.uid())).collect()
            }
        };
        let Extra { live, failure, now } = extra;
        Some(reconcile(&Observed { set: &*set, pods: &pods, related: &related, live, failure, now }))
    }
}
