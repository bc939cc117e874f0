//! Watches StatefulSets, pods, revisions and volume claims for [`controllers::stateful_set`].

use std::sync::Arc;

use api_types::{
    k8s_openapi::{
        api::{apps::v1::StatefulSet, core::v1::PersistentVolumeClaim},
        apimachinery::pkg::apis::meta::v1::LabelSelector,
    },
    object::{Object, Watched},
    plan::Decision,
};
use client::{Event, Store, WorkQueue};
use controllers::{
    stateful_set::{Observed, has_claim, reconcile},
    view::Pod,
};
use tokio::task::JoinHandle;

use super::{owned, revisions::Revisions};
use crate::kit::{self, Context, Extra, Key, Pods, Reconciler};

const ACCOUNT: &str = "statefulset-controller";
const KIND: &str = "StatefulSet";

struct StatefulSets {
    sets: Store<StatefulSet>,
    pods: Pods,
    revisions: Revisions,
    claims: Store<PersistentVolumeClaim>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let sets = kit::observed::<StatefulSet>(context, &executor);
    let claims = kit::observed::<PersistentVolumeClaim>(context, &executor);
    let revisions = Revisions::new(context, &executor);
    let pods = context.pods().clone();
    executor.observe(&Pod::RESOURCE, &pods.store);
    let queue = Arc::new(WorkQueue::new("statefulset"));
    kit::enqueue(&sets, &queue);
    revisions.wake_owners(KIND, &queue);
    pods.store.on_event({
        let (queue, sets) = (queue.clone(), sets.clone());
        move |event| owned::pod_changed(event, KIND, &sets, selector, &queue)
    });
    claims.on_event({
        let (queue, sets) = (queue.clone(), sets.clone());
        move |event| claim_changed(event, &sets, &queue)
    });
    let reconciler =
        StatefulSets { sets: sets.clone(), pods: pods.clone(), revisions: revisions.clone(), claims: claims.clone() };
    let synced = async move {
        sets.synced().await;
        pods.store.synced().await;
        revisions.synced().await;
        claims.synced().await;
    };
    let workers = context.options.concurrent_statefulset_syncs;
    Ok(vec![kit::run(context, reconciler, executor, queue, workers, synced)])
}

fn selector(set: &StatefulSet) -> Option<&LabelSelector> {
    set.spec.as_ref().map(|spec| &spec.selector)
}

/// A pod waits for the end of a claim, and who owns a claim is the set's to say.
fn claim_changed(event: &Event<PersistentVolumeClaim>, sets: &Store<StatefulSet>, queue: &WorkQueue<Key>) {
    let concerns = match event {
        Event::Deleted(_) => true,
        Event::Applied { old, new } => {
            old.as_ref().is_some_and(|old| old.metadata.owner_references != new.metadata.owner_references)
        }
    };
    if concerns {
        let claim = event.object();
        for set in sets.list_in(claim.namespace()).iter().filter(|set| has_claim(set, claim.name())) {
            queue.add(Key::of(&**set));
        }
    }
}

impl Reconciler for StatefulSets {
    const NAME: &'static str = "statefulset-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let set = self.sets.get(&key.namespace, &key.name)?;
        let mut pods = self.pods.by_owner.get(set.uid());
        pods.extend(self.pods.orphans.get(&key.namespace));
        Some(reconcile(&Observed {
            set: &set,
            pods: &pods,
            revisions: &self.revisions.of(&*set),
            revision_taken: &|name| self.revisions.taken(&key.namespace, name),
            claim: &|name| self.claims.get(&key.namespace, name),
            live: extra.live,
            now: extra.now,
        }))
    }
}
