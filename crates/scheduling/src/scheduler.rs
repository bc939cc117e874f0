//! The scheduler as one state machine: it is fed what the watches say and how bindings end, and says which pod goes
//! where next. Its caller carries that out and tells it the time.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;

use crate::{
    cluster::{Cluster, Held, NodeId, NodeUpdate, Resident},
    config::Configuration,
    cycle::{Cycle, FitError},
    framework::{ClusterEvent, Permit, Point, Reason, StorageEvent},
    object::{Namespace, Node, Pod},
    peers::Peers,
    profile::{PluginSet, Profile},
    queue::{Counts, Failure, Help, InFlight, Queue, Waiting},
    shape::{Shape, Shared},
    storage::VolumeWork,
    volumes::Volumes,
};

/// A pod and the node it is to be bound to.
#[derive(Clone, Debug)]
pub struct Placement {
    pub pod: InFlight,
    pub node: Arc<str>,
    /// What has to be done for its claims first, and how long that may take.
    pub volumes: VolumeWork,
    pub bind_timeout_seconds: u64,
}

/// How an attempt to place a pod ended.
#[derive(Clone, Debug)]
pub enum Attempt {
    /// The pod counts on its node from now on; it has to be bound, and [`Scheduler::bound`] or
    /// [`Scheduler::not_bound`] be called.
    Placed(Placement),
    /// No node would do, for this reason. The pod waits for a change.
    Unschedulable { pod: InFlight, message: String, nomination: Nomination },
}

/// What becomes of the node that a refused pod is meant for (`status.nominatedNodeName`).
#[derive(Clone, Debug)]
pub enum Nomination {
    Keep,
    Clear,
    /// These pods are to be evicted to make room; if that fails, [`Scheduler::eviction_failed`] is to be called.
    Evict(Preemption),
}

#[derive(Clone, Debug)]
pub struct Preemption {
    pub node: Arc<str>,
    pub victims: Vec<Resident>,
    /// Less important pods that were meant for the same node and are so no longer: uid, namespace and name.
    pub displaced: Vec<Resident>,
}

impl Attempt {
    pub fn pod(&self) -> &InFlight {
        match self {
            Self::Placed(placement) => &placement.pod,
            Self::Unschedulable { pod, .. } => pod,
        }
    }
}

#[derive(Debug)]
pub struct Scheduler {
    profiles: Vec<Profile>,
    by_name: HashMap<Arc<str>, usize>,
    cluster: Cluster,
    queue: Queue,
    cycle: Cycle,
    shapes: Shared<Shape>,
    /// The victims of each pod that waits for its preemption to be carried out.
    evicting: HashMap<Arc<str>, Vec<Arc<str>>>,
}

impl Scheduler {
    pub fn new(configuration: Configuration) -> Self {
        let Configuration { profiles, initial_backoff, max_backoff } = configuration;
        let by_name = profiles.iter().enumerate().map(|(at, profile)| (profile.scheduler_name.clone(), at)).collect();
        Self {
            profiles,
            by_name,
            cluster: Cluster::default(),
            queue: Queue::new(initial_backoff, max_backoff),
            cycle: Cycle::default(),
            shapes: Shared::default(),
            evicting: HashMap::new(),
        }
    }

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub fn counts(&self) -> Counts {
        self.queue.counts()
    }

