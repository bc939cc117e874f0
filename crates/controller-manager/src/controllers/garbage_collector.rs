//! Watches the metadata of every kind for [`controllers::garbage_collector`].
//!
//! Kinds come and go with their definitions: a change of one is the cause to ask what is served.

use std::{collections::HashMap, sync::Arc, time::Duration};

use api_types::{names::split_api_version, object::Resource};
use client::{
    Api, Backoff, Event, Executor, Informers, Jitter, Store, Target, WorkQueue,
    discovery::{Served, discover},
};
use controllers::{
    garbage_collector::{Graph, Object, Verdict},
    view::Bare,
};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinHandle};

use crate::kit::{self, Context, Failed, Key, Work};

const ACCOUNT: &str = "generic-garbage-collector";
/// Whoever comes and goes here brings kinds or takes them away.
const DEFINITIONS: (&str, &str) = ("apiextensions.k8s.io", "customresourcedefinitions");
/// Changes of definitions in so short a time lead to one look.
const GATHER: Duration = Duration::from_millis(100);
/// An owner that exists and that the watch has not shown is looked at again after this time.
const NOT_SEEN_YET: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Collector {
    executor: Executor,
    informers: Informers,
    graph: Arc<Mutex<Graph>>,
    queue: Arc<WorkQueue<Key>>,
    /// By group and kind; a reference's version does not matter.
    kinds: Arc<Mutex<HashMap<(String, String), Watched>>>,
    definitions_changed: Arc<Notify>,
}

struct Watched {
    resource: Resource,
    store: Store<Object>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let collector = Collector {
        executor: context.executor(ACCOUNT),
        informers: context.informers.clone(),
        graph: Arc::default(),
        queue: Arc::new(WorkQueue::new("garbage_collector")),
        kinds: Arc::default(),
        definitions_changed: Arc::default(),
    };
    let context = context.clone();
    let shutdown = context.shutdown.clone();
    let running = async move {
        collector.watch(served(context.informers.api()).await);
        let (queue, workers) = (collector.queue.clone(), context.options.concurrent_gc_syncs);
        // Ends with the shutdown.
        drop(kit::run_work(&context, collector.clone(), queue, workers, collector.clone().synced()));
        collector.follow_definitions().await;
    };
    Ok(vec![tokio::spawn(async move {
        shutdown.or(running).await;
    })])
}

/// Every kind that can be watched and deleted.
async fn served(api: &Api) -> Vec<Resource> {
    let jitter = Jitter::from_name(ACCOUNT);
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        match discover(api).await {
            Ok(found) => {
                let watched = |kind: &Served| ["delete", "list", "watch"].iter().all(|verb| kind.can(verb));
                // Events own nothing, and end by themselves.
                let kinds = found.kinds.into_iter().filter(|k| watched(k) && k.resource.plural != "events");
                return kinds.map(|kind| kind.resource).collect();
            }
            Err(error) => {
                tracing::debug!("cannot discover what to collect: {error}");
                tokio::time::sleep(backoff.next(&jitter)).await;
            }
        }
    }
}

impl Collector {
    async fn follow_definitions(&self) {
        loop {
            self.definitions_changed.notified().await;
            tokio::time::sleep(GATHER).await;
            self.watch(served(self.informers.api()).await);
        }
    }

    /// Watches these kinds and no others.
    fn watch(&self, served: Vec<Resource>) {
        let mut kinds = self.kinds.lock();
        kinds.retain(|_, watched| {
            let stays = served.contains(&watched.resource);
            if !stays {
                self.executor.forget(&watched.resource);
                self.graph.lock().unwatched(&watched.resource);
            }
            stays
        });
        for resource in served {
            let key = (resource.group.to_string(), resource.kind.to_string());
            if kinds.contains_key(&key) {
                continue;
            }
            let store = self.store_of(&resource);
            kinds.insert(key, Watched { resource: resource.clone(), store });
            self.enqueue(self.graph.lock().watched(&resource));
        }
    }

    fn store_of(&self, resource: &Resource) -> Store<Object> {
        let store = self.informers.store_of::<Object>(Target::all(resource.clone()).metadata_only());
        self.executor.observe(resource, &store);
        let brings_kinds = (&*resource.group, &*resource.plural) == DEFINITIONS;
        store.on_event({
            let (graph, queue, resource) = (self.graph.clone(), self.queue.clone(), Arc::new(resource.clone()));
            let changed = self.definitions_changed.clone();
            move |event| {
                if brings_kinds {
                    changed.notify_one();
                }
                let work = match event {
                    Event::Applied { new, .. } => graph.lock().seen(&resource, new),
                    Event::Deleted(object) => graph.lock().removed(&object.metadata.uid),
                };
                work.into_iter().for_each(|uid| queue.add(Key::new("", &uid)));
            }
        });
        store
    }

    fn enqueue(&self, uids: Vec<Box<str>>) {
        uids.into_iter().for_each(|uid| self.queue.add(Key::new("", &uid)));
    }

    async fn synced(self) {
        let stores: Vec<_> = self.kinds.lock().values().map(|watched| watched.store.clone()).collect();
        for store in stores {
            store.synced().await;
        }
    }

    fn decide(&self, uid: &str) -> Verdict {
        // Always before the graph.
        let kinds = self.kinds.lock();
        let mapping = |api_version: &str, kind: &str| {
            let (group, _) = split_api_version(api_version);
            kinds.get(&(group.to_owned(), kind.to_owned())).map(|watched| watched.resource.clone())
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
                    if found.is_some_and(|found| *found.metadata.uid == *uid) {
                        return Ok(Some(NOT_SEEN_YET));
                    }
                    self.graph.lock().known_gone(&uid);
                }
            }
        }
    }
}
