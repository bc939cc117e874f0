//! The scheduler as one state machine: it is fed what the watches say and how bindings end, and says which pod goes
//! where next. Its caller carries that out and tells it the time.

mod attempt;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;

use crate::{
    cluster::{Cluster, Held, NodeId, NodeUpdate, Resident},
    config::Configuration,
    cycle::Cycle,
    extenders::{Extender, PreemptionQuestion, Question},
    framework::{ClusterEvent, StorageEvent},
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
    /// Something that was needed could not be had. The pod is tried again later.
    Failed { pod: InFlight, message: String },
    /// Extenders have a say in this; their answer goes to [`Scheduler::answered`].
    Ask(Box<Question>),
    /// Extenders have a say in whom to evict; their answer goes to [`Scheduler::preemption_answered`].
    AskPreemption(Box<PreemptionQuestion>),
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
            Self::Unschedulable { pod, .. } | Self::Failed { pod, .. } => pod,
            Self::Ask(question) => &question.pod,
            Self::AskPreemption(question) => &question.pod,
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
    extenders: Vec<Extender>,
    /// The victims of each pod that waits for its preemption to be carried out.
    evicting: HashMap<Arc<str>, Vec<Arc<str>>>,
}

impl Scheduler {
    pub fn new(configuration: Configuration) -> Self {
        let Configuration { profiles, extenders, initial_backoff, max_backoff } = configuration;
        let by_name = profiles.iter().enumerate().map(|(at, profile)| (profile.scheduler_name.clone(), at)).collect();
        Self {
            profiles,
            by_name,
            cluster: Cluster::default(),
            queue: Queue::new(initial_backoff, max_backoff),
            cycle: Cycle::default(),
            extenders,
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

    /// A preemption could not be carried out: the pod is tried again and may choose others.
    pub fn eviction_failed(&mut self, uid: &str, now: Timestamp) {
        self.evicting.remove(uid);
        self.cluster.denominate(uid);
        self.queue.retry(uid, now);
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
