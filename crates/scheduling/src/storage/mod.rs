//! Claims and volumes as the plugins see them: what the API server shows, and what has been decided since.
//!
//! A volume that a pod's claim is to be bound to, and a node that a claim's volume is to be made for, count as taken
//! from the decision on, until the API server shows it or the binding fails.

pub mod object;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use api_types::{Quantity, selector::Selector};
use object::{Capacity, Claim, Class, CsiDriver, CsiNode, Volume};

use crate::{
    cluster::NodeRef,
    node_selector::{NodeView, Required},
    peers::selector,
};

/// Namespace and name.
pub type Key = (Arc<str>, Arc<str>);

const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// A claim, with what the plugins ask of it worked out.
#[derive(Debug)]
pub struct KnownClaim {
    pub claim: Claim,
    pub size: i64,
    selector: Option<Selector>,
}

impl KnownClaim {
    pub fn key(&self) -> Key {
        (self.claim.metadata.namespace.as_ref().into(), self.claim.metadata.name.as_ref().into())
    }

    /// Bound for good, as the volume controller says.
    pub fn is_bound(&self) -> bool {
        !self.claim.spec.volume_name.is_empty() && self.claim.metadata.annotations.bind_completed.is_some()
    }

    pub fn class(&self) -> &str {
        self.claim.spec.storage_class_name.as_deref().unwrap_or_default()
    }
}

#[derive(Debug)]
pub struct KnownVolume {
    pub volume: Volume,
    size: i64,
    reachable_from: Required,
}

impl KnownVolume {
    /// Its node affinity lets it be used there.
    pub fn is_reachable_from(&self, node: NodeRef<'_>) -> bool {
        self.reachable_from.matches(NodeView { name: node.name(), labels: node.labels() })
    }
}

#[derive(Debug, Default)]
pub struct Storage {
    claims: HashMap<Key, Arc<KnownClaim>>,
    volumes: BTreeMap<Arc<str>, Arc<KnownVolume>>,
    classes: HashMap<Arc<str>, Arc<Class>>,
    /// How many volumes of each driver can be attached to a node.
    limits: HashMap<Arc<str>, HashMap<String, usize>>,
    /// Drivers that report how much room they have.
    reporting: HashMap<Arc<str>, bool>,
    capacities: BTreeMap<Key, (Capacity, Selector)>,
    /// Volumes that are to be bound, and to which claims.
    taken: HashMap<Arc<str>, Key>,
    /// Claims whose volume is to be made for a node.
    selected: HashMap<Key, Arc<str>>,
    generation: u64,
}

/// What has to be written for a pod's claims before the pod can be bound.
#[derive(Clone, Debug, Default)]
pub struct VolumeWork {
    /// Volumes that are to be bound to claims.
    pub bind: Vec<(Arc<str>, Key)>,
    /// Claims whose volume is to be made for the pod's node.
    pub provision: Vec<Key>,
}

impl VolumeWork {
    pub fn is_empty(&self) -> bool {
        self.bind.is_empty() && self.provision.is_empty()
    }
}

/// Why a claim that waits for its first consumer cannot have a volume on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoVolume {
    NoneToBind,
    NotEnoughSpace,
}

fn storage_of(list: &crate::object::ResourceList) -> i64 {
    list.get("storage").map_or(0, Quantity::value)
}

