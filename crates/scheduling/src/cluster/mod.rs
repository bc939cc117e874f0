//! The cluster as the plugins see it: nodes as columns of numbers, placed pods as a few fields each.
//!
//! It changes in place with every watch event, so there is no snapshot to copy before a cycle. A pod is *assumed* from
//! the moment it is given a node until the watch shows it bound (or the binding fails and it is forgotten); it counts
//! like any other meanwhile. Pods may be known before their node is: such a node holds them but is not *live*.

mod budgets;
pub mod journal;
mod nominated;
mod placed;
mod topology;
mod workloads;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use budgets::Budgets;
use journal::{Census, Journal};
use nominated::Nominations;
use placed::Placed;
pub use placed::{Held, PodChange, PodId, Resident};
pub use topology::Domains;
use topology::Topologies;
use workloads::Workloads;

use crate::{
    features::Features,
    object,
    peers::{LabelSet, Peers},
    resources::Resources,
    shape::{Footprint, HostPort, Shared, normalized_image},
    storage::{Key, Storage},
};

/// A row of the columns. Rows are reused after their node is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taint {
    pub key: Arc<str>,
    pub value: Arc<str>,
    pub effect: Arc<str>,
}

/// Which of the things that decide about placement an update of a node touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeChange {
    pub allocatable: bool,
    pub labels: bool,
    pub taints: bool,
    pub unschedulable: bool,
    pub features: bool,
}

impl NodeChange {
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

/// What became of an update of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeUpdate {
    Added(NodeId),
    Changed(NodeId, NodeChange),
}

/// One number per node and resource.
#[derive(Debug, Default)]
pub struct Columns {
    pub milli_cpu: Vec<i64>,
    pub memory: Vec<i64>,
    pub ephemeral_storage: Vec<i64>,
    pub pods: Vec<i64>,
    /// Few nodes have any; by name, sorted.
    pub extended: Vec<Vec<(Arc<str>, i64)>>,
}

impl Columns {
    fn grow(&mut self) {
        self.milli_cpu.push(0);
        self.memory.push(0);
        self.ephemeral_storage.push(0);
        self.pods.push(0);
        self.extended.push(Vec::new());
    }

    fn row(&self, i: usize) -> Resources {
        Resources {
            milli_cpu: self.milli_cpu[i],
            memory: self.memory[i],
            ephemeral_storage: self.ephemeral_storage[i],
            extended: self.extended[i].clone(),
        }
    }

    fn set(&mut self, i: usize, row: Resources) {
        self.milli_cpu[i] = row.milli_cpu;
        self.memory[i] = row.memory;
        self.ephemeral_storage[i] = row.ephemeral_storage;
        self.extended[i] = row.extended;
    }

    pub fn extended(&self, i: usize, name: &str) -> i64 {
        self.extended[i].iter().find(|(have, _)| **have == *name).map_or(0, |(_, amount)| *amount)
    }
}

#[derive(Debug, Default)]
pub struct Cluster {
    by_name: HashMap<Arc<str>, NodeId>,
    live: Vec<NodeId>,
    free: Vec<NodeId>,
    names: Vec<Arc<str>>,
    present: Vec<bool>,
    generation: Vec<u64>,
    pub allocatable: Columns,
    pub requested: Columns,
    pub non_zero_milli_cpu: Vec<i64>,
    pub non_zero_memory: Vec<i64>,
    pub unschedulable: Vec<bool>,
    features: Vec<Features>,
    taints: Vec<Arc<[Taint]>>,
    labels: Vec<LabelSet>,
    images: Vec<Vec<(Arc<str>, i64)>>,
    ports: Vec<Vec<HostPort>>,
    nodes_with_image: HashMap<Arc<str>, u32>,
    placed: Vec<Option<Placed>>,
    free_pods: Vec<PodId>,
    by_uid: HashMap<Arc<str>, PodId>,
    on_node: Vec<Vec<PodId>>,
    census: Census,
    journal: Journal,
    nominations: Nominations,
    workloads: Workloads,
    budgets: Budgets,
    storage: Storage,
    claim_users: HashMap<Key, Vec<PodId>>,
    topologies: Topologies,
    namespaces: HashMap<Arc<str>, Arc<LabelSet>>,
    footprints: Shared<Footprint>,
    peers: Shared<Peers>,
    strings: Shared<str>,
    taint_sets: Shared<[Taint]>,
    last_generation: u64,
    images_generation: u64,
    labels_generation: u64,
    topology_generation: u64,
}

