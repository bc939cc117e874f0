//! The pods that have a node: what each holds, who they are, and the sums the plugins read.

use std::sync::Arc;

use super::{Cluster, NodeId, journal::Entry};
use crate::{object, peers::Peers, resources::Resources, shape::Footprint, storage::Key, volumes::Volumes};

/// What a pod holds of its node, and what it is to others.
#[derive(Clone, Debug, Default)]
pub struct Held {
    pub footprint: Arc<Footprint>,
    pub peers: Arc<Peers>,
    pub volumes: Option<Arc<Volumes>>,
}

impl Held {
    fn is_same(&self, other: &Self) -> bool {
        self.footprint == other.footprint && self.peers == other.peers && self.volumes == other.volumes
    }
}

/// A pod on its way to a node, or on one.
#[derive(Clone, Debug)]
pub struct Resident {
    pub uid: Arc<str>,
    pub name: Arc<str>,
    pub held: Held,
    pub priority: i32,
    /// When it started, in seconds since 1970; `i64::MAX` until it has.
    pub started: i64,
    /// It is being deleted to make room for a more important one.
    pub preempted: bool,
}

/// The place of a pod in the list of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PodId(u32);

#[derive(Debug)]
pub(super) struct Placed {
    pub resident: Resident,
    pub node: NodeId,
    /// Not yet seen bound.
    pub assumed: bool,
    /// Taken off its node for the length of a question.
    pub away: bool,
}

/// What a pod that was seen changed.
#[derive(Debug, Default)]
pub struct PodChange {
    /// What it no longer holds, and where.
    pub freed: Option<(NodeId, Held)>,
    /// What it has been seen to hold for the first time, and where.
    pub placed: Option<(NodeId, Held)>,
}

impl Cluster {
    /// Counts a pod on the node it has just been given, before the API server knows.
    pub fn assume(&mut self, resident: Resident, node: NodeId) {
        self.remove_pod(&resident.uid);
        self.insert(resident, node, true);
    }

    /// A pod's binding failed: its place is free again, unless the watch has shown it bound after all.
    pub fn forget(&mut self, uid: &str) -> Option<(NodeId, Held)> {
        if self.is_assumed(uid) { self.remove_pod(uid) } else { None }
    }

    pub fn is_placed(&self, uid: &str) -> bool {
        self.by_uid.contains_key(uid)
    }

    pub fn is_assumed(&self, uid: &str) -> bool {
        self.by_uid.get(uid).is_some_and(|id| self.placed(*id).is_some_and(|pod| pod.assumed))
    }

    pub fn placed_as(&self, uid: &str) -> Option<&Resident> {
        self.resident(*self.by_uid.get(uid)?)
    }

    /// The number of pods that have a node.
    pub fn pods(&self) -> usize {
        self.by_uid.len()
    }

    fn placed(&self, id: PodId) -> Option<&Placed> {
        self.placed.get(id.0 as usize)?.as_ref()
    }

    /// Takes over a bound pod as the watch shows it.
    pub fn set_pod(&mut self, pod: &object::Pod, node: &str) -> PodChange {
        let held = Held {
            footprint: self.footprints.share(Footprint::of(pod)),
            peers: self.peers.share(Peers::of(pod)),
            volumes: Volumes::of(pod),
        };
        let priority = pod.spec.priority.unwrap_or(0);
        let preempted = pod.is_deleting() && pod.status.conditions.preempted;
        let started = pod.status.start_time.as_ref().map_or(i64::MAX, |time| time.0.as_second());
        let node = self.row_for(node);
        if let Some(id) = self.by_uid.get(&*pod.metadata.uid)
            && let Some(known) = self.placed.get_mut(id.0 as usize).and_then(Option::as_mut)
            && (known.node, known.resident.priority) == (node, priority)
            && known.resident.held.is_same(&held)
        {
            (known.resident.started, known.resident.preempted) = (started, preempted);
            let first = std::mem::replace(&mut known.assumed, false);
            return PodChange { freed: None, placed: first.then_some((node, held)) };
        }
        let freed = self.remove_pod(&pod.metadata.uid);
        let resident = Resident {
            uid: pod.metadata.uid.as_ref().into(),
            name: pod.metadata.name.as_ref().into(),
            held: held.clone(),
            priority,
            started,
            preempted,
        };
        self.insert(resident, node, false);
        PodChange { freed, placed: Some((node, held)) }
    }