impl Storage {
    /// Grows with every change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn set_claim(&mut self, claim: &Claim) {
        let known = KnownClaim {
            size: storage_of(&claim.spec.resources.requests),
            selector: claim.spec.selector.as_ref().map(|s| selector(Some(s), Vec::new())),
            claim: claim.clone(),
        };
        let key = known.key();
        if known.is_bound() {
            self.selected.remove(&key);
            self.taken.retain(|_, claim| *claim != key);
        }
        self.claims.insert(key, Arc::new(known));
        self.generation += 1;
    }

    pub fn remove_claim(&mut self, claim: &Claim) {
        let key = (claim.metadata.namespace.as_ref().into(), claim.metadata.name.as_ref().into());
        self.claims.remove(&key);
        self.selected.remove(&key);
        self.taken.retain(|_, claim| *claim != key);
        self.generation += 1;
    }

    pub fn set_volume(&mut self, volume: &Volume) {
        let required = volume.spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref());
        let known = KnownVolume {
            size: storage_of(&volume.spec.capacity),
            reachable_from: Required::compile(&BTreeMap::new(), required),
            volume: volume.clone(),
        };
        self.volumes.insert(volume.metadata.name.as_ref().into(), Arc::new(known));
        self.generation += 1;
    }

    pub fn remove_volume(&mut self, name: &str) {
        self.volumes.remove(name);
        self.taken.remove(name);
        self.generation += 1;
    }

    pub fn set_class(&mut self, class: &Class) {
        self.classes.insert(class.metadata.name.as_ref().into(), Arc::new(class.clone()));
        self.generation += 1;
    }

    pub fn remove_class(&mut self, name: &str) {
        self.classes.remove(name);
        self.generation += 1;
    }

    pub fn set_csi_node(&mut self, node: &CsiNode) {
        let limit = |d: &object::CsiNodeDriver| Some((d.name.clone(), d.allocatable.as_ref()?.count?));
        let limits = node.spec.drivers.iter().filter_map(limit).collect();
        self.limits.insert(node.metadata.name.as_ref().into(), limits);
        self.generation += 1;
    }

    pub fn remove_csi_node(&mut self, name: &str) {
        self.limits.remove(name);
        self.generation += 1;
    }

    pub fn set_driver(&mut self, driver: &CsiDriver) {
        self.reporting.insert(driver.metadata.name.as_ref().into(), driver.spec.storage_capacity);
        self.generation += 1;
    }

    pub fn remove_driver(&mut self, name: &str) {
        self.reporting.remove(name);
        self.generation += 1;
    }

    pub fn set_capacity(&mut self, capacity: &Capacity) {
        let key = (capacity.metadata.namespace.as_ref().into(), capacity.metadata.name.as_ref().into());
        let nodes = selector(capacity.node_topology.as_ref(), Vec::new());
        self.capacities.insert(key, (capacity.clone(), nodes));
        self.generation += 1;
    }

    pub fn remove_capacity(&mut self, capacity: &Capacity) {
        let key = (capacity.metadata.namespace.as_ref().into(), capacity.metadata.name.as_ref().into());
        self.capacities.remove(&key);
        self.generation += 1;
    }

    pub fn claim(&self, key: &Key) -> Option<&Arc<KnownClaim>> {
        self.claims.get(key)
    }

    pub fn volume(&self, name: &str) -> Option<&Arc<KnownVolume>> {
        self.volumes.get(name)
    }

    pub fn class(&self, name: &str) -> Option<&Arc<Class>> {
        self.classes.get(name)
    }

    /// How many volumes of a driver a node takes, if it is known.
    pub fn limit(&self, node: &str, driver: &str) -> Option<usize> {
        self.limits.get(node)?.get(driver).copied()
    }

    /// The claim is bound only once a pod that uses it has a node.
    pub fn waits_for_consumer(&self, claim: &KnownClaim) -> bool {
        let mode = self.class(claim.class()).and_then(|class| class.volume_binding_mode.as_deref());
        mode == Some("WaitForFirstConsumer")
    }

    /// What to do so that these claims get volumes that a node can use.
    ///
    /// # Errors
    /// What is missing.
    pub fn plan(&self, claims: &[Arc<KnownClaim>], node: NodeRef<'_>) -> Result<VolumeWork, NoVolume> {
        let mut work = VolumeWork::default();
        for claim in claims {
            let key = claim.key();
            let selected = self.selected.get(&key).map(|node| &**node);
            if let Some(selected) = selected.or(claim.claim.metadata.annotations.selected_node.as_deref()) {
                // A volume is being made already.
                if *selected != **node.name() {
                    return Err(NoVolume::NoneToBind);
                }
                work.provision.push(key);
                continue;
            }
            match self.smallest_fitting(claim, node, &work) {
                Some(volume) => work.bind.push((volume, key)),
                None => {
                    self.can_be_made(claim, node)?;
                    work.provision.push(key);
                }
            }
        }
        Ok(work)
    }

    fn smallest_fitting(&self, claim: &KnownClaim, node: NodeRef<'_>, work: &VolumeWork) -> Option<Arc<str>> {
        let key = claim.key();
        let is_free = |name: &Arc<str>| {
            self.taken.get(name).is_none_or(|taken| *taken == key) && !work.bind.iter().any(|(bound, _)| bound == name)
        };
        let usable =
            self.volumes.iter().filter(|(name, v)| is_free(name) && fits(claim, v) && v.is_reachable_from(node));
        let (reserved, open): (Vec<_>, Vec<_>) = usable.partition(|(_, v)| is_reserved_for(v, claim));
        let best = reserved.into_iter().next().or_else(|| open.into_iter().min_by_key(|(_, v)| v.size));
        best.map(|(name, _)| name.clone())
    }

    fn can_be_made(&self, claim: &KnownClaim, node: NodeRef<'_>) -> Result<(), NoVolume> {
        let class = self.class(claim.class()).ok_or(NoVolume::NoneToBind)?;
        if class.provisioner.is_empty() || class.provisioner == NO_PROVISIONER || !allows(class, node) {
            return Err(NoVolume::NoneToBind);
        }
        if !self.reporting.get(class.provisioner.as_str()).copied().unwrap_or(false) {
            return Ok(());
        }
        let has_room = |(capacity, nodes): &(Capacity, Selector)| {
            let most = capacity.maximum_volume_size.as_ref().or(capacity.capacity.as_ref());
            capacity.storage_class_name == claim.class()
                && most.is_some_and(|most| most.value() >= claim.size)
                && nodes.matches(node.labels())
        };
        if self.capacities.values().any(has_room) { Ok(()) } else { Err(NoVolume::NotEnoughSpace) }
    }

    /// Counts what was planned as done.
    pub fn assume(&mut self, work: &VolumeWork, node: &Arc<str>) {
        for (volume, claim) in &work.bind {
            self.taken.insert(volume.clone(), claim.clone());
        }
        for claim in &work.provision {
            self.selected.insert(claim.clone(), node.clone());
        }
        self.generation += 1;
    }

    /// It was not done after all.
    pub fn forget(&mut self, work: &VolumeWork) {
        for (volume, _) in &work.bind {
            self.taken.remove(volume);
        }
        for claim in &work.provision {
            self.selected.remove(claim);
        }
        self.generation += 1;
    }
}

