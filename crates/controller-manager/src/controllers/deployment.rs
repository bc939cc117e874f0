//! Watches Deployments, ReplicaSets and pods for [`controllers::deployment`].

use std::sync::Arc;

use api_types::{
    k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference, object::Object, plan::Decision, selector::Selector,
};
use client::{Event, Index, Store, WorkQueue};
use controllers::{
    adoption,
    deployment::{Observed, reconcile},
    view::Pod,
    workload::{Deployment, ReplicaSet},
};
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Pods, Reconciler};

const ACCOUNT: &str = "deployment-controller";

struct Deployments {
    deployments: Store<Deployment>,
    sets: Store<ReplicaSet>,
    /// By the uid of their controller.
    owned: Index<ReplicaSet>,
    /// Without a controller, by namespace.
    orphans: Index<ReplicaSet>,
    pods: Pods,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let deployments = kit::observed::<Deployment>(context, &executor);
    let sets = kit::observed::<ReplicaSet>(context, &executor);
    let pods = context.pods().clone();
    let queue = Arc::new(WorkQueue::new("deployment"));
    kit::enqueue(&deployments, &queue);
    sets.on_event({
        let (queue, deployments) = (queue.clone(), deployments.clone());
        move |event| set_changed(event, &deployments, &queue)
    });
    pods.store.on_event({
        let (queue, sets) = (queue.clone(), sets.clone());
        move |event| pod_ended(event, &sets, &queue)
    });
    let reconciler = Deployments {
        owned: sets.index(|set| controller(set).map(|owner| owner.uid.clone()).into_iter().collect()),
        orphans: sets.index(|set| match controller(set) {
            None => vec![set.namespace().to_owned()],
            Some(_) => Vec::new(),
        }),
        pods: pods.clone(),
        deployments: deployments.clone(),
        sets: sets.clone(),
    };
    let synced = async move {
        deployments.synced().await;
        sets.synced().await;
        pods.store.synced().await;
    };
    let workers = context.options.concurrent_deployment_syncs;
    Ok(vec![kit::run(context, reconciler, executor, queue, workers, synced)])
}

fn controller(set: &ReplicaSet) -> Option<&OwnerReference> {
    adoption::controller(&set.metadata)
}

fn set_changed(event: &Event<ReplicaSet>, deployments: &Store<Deployment>, queue: &WorkQueue<Key>) {
    for set in event.both() {
        match controller(set) {
            Some(owner) if owner.kind == "Deployment" => queue.add(Key::new(set.namespace(), &owner.name)),
            Some(_) => {}
            None if matches!(event, Event::Deleted(_)) => {}
            None => {
                for deployment in deployments.list_in(set.namespace()) {
                    let selector = deployment.spec.as_ref().map(|spec| Selector::from_label_selector(&spec.selector));
                    if selector.is_some_and(|s| s.is_ok_and(|selector| selector.matches(&set.metadata.labels))) {
                        queue.add(Key::of(&*deployment));
                    }
                }
            }
        }
    }
}

/// `Recreate` waits for the end of the last old pod.
fn pod_ended(event: &Event<Pod>, sets: &Store<ReplicaSet>, queue: &WorkQueue<Key>) {
    let ended = match event {
        Event::Deleted(_) => true,
        Event::Applied { old, new } => new.finished() && old.as_ref().is_some_and(|old| !old.finished()),
    };
    let pod = event.object();
    if ended
        && let Some(owner) = pod.metadata.controller().filter(|owner| owner.kind == "ReplicaSet")
        && let Some(set) = sets.get(pod.namespace(), &owner.name)
        && let Some(owner) = controller(&set).filter(|owner| owner.kind == "Deployment")
    {
        queue.add(Key::new(pod.namespace(), &owner.name));
    }
}

impl Reconciler for Deployments {
    const NAME: &'static str = "deployment-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let deployment = self.deployments.get(&key.namespace, &key.name)?;
        let mut sets = self.owned.get(deployment.uid());
        let spec = deployment.spec.as_ref();
        let recreate = spec
            .and_then(|spec| spec.strategy.as_ref())
            .is_some_and(|strategy| strategy.type_.as_deref() == Some("Recreate"));
        let pods: Vec<Arc<Pod>> =
            if recreate { sets.iter().flat_map(|set| self.pods.by_owner.get(set.uid())).collect() } else { Vec::new() };
        sets.extend(self.orphans.get(&key.namespace));
        let Extra { live, failure, now } = extra;
        Some(reconcile(&Observed {
            deployment: &deployment,
            sets: &sets,
            name_taken: &|name| self.sets.get(&key.namespace, name).is_some(),
            pods: &pods,
            live,
            failure,
            now,
        }))
    }
}
