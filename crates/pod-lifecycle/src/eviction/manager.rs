//! What is short, and for how long: from one look at the node to the next.

use super::{Condition, Observations, Threshold};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub thresholds: Vec<Threshold>,
    /// A condition is shown for at least so long after it was last met.
    pub transition: Duration,
    /// The most grace, in seconds, of a pod that goes for a soft threshold.
    pub max_pod_grace: i64,
}

/// Remembers what was met when.
#[derive(Clone, Debug, Default)]
pub struct Manager {
    settings: Settings,
    /// By the index of the threshold.
    first_met: BTreeMap<usize, Timestamp>,
    last_observed: BTreeMap<Condition, Timestamp>,
    /// Met, and their grace over: they end only with their minimum reclaimed.
    acted_on: BTreeSet<usize>,
}

/// What one look leads to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub conditions: BTreeSet<Condition>,
    /// The shortage to relieve now.
    pub relieve: Option<Threshold>,
}

impl Manager {
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    pub fn look(&mut self, seen: &Observations, now: Timestamp) -> Outcome {
        let met = self.met(seen);
        self.first_met.retain(|index, _| met.contains(index));
        for index in &met {
            self.first_met.entry(*index).or_insert(now);
            self.last_observed.insert(self.settings.thresholds[*index].signal.condition(), now);
        }
        let within = |since: &Timestamp, time: Duration| {
            now.duration_since(*since) < SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
        };
        let transition = self.settings.transition;
        self.last_observed.retain(|_, since| *since == now || within(since, transition));
        let due = met.into_iter().filter(|i| !within(&self.first_met[i], self.settings.thresholds[*i].grace));
        self.acted_on = due.collect();
        let all = self.acted_on.iter().map(|index| &self.settings.thresholds[*index]);
        Outcome {
            conditions: self.last_observed.keys().copied().collect(),
            // Of two for one signal the hard one leaves less time.
            relieve: all.min_by_key(|t| (t.signal, t.grace)).cloned(),
        }
    }

    /// Whether nothing that was acted on is short any more, the minimum to reclaim included.
    pub fn relieved(&self, seen: &Observations) -> bool {
        self.acted_on.iter().all(|index| {
            let threshold = &self.settings.thresholds[*index];
            !seen.get(&threshold.signal).is_some_and(|seen| threshold.met(*seen, true))
        })
    }

    fn met(&self, seen: &Observations) -> BTreeSet<usize> {
        let met = |(index, threshold): (usize, &Threshold)| {
            let seen = seen.get(&threshold.signal)?;
            threshold.met(*seen, self.acted_on.contains(&index)).then_some(index)
        };
        self.settings.thresholds.iter().enumerate().filter_map(met).collect()
    }

    /// Seconds that a pod with that grace of its own has when it goes for `threshold`.
    pub fn grace(&self, threshold: &Threshold, own: i64) -> i64 {
        const AT_ONCE: i64 = 1;
        if threshold.is_hard() { AT_ONCE } else { own.min(self.settings.max_pod_grace).max(AT_ONCE) }
    }
}
