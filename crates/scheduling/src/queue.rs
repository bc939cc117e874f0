//! Where pods wait: to be tried (*active*), until a failed attempt has cooled off (*backoff*), until something happens
//! that might help (*unschedulable*), or until their own gates open (*gated*). A pod that is being tried or bound is
//! *in flight*; events that come meanwhile are kept and weighed when the attempt fails, so that no wake-up is lost.
//!
//! A pure state machine: time comes in as an argument, and whether an event helps a pod is asked of the caller.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    cluster::{Held, Resident},
    framework::{ClusterEvent, PodRef},
    object::SchedulingGate,
    peers::Peers,
    plugins::priority_sort::{PrioritySort, SortKey},
    profile::PluginSet,
    shape::Shape,
    volumes::Volumes,
};

/// Longest stay among the unschedulable without an event, as a net under the hints.
const FLUSH_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// Events kept for the pods in flight. Beyond, the pods that were in flight before are tried again in any case.
const MAX_EVENTS: usize = 4096;

/// A pod without a node.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub uid: Arc<str>,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    /// The place of its profile in the configuration.
    pub profile: usize,
    pub shape: Arc<Shape>,
    pub peers: Arc<Peers>,
    pub volumes: Option<Arc<Volumes>>,
    pub priority: i32,
    pub may_preempt: bool,
    pub gates: Vec<SchedulingGate>,
}

impl Waiting {
    pub fn to_plugins(&self) -> PodRef<'_> {
        PodRef {
            uid: &self.uid,
            shape: &self.shape,
            peers: &self.peers,
            volumes: self.volumes.as_ref(),
            gates: &self.gates,
            priority: self.priority,
        }
    }

    /// What it will be on a node.
    pub fn resident(&self) -> Resident {
        let held =
            Held { footprint: self.shape.footprint.clone(), peers: self.peers.clone(), volumes: self.volumes.clone() };
        Resident {
            uid: self.uid.clone(),
            name: self.name.clone(),
            held,
            priority: self.priority,
            started: i64::MAX,
            preempted: false,
        }
    }

    /// The two ask for the same in the same way: an attempt would end alike.
    fn asks_the_same(&self, other: &Self) -> bool {
        self.shape == other.shape
            && self.peers == other.peers
            && self.volumes == other.volumes
            && self.gates == other.gates
            && self.priority == other.priority
            && self.profile == other.profile
    }
}

/// Whom an event may help, of pods that ask for the same and were refused by the same plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Help {
    No,
    All,
    /// The room that the event made is meant for these.
    Only(Vec<Arc<str>>),
}

impl Help {
    fn includes(&self, uid: &Arc<str>) -> bool {
        match self {
            Self::No => false,
            Self::All => true,
            Self::Only(pods) => pods.contains(uid),
        }
    }
}

/// Pods that an event helps or does not help alike: one question is enough for all of them. The addresses are those of
/// values that the pods hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct GroupKey {
    profile: usize,
    shape: usize,
    peers: usize,
    volumes: usize,
    priority: i32,
    refused_by: PluginSet,
}

/// A pod that has been taken out to be tried.
#[derive(Clone, Debug)]
pub struct InFlight {
    pub pod: Waiting,
    /// This one included.
    pub attempts: u32,
    /// When it was first queued.
    pub since: Timestamp,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// These plugins refused it.
    Unschedulable(PluginSet),
    /// Something else went wrong; nothing in the cluster has to change for it to go right.
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Active(SortKey, u64),
    Backoff {
        until: Timestamp,
        after_error: bool,
    },
    Unschedulable {
        since: Timestamp,
    },
    Gated,
    /// Since this event; and the pod itself has changed meanwhile.
    InFlight {
        event: u64,
        changed: bool,
    },
}

impl GroupKey {
    fn of(entry: &Entry) -> Self {
        let pod = &entry.pod;
        Self {
            profile: pod.profile,
            shape: Arc::as_ptr(&pod.shape) as usize,
            peers: Arc::as_ptr(&pod.peers) as usize,
            volumes: pod.volumes.as_ref().map_or(0, |volumes| Arc::as_ptr(volumes) as usize),
            priority: pod.priority,
            refused_by: entry.refused_by,
        }
    }
}

