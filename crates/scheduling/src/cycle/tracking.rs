//! The running counts of the plugins for one kind of pod, brought up to date before each use: usually by the few
//! placements since the last pod of this kind.

use std::{collections::HashMap, ptr, sync::Arc};

use super::evaluation::Refusal;
use crate::{
    cluster::{Cluster, NodeId},
    framework::{Interest, PodRef, Point, Refused, Tracker},
    peers::Peers,
    profile::Profile,
    shape::Shape,
    volumes::Volumes,
};

#[derive(Debug)]
struct Tracked {
    plugin: usize,
    generation: u64,
    tracker: Option<Box<dyn Tracker>>,
    filters: bool,
    scores: bool,
}

#[derive(Debug)]
pub(crate) struct Tracking {
    scheduler_name: Arc<str>,
    shape: Arc<Shape>,
    peers: Arc<Peers>,
    volumes: Option<Arc<Volumes>>,
    tracked: Vec<Tracked>,
    /// How far in the cluster's journal.
    position: u64,
    pub last_used: u64,
}

impl Tracking {
    pub fn new(profile: &Profile, pod: PodRef<'_>) -> Self {
        let tracked = profile.plugins.iter().enumerate().filter(|(_, enabled)| enabled.plugin.tracks());
        let tracked = tracked.map(|(plugin, enabled)| Tracked {
            plugin,
            generation: 0,
            tracker: None,
            filters: enabled.points.contains(&Point::Filter),
            scores: enabled.points.contains(&Point::Score) && enabled.weight != 0,
        });
        Self {
            scheduler_name: profile.scheduler_name.clone(),
            shape: pod.shape.clone(),
            peers: pod.peers.clone(),
            volumes: pod.volumes.cloned(),
            tracked: tracked.filter(|t| t.filters || t.scores).collect(),
            position: u64::MAX,
            last_used: 0,
        }
    }

    pub fn is_of(&self, profile: &Profile, pod: PodRef<'_>) -> bool {
        ptr::eq(&*self.peers, &**pod.peers)
            && ptr::eq(&*self.shape, &**pod.shape)
            && self.volumes.as_ref() == pod.volumes
            && self.scheduler_name == profile.scheduler_name
    }

    /// Counts what has happened since it was last used.
    pub fn follow(&mut self, profile: &Profile, pod: PodRef<'_>, cluster: &Cluster, clock: u64) {
        self.last_used = clock;
        let journal = cluster.journal();
        let lost = journal.since(self.position).is_none();
        let still = self.position == journal.end();
        for tracked in &mut self.tracked {
            let plugin = &profile.plugins[tracked.plugin].plugin;
            // Never the same as that of something not made yet.
            let generation = plugin.generation(cluster) + 1;
            if lost || generation != tracked.generation {
                tracked.generation = generation;
                tracked.tracker = plugin.track(pod, cluster);
                if let Some(tracker) = &mut tracked.tracker {
                    count_all(tracker.as_mut(), cluster);
                }
            } else if let Some(tracker) = tracked.tracker.as_mut().filter(|_| !still) {
                catch_up(tracker.as_mut(), cluster, self.position);
            }
        }
        self.position = journal.end();
    }

    /// As if there were `count` more pods like these on a node.
    pub fn suppose(&mut self, peers: &Peers, node: NodeId, count: i64, cluster: &Cluster) {
        for tracker in self.tracked.iter_mut().filter_map(|t| t.tracker.as_mut()) {
            if concerns(tracker.interest(), peers) {
                tracker.count(peers, node, count, cluster);
                tracker.settle();
            }
        }
    }

    /// Some node may be refused.
    pub fn filters(&self) -> bool {
        self.filtering().next().is_some()
    }

    fn filtering(&self) -> impl Iterator<Item = (usize, &dyn Tracker)> {
        let filtering = self.tracked.iter().filter(|t| t.filters);
        filtering.filter_map(|t| Some((t.plugin, t.tracker.as_deref()?))).filter(|(_, tracker)| tracker.filters())
    }

    pub fn filter(&self, cluster: &Cluster, id: NodeId) -> Result<(), (usize, Refused)> {
        let node = cluster.node(id);
        self.filtering().try_for_each(|(plugin, tracker)| tracker.filter(node).map_err(|refused| (plugin, refused)))
    }

    /// Adds the weighted scores of all trackers to those of the other plugins.
    pub fn score(
        &self,
        profile: &Profile,
        cluster: &Cluster,
        nodes: &[NodeId],
        column: &mut Vec<i64>,
        totals: &mut [i64],
    ) {
        for tracked in self.tracked.iter().filter(|t| t.scores) {
            let Some(tracker) = &tracked.tracker else { continue };
            column.clear();
            tracker.score(nodes, cluster, column);
            for (total, score) in totals.iter_mut().zip(column.iter()) {
                *total += profile.plugins[tracked.plugin].weight * score;
            }
        }
    }
}

impl Refusal {
    pub fn of_tracker(plugin: usize, refused: Refused) -> Self {
        let reasons = refused.reasons.iter().map(|reason| (*reason).into()).collect();
        Self { plugin, reasons, resolvable: refused.resolvable }
    }
}

fn concerns(interest: Interest, peers: &Peers) -> bool {
    match interest {
        Interest::None => false,
        Interest::WithRules => !peers.rules.is_empty(),
        Interest::All => true,
    }
}

fn count_all(tracker: &mut dyn Tracker, cluster: &Cluster) {
    let interest = tracker.interest();
    let mut count = |peers: &Arc<Peers>, nodes: &HashMap<NodeId, i64>| {
        for (node, count) in nodes.iter().filter(|(node, _)| cluster.is_live(**node)) {
            tracker.count(peers, *node, *count, cluster);
        }
    };
    match interest {
        Interest::None => {}
        Interest::WithRules => cluster.census().with_rules().for_each(|(peers, nodes)| count(peers, nodes)),
        Interest::All => cluster.census().kinds().for_each(|(peers, nodes)| count(peers, nodes)),
    }
    tracker.settle();
}

fn catch_up(tracker: &mut dyn Tracker, cluster: &Cluster, position: u64) {
    let interest = tracker.interest();
    let Some(entries) = cluster.journal().since(position).filter(|_| interest != Interest::None) else { return };
    for entry in entries.filter(|entry| concerns(interest, &entry.peers) && cluster.is_live(entry.node)) {
        tracker.count(&entry.peers, entry.node, entry.count, cluster);
    }
    tracker.settle();
}
