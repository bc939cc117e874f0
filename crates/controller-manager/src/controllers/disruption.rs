//! Watches PodDisruptionBudgets, pods and what scales them for [`controllers::disruption`].

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use api_types::{
    k8s_openapi::{
        api::{apps::v1::StatefulSet, core::v1::ReplicationController, policy::v1::PodDisruptionBudget},
        apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
    },
    object::{Object, Resource, Watched},
    plan::Decision,
};
use client::{Event, Executor, Store, WorkQueue, discovery::discover};
use controllers::{
    disruption::{Observed, Scale, needs_scale, reconcile, selector, stale_condition},
    view::Pod,
    workload::{Deployment, ReplicaSet},
};
use http::Method;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Reconciler};

const ACCOUNT: &str = "disruption-controller";
/// Scales, and kinds, that are remembered.
const REMEMBERED: usize = 1000;

struct Budgets {
    budgets: Store<PodDisruptionBudget>,
    pods: Store<Pod>,
    scales: Scales,
    others: OtherScales,
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

/// The scales of custom kinds, read from the API before each decision that needs them.
struct OtherScales {
    executor: Executor,
    state: Mutex<Others>,
}

#[derive(Default)]
struct Others {
    /// Where a kind (apiVersion and kind) is served.
    served: HashMap<(String, String), Resource>,
    /// By the uid of the controller; None for one without a scale.
    read: HashMap<String, Option<Scale>>,
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
    let others = OtherScales { executor: executor.clone(), state: Mutex::default() };
    let reconciler = Budgets { budgets: budgets.clone(), pods: pods.clone(), scales: scales.clone(), others };
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

impl OtherScales {
    fn of(&self, owner: &OwnerReference) -> Option<Scale> {
        self.state.lock().read.get(&owner.uid).cloned().flatten()
    }

    async fn read(&self, namespace: &str, owner: &OwnerReference) -> Result<(), client::Error> {
        let scale = match self.served(owner).await? {
            None => None,
            Some(resource) => {
                let path = format!("{}/scale", resource.object_path(namespace, &owner.name));
                match self.executor.api().json::<Value>(Method::GET, &path, None).await {
                    Ok(found) => of_custom(&found).filter(|scale| scale.uid == owner.uid),
                    Err(error) if error.is_not_found() => None,
                    Err(error) => return Err(error),
                }
            }
        };
        let mut state = self.state.lock();
        if state.read.len() >= REMEMBERED {
            state.read.clear();
        }
        state.read.insert(owner.uid.clone(), scale);
        Ok(())
    }

    async fn served(&self, owner: &OwnerReference) -> Result<Option<Resource>, client::Error> {
        let name = (owner.api_version.clone(), owner.kind.clone());
        if let Some(known) = self.state.lock().served.get(&name) {
            return Ok(Some(known.clone()));
        }
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let discovered = discover(self.executor.api()).await?;
        let mut kinds = discovered.kinds.into_iter().map(|kind| kind.resource);
        let found = kinds.find(|kind| kind.namespaced && kind.group == group && kind.kind == owner.kind);
        if let Some(resource) = &found {
            let mut state = self.state.lock();
            if state.served.len() >= REMEMBERED {
                state.served.clear();
            }
            state.served.insert(name, resource.clone());
        }
        Ok(found)
    }
}

fn of_custom(scale: &Value) -> Option<Scale> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or_default();
    Some(Scale { uid: scale["metadata"]["uid"].as_str()?.to_owned(), replicas: i32::try_from(replicas).ok()? })
}

impl Budgets {
    fn selected(&self, budget: &PodDisruptionBudget) -> Vec<Arc<Pod>> {
        let selector = selector(budget);
        let mut pods = self.pods.list_in(budget.namespace());
        pods.retain(|pod| selector.matches(&pod.metadata.labels));
        pods
    }
}

impl Reconciler for Budgets {
    const NAME: &'static str = "disruption-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let budget = self.budgets.get(&key.namespace, &key.name)?;
        let pods = self.selected(&budget);
        let scale = |owner: &OwnerReference| self.scales.of(&key.namespace, owner).or_else(|| self.others.of(owner));
        Some(Decision::Do(reconcile(&Observed { budget: &budget, pods: &pods, scale: &scale, now: extra.now })))
    }

    /// Reads the scales that no cache has.
    async fn ready(&self, key: &Key) {
        let Some(budget) = self.budgets.get(&key.namespace, &key.name).filter(|budget| needs_scale(budget)) else {
            return;
        };
        let pods = self.selected(&budget);
        let owners = pods.iter().filter_map(|pod| pod.metadata.controller());
        let unknown: BTreeMap<&str, &OwnerReference> = owners
            .filter(|owner| self.scales.of(&key.namespace, owner).is_none())
            .map(|owner| (owner.uid.as_str(), owner))
            .collect();
        for owner in unknown.into_values() {
            if let Err(error) = self.others.read(&key.namespace, owner).await {
                tracing::warn!(%key, kind = owner.kind, name = owner.name, "cannot read the scale: {error}");
            }
        }
    }
}

impl Reconciler for StaleConditions {
    const NAME: &'static str = "disruption-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let pod = self.0.get(&key.namespace, &key.name)?;
        Some(Decision::Do(stale_condition(&pod, extra.now)))
    }
}