    pub fn queue_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }

    pub fn scheduler_name(&self, profile: usize) -> &Arc<str> {
        &self.profiles[profile].scheduler_name
    }

    /// When [`Scheduler::next`] has something to do though nothing happens.
    pub fn next_tick(&self) -> Option<Timestamp> {
        self.queue.next_tick()
    }

    pub fn apply_node(&mut self, node: &Node, now: Timestamp) {
        match self.cluster.set_node(node) {
            NodeUpdate::Added(id) => self.event(ClusterEvent::NodeAdded(id), now),
            NodeUpdate::Changed(id, change) if change.any() => self.event(ClusterEvent::NodeChanged(id, change), now),
            NodeUpdate::Changed(..) => {}
        }
    }

    pub fn remove_node(&mut self, name: &str, now: Timestamp) {
        self.cluster.remove_node(name);
        self.event(ClusterEvent::NodeRemoved, now);
    }

    pub fn apply_namespace(&mut self, namespace: &Namespace, now: Timestamp) {
        if self.cluster.set_namespace(namespace) {
            self.event(ClusterEvent::NamespaceChanged, now);
        }
    }

    /// After something of the cluster's storage has changed.
    pub fn storage_changed(&mut self, what: StorageEvent, now: Timestamp) {
        self.event(ClusterEvent::Storage(what), now);
    }

    /// For what the plugins only read: Services, controllers, budgets.
    pub fn cluster_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }

    pub fn apply_pod(&mut self, pod: &Pod, now: Timestamp) {
        if pod.is_terminal() {
            self.remove_pod(&pod.metadata.uid, now);
            return;
        }
        if let Some(node) = pod.node() {
            self.leave(&pod.metadata.uid);
            let change = self.cluster.set_pod(pod, node);
            self.freed(change.freed, now);
            if let Some((node, held)) = change.placed {
                self.event(ClusterEvent::PodPlaced { node, held }, now);
            }
            return;
        }
        let profile = self.by_name.get(pod.scheduler_name()).copied();
        match profile.filter(|_| !pod.is_deleting()) {
            // Between its assumption and its binding a pod may be seen without a node any number of times.
            _ if self.cluster.is_placed(&pod.metadata.uid) => {}
            None => self.leave(&pod.metadata.uid),
            Some(profile) => {
                let waiting = self.waiting(pod, profile);
                let meant_for = pod.nominated_node().and_then(|node| self.cluster.find(node));
                // Meanwhile it may have been meant for another one; what the API server shows is then old.
                if let Some(node) = meant_for.filter(|_| self.cluster.nominated_node(&waiting.uid).is_none()) {
                    self.cluster.nominate(waiting.resident(), node);
                }
                let gated = self.is_gated(&waiting);
                self.queue.apply(waiting, gated, now);
            }
        }
    }

    /// The pod waits no longer.
    fn leave(&mut self, uid: &str) {
        self.queue.remove(uid);
        self.cluster.denominate(uid);
        self.evicting.remove(uid);
    }

    fn waiting(&mut self, pod: &Pod, profile: usize) -> Waiting {
        let mut shape = Shape::of(pod);
        shape.footprint = self.cluster.share_footprint(Arc::unwrap_or_clone(shape.footprint));
        Waiting {
            uid: pod.metadata.uid.as_ref().into(),
            namespace: pod.metadata.namespace.as_ref().into(),
            name: pod.metadata.name.as_ref().into(),
            profile,
            shape: self.shapes.share(shape),
            peers: self.cluster.share_peers(Peers::of(pod)),
            volumes: Volumes::of(pod),
            priority: pod.spec.priority.unwrap_or(0),
            may_preempt: pod.spec.preemption_policy.as_deref() != Some("Never"),
            gates: pod.spec.scheduling_gates.clone(),
        }
    }

    fn is_gated(&self, pod: &Waiting) -> bool {
        self.profiles[pod.profile].pre_enqueue(pod.to_plugins()).is_err()
    }

    pub fn remove_pod(&mut self, uid: &str, now: Timestamp) {
        self.leave(uid);
        let before = self.cluster.remove_pod(uid);
        self.freed(before, now);
    }

    fn freed(&mut self, before: Option<(NodeId, Held)>, now: Timestamp) {
        if let Some((node, held)) = before {
            self.event(ClusterEvent::PodFreed { node, held }, now);
        }
    }

    /// Wakes whom this may help.
    pub fn event(&mut self, event: ClusterEvent, now: Timestamp) {
        let (profiles, cluster) = (&self.profiles, &self.cluster);
        self.queue.event(event, now, |pod, by, event| help(profiles, cluster, pod, by, event));
    }

    /// Tries the next pod, if one waits. `tie` picks among equally good nodes; `enter` is told of each extension
    /// point reached.
    pub fn next(&mut self, now: Timestamp, tie: u64, enter: &mut dyn FnMut(Point)) -> Option<Attempt> {
        let pod = self.queue.pop(now)?;
        let waiting = &pod.pod;
        let profile = &self.profiles[waiting.profile];
        let (by, message, nomination) =
            match self.cycle.run(profile, waiting.to_plugins(), &mut self.cluster, tie, enter) {
                Ok(node) => {
                    self.cluster.assume(waiting.resident(), node);
                    match self.commit(waiting, node, enter) {
                        Ok(()) => {
                            self.cluster.denominate(&waiting.uid);
                            self.evicting.remove(&waiting.uid);
                            return Some(Attempt::Placed(self.reserve(pod, node, enter)));
                        }
                        Err((by, message)) => {
                            self.cluster.forget(&waiting.uid);
                            (by, message, Nomination::Keep)
                        }
                    }
                }
                Err(error) => {
                    enter(Point::PostFilter);
                    let (said, nomination) = self.post_filter(waiting, &error, tie);
                    let message =
                        error.message() + &said.map(|said| format!(" preemption: {said}")).unwrap_or_default();
                    (error.refused_by, message, nomination)
                }
            };
        self.fail(&waiting.uid.clone(), Failure::Unschedulable(by), now);
        Some(Attempt::Unschedulable { pod, message, nomination })
    }

    /// Counts the volumes that the pod's claims are to get as theirs.
    fn reserve(&mut self, pod: InFlight, node: NodeId, enter: &mut dyn FnMut(Point)) -> Placement {
        enter(Point::Reserve);
        let profile = &self.profiles[pod.pod.profile];
        let name = self.cluster.node(node).name().clone();
        let seen = pod.pod.to_plugins();
        let work = profile.at(Point::Reserve).find_map(|(_, e)| e.plugin.reserve(seen, self.cluster.node(node)));
        let volumes = work.unwrap_or_default();
        if !volumes.is_empty() {
            self.cluster.storage_mut().assume(&volumes, &name);
        }
        let timeout = profile.at(Point::PreBind).find_map(|(_, e)| e.plugin.bind_timeout_seconds());
        Placement { pod, node: name, volumes, bind_timeout_seconds: timeout.unwrap_or_default() }
    }

    /// What preemption does for a pod that fits nowhere, and what it has to say.
    fn post_filter(&mut self, pod: &Waiting, error: &FitError, offset: u64) -> (Option<String>, Nomination) {
        let profile = &self.profiles[pod.profile];
        let Some(settings) = profile.preemption().filter(|_| error.nodes > 0) else { return (None, Nomination::Keep) };
        if !pod.may_preempt {
            return (Some("not eligible due to preemptionPolicy=Never.".into()), Nomination::Keep);
        }
        if self.is_being_helped(pod, error) {
            let said = "not eligible due to terminating pod on the nominated node.";
            return (Some(said.into()), Nomination::Keep);
        }
        let seen = pod.to_plugins();
        match self.cycle.preempt(profile, settings, seen, &mut self.cluster, error, offset) {
            Ok(eviction) => (None, Nomination::Evict(self.meant_for(pod, eviction.node, eviction.victims))),
            Err(said) => {
                let had = self.cluster.denominate(&pod.uid).is_some();
                (Some(said), if had { Nomination::Clear } else { Nomination::Keep })
            }
        }
    }

    /// Victims of an earlier preemption for this pod are still to be deleted, or are on their way out of a node that
    /// would do without them. Pods that leave it for other reasons promise nothing.
    fn is_being_helped(&self, pod: &Waiting, error: &FitError) -> bool {
        let stays = |victim: &Arc<str>| self.cluster.placed_as(victim).is_some_and(|known| !known.held.peers.deleting);
        if self.evicting.get(&pod.uid).is_some_and(|victims| victims.iter().any(stays)) {
            return true;
        }
        let Some(node) = self.cluster.nominated_node(&pod.uid).filter(|node| error.resolvable.contains(node)) else {
            return false;
        };
        let leaves = |resident: &Resident| resident.priority < pod.priority && resident.preempted;
        self.cluster.pods_on(node).any(|(_, resident)| leaves(resident))
    }

    fn meant_for(&mut self, pod: &Waiting, node: NodeId, victims: Vec<Resident>) -> Preemption {
        let lower = self.cluster.nominated_on(node).filter(|other| other.priority < pod.priority);
        let displaced: Vec<Resident> = lower.cloned().collect();
        for other in &displaced {
            self.cluster.denominate(&other.uid);
        }
        self.cluster.nominate(pod.resident(), node);
        self.evicting.insert(pod.uid.clone(), victims.iter().map(|victim| victim.uid.clone()).collect());
        Preemption { node: self.cluster.node(node).name().clone(), victims, displaced }
    }

    /// A preemption could not be carried out: the pod is tried again and may choose others.
    pub fn eviction_failed(&mut self, uid: &str, now: Timestamp) {
        self.evicting.remove(uid);
        self.cluster.denominate(uid);
        self.queue.retry(uid, now);
    }

    /// Permit, after which only the binding itself is left.
    fn commit(&self, pod: &Waiting, node: NodeId, enter: &mut dyn FnMut(Point)) -> Result<(), (PluginSet, String)> {
        let profile = &self.profiles[pod.profile];
        let node = self.cluster.node(node);
        let refused = |at: usize, reason: Reason| {
            let mut by = PluginSet::default();
            by.insert(at);
            (by, format!("0/{} nodes are available: 1 {reason}.", self.cluster.live().len()))
        };
        enter(Point::Permit);
        for (at, enabled) in profile.at(Point::Permit) {
            if let Permit::Reject(reason) = enabled.plugin.permit(&pod.shape, node) {
                return Err(refused(at, reason));
            }
        }
        Ok(())
    }

    /// The API server has taken the binding.
    pub fn bound(&mut self, uid: &str) {
        self.queue.remove(uid);
    }

    /// It has not: the pod's place is free again and the pod is tried again later.
    pub fn not_bound(&mut self, placement: &Placement, now: Timestamp) {
        let uid = &*placement.pod.pod.uid;
        let before = self.cluster.forget(uid);
        if !placement.volumes.is_empty() {
            self.cluster.storage_mut().forget(&placement.volumes);
        }
        // First the pod's own failure, so that the room it leaves counts as news to everyone else only.
        self.fail(uid, Failure::Error, now);
        self.freed(before, now);
    }

    fn fail(&mut self, uid: &str, failure: Failure, now: Timestamp) {
        let gated = self.queue.get(uid).is_some_and(|pod| self.is_gated(pod));
        let (profiles, cluster) = (&self.profiles, &self.cluster);
        self.queue.failed(uid, failure, now, gated, |pod, by, event| help(profiles, cluster, pod, by, event));
    }
}

/// Whom of pods like this one an event helps: room that preemption made is for the pods it was made for.
fn help(profiles: &[Profile], cluster: &Cluster, pod: &Waiting, by: PluginSet, event: &ClusterEvent) -> Help {
    if !profiles[pod.profile].helps(by, pod.to_plugins(), event, cluster) {
        return Help::No;
    }
    let ClusterEvent::PodFreed { node, .. } = event else { return Help::All };
    if cluster.has_room_beside_nominated(*node, &pod.shape.footprint, pod.priority) {
        return Help::All;
    }
    Help::Only(cluster.nominated_on(*node).map(|resident| resident.uid.clone()).collect())
}
