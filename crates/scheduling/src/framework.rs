//! What a plugin is: one trait with a method for each of upstream's extension points, and the words they answer in.
//!
//! PreFilter, Filter, PreScore and Score look at one shape of pod and one node, nothing else; this is what lets pods of
//! one shape share an evaluation. A rule about the pods of other nodes is a [`Tracker`]: it keeps running counts for
//! one kind of pod and is told who comes and goes. Binding itself is I/O: [`Plugin::bind`] only says who does it.

use std::{borrow::Cow, fmt, sync::Arc};

use crate::{
    cluster::{Cluster, Held, NodeChange, NodeId, NodeRef},
    object::SchedulingGate,
    peers::Peers,
    plugins::DefaultPreemption,
    shape::Shape,
    storage::VolumeWork,
    volumes::Volumes,
};

/// Scores are whole numbers from 0 to this once they are normalised.
pub const MAX_NODE_SCORE: i64 = 100;

/// Where a plugin takes part. The names are upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    PreEnqueue,
    QueueSort,
    PreFilter,
    Filter,
    PostFilter,
    PreScore,
    Score,
    Reserve,
    Permit,
    PreBind,
    Bind,
    PostBind,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Why a node or a pod is refused, in upstream's words.
pub type Reason = Cow<'static, str>;

/// A plugin's answer about one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    Fits,
    /// Not as things are; fewer pods on the node might help.
    Unschedulable(Vec<Reason>),
    /// Removing pods from the node would not help.
    Unresolvable(Vec<Reason>),
}

impl Verdict {
    pub fn unschedulable(reason: impl Into<Reason>) -> Self {
        Self::Unschedulable(vec![reason.into()])
    }

    pub fn unresolvable(reason: impl Into<Reason>) -> Self {
        Self::Unresolvable(vec![reason.into()])
    }
}

/// A tracker's refusal of a node. Thousands of nodes may be refused for each pod, so that it owns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub reasons: &'static [&'static str],
    /// Fewer pods on the node might help.
    pub resolvable: bool,
}

impl Refused {
    pub const fn unschedulable(reasons: &'static [&'static str]) -> Self {
        Self { reasons, resolvable: true }
    }

    pub const fn unresolvable(reasons: &'static [&'static str]) -> Self {
        Self { reasons, resolvable: false }
    }
}

/// A plugin's answer about a pod before any node is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PreFilter {
    /// The plugin's Filter has to be asked for every node.
    Continue,
    /// Its Filter would accept every node: it is not asked.
    Skip,
    /// Only these nodes can be right; its Filter is still asked for them.
    Only(Vec<NodeId>),
    /// No node can be right.
    Reject(Reason),
}

/// A plugin's last word before a pod is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permit {
    Allow,
    Reject(Reason),
}

/// A change that may let a refused pod in.
#[derive(Clone, Debug)]
pub enum ClusterEvent {
    NodeAdded(NodeId),
    NodeChanged(NodeId, NodeChange),
    NodeRemoved,
    /// A pod has been seen on a node.
    PodPlaced {
        node: NodeId,
        held: Held,
    },
    /// A pod left a node, ended there, or holds less of it than before.
    PodFreed {
        node: NodeId,
        held: Held,
    },
    NamespaceChanged,
    /// Claims, volumes, classes, or what nodes can attach.
    Storage(StorageEvent),
}

/// The kind of a storage object that is new, has changed or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageEvent {
    Claim,
    Volume,
    Class,
    CsiNode,
    CsiDriver,
    Capacity,
}

impl ClusterEvent {
    /// The name under which upstream's metrics count it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NodeAdded(_) => "NodeAdd",
            Self::NodeChanged(_, change) if change.allocatable => "NodeUpdateNodeAllocatable",
            Self::NodeChanged(_, change) if change.labels => "NodeUpdateNodeLabel",
            Self::NodeChanged(_, change) if change.features => "NodeUpdateNodeDeclaredFeature",
            Self::NodeChanged(..) => "NodeUpdateNodeTaint",
            Self::NodeRemoved => "NodeDelete",
            Self::PodPlaced { .. } => "AssignedPodAdd",
            Self::PodFreed { .. } => "AssignedPodDelete",
            Self::NamespaceChanged => "NamespaceUpdate",
            Self::Storage(StorageEvent::Claim) => "PersistentVolumeClaimUpdate",
            Self::Storage(StorageEvent::Volume) => "PersistentVolumeUpdate",
            Self::Storage(StorageEvent::Class) => "StorageClassUpdate",
            Self::Storage(StorageEvent::CsiNode) => "CSINodeUpdate",
            Self::Storage(StorageEvent::CsiDriver) => "CSIDriverUpdate",
            Self::Storage(StorageEvent::Capacity) => "CSIStorageCapacityUpdate",
        }
    }
}

