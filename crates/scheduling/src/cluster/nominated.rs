//! Pods that preemption has made room for and that still wait: each counts on its node for pods of no higher priority,
//! so that nobody takes the room meanwhile.

use std::{collections::HashMap, sync::Arc};

use super::{Cluster, NodeId, Resident};
use crate::shape::Footprint;

#[derive(Debug, Default)]
pub(super) struct Nominations {
    by_uid: HashMap<Arc<str>, (NodeId, Resident)>,
    on_node: HashMap<NodeId, Vec<Arc<str>>>,
}

impl Cluster {
    /// Says for which node a waiting pod is meant; replaces what was said before.
    pub fn nominate(&mut self, resident: Resident, node: NodeId) {
        if self.nominated_node(&resident.uid) == Some(node) {
            return;
        }
        self.denominate(&resident.uid);
        self.nominations.on_node.entry(node).or_default().push(resident.uid.clone());
        self.nominations.by_uid.insert(resident.uid.clone(), (node, resident));
        self.touch(node);
    }

    /// The pod waits for no node in particular any more. Answers the node it waited for.
    pub fn denominate(&mut self, uid: &str) -> Option<NodeId> {
        let (node, _) = self.nominations.by_uid.remove(uid)?;
        if let Some(pods) = self.nominations.on_node.get_mut(&node) {
            pods.retain(|other| **other != *uid);
            if pods.is_empty() {
                self.nominations.on_node.remove(&node);
            }
        }
        if node.index() < self.rows() {
            self.touch(node);
        }
        Some(node)
    }

    pub fn nominated_node(&self, uid: &str) -> Option<NodeId> {
        self.nominations.by_uid.get(uid).map(|(node, _)| *node)
    }

    pub fn has_nominations(&self) -> bool {
        !self.nominations.by_uid.is_empty()
    }

    /// The pods that are meant for a node.
    pub fn nominated_on(&self, node: NodeId) -> impl Iterator<Item = &Resident> {
        let uids = self.nominations.on_node.get(&node).into_iter().flatten();
        uids.filter_map(|uid| self.nominations.by_uid.get(uid)).map(|(_, resident)| resident)
    }

    /// Those that count for a pod: of its priority or above, itself excepted.
    pub fn nominated_before(&self, node: NodeId, uid: &str, priority: i32) -> Vec<Resident> {
        let before = |pod: &&Resident| pod.priority >= priority && *pod.uid != *uid;
        self.nominated_on(node).filter(before).cloned().collect()
    }

    /// Is there room for one more pod when all have come that are meant for this node and matter no less?
    pub fn has_room_beside_nominated(&self, node: NodeId, footprint: &Footprint, priority: i32) -> bool {
        let mut meant = self.nominated_on(node).filter(|pod| pod.priority >= priority).peekable();
        if meant.peek().is_none() {
            return true;
        }
        let (mut wanted, mut pods) = (footprint.requests.clone(), 1);
        for pod in meant {
            wanted.add_all(&pod.held.footprint.requests);
            pods += 1;
        }
        let (i, has, can) = (node.index(), &self.requested, &self.allocatable);
        has.pods[i] + pods <= can.pods[i]
            && has.milli_cpu[i] + wanted.milli_cpu <= can.milli_cpu[i]
            && has.memory[i] + wanted.memory <= can.memory[i]
            && has.ephemeral_storage[i] + wanted.ephemeral_storage <= can.ephemeral_storage[i]
            && wanted.extended.iter().all(|(name, n)| has.extended(i, name) + n <= can.extended(i, name))
    }
}
