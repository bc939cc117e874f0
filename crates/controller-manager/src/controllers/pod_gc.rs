//! Watches pods and nodes for [`controllers::pod_gc`].

use std::{collections::HashMap, sync::Arc, time::Duration};

use api_types::{
    object::{Object, Watched},
    plan::{Plan, Target},
};
use client::{Event, Executor, Store, WorkQueue};
use component::Clock;
use controllers::{
    pod_gc::{Place, Verdict, ended, reconcile},
    view::{Node, Pod},
};
use parking_lot::Mutex;
use tokio::{task::JoinHandle, time::Instant};

use crate::kit::{self, Context, Failed, Key, Work};

const ACCOUNT: &str = "pod-garbage-collector";

struct PodGc {
    executor: Executor,
    pods: Store<Pod>,
    nodes: Store<Node>,
    /// Nodes that pods name and the cache lacks, since when.
    missing: Mutex<HashMap<String, Instant>>,
    threshold: usize,
    clock: Arc<dyn Clock>,
}

/// The key of the count of ended pods: not the name of any pod.
fn count() -> Key {
    Key::new("", "")
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let nodes = context.informers.store::<Node>();
    let pods = context.pods().clone();
    executor.observe(&Pod::RESOURCE, &pods.store);
    let queue = Arc::new(WorkQueue::new("pod_gc"));
    pods.store.on_event({
        let queue = queue.clone();
        move |event| pod_changed(event, &queue)
    });
    nodes.on_event({
        let (queue, by_node) = (queue.clone(), pods.by_node.clone());
        move |event| {
            let settled = match event {
                Event::Deleted(_) => false,
                Event::Applied { old, new } => old.as_ref().is_some_and(|old| old.spec.taints == new.spec.taints),
            };
            if !settled {
                for pod in by_node.get(event.object().name()) {
                    queue.add(Key::of(&*pod));
                }
            }
        }
    });
    let work = PodGc {
        executor,
        pods: pods.store.clone(),
        nodes: nodes.clone(),
        missing: Mutex::default(),
        threshold: context.options.terminated_pod_gc_threshold,
        clock: context.clock.clone(),
    };
    let synced = async move {
        pods.store.synced().await;
        nodes.synced().await;
    };
    Ok(vec![kit::run_work(context, work, queue, 2, synced)])
}

fn pod_changed(event: &Event<Pod>, queue: &WorkQueue<Key>) {
    let Event::Applied { old, new } = event else { return };
    let old = old.as_deref();
    if new.finished() && old.is_none_or(|old| !old.finished()) {
        queue.add(count());
    }
    let placed = old.is_none_or(|old| old.spec.node_name != new.spec.node_name);
    let deleted = new.metadata.deleting() && old.is_none_or(|old| !old.metadata.deleting());
    if placed || deleted {
        queue.add(Key::of(&**new));
    }
}

impl PodGc {
    /// For how long the node has been missing.
    fn missing_for(&self, node: &str) -> Duration {
        self.missing.lock().entry(node.to_owned()).or_insert_with(Instant::now).elapsed()
    }

    async fn pod(&self, pod: &Pod) -> Result<Plan, Failed> {
        let name = &*pod.spec.node_name;
        let node = self.nodes.get("", name);
        let place = match &node {
            _ if name.is_empty() => Place::Unscheduled,
            Some(node) => {
                self.missing.lock().remove(name);
                Place::On(node)
            }
            None => Place::Missing(self.missing_for(name)),
        };
        let now = self.clock.now();
        let node = match reconcile(pod, place, now) {
            Verdict::Do(plan) => return Ok(plan),
            Verdict::AskForNode(node) => node,
        };
        let live = kit::live(&self.executor, &Target::named(Node::RESOURCE, "", &node)).await?;
        match reconcile(pod, Place::Gone, now) {
            Verdict::Do(plan) if live.uid.is_none() => Ok(plan),
            // It exists: the cache will say so.
            _ => Ok(Plan::default()),
        }
    }
}

impl Work for PodGc {
    const NAME: &'static str = "pod-garbage-collector-controller";

    async fn work(&self, key: &Key) -> Result<Option<Duration>, Failed> {
        let plan = if *key == count() {
            ended(&self.pods.list(), self.threshold)
        } else {
            match self.pods.get(&key.namespace, &key.name) {
                None => return Ok(None),
                Some(pod) => self.pod(&pod).await?,
            }
        };
        self.executor.run(&plan).await?;
        Ok(plan.again_in)
    }
}
