//! Lists what [`controllers::resource_quota`] counts.

use std::{sync::Arc, time::Duration};

use api_types::{
    GroupResource,
    k8s_openapi::api::core::v1::ResourceQuota,
    object::{Object, Resource},
};
use client::{
    Event, Executor, Store, WorkQueue,
    discovery::{Discovered, discover},
};
use controllers::{
    resource_quota::{Count, is_due, is_weighed, resources},
    view::{Bare, Pod},
};
use http::Method;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Failed, Key, Work};

const ACCOUNT: &str = "resourcequota-controller";
/// Objects in one answer.
const PAGE: usize = 500;
/// An API server that does not give back itself leaves it to us; many pods that end at once are one count.
const AFTER_PODS: Duration = Duration::from_secs(5);

struct Quotas {
    executor: Executor,
    quotas: Store<ResourceQuota>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let quotas = kit::observed::<ResourceQuota>(context, &executor);
    let queue = Arc::new(WorkQueue::new("resourcequota_primary"));
    quotas.on_event({
        let queue = queue.clone();
        move |event| {
            if let Event::Applied { old, new } = event
                && (old.is_none() || is_due(new))
            {
                queue.add(Key::of(&**new));
            }
        }
    });
    context.pods().store.on_event({
        let (queue, quotas) = (queue.clone(), quotas.clone());
        move |event| {
            if gives_back(event) {
                for quota in quotas.list_in(event.object().namespace()) {
                    queue.add_after(Key::of(&*quota), AFTER_PODS);
                }
            }
        }
    });
    let work = Quotas { executor, quotas: quotas.clone() };
    let workers = context.options.concurrent_resource_quota_syncs;
    Ok(vec![kit::run_work(context, work, queue, workers, async move { quotas.synced().await })])
}

fn gives_back(event: &Event<Pod>) -> bool {
    match event {
        Event::Deleted(_) => true,
        Event::Applied { old, new } => new.finished() && old.as_ref().is_some_and(|old| !old.finished()),
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(default)]
    items: Vec<Value>,
}

#[derive(Default, Deserialize)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    next: String,
}

impl Quotas {
    async fn weigh(&self, namespace: &str, resource: &GroupResource, count: &mut Count) -> Result<(), client::Error> {
        let mut next = String::new();
        loop {
            let path = format!("/api/v1/namespaces/{namespace}/{}?limit={PAGE}&continue={next}", resource.resource);
            let page: Page = self.executor.api().json(Method::GET, &path, None).await?;
            page.items.iter().for_each(|object| count.add(resource, object));
            if page.metadata.next.is_empty() {
                return Ok(());
            }
            next = page.metadata.next;
        }
    }

    /// The number of objects, none of a resource that is not served.
    async fn number(&self, namespace: &str, resource: &Resource) -> Result<u64, client::Error> {
        match self.executor.api().list_metadata::<Bare>(resource, namespace, 1).await {
            Ok((first, more)) => Ok(first.len() as u64 + more),
            Err(error) if error.is_not_found() => Ok(0),
            Err(error) => Err(error),
        }
    }
}

fn served(discovered: &Discovered, resource: &GroupResource) -> Option<Resource> {
    let kinds = discovered.kinds.iter().map(|kind| &kind.resource);
    kinds.clone().find(|kind| kind.group == resource.group && kind.plural == resource.resource).cloned()
}

impl Work for Quotas {
    const NAME: &'static str = "resourcequota-controller";

    async fn work(&self, key: &Key) -> Result<Option<Duration>, Failed> {
        let Some(quota) = self.quotas.get(&key.namespace, &key.name) else { return Ok(None) };
        let mut count = Count::begin(&quota);
        let mut discovered = None;
        for resource in resources(&quota) {
            if is_weighed(&resource) {
                self.weigh(&key.namespace, &resource, &mut count).await?;
                continue;
            }
            if discovered.is_none() {
                discovered = Some(discover(self.executor.api()).await?);
            }
            if let Some(kind) = discovered.as_ref().and_then(|discovered| served(discovered, &resource)) {
                count.add_plain(&resource, self.number(&key.namespace, &kind).await?);
            }
        }
        self.executor.run(&count.conclude(&quota)).await?;
        Ok(None)
    }
}
