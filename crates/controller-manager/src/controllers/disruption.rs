//! Watches PodDisruptionBudgets, pods and what scales them for [`controllers::disruption`].

use std::sync::Arc;

use api_types::{
    k8s_openapi::{
        api::{
            apps::v1::{Deployment, ReplicaSet, StatefulSet},
            core::v1::ReplicationController,
            policy::v1::PodDisruptionBudget,
        },
        apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
    },
    object::{Object, Watched},
    plan::Decision,
};
use client::{Event, Store, WorkQueue};
use controllers::{
    disruption::{Observed, Scale, reconcile, selector, stale_condition},
    view::Pod,
};
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Reconciler};

const ACCOUNT: &str = "disruption-controller";

struct Budgets {
    budgets: Store<PodDisruptionBudget>,
    pods: Store<Pod>,
    scales: Scales,
}

struct StaleConditions(Store<Pod>);

/// Everything built in that wants a number of pods.
#[derive(Clone)]
struct Scales {
    deployments: Store<Deployment>,
    replica_sets: Store<ReplicaSet>,
    stateful_sets: Store<StatefulSet>,
    replication_controllers: Store<ReplicationController>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let budgets = kit::observed::<PodDisruptionBudget>(context, &executor);
    let pods = context.pods().store.clone();
    executor.observe(&Pod::RESOURCE, &pods);
    let scales = Scales {
        deployments: context.informers.store(),
        replica_sets: context.informers.store(),
        stateful_sets: context.informers.store(),
        replication_controllers: context.informers.store(),
    };
    let queue = Arc::new(WorkQueue::new("disruption"));
    kit::enqueue(&budgets, &queue);
    pods.on_event({
        let (queue, budgets) = (queue.clone(), budgets.clone());
        move |event| pod_changed(event, &budgets, &queue)
    });
    let stale = Arc::new(WorkQueue::new("stale_pod_disruption"));
    pods.on_event({
        let stale = stale.clone();
        move |event| {
            if let Event::Applied { new, .. } = event
                && new.condition("DisruptionTarget").is_some_and(|condition| condition.status == "True")
            {
                stale.add(Key::of(&**new));
            }
        }
    });
    let reconciler = Budgets { budgets: budgets.clone(), pods: pods.clone(), scales: scales.clone() };
    let synced = {
        let pods = pods.clone();
        async move {
            budgets.synced().await;
            pods.synced().await;
            scales.synced().await;
        }
    };
    let conditions = StaleConditions(pods.clone());
    Ok(vec![
        kit::run(context, reconciler, executor.clone(), queue, 1, synced),
        kit::run(context, conditions, executor, stale, 1, async move { pods.synced().await }),
    ])
}

/// The budgets that are about the pod, or were before.
fn pod_changed(event: &Event<Pod>, budgets: &Store<PodDisruptionBudget>, queue: &WorkQueue<Key>) {
    if let Event::Applied { old: Some(old), new } = event
        && old.metadata.labels == new.metadata.labels
        && old.metadata.owner_references == new.metadata.owner_references
        && old.metadata.deleting() == new.metadata.deleting()
        && old.ready() == new.ready()
    {
        return;
    }
    for budget in budgets.list_in(event.object().namespace()) {
        let selector = selector(&budget);
        if event.both().any(|pod| selector.matches(&pod.metadata.labels)) {
            queue.add(Key::of(&*budget));
        }
    }
}

impl Scales {
    async fn synced(&self) {
        self.deployments.synced().await;
        self.replica_sets.synced().await;
        self.stateful_sets.synced().await;
        self.replication_controllers.synced().await;
    }

    fn of(&self, namespace: &str, owner: &OwnerReference) -> Option<Scale> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        match (group, owner.kind.as_str()) {
            ("apps", "ReplicaSet") => {
                let set = self.replica_sets.get(namespace, &owner.name).filter(|set| set.uid() == owner.uid)?;
                if let Some(above) = controller(&set.metadata).filter(|above| above.kind == "Deployment") {
                    return self.of(namespace, above);
                }
                scale(&*set, set.spec.as_ref().and_then(|spec| spec.replicas))
            }
            ("apps", "Deployment") => {
                let found = self.deployments.get(namespace, &owner.name).filter(|found| found.uid() == owner.uid)?;
                scale(&*found, found.spec.as_ref().and_then(|spec| spec.replicas))
            }
            ("apps", "StatefulSet") => {
                let found = self.stateful_sets.get(namespace, &owner.name).filter(|found| found.uid() == owner.uid)?;
                scale(&*found, found.spec.as_ref().and_then(|spec| spec.replicas))
            }
            ("", "ReplicationController") => {
                let found = self.replication_controllers.get(namespace, &owner.name)?;
                scale(&*found, found.spec.as_ref().and_then(|spec| spec.replicas))
                    .filter(|scale| scale.uid == owner.uid)
            }
            _ => None,
        }
    }
}

fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.as_ref()?.iter().find(|owner| owner.controller == Some(true))
}

fn scale<K: Object>(object: &K, replicas: Option<i32>) -> Option<Scale> {
    Some(Scale { uid: object.uid().to_owned(), replicas: replicas.unwrap_or(1) })
}

impl Reconciler for Budgets {
    const NAME: &'static str = "disruption-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let budget = self.budgets.get(&key.namespace, &key.name)?;
        let selector = selector(&budget);
        let mut pods = self.pods.list_in(&key.namespace);
        pods.retain(|pod| selector.matches(&pod.metadata.labels));
        let scale = |owner: &OwnerReference| self.scales.of(&key.namespace, owner);
        Some(Decision::Do(reconcile(&Observed { budget: &budget, pods: &pods, scale: &scale, now: extra.now })))
    }
}

impl Reconciler for StaleConditions {
    const NAME: &'static str = "disruption-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let pod = self.0.get(&key.namespace, &key.name)?;
        Some(Decision::Do(stale_condition(&pod, extra.now)))
    }
}
