//! Watches Endpoints, Services and EndpointSlices for [`controllers::endpoint_slice_mirroring`].

use std::sync::Arc;

use api_types::{
    k8s_openapi::api::{core::v1::Endpoints, discovery::v1::EndpointSlice},
    object::Object,
    plan::Decision,
};
use client::{Index, Store, WorkQueue};
use controllers::{
    endpoint_slice_mirroring::{MANAGED_BY, MANAGER, SERVICE_NAME, reconcile},
    view::Service,
};
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Reconciler};

const ACCOUNT: &str = "endpointslicemirroring-controller";

struct Mirror {
    services: Store<Service>,
    endpoints: Store<Endpoints>,
    /// The slices made here, by `namespace/name` of their service.
    slices: Index<EndpointSlice>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let slices = kit::observed::<EndpointSlice>(context, &executor);
    let services = context.informers.store::<Service>();
    let endpoints = context.informers.store::<Endpoints>();
    let queue = Arc::new(WorkQueue::new("endpoint_slice_mirroring"));
    kit::enqueue(&services, &queue);
    kit::enqueue(&endpoints, &queue);
    slices.on_event({
        let queue = queue.clone();
        move |event| event.both().filter_map(|slice| service_of(slice)).for_each(|key| queue.add(key))
    });
    let reconciler = Mirror {
        services: services.clone(),
        endpoints: endpoints.clone(),
        slices: slices.index(|slice| service_of(slice).map(|key| key.to_string()).into_iter().collect()),
    };
    let synced = async move {
        slices.synced().await;
        services.synced().await;
        endpoints.synced().await;
    };
    let workers = context.options.concurrent_service_endpoint_syncs;
    Ok(vec![kit::run(context, reconciler, executor, queue, workers, synced)])
}

/// The service of a slice that this controller made.
fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let labels = slice.metadata.labels.as_ref()?;
    let ours = labels.get(MANAGED_BY).is_some_and(|manager| manager == MANAGER);
    labels.get(SERVICE_NAME).filter(|_| ours).map(|name| Key::new(slice.namespace(), name))
}

impl Reconciler for Mirror {
    const NAME: &'static str = "endpointslice-mirroring-controller";

    fn decide(&self, key: &Key, _extra: Extra<'_>) -> Option<Decision> {
        let service = self.services.get(&key.namespace, &key.name);
        let endpoints = self.endpoints.get(&key.namespace, &key.name);
        let slices = self.slices.get(&key.to_string());
        Some(Decision::Do(reconcile(service.as_deref(), endpoints.as_deref(), &slices)))
    }
}
