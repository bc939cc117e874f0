//! Which sets a change of a pod concerns, for the kinds whose pods carry them as controller.

use api_types::{
    k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector,
    object::{Object, Watched},
    selector::Selector,
};
use client::{Event, Store, WorkQueue};
use controllers::view::Pod;

use crate::kit::Key;

/// Queues the set that controls the pod now or did before; for an orphan, every set that might adopt it.
pub fn pod_changed<S: Watched>(
    event: &Event<Pod>,
    kind: &str,
    sets: &Store<S>,
    selector: impl Fn(&S) -> Option<&LabelSelector>,
    queue: &WorkQueue<Key>,
) {
    for pod in event.both() {
        match pod.metadata.controller() {
            Some(owner) if owner.kind == kind => queue.add(Key::new(pod.namespace(), &owner.name)),
            Some(_) => {}
            None if matches!(event, Event::Deleted(_)) => {}
            None => {
                for set in sets.list_in(pod.namespace()) {
                    let selector = selector(&set).map(Selector::from_label_selector);
                    if selector.is_some_and(|s| s.is_ok_and(|selector| selector.matches(&pod.metadata.labels))) {
                        queue.add(Key::of(&*set));
                    }
                }
            }
        }
    }
}
