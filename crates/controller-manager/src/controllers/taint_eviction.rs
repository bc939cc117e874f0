//! Watches pods and nodes for [`controllers::taint_eviction`].

use std::sync::Arc;

use api_types::{
    object::{Object, Watched},
    plan::Decision,
};
use client::{Event, Store, WorkQueue};
use controllers::{
    taint_eviction::reconcile,
    view::{Node, Pod},
};
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Reconciler};

const ACCOUNT: &str = "node-controller";

struct TaintEviction {
    pods: Store<Pod>,
    nodes: Store<Node>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let nodes = context.informers.store::<Node>();
    let pods = context.pods().clone();
    executor.observe(&Pod::RESOURCE, &pods.store);
    let queue = Arc::new(WorkQueue::new("noexec_taint_pod"));
    pods.store.on_event({
        let queue = queue.clone();
        move |event| {
            // Only where it runs and what it tolerates matter.
            if let Event::Applied { old, new } = event
                && !new.spec.node_name.is_empty()
                && old.as_ref().is_none_or(|old| {
                    old.spec.node_name != new.spec.node_name || old.spec.tolerations != new.spec.tolerations
                })
            {
                queue.add(Key::of(&**new));
            }
        }
    });
    nodes.on_event({
        let (queue, by_node) = (queue.clone(), pods.by_node.clone());
        move |event| {
            let Event::Applied { old, new } = event else { return };
            let evicting = |node: &Node| {
                node.spec.taints.iter().filter(|taint| taint.effect == "NoExecute").cloned().collect::<Vec<_>>()
            };
            let now = evicting(new);
            if !now.is_empty() && old.as_ref().is_none_or(|old| evicting(old) != now) {
                for pod in by_node.get(new.name()) {
                    queue.add(Key::of(&*pod));
                }
            }
        }
    });
    let reconciler = TaintEviction { pods: pods.store.clone(), nodes: nodes.clone() };
    let synced = async move {
        pods.store.synced().await;
        nodes.synced().await;
    };
    Ok(vec![kit::run(context, reconciler, executor, queue, 4, synced)])
}

impl Reconciler for TaintEviction {
    const NAME: &'static str = "taint-eviction-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let pod = self.pods.get(&key.namespace, &key.name)?;
        let node = self.nodes.get("", &pod.spec.node_name);
        Some(Decision::Do(reconcile(&pod, node.as_deref(), extra.now)))
    }
}