#[derive(Debug)]
struct Entry {
    pod: Waiting,
    place: Place,
    since: Timestamp,
    attempts: u32,
    refusals: u32,
    errors: u32,
    refused_by: PluginSet,
    failed_at: Timestamp,
}

/// How many pods wait where, under upstream's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub active: usize,
    pub backoff: usize,
    pub unschedulable: usize,
    pub gated: usize,
}

#[derive(Debug)]
pub struct Queue {
    entries: HashMap<Arc<str>, Entry>,
    active: BTreeSet<(SortKey, u64, Arc<str>)>,
    backoff: BTreeSet<(Timestamp, Arc<str>)>,
    unschedulable: BTreeSet<(Timestamp, Arc<str>)>,
    /// The same pods by what would help them.
    groups: HashMap<GroupKey, HashSet<Arc<str>>>,
    gated: usize,
    /// Events since the oldest pod in flight was taken out; the number of the first one.
    events: VecDeque<ClusterEvent>,
    first_event: u64,
    /// How many pods are in flight since which event.
    in_flight: BTreeMap<u64, usize>,
    next_number: u64,
    initial_backoff: SignedDuration,
    max_backoff: SignedDuration,
    incoming: BTreeMap<(&'static str, &'static str), u64>,
}

impl Queue {
    pub fn new(initial_backoff: SignedDuration, max_backoff: SignedDuration) -> Self {
        Self {
            entries: HashMap::new(),
            active: BTreeSet::new(),
            backoff: BTreeSet::new(),
            unschedulable: BTreeSet::new(),
            groups: HashMap::new(),
            gated: 0,
            events: VecDeque::new(),
            first_event: 0,
            in_flight: BTreeMap::new(),
            next_number: 0,
            initial_backoff,
            max_backoff,
            incoming: BTreeMap::new(),
        }
    }

    pub fn counts(&self) -> Counts {
        Counts {
            active: self.active.len(),
            backoff: self.backoff.len(),
            unschedulable: self.unschedulable.len(),
            gated: self.gated,
        }
    }

    pub fn get(&self, uid: &str) -> Option<&Waiting> {
        self.entries.get(uid).map(|entry| &entry.pod)
    }

    /// How many pods came into which queue upon what, since this was last asked.
    pub fn take_incoming(&mut self) -> BTreeMap<(&'static str, &'static str), u64> {
        std::mem::take(&mut self.incoming)
    }

    /// A pod without a node, new or changed. `gated`: a plugin keeps it from being queued.
    pub fn apply(&mut self, pod: Waiting, gated: bool, now: Timestamp) {
        let uid = pod.uid.clone();
        let Some(entry) = self.entries.get_mut(&uid) else {
            let entry = Entry {
                pod,
                place: Place::Gated,
                since: now,
                attempts: 0,
                refusals: 0,
                errors: 0,
                refused_by: PluginSet::default(),
                failed_at: now,
            };
            self.entries.insert(uid.clone(), entry);
            self.gated += 1;
            if gated {
                self.count("gated", "PodAdd");
            } else {
                self.activate(&uid, "PodAdd");
            }
            return;
        };
        if entry.pod.asks_the_same(&pod) {
            return;
        }
        match &mut entry.place {
            Place::InFlight { changed, .. } => {
                *changed = true;
                entry.pod = pod;
            }
            Place::Backoff { .. } if !gated => entry.pod = pod,
            place => {
                let refused = matches!(place, Place::Unschedulable { .. });
                self.change(&uid, pod);
                if gated {
                    self.put(&uid, Place::Gated, "PodUpdate");
                } else if refused {
                    self.wake(&uid, now, "PodUpdate");
                } else {
                    self.activate(&uid, "PodUpdate");
                }
            }
        }
    }

