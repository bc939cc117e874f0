//! Watches the metadata of every kind for [`controllers::garbage_collector`].

use std::{collections::HashMap, sync::Arc, time::Duration};

use api_types::{names::split_api_version, object::Resource};
use client::{
    Api, Backoff, Event, Executor, Jitter, Store, Target, WorkQueue,
    discovery::{Served, discover},
};
use controllers::{
    garbage_collector::{Graph, Object, Verdict},
    view::Bare,
};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Failed, Key, Work};

const ACCOUNT: &str = "generic-garbage-collector";

struct Collector {
    executor: Executor,
    graph: Arc<Mutex<Graph>>,
    /// By group and kind; a reference's version does not matter.
    kinds: HashMap<(String, String), Resource>,
    _stores: Vec<Store<Object>>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let context = context.clone();
    let shutdown = context.shutdown.clone();
    let starting = async move {
        let executor = context.executor(ACCOUNT);
        let kinds = kinds(context.informers.api()).await;
        let running = collect(&context, executor, kinds);
        // Ends with the shutdown.
        let _ = running.await;
    };
    Ok(vec![tokio::spawn(async move {
        shutdown.or(starting).await;
    })])
}

/// Every kind that can be watched and deleted.
async fn kinds(api: &Api) -> Vec<Served> {
    let jitter = Jitter::from_name(ACCOUNT);
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        match discover(api).await {
            Ok(found) => {
                let watched = |kind: &Served| ["delete", "list", "watch"].iter().all(|verb| kind.can(verb));
                // Events own nothing, and end by themselves.
                return found.kinds.into_iter().filter(|k| watched(k) && k.resource.plural != "events").collect();
            }
            Err(error) => {
                tracing::debug!("cannot discover what to collect: {error}");
                tokio::time::sleep(backoff.next(&jitter)).await;
            }
        }
    }
}

fn collect(context: &Context, executor: Executor, kinds: Vec<Served>) -> JoinHandle<()> {
    let graph = Arc::new(Mutex::new(Graph::default()));
    let queue: Arc<WorkQueue<Key>> = Arc::new(WorkQueue::new("garbage_collector"));
    let mut stores = Vec::new();
    let mut by_kind = HashMap::new();
    for Served { resource, .. } in kinds {
        let store = context.informers.store_of::<Object>(Target::all(resource.clone()).metadata_only());
        executor.observe(&resource, &store);
        store.on_event({
            let (graph, queue, resource) = (graph.clone(), queue.clone(), resource.clone());
            move |event| {
                let work = match event {
                    Event::Applied { new, .. } => graph.lock().seen(&resource, new),
                    Event::Deleted(object) => graph.lock().removed(&object.metadata.uid),
                };
                work.into_iter().for_each(|uid| queue.add(Key::new("", &uid)));
            }
        });
        by_kind.insert((resource.group.to_string(), resource.kind.to_string()), resource);
        stores.push(store);
    }
    let synced = {
        let stores = stores.clone();
        async move {
            for store in &stores {
                store.synced().await;
            }
        }
    };
    let work = Collector { executor, graph, kinds: by_kind, _stores: stores };
    kit::run_work(context, work, queue, context.options.concurrent_gc_syncs, synced)
}

impl Collector {
    fn decide(&self, uid: &str) -> Verdict {
        let mapping = |api_version: &str, kind: &str| {
            let (group, _) = split_api_version(api_version);
            self.kinds.get(&(group.to_owned(), kind.to_owned())).cloned()
        };
        self.graph.lock().decide(uid, &mapping)
    }
}

impl Work for Collector {
    const NAME: &'static str = "garbage-collector-controller";

    async fn work(&self, key: &Key) -> Result<Option<Duration>, Failed> {
        loop {
            match self.decide(&key.name) {
                Verdict::Do(plan) => {
                    self.executor.run(&plan).await?;
                    return Ok(None);
                }
                Verdict::Ask(owner) => {
                    let api = self.executor.api();
                    let found: Option<Bare> = api.get_metadata(&owner.resource, &owner.namespace, &owner.name).await?;
                    let uid = owner.uid.unwrap_or_default();
                    let exists = found.is_some_and(|found| *found.metadata.uid == *uid);
                    let mut graph = self.graph.lock();
                    if exists { graph.known_there(&uid) } else { graph.known_gone(&uid) }
                }
            }
        }
    }
}
