//! Watches nodes for [`controllers::node_ipam`].

use std::sync::{Arc, Once};

use anyhow::Context as _;
use api_types::{
    object::Object,
    plan::{Decision, Plan},
};
use client::{Store, WorkQueue};
use controllers::{
    cidr::Cidr,
    node_ipam::{Allocator, assign, ranges},
    view::Node,
};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Reconciler};

const ACCOUNT: &str = "node-controller";

struct NodeIpam {
    nodes: Store<Node>,
    allocator: Mutex<Allocator>,
    /// Nothing is given away before all nodes have said what they have.
    told: Once,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let options = &context.options;
    if !options.allocate_node_cidrs {
        return Ok(Vec::new());
    }
    let parse =
        |texts: &[String]| texts.iter().map(|text| Ok(text.trim().parse()?)).collect::<anyhow::Result<Vec<Cidr>>>();
    let cluster = parse(&options.cluster_cidr).context("--cluster-cidr")?;
    anyhow::ensure!(!cluster.is_empty(), "--allocate-node-cidrs needs --cluster-cidr");
    let services = parse(&options.service_cluster_ip_range).context("--service-cluster-ip-range")?;
    let prefix = (options.node_cidr_mask_size_ipv4, options.node_cidr_mask_size_ipv6);
    let allocator = Allocator::new(&cluster, prefix, &services)?;

    let executor = context.executor(ACCOUNT);
    let nodes = kit::observed::<Node>(context, &executor);
    let queue = Arc::new(WorkQueue::new("node_ipam"));
    nodes.on_event({
        let queue = queue.clone();
        move |event| {
            // Heartbeats are none of our business.
            let before = event.both().next().map(|node| ranges(node));
            let same =
                event.both().count() == 2 && before.is_some_and(|b| !b.is_empty() && b == ranges(event.object()));
            if !same {
                queue.add(Key::of(&**event.object()));
            }
        }
    });
    let reconciler = NodeIpam { nodes: nodes.clone(), allocator: Mutex::new(allocator), told: Once::new() };
    Ok(vec![kit::run(context, reconciler, executor, queue, 1, async move { nodes.synced().await })])
}

impl Reconciler for NodeIpam {
    const NAME: &'static str = "node-ipam-controller";

    fn decide(&self, key: &Key, _: Extra<'_>) -> Option<Decision> {
        let mut allocator = self.allocator.lock();
        self.told.call_once(|| {
            for node in self.nodes.list() {
                allocator.seen(node.name(), &ranges(&node));
            }
        });
        let Some(node) = self.nodes.get("", &key.name) else {
            allocator.gone(&key.name);
            return None;
        };
        let present = ranges(&node);
        let plan = if present.is_empty() {
            assign(&node, allocator.choose(node.name()))
        } else {
            allocator.seen(node.name(), &present);
            Plan::default()
        };
        Some(Decision::Do(plan))
    }
}