    /// Takes a pod out of its queue, from where it can be found only as it was, and makes it a different one. It counts
    /// as gated until it is put somewhere.
    fn change(&mut self, uid: &Arc<str>, pod: Waiting) {
        self.leave(uid);
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.place = Place::Gated;
            entry.pod = pod;
            self.gated += 1;
        }
    }

    /// What a pod waited for has become moot: it is tried again.
    pub fn retry(&mut self, uid: &str, now: Timestamp) {
        let waits = |entry: &Entry| matches!(entry.place, Place::Unschedulable { .. });
        let key = self.entries.get_key_value(uid).filter(|(_, entry)| waits(entry)).map(|(key, _)| key.clone());
        if let Some(key) = key {
            self.wake(&key, now, "PreemptionFailed");
        }
    }

    /// The pod is gone, bound, or none of ours any more.
    pub fn remove(&mut self, uid: &str) {
        if let Some(key) = self.entries.get_key_value(uid).map(|(key, _)| key.clone()) {
            self.leave(&key);
            self.entries.remove(&key);
        }
    }

    /// The next pod to try: the first of the active, or else, rather than doing nothing, the first that only cools off
    /// after having been refused.
    pub fn pop(&mut self, now: Timestamp) -> Option<InFlight> {
        self.tick(now);
        let refused = |(_, uid): &&(Timestamp, Arc<str>)| {
            matches!(self.entries.get(uid).map(|e| e.place), Some(Place::Backoff { after_error: false, .. }))
        };
        let uid = match self.active.first() {
            Some((_, _, uid)) => uid.clone(),
            None => self.backoff.iter().find(refused).map(|(_, uid)| uid.clone())?,
        };
        self.leave(&uid);
        let event = self.first_event + self.events.len() as u64;
        *self.in_flight.entry(event).or_insert(0) += 1;
        let entry = self.entries.get_mut(&uid)?;
        entry.place = Place::InFlight { event, changed: false };
        entry.attempts += 1;
        Some(InFlight { pod: entry.pod.clone(), attempts: entry.attempts, since: entry.since })
    }

    /// The attempt failed. The pod waits for an event that helps, unless one has come already. `gated`: the pod has
    /// changed meanwhile, so that it may not be queued now.
    pub fn failed(
        &mut self,
        uid: &str,
        failure: Failure,
        now: Timestamp,
        gated: bool,
        helps: impl Fn(&Waiting, PluginSet, &ClusterEvent) -> Help,
    ) {
        let Some(uid) = self.entries.get_key_value(uid).map(|(key, _)| key.clone()) else { return };
        let Some(entry) = self.entries.get_mut(&uid) else { return };
        let Place::InFlight { event, changed } = entry.place else { return };
        entry.failed_at = now;
        match failure {
            Failure::Unschedulable(by) => {
                entry.refusals += 1;
                entry.errors = 0;
                entry.refused_by = by;
            }
            Failure::Error => {
                entry.errors += 1;
                entry.refused_by = PluginSet::default();
            }
        }
        let missed = event < self.first_event;
        let from = event.saturating_sub(self.first_event) as usize;
        let helped =
            || self.events.iter().skip(from).any(|event| helps(&entry.pod, entry.refused_by, event).includes(&uid));
        const WHY: &str = "ScheduleAttemptFailure";
        if gated {
            self.put(&uid, Place::Gated, WHY);
        } else if failure == Failure::Error {
            let until = now + self.backoff_of(&uid);
            self.put(&uid, Place::Backoff { until, after_error: true }, WHY);
        } else if changed || missed || entry.refused_by.is_empty() || helped() {
            self.wake(&uid, now, WHY);
        } else {
            self.put(&uid, Place::Unschedulable { since: now }, WHY);
        }
    }

    /// Something happened in the cluster.
    pub fn event(
        &mut self,
        event: ClusterEvent,
        now: Timestamp,
        helps: impl Fn(&Waiting, PluginSet, &ClusterEvent) -> Help,
    ) {
        let label = event.label();
        let mut helped: Vec<Arc<str>> = Vec::new();
        for pods in self.groups.values() {
            let Some(entry) = pods.iter().next().and_then(|uid| self.entries.get(uid)) else { continue };
            match helps(&entry.pod, entry.refused_by, &event) {
                Help::No => {}
                Help::All => helped.extend(pods.iter().cloned()),
                Help::Only(these) => helped.extend(these.into_iter().filter(|uid| pods.contains(uid))),
            }
        }
        // In the order in which they came to wait, whatever the order of the groups.
        helped.sort_by_key(|uid| self.entries.get(uid).map(|entry| (entry.failed_at, uid.clone())));
        for uid in helped {
            self.wake(&uid, now, label);
        }
        if !self.in_flight.is_empty() {
            self.events.push_back(event);
            if self.events.len() > MAX_EVENTS {
                self.events.pop_front();
                self.first_event += 1;
            }
        }
    }

    /// Moves on whose time has come.
    pub fn tick(&mut self, now: Timestamp) {
        while let Some((_, uid)) = self.backoff.first().filter(|(until, _)| *until <= now) {
            let uid = uid.clone();
            self.activate(&uid, "BackoffComplete");
        }
        while let Some((_, uid)) = self.unschedulable.first().filter(|(since, _)| *since + FLUSH_AFTER <= now) {
            let uid = uid.clone();
            self.wake(&uid, now, "UnschedulableTimeout");
        }
    }

    /// When `tick` next has something to do.
    pub fn next_tick(&self) -> Option<Timestamp> {
        let backoff = self.backoff.first().map(|(until, _)| *until);
        let flush = self.unschedulable.first().map(|(since, _)| *since + FLUSH_AFTER);
        backoff.into_iter().chain(flush).min()
    }

    fn backoff_of(&self, uid: &str) -> SignedDuration {
        let Some(entry) = self.entries.get(uid) else { return SignedDuration::ZERO };
        let failures = if entry.errors > 0 { entry.errors } else { entry.refusals };
        let Some(doublings) = failures.checked_sub(1) else { return SignedDuration::ZERO };
        let backoff = 2_i32.checked_pow(doublings).and_then(|factor| self.initial_backoff.checked_mul(factor));
        backoff.unwrap_or(self.max_backoff).min(self.max_backoff)
    }

    /// To the active queue, or to cool off first if it failed a moment ago.
    fn wake(&mut self, uid: &Arc<str>, now: Timestamp, why: &'static str) {
        let until = self.entries.get(uid).map_or(now, |entry| entry.failed_at + self.backoff_of(uid));
        if until > now {
            self.put(uid, Place::Backoff { until, after_error: false }, why);
        } else {
            self.activate(uid, why);
        }
    }

    fn activate(&mut self, uid: &Arc<str>, why: &'static str) {
        let Some(entry) = self.entries.get(uid) else { return };
        let key = PrioritySort::key(entry.pod.priority, entry.since);
        self.next_number += 1;
        self.put(uid, Place::Active(key, self.next_number), why);
    }

    fn put(&mut self, uid: &Arc<str>, place: Place, why: &'static str) {
        self.leave(uid);
        let Some(entry) = self.entries.get_mut(uid) else { return };
        entry.place = place;
        let group = GroupKey::of(entry);
        let queue = match place {
            Place::Active(key, number) => {
                self.active.insert((key, number, uid.clone()));
                "active"
            }
            Place::Backoff { until, .. } => {
                self.backoff.insert((until, uid.clone()));
                "backoff"
            }
            Place::Unschedulable { since } => {
                self.unschedulable.insert((since, uid.clone()));
                self.groups.entry(group).or_default().insert(uid.clone());
                "unschedulable"
            }
            Place::Gated => {
                self.gated += 1;
                "gated"
            }
            Place::InFlight { .. } => return,
        };
        self.count(queue, why);
    }

    fn count(&mut self, queue: &'static str, why: &'static str) {
        *self.incoming.entry((queue, why)).or_insert(0) += 1;
    }

    /// Takes the pod out of wherever it is.
    fn leave(&mut self, uid: &Arc<str>) {
        let Some((place, group)) = self.entries.get(uid).map(|entry| (entry.place, GroupKey::of(entry))) else {
            return;
        };
        match place {
            Place::Active(key, number) => {
                self.active.remove(&(key, number, uid.clone()));
            }
            Place::Backoff { until, .. } => {
                self.backoff.remove(&(until, uid.clone()));
            }
            Place::Unschedulable { since } => {
                self.unschedulable.remove(&(since, uid.clone()));
                if let Some(pods) = self.groups.get_mut(&group) {
                    pods.remove(uid);
                    if pods.is_empty() {
                        self.groups.remove(&group);
                    }
                }
            }
            Place::Gated => self.gated -= 1,
            Place::InFlight { event, .. } => self.land(event),
        }
    }

    /// A pod that was in flight since `event` is not any more; events that nobody needs now are dropped.
    fn land(&mut self, event: u64) {
        if let Some(count) = self.in_flight.get_mut(&event) {
            *count -= 1;
            if *count == 0 {
                self.in_flight.remove(&event);
            }
        }
        let keep_from = self.in_flight.keys().next().copied().unwrap_or(u64::MAX);
        while self.first_event < keep_from && self.events.pop_front().is_some() {
            self.first_event += 1;
        }
    }
}
