//! The in-memory twin of etcd: the same revisions, transactions, compaction, leases and watches, in one process.
//! Simulations and tests run on it. Time is tokio's, so a paused runtime controls the leases.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Weak},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::backend::{
    Backend, BackendError, Change, Changes, KeyValue, LeaseId, Outcome, Range, Ranged, Result, Revision, Transaction,
    Write,
};

#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// The newest revision; wakes the watches.
    revision: watch::Sender<Revision>,
}

#[derive(Default)]
struct State {
    revision: Revision,
    compacted: Revision,
    /// Every key's versions since the last compaction, oldest first; `None` marks a deletion.
    keys: BTreeMap<String, Vec<Version>>,
    /// The changes of each revision after the last compaction.
    history: VecDeque<(Revision, Vec<Change>)>,
    leases: BTreeMap<LeaseId, BTreeSet<String>>,
    next_lease: LeaseId,
}

struct Version {
    revision: Revision,
    value: Option<KeyValue>,
    lease: Option<LeaseId>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    pub fn new() -> Self {
        let state = State { revision: 1, next_lease: 1, ..State::default() };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), revision: watch::Sender::new(1) }) }
    }
}

impl State {
    fn current(&self, key: &str) -> Option<&KeyValue> {
        self.keys.get(key)?.last()?.value.as_ref()
    }

    /// Writes all of it at the next revision.
    fn write(&mut self, writes: Vec<Write>) -> Revision {
        let revision = self.revision + 1;
        let mut changes = Vec::with_capacity(writes.len());
        for write in writes {
            let present = self.current(write.key()).map(|kv| kv.create_revision);
            self.release(write.key());
            let (key, version) = match write {
                Write::Put { key, value, lease } => {
                    let create_revision = present.unwrap_or(revision);
                    let kv = KeyValue { key: key.clone(), value, create_revision, mod_revision: revision };
                    if let Some(keys) = lease.and_then(|id| self.leases.get_mut(&id)) {
                        keys.insert(key.clone());
                    }
                    changes.push(Change::Put(kv.clone()));
                    (key, Version { revision, value: Some(kv), lease })
                }
                Write::Delete { .. } if present.is_none() => continue,
                Write::Delete { key } => {
                    changes.push(Change::Delete { key: key.clone(), revision });
                    (key, Version { revision, value: None, lease: None })
                }
            };
            self.keys.entry(key).or_default().push(version);
        }
        if !changes.is_empty() {
            self.revision = revision;
            self.history.push_back((revision, changes));
        }
        self.revision
    }

    fn release(&mut self, key: &str) {
        let lease = self.keys.get(key).and_then(|versions| versions.last()).and_then(|version| version.lease);
        if let Some(keys) = lease.and_then(|id| self.leases.get_mut(&id)) {
            keys.remove(key);
        }
    }

    fn commit(&mut self, transaction: Transaction) -> Outcome {
        let revision_of = |state: &Self, key: &str| state.current(key).map_or(0, |kv| kv.mod_revision);
        if transaction.checks.iter().any(|check| revision_of(self, &check.key) != check.revision) {
            let current = transaction.checks.iter().map(|check| self.current(&check.key).cloned()).collect();
            return Outcome::Refused { revision: self.revision, current };
        }
        Outcome::Committed { revision: self.write(transaction.writes) }
    }

    fn range(&self, range: &Range) -> Result<Ranged> {
        if range.revision > self.revision {
            return Err(BackendError::FutureRevision);
        }
        if range.revision != 0 && range.revision < self.compacted {
            return Err(BackendError::Compacted { oldest: self.compacted });
        }
        let at = if range.revision == 0 { self.revision } else { range.revision };
        let alive = |versions: &Vec<Version>| {
            versions.iter().rev().find(|version| version.revision <= at).and_then(|version| version.value.clone())
        };
        let found = self.keys.range(range.start.clone()..range.end.clone()).filter_map(|(_, versions)| alive(versions));
        let mut items: Vec<KeyValue> = found.collect();
        let count = items.len() as i64;
        let more = range.limit > 0 && count > range.limit;
        if more {
            items.truncate(range.limit as usize);
        }
        Ok(Ranged { items, more, count, revision: self.revision })
    }

