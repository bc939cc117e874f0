//! Empties namespaces that are being deleted, as [`controllers::namespace`] orders it.

use std::{sync::Arc, time::Duration};

use api_types::{
    k8s_openapi::api::core::v1::Namespace,
    object::{Object, Resource},
};
use client::{
    Api, Event, Executor, Store, WorkQueue,
    discovery::{Served, discover},
};
use component::Clock;
use controllers::{
    namespace::{Found, conclude, is_due, order},
    view::Bare,
};
use futures::future::join_all;
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Failed, Key, Work};

const ACCOUNT: &str = "namespace-controller";
/// Objects looked at to say what blocks.
const SAMPLE: u32 = 500;
/// What is left is looked at again after this time, or when one of its pods is gone.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Requests under way at once for one namespace.
const AT_ONCE: usize = 8;

struct Namespaces {
    executor: Executor,
    namespaces: Store<Namespace>,
    clock: Arc<dyn Clock>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let namespaces = kit::observed::<Namespace>(context, &executor);
    let queue = Arc::new(WorkQueue::new("namespace"));
    kit::enqueue(&namespaces, &queue);
    context.pods().store.on_event({
        let (queue, namespaces) = (queue.clone(), namespaces.clone());
        move |event| {
            if let Event::Deleted(pod) = event
                && namespaces.get("", pod.namespace()).is_some_and(|namespace| is_due(&namespace))
            {
                queue.add(Key::new("", pod.namespace()));
            }
        }
    });
    let work = Namespaces { executor, namespaces: namespaces.clone(), clock: context.clock.clone() };
    let workers = context.options.concurrent_namespace_syncs;
    Ok(vec![kit::run_work(context, work, queue, workers, async move { namespaces.synced().await })])
}

/// What deleting one kind came to.
struct Emptied {
    resource: Resource,
    remaining: Vec<Vec<String>>,
    failure: Option<String>,
}

async fn empty(api: &Api, kind: &Served, namespace: &str) -> Emptied {
    let resource = kind.resource.clone();
    match remaining(api, kind, namespace).await {
        Ok(remaining) => Emptied { resource, remaining, failure: None },
        Err(error) => Emptied { resource, remaining: Vec::new(), failure: Some(error.to_string()) },
    }
}

async fn remaining(api: &Api, kind: &Served, namespace: &str) -> Result<Vec<Vec<String>>, client::Error> {
    if kind.can("deletecollection") {
        api.delete_all(&kind.resource, namespace).await?;
    }
    let (objects, _) = api.list_metadata::<Bare>(&kind.resource, namespace, SAMPLE).await?;
    if !kind.can("deletecollection") {
        for object in objects.iter().filter(|object| !object.metadata.deleting()) {
            let target = api_types::plan::Target::at(kind.resource.clone(), object);
            match api.delete(&target, Some(api_types::plan::Propagation::Background), None).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
    }
    Ok(objects.into_iter().map(|object| object.metadata.finalizers).collect())
}

impl Namespaces {
    async fn pass(&self, namespace: &str) -> Result<Found, client::Error> {
        let api = self.executor.api();
        let discovered = discover(api).await?;
        let stale = |version: String| format!("{version}: stale GroupVersion discovery: {version}");
        let mut found =
            Found { discovery_failures: discovered.stale.into_iter().map(stale).collect(), ..Found::default() };
        let served: Vec<Served> = discovered
            .kinds
            .into_iter()
            .filter(|kind| kind.resource.namespaced && kind.can("delete") && kind.can("list"))
            .collect();
        let kinds = served.iter().map(|kind| kind.resource.clone()).collect();
        for group in order(kinds) {
            let group: Vec<&Served> = served.iter().filter(|kind| group.contains(&kind.resource)).collect();
            for some in group.chunks(AT_ONCE) {
                for emptied in join_all(some.iter().map(|kind| empty(api, kind, namespace))).await {
                    found.deletion_failures.extend(emptied.failure);
                    if !emptied.remaining.is_empty() {
                        found.remaining.insert(emptied.resource, emptied.remaining);
                    }
                }
            }
            if found != Found::default() {
                break;
            }
        }
        Ok(found)
    }
}

impl Work for Namespaces {
    const NAME: &'static str = "namespace-controller";

    async fn work(&self, key: &Key) -> Result<Option<Duration>, Failed> {
        let Some(namespace) = self.namespaces.get("", &key.name).filter(|namespace| is_due(namespace)) else {
            return Ok(None);
        };
        let found = self.pass(&key.name).await?;
        let done = found == Found::default();
        self.executor.run(&conclude(&namespace, &found, self.clock.now())).await?;
        Ok(if done { None } else { Some(LOOK_AGAIN) })
    }
}
