//! Which services a change of a pod concerns, for both forms of endpoints.

use std::sync::Arc;

use api_types::object::Object;
use client::{Event, Store, WorkQueue};
use controllers::view::{Pod, Service};

use crate::kit::Key;

pub fn selects(service: &Service, pod: &Pod) -> bool {
    let selector = service.spec.selector.as_ref().filter(|selector| !selector.is_empty());
    selector.is_some_and(|selector| selector.iter().all(|(key, value)| pod.metadata.labels.get(key) == Some(value)))
}

/// Queues every service that selects the pod, or did before.
pub fn follow_pods(pods: &Store<Pod>, services: &Store<Service>, queue: &Arc<WorkQueue<Key>>) {
    let (services, queue) = (services.clone(), queue.clone());
    pods.on_event(move |event| {
        if let Event::Applied { old: Some(old), new } = event
            && same_endpoint(old, new)
        {
            return;
        }
        let pod = event.object();
        for service in services.list_in(pod.namespace()) {
            if event.both().any(|pod| selects(&service, pod)) {
                queue.add(Key::of(&*service));
            }
        }
    });
}

/// Nothing that an endpoint shows has changed.
fn same_endpoint(old: &Pod, new: &Pod) -> bool {
    old.metadata.uid == new.metadata.uid
        && old.metadata.labels == new.metadata.labels
        && old.metadata.deleting() == new.metadata.deleting()
        && old.ready() == new.ready()
        && old.finished() == new.finished()
        && old.spec.node_name == new.spec.node_name
        && old.status.pod_ip == new.status.pod_ip
        && old.status.pod_ips == new.status.pod_ips
}

pub fn selected(service: &Service, pods: &Store<Pod>) -> Vec<Arc<Pod>> {
    let mut pods = pods.list_in(service.namespace());
    pods.retain(|pod| selects(service, pod));
    pods
}
