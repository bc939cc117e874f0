//! Watches nodes for [`controllers::ttl`].

use std::sync::Arc;

use api_types::{
    object::{Object, Watched},
    plan::Decision,
};
use client::{Event, Store, WorkQueue};
use controllers::{
    ttl::{Size, reconcile},
    view::Node,
};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Reconciler};

const ACCOUNT: &str = "ttl-controller";

struct Nodes {
    nodes: Store<Node>,
    size: Mutex<Size>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let nodes = context.informers.store::<Node>();
    executor.observe(&Node::RESOURCE, &nodes);
    let queue = Arc::new(WorkQueue::new("ttlcontroller"));
    nodes.on_event({
        let queue = queue.clone();
        move |event| {
            // When the cluster grows past a boundary, each node learns of it with its next sign of life.
            if let Event::Applied { new, .. } = event {
                queue.add(Key::new("", new.name()));
            }
        }
    });
    let reconciler = Nodes { nodes: nodes.clone(), size: Mutex::default() };
    Ok(vec![kit::run(context, reconciler, executor, queue, 1, async move { nodes.synced().await })])
}

impl Reconciler for Nodes {
    const NAME: &'static str = "ttl-controller";

    fn decide(&self, key: &Key, _extra: Extra<'_>) -> Option<Decision> {
        let node = self.nodes.get("", &key.name)?;
        let mut size = self.size.lock();
        *size = size.at(self.nodes.len());
        Some(Decision::Do(reconcile(&node, *size)))
    }
}