    fn insert(&mut self, resident: Resident, node: NodeId, assumed: bool) {
        self.account(node, &resident, 1);
        self.write_down(node, &resident.held.peers, 1);
        let uid = resident.uid.clone();
        let placed = Some(Placed { resident, node, assumed, away: false });
        let id = match self.free_pods.pop() {
            Some(id) => {
                self.placed[id.0 as usize] = placed;
                id
            }
            None => {
                self.placed.push(placed);
                PodId(u32::try_from(self.placed.len() - 1).expect("fewer than four billion pods"))
            }
        };
        self.on_node[node.index()].push(id);
        self.by_uid.insert(uid, id);
        if let Some(volumes) = self.resident(id).and_then(|pod| pod.held.volumes.clone()) {
            for key in volumes.keys() {
                self.claim_users.entry(key).or_default().push(id);
            }
        }
    }

    /// Some pod with a node, other than those that are away, uses this claim.
    pub fn is_claim_used(&self, claim: &Key) -> bool {
        let users = self.claim_users.get(claim).into_iter().flatten();
        users.filter_map(|id| self.placed(*id)).any(|pod| !pod.away)
    }

    /// The pod is gone or has ended. Answers what it held.
    pub fn remove_pod(&mut self, uid: &str) -> Option<(NodeId, Held)> {
        let id = self.by_uid.remove(uid)?;
        let Placed { resident, node, .. } = self.placed.get_mut(id.0 as usize)?.take()?;
        self.free_pods.push(id);
        for key in resident.held.volumes.iter().flat_map(|volumes| volumes.keys()) {
            if let Some(users) = self.claim_users.get_mut(&key) {
                users.retain(|user| *user != id);
                if users.is_empty() {
                    self.claim_users.remove(&key);
                }
            }
        }
        self.on_node[node.index()].retain(|other| *other != id);
        self.account(node, &resident, -1);
        self.write_down(node, &resident.held.peers, -1);
        self.release_if_unused(node);
        Some((node, resident.held))
    }

    fn write_down(&mut self, node: NodeId, peers: &Arc<Peers>, count: i64) {
        self.census.count(peers, node, count);
        self.journal.push(Entry { peers: peers.clone(), node, count });
        self.touch(node);
    }

    /// The pods on a node, those that are away excepted.
    pub fn pods_on(&self, node: NodeId) -> impl Iterator<Item = (PodId, &Resident)> {
        let ids = self.on_node.get(node.index()).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.placed(*id)?)))
            .filter(|(_, pod)| !pod.away)
            .map(|(id, pod)| (id, &pod.resident))
    }

    pub fn resident(&self, id: PodId) -> Option<&Resident> {
        self.placed(id).map(|pod| &pod.resident)
    }

    /// Takes a pod off its node, or puts it back, only to ask what would be: no generation changes and nothing is
    /// written down. Everything must be back before anything else happens.
    pub(crate) fn set_away(&mut self, id: PodId, away: bool) {
        let Some(pod) = self.placed.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        if pod.away != away {
            pod.away = away;
            let (node, resident) = (pod.node, pod.resident.clone());
            self.account(node, &resident, if away { -1 } else { 1 });
        }
    }

    /// Puts a pod that is not there on a node, or takes it off, only to ask what would be.
    pub(crate) fn suppose(&mut self, node: NodeId, resident: &Resident, there: bool) {
        self.account(node, resident, if there { 1 } else { -1 });
    }

    fn account(&mut self, node: NodeId, resident: &Resident, sign: i64) {
        let i = node.index();
        let footprint = &resident.held.footprint;
        let held = &footprint.requests;
        self.requested.milli_cpu[i] += sign * held.milli_cpu;
        self.requested.memory[i] += sign * held.memory;
        self.requested.ephemeral_storage[i] += sign * held.ephemeral_storage;
        self.requested.pods[i] += sign;
        if !held.extended.is_empty() {
            let mut row = self.requested.row(i);
            let extended = Resources { extended: held.extended.clone(), ..Resources::default() };
            if sign > 0 {
                row.add_all(&extended)
            } else {
                row.subtract_all(&extended)
            }
            self.requested.extended[i] = row.extended;
        }
        self.non_zero_milli_cpu[i] += sign * footprint.non_zero_milli_cpu;
        self.non_zero_memory[i] += sign * footprint.non_zero_memory;
        for port in &footprint.ports {
            if sign > 0 {
                self.ports[i].push(port.clone());
            } else if let Some(at) = self.ports[i].iter().position(|have| have == port) {
                self.ports[i].swap_remove(at);
            }
        }
    }
}
