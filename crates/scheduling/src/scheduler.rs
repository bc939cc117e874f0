//! The scheduler as one state machine: it is fed what the watches say and how bindings end, and says which pod goes
//! where next. Its caller carries that out and tells it the time.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;

use crate::{
    cluster::{Cluster, NodeId, NodeUpdate},
    config::Configuration,
    cycle::Cycle,
    framework::{ClusterEvent, Permit, PodRef, Point, Reason},
    object::{Node, Pod},
    profile::{PluginSet, Profile},
    queue::{Counts, Failure, InFlight, Queue, Waiting},
    shape::{Footprint, Shape, Shared},
};

/// A pod and the node it is to be bound to.
#[derive(Clone, Debug)]
pub struct Placement {
    pub pod: InFlight,
    pub node: Arc<str>,
}

/// How an attempt to place a pod ended.
#[derive(Clone, Debug)]
pub enum Attempt {
    /// The pod counts on its node from now on; it has to be bound, and [`Scheduler::bound`] or
    /// [`Scheduler::not_bound`] be called.
    Placed(Placement),
    /// No node would do, for this reason. The pod waits for a change.
    Unschedulable { pod: InFlight, message: String },
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

    pub fn remove_node(&mut self, name: &str) {
        self.cluster.remove_node(name);
    }

    pub fn apply_pod(&mut self, pod: &Pod, now: Timestamp) {
        if pod.is_terminal() {
            self.remove_pod(&pod.metadata.uid, now);
            return;
        }
        if let Some(node) = pod.node() {
            self.queue.remove(&pod.metadata.uid);
            let before = self.cluster.set_pod(pod, node);
            self.freed(before, now);
            return;
        }
        let profile = self.by_name.get(pod.scheduler_name()).copied();
        match profile.filter(|_| !pod.is_deleting()) {
            // Between its assumption and its binding a pod may be seen without a node any number of times.
            _ if self.cluster.is_placed(&pod.metadata.uid) => {}
            None => self.queue.remove(&pod.metadata.uid),
            Some(profile) => {
                let waiting = self.waiting(pod, profile);
                let gated = self.is_gated(&waiting);
                self.queue.apply(waiting, gated, now);
            }
        }
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
            priority: pod.spec.priority.unwrap_or(0),
            may_preempt: pod.spec.preemption_policy.as_deref() != Some("Never"),
            gates: pod.spec.scheduling_gates.clone(),
        }
    }

    fn is_gated(&self, pod: &Waiting) -> bool {
        let seen = PodRef { shape: &pod.shape, gates: &pod.gates };
        self.profiles[pod.profile].pre_enqueue(seen).is_err()
    }

    pub fn remove_pod(&mut self, uid: &str, now: Timestamp) {
        self.queue.remove(uid);
        let before = self.cluster.remove_pod(uid);
        self.freed(before, now);
    }

    fn freed(&mut self, before: Option<(NodeId, Arc<Footprint>)>, now: Timestamp) {
        if let Some((node, footprint)) = before {
            self.event(ClusterEvent::PodFreed { node, footprint }, now);
        }
    }

    fn event(&mut self, event: ClusterEvent, now: Timestamp) {
        let (profiles, cluster) = (&self.profiles, &self.cluster);
        self.queue.event(event, now, |pod, by, event| profiles[pod.profile].helps(by, &pod.shape, event, cluster));
    }

    /// Tries the next pod, if one waits. `tie` picks among equally good nodes; `enter` is told of each extension
    /// point reached.
    pub fn next(&mut self, now: Timestamp, tie: u64, enter: &mut dyn FnMut(Point)) -> Option<Attempt> {
        let pod = self.queue.pop(now)?;
        let waiting = &pod.pod;
        let profile = &self.profiles[waiting.profile];
        let refused = match self.cycle.run(profile, &waiting.shape, &self.cluster, tie, enter) {
            Ok(node) => {
                let (uid, footprint) = (&waiting.uid, waiting.shape.footprint.clone());
                self.cluster.assume(uid, node, footprint, waiting.priority);
                match self.commit(waiting, node, enter) {
                    Ok(()) => {
                        let node = self.cluster.node(node).name().clone();
                        return Some(Attempt::Placed(Placement { pod, node }));
                    }
                    Err(refused) => {
                        self.cluster.forget(&waiting.uid);
                        refused
                    }
                }
            }
            Err(error) => {
                enter(Point::PostFilter);
                (error.refused_by, error.message(&self.cluster, waiting.priority, waiting.may_preempt))
            }
        };
        let (by, message) = refused;
        self.fail(&waiting.uid.clone(), Failure::Unschedulable(by), now);
        Some(Attempt::Unschedulable { pod, message })
    }

    /// Reserve and Permit, after which only the binding itself is left.
    fn commit(&self, pod: &Waiting, node: NodeId, enter: &mut dyn FnMut(Point)) -> Result<(), (PluginSet, String)> {
        let profile = &self.profiles[pod.profile];
        let node = self.cluster.node(node);
        let refused = |at: usize, reason: Reason| {
            let mut by = PluginSet::default();
            by.insert(at);
            for (_, enabled) in profile.at(Point::Reserve) {
                enabled.plugin.unreserve(&pod.shape, node);
            }
            (by, format!("0/{} nodes are available: 1 {reason}.", self.cluster.live().len()))
        };
        enter(Point::Reserve);
        for (at, enabled) in profile.at(Point::Reserve) {
            enabled.plugin.reserve(&pod.shape, node).map_err(|reason| refused(at, reason))?;
        }
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
    pub fn not_bound(&mut self, uid: &str, now: Timestamp) {
        let before = self.cluster.forget(uid);
        // First the pod's own failure, so that the room it leaves counts as news to everyone else only.
        self.fail(uid, Failure::Error, now);
        self.freed(before, now);
    }

    fn fail(&mut self, uid: &str, failure: Failure, now: Timestamp) {
        let gated = self.queue.get(uid).is_some_and(|pod| self.is_gated(pod));
        let (profiles, cluster) = (&self.profiles, &self.cluster);
        let helps =
            |pod: &Waiting, by, event: &ClusterEvent| profiles[pod.profile].helps(by, &pod.shape, event, cluster);
        self.queue.failed(uid, failure, now, gated, helps);
    }
}
