//! Watches services, pods and endpoints for [`controllers::endpoints`].

use std::sync::Arc;

use api_types::{k8s_openapi::api::core::v1::Endpoints, object::Watched, plan::Decision};
use client::{Store, Target, WorkQueue};
use controllers::{
    endpoints::reconcile,
    view::{Pod, Service},
};
use tokio::task::JoinHandle;

use super::selected::{follow_pods, selected};
use crate::kit::{self, Context, Extra, Key, Reconciler};

const ACCOUNT: &str = "endpoint-controller";

struct AllEndpoints {
    services: Store<Service>,
    pods: Store<Pod>,
    endpoints: Store<Endpoints>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let services = context.informers.store::<Service>();
    let pods = context.pods().store.clone();
    let endpoints = context.informers.store_of::<Endpoints>(Target::of::<Endpoints>());
    executor.observe(&Endpoints::RESOURCE, &endpoints);
    let queue = Arc::new(WorkQueue::new("endpoint"));
    kit::enqueue(&services, &queue);
    follow_pods(&pods, &services, &queue);
    kit::enqueue(&endpoints, &queue);
    let reconciler = AllEndpoints { services: services.clone(), pods: pods.clone(), endpoints: endpoints.clone() };
    let synced = async move {
        services.synced().await;
        pods.synced().await;
        endpoints.synced().await;
    };
    let workers = context.options.concurrent_service_endpoint_syncs;
    Ok(vec![kit::run(context, reconciler, executor, queue, workers, synced)])
}

impl Reconciler for AllEndpoints {
    const NAME: &'static str = "endpoints-controller";

    fn decide(&self, key: &Key, _: Extra<'_>) -> Option<Decision> {
        let service = self.services.get(&key.namespace, &key.name).filter(|service| !service.metadata.deleting())?;
        let pods = selected(&service, &self.pods);
        let present = self.endpoints.get(&key.namespace, &key.name);
        Some(Decision::Do(reconcile(&service, &pods, present.as_deref())))
    }
}