/// One node of the cluster.
#[derive(Clone, Copy)]
pub struct NodeRef<'a> {
    pub cluster: &'a Cluster,
    pub id: NodeId,
}

impl<'a> NodeRef<'a> {
    pub fn name(self) -> &'a Arc<str> {
        &self.cluster.names[self.id.index()]
    }

    pub fn labels(self) -> &'a [(Arc<str>, Arc<str>)] {
        &self.cluster.labels[self.id.index()]
    }

    pub fn taints(self) -> &'a [Taint] {
        &self.cluster.taints[self.id.index()]
    }

    pub fn unschedulable(self) -> bool {
        self.cluster.unschedulable[self.id.index()]
    }

    pub fn features(self) -> Features {
        self.cluster.features[self.id.index()]
    }

    pub fn ports(self) -> &'a [HostPort] {
        &self.cluster.ports[self.id.index()]
    }

    /// The size of an image by its normalised name, if the node has it.
    pub fn image_size(self, image: &str) -> Option<i64> {
        self.cluster.images[self.id.index()].iter().find(|(name, _)| **name == *image).map(|(_, size)| *size)
    }

    pub fn label(self, key: &str) -> Option<&'a str> {
        self.labels().iter().find(|(have, _)| **have == *key).map(|(_, value)| &**value)
    }
}

impl Cluster {
    /// The nodes that exist, in an order that changes only when nodes come and go.
    pub fn live(&self) -> &[NodeId] {
        &self.live
    }

    /// The number of rows, live or not.
    pub fn rows(&self) -> usize {
        self.names.len()
    }