/// The volume's reference names this claim, before or after the two are bound.
fn is_reserved_for(volume: &KnownVolume, claim: &KnownClaim) -> bool {
    volume.volume.spec.claim_ref.as_ref().is_some_and(|reference| {
        let metadata = &claim.claim.metadata;
        *reference.namespace == *metadata.namespace
            && *reference.name == *metadata.name
            && (reference.uid.is_empty() || *reference.uid == *metadata.uid)
    })
}

fn fits(claim: &KnownClaim, known: &KnownVolume) -> bool {
    let (volume, wanted) = (&known.volume, &claim.claim.spec);
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".into());
    let basics = !volume.metadata.deleting()
        && known.size >= claim.size
        && mode(&volume.spec.volume_mode) == mode(&wanted.volume_mode);
    if !basics || is_reserved_for(known, claim) {
        return basics;
    }
    volume.spec.claim_ref.is_none()
        && volume.status.phase.as_deref() == Some("Available")
        && volume.spec.storage_class_name == claim.class()
        && wanted.access_modes.iter().all(|mode| volume.spec.access_modes.contains(mode))
        && claim.selector.as_ref().is_none_or(|selector| selector.matches(&volume.metadata.labels))
}

/// One of the class's topologies, if it has any, holds for the node.
fn allows(class: &Class, node: NodeRef<'_>) -> bool {
    class.allowed_topologies.is_empty()
        || class.allowed_topologies.iter().any(|term| {
            let mut expressions = term.match_label_expressions.iter().flatten();
            expressions.all(|e| node.label(&e.key).is_some_and(|value| e.values.iter().any(|v| v == value)))
        })
}
