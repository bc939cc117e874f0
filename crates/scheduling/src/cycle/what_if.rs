//! What would be if pods were on a node, or were not: for pods that are meant for a node but not there yet, and for the
//! choice of whom to evict. The cluster is changed for the length of the question, and put back.

use super::{
    evaluation::{Evaluation, Refusal},
    tracking::Tracking,
};
use crate::{
    cluster::{Cluster, NodeId, PodId, Resident},
    framework::PodRef,
    profile::Profile,
};

pub(super) struct WhatIf<'a> {
    pub profile: &'a Profile,
    pub pod: PodRef<'a>,
    pub evaluation: &'a Evaluation,
    pub tracking: &'a mut Tracking,
    pub cluster: &'a mut Cluster,
}

impl WhatIf<'_> {
    /// Asks every plugin anew, about the node as it is supposed to be.
    fn ask(&self, node: NodeId) -> Result<(), Refusal> {
        if let Some(refusal) = self.evaluation.refusal_now(self.profile, self.cluster, node) {
            return Err(refusal);
        }
        self.tracking.filter(self.cluster, node).map_err(|(plugin, refused)| Refusal::of_tracker(plugin, refused))
    }

    fn suppose(&mut self, node: NodeId, residents: &[Resident], there: bool) {
        for resident in residents {
            self.cluster.suppose(node, resident, there);
            self.tracking.suppose(&resident.held.peers, node, if there { 1 } else { -1 }, self.cluster);
        }
    }

    /// With and without the pods that are meant for this node and come first: they may or may not arrive.
    pub fn fits(&mut self, node: NodeId) -> Result<(), Refusal> {
        let before = self.cluster.nominated_before(node, self.pod.uid, self.pod.priority);
        if !before.is_empty() {
            self.suppose(node, &before, true);
            let beside = self.ask(node);
            self.suppose(node, &before, false);
            beside?;
        }
        self.ask(node)
    }

    pub fn take_off(&mut self, node: NodeId, pod: PodId) {
        self.set_away(node, pod, true);
    }

    pub fn put_back(&mut self, node: NodeId, pod: PodId) {
        self.set_away(node, pod, false);
    }

    fn set_away(&mut self, node: NodeId, pod: PodId, away: bool) {
        let Some(peers) = self.cluster.resident(pod).map(|resident| resident.held.peers.clone()) else { return };
        self.cluster.set_away(pod, away);
        self.tracking.suppose(&peers, node, if away { -1 } else { 1 }, self.cluster);
    }
}
