//! Watches services, pods, nodes and slices for [`controllers::endpoint_slice`].

use std::sync::Arc;

use api_types::{
    k8s_openapi::api::discovery::v1::EndpointSlice,
    object::{Object, Watched},
    plan::Decision,
};
use client::{Event, Index, Store, Target, WorkQueue};
use controllers::{
    endpoint_slice::{MANAGED_BY, MANAGER, Observed, SERVICE_NAME, reconcile},
    view::{Node, Pod, Service},
};
use tokio::task::JoinHandle;

use super::selected::{follow_pods, selected, selects};
use crate::kit::{self, Context, Extra, Key, Reconciler};

const ACCOUNT: &str = "endpointslice-controller";

struct EndpointSlices {
    services: Store<Service>,
    pods: Store<Pod>,
    nodes: Store<Node>,
    /// By `namespace/service`.
    slices: Index<EndpointSlice>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let services = context.informers.store::<Service>();
    let nodes = context.informers.store::<Node>();
    let pods = context.pods().clone();
    let slices = context
        .informers
        .store_of::<EndpointSlice>(Target::of::<EndpointSlice>().labels(&format!("{MANAGED_BY}={MANAGER}")));
    executor.observe(&EndpointSlice::RESOURCE, &slices);
    let queue = Arc::new(WorkQueue::new("endpoint_slice"));
    kit::enqueue(&services, &queue);
    follow_pods(&pods.store, &services, &queue);
    slices.on_event({
        let queue = queue.clone();
        move |event| queue.add(owner(event.object()))
    });
    nodes.on_event({
        let (queue, services, by_node) = (queue.clone(), services.clone(), pods.by_node.clone());
        move |event| {
            if let Event::Applied { old: Some(old), new } = event
                && old.zone() == new.zone()
            {
                return;
            }
            for pod in by_node.get(event.object().name()) {
                for service in services.list_in(pod.namespace()).iter().filter(|service| selects(service, &pod)) {
                    queue.add(Key::of(&**service));
                }
            }
        }
    });
    let reconciler = EndpointSlices {
        services: services.clone(),
        pods: pods.store.clone(),
        nodes: nodes.clone(),
        slices: slices.index(|slice| vec![owner(slice).to_string()]),
    };
    let synced = async move {
        services.synced().await;
        pods.store.synced().await;
        nodes.synced().await;
        slices.synced().await;
    };
    let workers = context.options.concurrent_service_endpoint_syncs;
    Ok(vec![kit::run(context, reconciler, executor, queue, workers, synced)])
}

/// The service of a slice.
fn owner(slice: &EndpointSlice) -> Key {
    let service = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME));
    Key::new(slice.namespace(), service.map_or("", String::as_str))
}

impl Reconciler for EndpointSlices {
    const NAME: &'static str = "endpointslice-controller";

    fn decide(&self, key: &Key, _: Extra<'_>) -> Option<Decision> {
        let service = self.services.get(&key.namespace, &key.name).filter(|service| !service.metadata.deleting())?;
        Some(Decision::Do(reconcile(&Observed {
            service: &service,
            pods: &selected(&service, &self.pods),
            node: &|name| self.nodes.get("", name),
            slices: &self.slices.get(&key.to_string()),
        })))
    }
}