    pub fn node(&self, id: NodeId) -> NodeRef<'_> {
        NodeRef { cluster: self, id }
    }

    pub fn is_live(&self, id: NodeId) -> bool {
        self.present.get(id.index()).is_some_and(|present| *present)
    }

    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.by_name.get(name).copied().filter(|id| self.is_live(*id))
    }

    /// Grows whenever anything about the node changes, images elsewhere excepted.
    pub fn generation(&self, id: NodeId) -> u64 {
        self.generation[id.index()]
    }

    /// Grows whenever any node gains or loses an image.
    pub fn images_generation(&self) -> u64 {
        self.images_generation
    }

    pub fn nodes_with_image(&self, image: &str) -> u32 {
        self.nodes_with_image.get(image).copied().unwrap_or(0)
    }

    /// Grows whenever nodes come or go, or change their labels or taints, and when labels of a namespace change: who
    /// counts pods by domain has to count again.
    pub fn topology_generation(&self) -> u64 {
        self.topology_generation
    }

    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    pub fn storage_mut(&mut self) -> &mut Storage {
        &mut self.storage
    }

    pub fn census(&self) -> &Census {
        &self.census
    }

    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Of a namespace that is not known, none.
    pub fn namespace_labels(&self, name: &str) -> Arc<LabelSet> {
        self.namespaces.get(name).cloned().unwrap_or_default()
    }

    /// Takes over a namespace as the watch shows it; true if its labels are new.
    pub fn set_namespace(&mut self, namespace: &object::Namespace) -> bool {
        let labels: LabelSet = namespace.metadata.labels.iter().map(|(k, v)| self.strings.pair(k, v)).collect();
        let known = self.namespaces.get(&*namespace.metadata.name);
        if known.is_some_and(|known| **known == labels) {
            return false;
        }
        self.namespaces.insert(namespace.metadata.name.as_ref().into(), Arc::new(labels));
        self.topology_generation += 1;
        true
    }

    pub fn remove_namespace(&mut self, name: &str) {
        if self.namespaces.remove(name).is_some() {
            self.topology_generation += 1;
        }
    }

    pub fn share_footprint(&mut self, footprint: Footprint) -> Arc<Footprint> {
        self.footprints.share(footprint)
    }

    pub fn share_peers(&mut self, peers: Peers) -> Arc<Peers> {
        self.peers.share(peers)
    }

    fn touch(&mut self, id: NodeId) {
        self.last_generation += 1;
        self.generation[id.index()] = self.last_generation;
    }

    fn row_for(&mut self, name: &str) -> NodeId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let shared: Arc<str> = name.into();
        let id = self.free.pop().unwrap_or_else(|| {
            self.names.push(shared.clone());
            self.present.push(false);
            self.generation.push(0);
            self.allocatable.grow();
            self.requested.grow();
            self.non_zero_milli_cpu.push(0);
            self.non_zero_memory.push(0);
            self.unschedulable.push(false);
            self.features.push(Features::default());
            self.taints.push(Arc::from([]));
            self.labels.push(Vec::new());
            self.images.push(Vec::new());
            self.ports.push(Vec::new());
            self.on_node.push(Vec::new());
            NodeId(u32::try_from(self.names.len() - 1).expect("fewer than four billion nodes"))
        });
        self.names[id.index()] = shared.clone();
        self.by_name.insert(shared, id);
        id
    }

    /// Takes over a node as the watch shows it.
    pub fn set_node(&mut self, node: &object::Node) -> NodeUpdate {
        let id = self.row_for(&node.metadata.name);
        let i = id.index();
        let added = !self.present[i];
        if added {
            self.present[i] = true;
            self.live.push(id);
        }

        let allocatable = Resources::from_list(&node.status.allocatable);
        let pods = node.status.allocatable.get("pods").map_or(0, api_types::Quantity::value);
        let labels: LabelSet = node.metadata.labels.iter().map(|(k, v)| self.strings.pair(k, v)).collect();
        let taints = self.taints_of(node);
        let features = Features::of_node(&node.status.declared_features);
        let change = NodeChange {
            allocatable: self.allocatable.row(i) != allocatable || self.allocatable.pods[i] != pods,
            labels: self.labels[i] != labels,
            taints: self.taints[i] != taints,
            unschedulable: self.unschedulable[i] != node.spec.unschedulable,
            features: self.features[i] != features,
        };
        let images_changed = self.set_images(i, node);
        self.labels_generation += u64::from(added || change.labels);
        self.topology_generation += u64::from(added || change.labels || change.taints);
        if added || change.any() || images_changed {
            self.allocatable.set(i, allocatable);
            self.allocatable.pods[i] = pods;
            self.labels[i] = labels;
            self.taints[i] = taints;
            self.unschedulable[i] = node.spec.unschedulable;
            self.features[i] = features;
            self.touch(id);
        }
        if added { NodeUpdate::Added(id) } else { NodeUpdate::Changed(id, change) }
    }

    fn taints_of(&mut self, node: &object::Node) -> Arc<[Taint]> {
        let strings = &mut self.strings;
        let taints: Vec<_> = node
            .spec
            .taints
            .iter()
            .map(|t| Taint {
                key: strings.share(t.key.as_str()),
                value: strings.share(t.value.as_deref().unwrap_or_default()),
                effect: strings.share(t.effect.as_str()),
            })
            .collect();
        self.taint_sets.share(taints)
    }

    fn set_images(&mut self, i: usize, node: &object::Node) -> bool {
        let mut images: Vec<(Arc<str>, i64)> = Vec::new();
        for image in &node.status.images {
            for name in &image.names {
                images.push((self.strings.share(normalized_image(name).as_str()), image.size_bytes));
            }
        }
        images.sort();
        images.dedup_by(|a, b| a.0 == b.0);
        if self.images[i] == images {
            return false;
        }
        let old = std::mem::replace(&mut self.images[i], images);
        for (name, _) in old {
            if let Entry::Occupied(mut count) = self.nodes_with_image.entry(name) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
        for (name, _) in &self.images[i] {
            *self.nodes_with_image.entry(name.clone()).or_insert(0) += 1;
        }
        self.images_generation += 1;
        true
    }

    /// The node is gone; pods still on it stay with its row until they go too.
    pub fn remove_node(&mut self, name: &str) {
        let Some(id) = self.find(name) else { return };
        self.set_images(id.index(), &object::Node::default());
        self.present[id.index()] = false;
        self.live.retain(|other| *other != id);
        self.labels_generation += 1;
        self.topology_generation += 1;
        for uid in self.nominated_on(id).map(|pod| pod.uid.clone()).collect::<Vec<_>>() {
            self.denominate(&uid);
        }
        self.touch(id);
        self.release_if_unused(id);
    }

    fn release_if_unused(&mut self, id: NodeId) {
        let i = id.index();
        if self.present[i] || self.requested.pods[i] != 0 {
            return;
        }
        self.by_name.remove(&self.names[i]);
        self.allocatable.set(i, Resources::default());
        self.allocatable.pods[i] = 0;
        self.labels[i] = Vec::new();
        self.taints[i] = Arc::from([]);
        self.unschedulable[i] = false;
        self.features[i] = Features::default();
        self.free.push(id);
    }
}
