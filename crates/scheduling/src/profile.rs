//! A profile: the plugins that decide for the pods of one `schedulerName`, by extension point and in order.

use std::sync::Arc;

use crate::{
    cluster::Cluster,
    framework::{ClusterEvent, Plugin, PodRef, Point, Reason},
    plugins::DefaultPreemption,
};

/// A set of a profile's plugins, by their place in its list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PluginSet(u32);

impl PluginSet {
    pub fn insert(&mut self, plugin: usize) {
        self.0 |= 1 << plugin;
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..u32::BITS as usize).filter(move |plugin| self.0 & (1 << plugin) != 0)
    }
}

/// The most plugins a profile can have.
pub const MAX_PLUGINS: usize = u32::BITS as usize;

#[derive(Debug)]
pub struct Enabled {
    pub plugin: Box<dyn Plugin>,
    /// Of its score.
    pub weight: i64,
    /// Where it is switched on, out of the points it offers.
    pub points: Vec<Point>,
}

#[derive(Debug)]
pub struct Profile {
    pub scheduler_name: Arc<str>,
    /// Zero: by the size of the cluster.
    pub percentage_of_nodes_to_score: u32,
    pub plugins: Vec<Enabled>,
}

impl Profile {
    /// The plugins switched on at a point, with their place in the list.
    pub fn at(&self, point: Point) -> impl Iterator<Item = (usize, &Enabled)> {
        self.plugins.iter().enumerate().filter(move |(_, enabled)| enabled.points.contains(&point))
    }

    /// May the pod be queued at all?
    pub fn pre_enqueue(&self, pod: PodRef<'_>) -> Result<(), Reason> {
        self.at(Point::PreEnqueue).try_for_each(|(_, enabled)| enabled.plugin.pre_enqueue(pod))
    }

    /// Does any of these plugins, which refused the pod, think the event worth another attempt?
    pub fn helps(&self, refused_by: PluginSet, pod: PodRef<'_>, event: &ClusterEvent, cluster: &Cluster) -> bool {
        refused_by.iter().any(|at| self.plugins[at].plugin.helps(pod, event, cluster))
    }

    /// How room is made for a pod that fits nowhere, if it may be.
    pub fn preemption(&self) -> Option<&DefaultPreemption> {
        self.at(Point::PostFilter).find_map(|(_, enabled)| enabled.plugin.preemption())
    }

    pub fn names(&self, set: PluginSet) -> Vec<&'static str> {
        set.iter().map(|at| self.plugins[at].plugin.name()).collect()
    }
}
