//! Watches volumes, claims and classes for [`controllers::persistent_volume`].

use std::sync::Arc;

use api_types::{
    k8s_openapi::api::{
        core::v1::{PersistentVolume, PersistentVolumeClaim},
        storage::v1::StorageClass,
    },
    object::Object,
    plan::Decision,
};
use client::{Event, Index, Store, WorkQueue};
use controllers::persistent_volume::{
    ObservedClaim, ObservedVolume, claim_reference, class_of_claim, class_of_volume, is_unbound, reconcile_claim,
    reconcile_volume,
};
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Reconciler};

const ACCOUNT: &str = "persistent-volume-binder";

struct Claims {
    claims: Store<PersistentVolumeClaim>,
    volumes: Store<PersistentVolume>,
    classes: Store<StorageClass>,
}

struct Volumes {
    claims: Store<PersistentVolumeClaim>,
    volumes: Store<PersistentVolume>,
}

type Queue = Arc<WorkQueue<Key>>;

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let claims = kit::observed::<PersistentVolumeClaim>(context, &executor);
    let volumes = kit::observed::<PersistentVolume>(context, &executor);
    let classes = context.informers.store::<StorageClass>();
    let (claim_queue, volume_queue) = (Arc::new(WorkQueue::new("claims")), Arc::new(WorkQueue::new("volumes")));
    // Claims that wait, by their class; volumes by the claim that they name.
    let waiting = claims.index(|claim| match is_unbound(claim) {
        true => vec![class_of_claim(claim).to_owned()],
        false => Vec::new(),
    });
    let named = volumes.index(|volume| claim_of(volume).iter().map(Key::to_string).collect());
    claims.on_event({
        let (claim_queue, volume_queue) = (claim_queue.clone(), volume_queue.clone());
        move |event| claim_changed(event, &named, &claim_queue, &volume_queue)
    });
    volumes.on_event({
        let (claim_queue, volume_queue, waiting) = (claim_queue.clone(), volume_queue.clone(), waiting.clone());
        move |event| volume_changed(event, &waiting, &claim_queue, &volume_queue)
    });
    classes.on_event({
        let claim_queue = claim_queue.clone();
        move |event| wake(&waiting, event.object().name(), &claim_queue)
    });
    let synced = || {
        let (claims, volumes, classes) = (claims.clone(), volumes.clone(), classes.clone());
        async move {
            claims.synced().await;
            volumes.synced().await;
            classes.synced().await;
        }
    };
    let of_claims = Claims { claims: claims.clone(), volumes: volumes.clone(), classes: classes.clone() };
    let of_volumes = Volumes { claims: claims.clone(), volumes: volumes.clone() };
    Ok(vec![
        // One worker: two claims must not take one volume.
        kit::run(context, of_claims, executor.clone(), claim_queue, 1, synced()),
        kit::run(context, of_volumes, executor, volume_queue, 1, synced()),
    ])
}

fn claim_of(volume: &PersistentVolume) -> Option<Key> {
    let reference = claim_reference(volume)?;
    Some(Key::new(reference.namespace.as_deref()?, reference.name.as_deref()?))
}

fn wake(waiting: &Index<PersistentVolumeClaim>, class: &str, queue: &Queue) {
    for claim in waiting.get(class) {
        queue.add(Key::of(&*claim));
    }
}

fn claim_changed(
    event: &Event<PersistentVolumeClaim>,
    named: &Index<PersistentVolume>,
    claims: &Queue,
    volumes: &Queue,
) {
    let claim = event.object();
    let key = Key::of(&**claim);
    for volume in named.get(&key.to_string()) {
        volumes.add(Key::of(&*volume));
    }
    if let Some(name) = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()) {
        volumes.add(Key::new("", name));
    }
    claims.add(key);
}

fn volume_changed(
    event: &Event<PersistentVolume>,
    waiting: &Index<PersistentVolumeClaim>,
    claims: &Queue,
    volumes: &Queue,
) {
    for volume in event.both() {
        volumes.add(Key::of(&**volume));
        match claim_of(volume) {
            Some(key) => claims.add(key),
            None => wake(waiting, class_of_volume(volume), claims),
        }
    }
}

impl Reconciler for Claims {
    const NAME: &'static str = "persistentvolume-binder-controller";

    fn decide(&self, key: &Key, _extra: Extra<'_>) -> Option<Decision> {
        let claim = self.claims.get(&key.namespace, &key.name)?;
        let class = self.classes.get("", class_of_claim(&claim));
        let volumes = self.volumes.list();
        Some(Decision::Do(reconcile_claim(&ObservedClaim {
            claim: &claim,
            volumes: &volumes,
            class: class.as_deref(),
        })))
    }
}

impl Reconciler for Volumes {
    const NAME: &'static str = "persistentvolume-binder-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let volume = self.volumes.get("", &key.name)?;
        let claim = claim_of(&volume).and_then(|key| self.claims.get(&key.namespace, &key.name));
        let seen = ObservedVolume { volume: &volume, claim: claim.as_deref(), now: extra.now };
        Some(Decision::Do(reconcile_volume(&seen)))
    }
}