/// What a plugin sees of a waiting pod: what it has in common with others, and the little that is its own.
#[derive(Clone, Copy)]
pub struct PodRef<'a> {
    pub uid: &'a Arc<str>,
    pub shape: &'a Arc<Shape>,
    pub peers: &'a Arc<Peers>,
    pub volumes: Option<&'a Arc<Volumes>>,
    pub gates: &'a [SchedulingGate],
    pub priority: i32,
}

/// Which placed pods a [`Tracker`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    None,
    /// Those with rules about other pods.
    WithRules,
    All,
}

/// A plugin's running counts for one kind of pod. It is made for the cluster as it is, then told of every placed pod it
/// is interested in, and from then on of all that come and go; when the plugin's generation changes it is made anew.
pub trait Tracker: Send + fmt::Debug {
    fn interest(&self) -> Interest;

    /// There are `count` more pods like these on a live node; fewer, if negative.
    fn count(&mut self, _peers: &Peers, _node: NodeId, _count: i64, _cluster: &Cluster) {}

    /// All counts are told; what follows are questions.
    fn settle(&mut self) {}

    /// Whether any node may be refused at all.
    fn filters(&self) -> bool {
        true
    }

    /// # Errors
    /// Why the node does not fit.
    fn filter(&self, _node: NodeRef<'_>) -> Result<(), Refused> {
        Ok(())
    }

    /// Pushes a normalised score for each node that fits; pushes nothing if all would be the same.
    fn score(&self, _nodes: &[NodeId], _cluster: &Cluster, _scores: &mut Vec<i64>) {}
}

pub trait Plugin: Send + Sync + fmt::Debug {
    fn name(&self) -> &'static str;

    /// Where it takes part; its other methods are never called.
    fn points(&self) -> &'static [Point];

    /// A refusal keeps the pod out of the active queue.
    fn pre_enqueue(&self, _pod: PodRef<'_>) -> Result<(), Reason> {
        Ok(())
    }

    fn pre_filter(&self, _pod: PodRef<'_>, _cluster: &Cluster) -> PreFilter {
        PreFilter::Continue
    }

    fn filter(&self, _shape: &Shape, _node: NodeRef<'_>) -> Verdict {
        Verdict::Fits
    }

    /// False when every node would score the same: Score is not asked.
    fn pre_score(&self, _shape: &Shape) -> bool {
        true
    }

    fn score(&self, _shape: &Shape, _node: NodeRef<'_>) -> i64 {
        0
    }

    /// Brings the scores of all candidates into 0 ..= [`MAX_NODE_SCORE`].
    fn normalize(&self, _scores: &mut [i64]) {}

    /// True if its rules are about more than the pod and one node: it filters and scores through a tracker.
    fn tracks(&self) -> bool {
        false
    }

    /// Nothing, if its rules do not concern this pod as things are.
    fn track(&self, _pod: PodRef<'_>, _cluster: &Cluster) -> Option<Box<dyn Tracker>> {
        None
    }

    /// Of whatever a tracker was made from besides placed pods.
    fn generation(&self, cluster: &Cluster) -> u64 {
        cluster.topology_generation()
    }

    /// At PostFilter: how room is made by evicting others.
    fn preemption(&self) -> Option<&DefaultPreemption> {
        None
    }

    /// At Reserve: what has to be written for the pod's claims before it can be bound to this node.
    fn reserve(&self, _pod: PodRef<'_>, _node: NodeRef<'_>) -> Option<VolumeWork> {
        None
    }

    /// At PreBind: how long that may take.
    fn bind_timeout_seconds(&self) -> Option<u64> {
        None
    }

    fn permit(&self, _shape: &Shape, _node: NodeRef<'_>) -> Permit {
        Permit::Allow
    }

    /// True if this plugin binds the pod, through its Binding subresource.
    fn bind(&self, _shape: &Shape) -> bool {
        false
    }

    /// Could this event make a pod fit that the plugin refused? Asked with the cluster as it is now.
    fn helps(&self, pod: PodRef<'_>, event: &ClusterEvent, cluster: &Cluster) -> bool;
}

/// Stretches scores so that the largest becomes [`MAX_NODE_SCORE`], turned around if less is better.
pub fn normalize_by_largest(scores: &mut [i64], less_is_better: bool) {
    let largest = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        let share = if largest == 0 { 0 } else { MAX_NODE_SCORE * *score / largest };
        *score = if less_is_better { MAX_NODE_SCORE - share } else { share };
    }
}

/// The live node that an event made better to be on, if it did: not merely one that a pod has come to.
pub fn node_of<'a>(event: &ClusterEvent, cluster: &'a Cluster) -> Option<NodeRef<'a>> {
    let id = match event {
        ClusterEvent::NodeAdded(id) | ClusterEvent::NodeChanged(id, _) => *id,
        ClusterEvent::PodFreed { node, .. } => *node,
        _ => return None,
    };
    cluster.is_live(id).then(|| cluster.node(id))
}
