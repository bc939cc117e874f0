//! Pods come from one watch: those whose `spec.nodeName` is this node.

use super::Pods;
use client::{Event, Target};
use component::health::Flag;
use pod_lifecycle::core::Pod;
use std::sync::Arc;

pub async fn run(pods: Arc<Pods>, known: Flag) {
    let context = pods.context.clone();
    let target = Target::of::<Pod>().fields(&format!("spec.nodeName={}", context.config.node_name));
    let store = context.informers.store_of::<Pod>(target);
    let mut changes = store.subscribe();
    store.synced().await;
    // Every pod of the first list gets its worker before anything is taken for a leftover.
    while let Some(event) = changes.try_next() {
        pass_on(&pods, event);
    }
    known.set(true);
    pods.source_known().await;
    loop {
        pass_on(&pods, changes.next().await);
    }
}

fn pass_on(pods: &Arc<Pods>, event: Event<Pod>) {
    match event {
        Event::Applied { new, .. } => pods.seen_in_api(new),
        Event::Deleted(old) => pods.gone_from_api(&old),
    }
}
