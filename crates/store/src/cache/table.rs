//! One resource's state: its objects in key order, its log, its watchers, and the snapshots that pages are read from.

use std::{borrow::Borrow, collections::BTreeMap, ops::Bound, sync::Arc};

use imbl::OrdSet;

use super::{
    log::{Entry, Log, Old},
    subscribers::Subscribers,
};
use crate::{backend::Revision, object::Object, resource::Resource};

/// Snapshots kept for further pages. The oldest goes first; its pages are then read from the backend.
const MAX_PAGES: usize = 32;

/// Orders objects by key, the order of etcd.
#[derive(Clone, Debug)]
struct ByKey(Arc<Object>);

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for ByKey {}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.key().cmp(other.0.key())
    }
}

impl Borrow<str> for ByKey {
    fn borrow(&self) -> &str {
        self.0.key()
    }
}

/// All objects of a resource at one revision; taking and keeping one costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Snapshot(OrdSet<ByKey>);

impl Snapshot {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `key` is `namespace/name`, or `name` in cluster scope.
    pub fn get(&self, key: &str) -> Option<&Arc<Object>> {
        self.0.get(key).map(|found| &found.0)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.0.iter().map(|found| &found.0)
    }

    /// Objects of one namespace (of all with `None`) from the key `from` on, in key order. Whatever `from` says, the
    /// namespace is not left.
    pub fn range<'a>(&'a self, namespace: Option<&str>, from: Option<&str>) -> impl Iterator<Item = &'a Arc<Object>> {
        let first = namespace.map(|namespace| format!("{namespace}/"));
        let end = namespace.map(|namespace| format!("{namespace}0"));
        let lower = first.as_deref().max(from);
        let lower = if end.is_some() { lower.min(end.as_deref()) } else { lower };
        let lower = lower.map_or(Bound::Unbounded, Bound::Included);
        let upper = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.0.range::<_, str>((lower, upper)).map(|found| &found.0)
    }
}

/// Whether reads are answered from the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Being read for the first time.
    Entering,
    #[default]
    Open,
    /// Taken out: reads go to the backend.
    Closed,
}

#[derive(Debug, Default)]
pub(crate) struct TableState {
    phase: Phase,
    pub(crate) objects: Snapshot,
    pub(crate) log: Log,
    pub(crate) subscribers: Subscribers,
    pages: BTreeMap<Revision, Snapshot>,
    /// The revision of the newest change.
    pub(crate) changed: Revision,
}

impl TableState {
    pub(super) fn entering() -> Self {
        Self { phase: Phase::Entering, ..Self::default() }
    }

    pub(super) fn open(&mut self) {
        self.phase = Phase::Open;
    }

    /// Ends all watches and lets go of everything.
    pub(super) fn close(&mut self, revision: Revision) {
        self.rebuild(Vec::new(), revision);
        self.phase = Phase::Closed;
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    pub(super) fn apply(
        &mut self,
        resource: &Resource,
        revision: Revision,
        key: Box<str>,
        created: bool,
        new: Option<Arc<Object>>,
    ) {
        self.changed = revision;
        let old = if !resource.cached {
            if created { Old::Absent } else { Old::InBackend(tokio::sync::OnceCell::new()) }
        } else {
            let previous = match &new {
                Some(object) => self.objects.0.insert(ByKey(object.clone())),
                None => self.objects.0.remove(&*key),
            };
            match previous {
                Some(ByKey(object)) => Old::Known(object),
                None if new.is_none() => return,
                None => Old::Absent,
            }
        };
        let known = match &old {
            Old::Known(object) => Some(object.clone()),
            Old::Absent | Old::InBackend(_) => None,
        };
        let entry = Arc::new(Entry::new(revision, key, old, new));
        self.subscribers.announce(self.log.end(), &entry, known.as_deref(), resource);
        self.log.push(entry);
    }

    pub(super) fn rebuild(&mut self, objects: Vec<Arc<Object>>, revision: Revision) {
        self.objects = Snapshot(objects.into_iter().map(ByKey).collect());
        self.log.reset(revision);
        self.subscribers.lose_all();
        self.pages.clear();
        self.changed = revision;
    }

    /// The state at `revision`, if it is at hand: the present one that has not changed since, or one kept for pages.
    pub(crate) fn at(&self, revision: Revision, present: Revision) -> Option<Snapshot> {
        if (self.changed..=present).contains(&revision) {
            return Some(self.objects.clone());
        }
        self.pages.get(&revision).cloned()
    }

    /// Keeps the snapshot of `revision` for the pages to come.
    pub(crate) fn keep_page(&mut self, revision: Revision, snapshot: Snapshot) {
        self.pages.insert(revision, snapshot);
        if self.pages.len() > MAX_PAGES {
            self.pages.pop_first();
        }
    }

    pub(crate) fn forget_pages(&mut self, below: Revision) {
        self.pages = self.pages.split_off(&below);
    }
}
