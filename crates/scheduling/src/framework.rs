//! What a plugin is: one trait with a method for each of upstream's extension points, and the words they answer in.
//!
//! PreFilter, Filter, PreScore and Score look at one shape of pod and one node, nothing else; this is what lets pods of
//! one shape share an evaluation. Binding itself is I/O: [`Plugin::bind`] only says who does it.

use std::{borrow::Cow, fmt, sync::Arc};

use crate::{
    cluster::{Cluster, NodeChange, NodeId, NodeRef},
    object::SchedulingGate,
    shape::{Footprint, Shape},
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
    /// A pod left a node, ended there, or holds less of it than before.
    PodFreed {
        node: NodeId,
        footprint: Arc<Footprint>,
    },
}

impl ClusterEvent {
    /// The name under which upstream's metrics count it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NodeAdded(_) => "NodeAdd",
            Self::NodeChanged(_, change) if change.allocatable => "NodeUpdateNodeAllocatable",
            Self::NodeChanged(_, change) if change.labels => "NodeUpdateNodeLabel",
            Self::NodeChanged(..) => "NodeUpdateNodeTaint",
            Self::PodFreed { .. } => "AssignedPodDelete",
        }
    }
}

/// What a plugin sees of the pod: its shape and the little that may differ between pods of one shape.
#[derive(Clone, Copy)]
pub struct PodRef<'a> {
    pub shape: &'a Shape,
    pub gates: &'a [SchedulingGate],
}

pub trait Plugin: Send + Sync + fmt::Debug {
    fn name(&self) -> &'static str;

    /// Where it takes part; its other methods are never called.
    fn points(&self) -> &'static [Point];

    /// A refusal keeps the pod out of the active queue.
    fn pre_enqueue(&self, _pod: PodRef<'_>) -> Result<(), Reason> {
        Ok(())
    }

    fn pre_filter(&self, _shape: &Shape, _cluster: &Cluster) -> PreFilter {
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

    fn reserve(&self, _shape: &Shape, _node: NodeRef<'_>) -> Result<(), Reason> {
        Ok(())
    }

    /// Takes back what `reserve` did; must be harmless if it did nothing.
    fn unreserve(&self, _shape: &Shape, _node: NodeRef<'_>) {}

    fn permit(&self, _shape: &Shape, _node: NodeRef<'_>) -> Permit {
        Permit::Allow
    }

    /// True if this plugin binds the pod, through its Binding subresource.
    fn bind(&self, _shape: &Shape) -> bool {
        false
    }

    /// Could this event make a pod fit that the plugin refused? Asked with the cluster as it is now.
    fn helps(&self, shape: &Shape, event: &ClusterEvent, cluster: &Cluster) -> bool;
}

/// Stretches scores so that the largest becomes [`MAX_NODE_SCORE`], turned around if less is better.
pub fn normalize_by_largest(scores: &mut [i64], less_is_better: bool) {
    let largest = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        let share = if largest == 0 { 0 } else { MAX_NODE_SCORE * *score / largest };
        *score = if less_is_better { MAX_NODE_SCORE - share } else { share };
    }
}

/// The node that an event is about, if it is live.
pub fn node_of<'a>(event: &ClusterEvent, cluster: &'a Cluster) -> Option<NodeRef<'a>> {
    let id = match event {
        ClusterEvent::NodeAdded(id) | ClusterEvent::NodeChanged(id, _) => *id,
        ClusterEvent::PodFreed { node, .. } => *node,
    };
    cluster.is_live(id).then(|| cluster.node(id))
}
