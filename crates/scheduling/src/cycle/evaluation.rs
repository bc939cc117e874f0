//! What the plugins of a profile say about one shape of pod on every node, remembered while the node stays the same.

use std::{collections::HashMap, ptr, sync::Arc};

use crate::{
    cluster::{Cluster, NodeId},
    framework::{Point, Reason, Verdict},
    profile::{PluginSet, Profile},
    shape::Shape,
};

/// Why a node does not fit, and who says so.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// Its place in the profile.
    pub plugin: usize,
    pub reasons: Vec<Reason>,
    /// Taking pods off the node might help.
    pub resolvable: bool,
}

/// The verdict on a node as of a generation of it; 0 is never one.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    generation: u64,
    /// 0 if it fits, else the place of the refusal, from 1.
    refusal: u32,
}

/// As [`Row`], with the pods that are meant for the node there, for pods of a priority.
#[derive(Clone, Copy, Debug, Default)]
struct Beside {
    generation: u64,
    priority: i32,
    refusal: u32,
}

#[derive(Debug)]
pub(super) struct Evaluation {
    scheduler_name: Arc<str>,
    shape: Arc<Shape>,
    filters: Vec<usize>,
    scorers: Vec<usize>,
    images_generation: u64,
    rows: Vec<Row>,
    /// Only where pods are meant for nodes.
    beside: Vec<Beside>,
    /// One after the other for each row.
    scores: Vec<i32>,
    refusals: Vec<Refusal>,
    places: HashMap<Refusal, u32>,
    pub last_used: u64,
}

impl Evaluation {
    pub fn new(profile: &Profile, shape: Arc<Shape>, skipped: PluginSet) -> Self {
        let skips = |at: &usize| skipped.iter().any(|skip| skip == *at);
        let filters = profile.at(Point::Filter).filter(|(_, e)| !e.plugin.tracks());
        let filters = filters.map(|(at, _)| at).filter(|at| !skips(at)).collect();
        let scores = profile.at(Point::Score).filter(|(_, e)| !e.plugin.tracks() && e.weight != 0);
        let scores = scores.filter(|(_, e)| e.plugin.pre_score(&shape));
        let scorers = scores.map(|(at, _)| at).collect();
        Self {
            scheduler_name: profile.scheduler_name.clone(),
            shape,
            filters,
            scorers,
            images_generation: 0,
            rows: Vec::new(),
            beside: Vec::new(),
            scores: Vec::new(),
            refusals: Vec::new(),
            places: HashMap::new(),
            last_used: 0,
        }
    }

    pub fn is_of(&self, profile: &Profile, shape: &Arc<Shape>) -> bool {
        ptr::eq(&*self.shape, &**shape) && self.scheduler_name == profile.scheduler_name
    }

    /// Makes room for all nodes and forgets what can no longer be right.
    pub fn prepare(&mut self, cluster: &Cluster, clock: u64) {
        self.last_used = clock;
        // Which nodes have an image matters to the score of all of them.
        let images_matter = !self.shape.images.is_empty() && self.images_generation != cluster.images_generation();
        if images_matter || self.refusals.len() > cluster.rows().max(1024) {
            self.rows.clear();
            self.beside.clear();
            self.refusals.clear();
            self.places.clear();
        }
        self.images_generation = cluster.images_generation();
        self.rows.resize(cluster.rows(), Row::default());
        self.scores.resize(cluster.rows() * self.scorers.len(), 0);
    }

    pub fn fits(&mut self, profile: &Profile, cluster: &Cluster, id: NodeId) -> bool {
        let generation = cluster.generation(id);
        if self.rows[id.index()].generation != generation {
            let refusal = self.ask(profile, cluster, id);
            self.rows[id.index()] = Row { generation, refusal };
        }
        self.rows[id.index()].refusal == 0
    }

    /// Asks the plugins about the node as it is, without remembering the answer.
    pub fn refusal_now(&self, profile: &Profile, cluster: &Cluster, id: NodeId) -> Option<Refusal> {
        let node = cluster.node(id);
        let refusal = |plugin: &usize| match profile.plugins[*plugin].plugin.filter(&self.shape, node) {
            Verdict::Fits => None,
            Verdict::Unschedulable(reasons) => Some(Refusal { plugin: *plugin, reasons, resolvable: true }),
            Verdict::Unresolvable(reasons) => Some(Refusal { plugin: *plugin, reasons, resolvable: false }),
        };
        self.filters.iter().find_map(refusal)
    }

    fn ask(&mut self, profile: &Profile, cluster: &Cluster, id: NodeId) -> u32 {
        let node = cluster.node(id);
        if let Some(refusal) = self.refusal_now(profile, cluster, id) {
            return self.place(refusal);
        }
        let first = id.index() * self.scorers.len();
        for (place, plugin) in self.scorers.iter().enumerate() {
            let score = profile.plugins[*plugin].plugin.score(&self.shape, node);
            self.scores[first + place] = i32::try_from(score).unwrap_or(i32::MAX);
        }
        0
    }

    /// Where a refusal is among `refusals`, counted from 1.
    pub fn place(&mut self, refusal: Refusal) -> u32 {
        *self.places.entry(refusal).or_insert_with_key(|refusal| {
            self.refusals.push(refusal.clone());
            self.refusals.len() as u32
        })
    }

    /// What was found of a node with the pods that are meant for it, if it still holds: nothing, or the place of the
    /// refusal in `refusals`.
    pub fn beside(&self, id: NodeId, generation: u64, priority: i32) -> Option<Result<(), u32>> {
        let known = self.beside.get(id.index())?;
        let holds = known.generation == generation && known.priority == priority;
        holds.then(|| known.refusal.checked_sub(1).map_or(Ok(()), Err))
    }

    pub fn remember_beside(
        &mut self,
        id: NodeId,
        generation: u64,
        priority: i32,
        found: Result<(), Refusal>,
    ) -> Result<(), u32> {
        let refusal = found.err().map_or(0, |refusal| self.place(refusal));
        if self.beside.len() <= id.index() {
            self.beside.resize(id.index() + 1, Beside::default());
        }
        self.beside[id.index()] = Beside { generation, priority, refusal };
        refusal.checked_sub(1).map_or(Ok(()), Err)
    }

    /// The plugins that score.
    pub fn scorers(&self) -> &[usize] {
        &self.scorers
    }

    /// Not yet normalised; of a node that fits.
    pub fn score(&self, id: NodeId, place: usize) -> i64 {
        i64::from(self.scores[id.index() * self.scorers.len() + place])
    }

    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// The place in `refusals` of why a node that was asked about does not fit.
    pub fn refusal_of(&self, id: NodeId) -> Option<usize> {
        let place = self.rows.get(id.index())?.refusal;
        place.checked_sub(1).map(|at| at as usize)
    }
}