    fn compact(&mut self, revision: Revision) -> Result<()> {
        if revision > self.revision {
            return Err(BackendError::FutureRevision);
        }
        if revision <= self.compacted {
            return Err(BackendError::Compacted { oldest: self.compacted });
        }
        self.compacted = revision;
        while self.history.front().is_some_and(|(at, _)| *at < revision) {
            self.history.pop_front();
        }
        self.keys.retain(|_, versions| {
            let kept = versions.iter().rposition(|version| version.revision <= revision).unwrap_or(0);
            versions.drain(..kept);
            !matches!(versions.as_slice(), [only] if only.value.is_none() && only.revision <= revision)
        });
        Ok(())
    }

    fn changes(&self, prefix: &str, from: Revision) -> Result<Vec<Change>> {
        if from < self.compacted {
            return Err(BackendError::Compacted { oldest: self.compacted });
        }
        let start = self.history.partition_point(|(revision, _)| *revision < from);
        let changes = self.history.iter().skip(start).flat_map(|(_, changes)| changes);
        Ok(changes.filter(|change| change.key().starts_with(prefix)).cloned().collect())
    }
}

impl Shared {
    fn announce(&self, revision: Revision) {
        self.revision.send_if_modified(|seen| std::mem::replace(seen, revision.max(*seen)) < revision);
    }
}

/// Ends a lease: deletes its keys at one revision.
async fn expire(shared: Weak<Shared>, lease: LeaseId, after: Duration) {
    tokio::time::sleep(after).await;
    let Some(shared) = shared.upgrade() else { return };
    let revision = {
        let mut state = shared.state.lock();
        let keys = state.leases.remove(&lease).unwrap_or_default();
        state.write(keys.into_iter().map(Write::delete).collect())
    };
    shared.announce(revision);
}

impl Backend for Memory {
    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Outcome>> {
        async move {
            let outcome = self.shared.state.lock().commit(transaction);
            if let Outcome::Committed { revision } = outcome {
                self.shared.announce(revision);
            }
            Ok(outcome)
        }
        .boxed()
    }

    fn range(&self, range: Range) -> BoxFuture<'_, Result<Ranged>> {
        async move { self.shared.state.lock().range(&range) }.boxed()
    }

    fn revision(&self) -> BoxFuture<'_, Result<Revision>> {
        async move { Ok(self.shared.state.lock().revision) }.boxed()
    }

    fn watch(&self, prefix: String, from: Revision) -> BoxFuture<'_, Result<Box<dyn Changes>>> {
        async move {
            let wake = self.shared.revision.subscribe();
            Ok(Box::new(Tail { shared: self.shared.clone(), prefix, next: from, wake }) as Box<dyn Changes>)
        }
        .boxed()
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<()>> {
        async move { self.shared.state.lock().compact(revision) }.boxed()
    }

    fn grant(&self, seconds: i64) -> BoxFuture<'_, Result<LeaseId>> {
        async move {
            let lease = {
                let mut state = self.shared.state.lock();
                let lease = state.next_lease;
                state.next_lease += 1;
                state.leases.insert(lease, BTreeSet::new());
                lease
            };
            let after = Duration::from_secs(seconds.max(0) as u64);
            tokio::spawn(expire(Arc::downgrade(&self.shared), lease, after));
            Ok(lease)
        }
        .boxed()
    }
}

struct Tail {
    shared: Arc<Shared>,
    prefix: String,
    next: Revision,
    wake: watch::Receiver<Revision>,
}

impl Changes for Tail {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Change>>> {
        async move {
            let next = self.next;
            let newest = *self
                .wake
                .wait_for(|revision| *revision >= next)
                .await
                .map_err(|_| BackendError::Unavailable("the store is gone".into()))?;
            let state = self.shared.state.lock();
            let changes = state.changes(&self.prefix, self.next)?;
            self.next = newest.max(state.revision) + 1;
            Ok(changes)
        }
        .boxed()
    }
}
