//! A watch: a cursor into a resource's log, with a filter. It reads shared entries; nothing is queued for it.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

pub use crate::object::EventType;
use crate::{
    backend::{Backend, BackendError, KeyValue, Range, Revision},
    cache::{
        Cache, Entry, Old, ResourceRef, Snapshot, TableState,
        subscribers::{Place, Subscriber},
    },
    object::{Object, framed_body, split_key},
    resource::{Filter, Selects},
};

/// Events handed out at once.
const BATCH: usize = 128;

/// One event as this watch sees it.
#[derive(Clone, Debug)]
pub struct Event {
    pub kind: EventType,
    /// The object; for DELETED as it was before, with the resourceVersion of its end in the frame only.
    pub object: Arc<Object>,
    pub revision: Revision,
    /// Set for DELETED.
    deleted: Option<Bytes>,
}

impl Event {
    /// The whole line of a watch stream in the storage version, shared where possible.
    pub fn frame(&self) -> Bytes {
        self.deleted.clone().unwrap_or_else(|| self.object.frame(self.kind))
    }

    /// The object in the storage version, with the event's resourceVersion.
    pub fn body(&self) -> Bytes {
        match &self.deleted {
            Some(frame) => framed_body(EventType::Deleted, frame),
            None => self.object.body(),
        }
    }
}

#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum WatchError {
    /// Events this watch should have seen are gone: list again.
    #[error("too old resource version")]
    Expired,
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// What a watch has to say next.
#[derive(Clone, Debug)]
pub enum Step {
    Events(Vec<Event>),
    /// All objects that were there at this revision have been sent as ADDED; changes follow.
    Synced(Revision),
}

/// The objects a watch starts with.
pub(crate) enum Initial {
    Nothing,
    Cached(Snapshot),
    Listed(VecDeque<Arc<Object>>),
}

pub struct Watcher {
    cache: Arc<Cache>,
    backend: Arc<dyn Backend>,
    table: ResourceRef,
    subscriber: Arc<Subscriber>,
    initial: Initial,
    /// The key of the last initial object sent.
    sent: Option<Box<str>>,
    position: Revision,
}

impl Watcher {
    /// Subscribes after `after` under the lock that `state` holds.
    pub(crate) fn start(
        cache: Arc<Cache>,
        backend: Arc<dyn Backend>,
        table: ResourceRef,
        filter: Filter,
        after: Revision,
        initial: Initial,
        state: &mut TableState,
    ) -> Self {
        let resource = &table.resource;
        let subscriber = Arc::new(Subscriber::new(filter, after));
        let concerned = |(number, entry): (u64, &Arc<Entry>)| {
            entry.concerns(&subscriber.filter, &resource.selects).then_some(number)
        };
        let first = state.log.from(state.log.after(after)).find_map(concerned);
        if let Some(number) = first {
            *subscriber.place.lock() = Place::Behind(number);
        }
        state.subscribers.add(subscriber.clone(), resource);
        Self { cache, backend, table, subscriber, initial, sent: None, position: after }
    }

    /// All events up to this revision have been handed out: what a bookmark may say.
    pub fn position(&mut self) -> Revision {
        if matches!(self.initial, Initial::Nothing) {
            let state = self.table.lock();
            if *self.subscriber.place.lock() == Place::AtHead {
                self.position = self.position.max(self.cache.revision());
            }
            drop(state);
        }
        self.position
    }

    /// Waits for what comes next. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Step, WatchError> {
        if let Some(step) = self.next_initial() {
            return Ok(step);
        }
        loop {
            let entries = self.pending()?;
            let Some((last, _)) = entries.last() else {
                self.subscriber.wake.notified().await;
                continue;
            };
            for (_, entry) in &entries {
                self.resolve(entry).await?;
            }
            let events: Vec<Event> = entries.iter().filter_map(|(_, entry)| self.event(entry)).collect();
            self.advance(*last);
            if !events.is_empty() {
                return Ok(Step::Events(events));
            }
        }
    }

    fn next_initial(&mut self) -> Option<Step> {
        let added =
            |object: Arc<Object>| Event { kind: EventType::Added, revision: object.revision(), object, deleted: None };
        let selects = &self.table.resource.selects;
        let filter = &self.subscriber.filter;
        let events: Vec<Event> = match &mut self.initial {
            Initial::Nothing => return None,
            Initial::Cached(snapshot) => {
                let objects = snapshot.range(filter.namespace.as_deref(), self.sent.as_deref());
                objects.filter(|o| filter.matches(o, selects)).take(BATCH).cloned().map(added).collect()
            }
            Initial::Listed(objects) => {
                let count = objects.len().min(BATCH);
                objects.drain(..count).map(added).collect()
            }
        };
        match events.last() {
            Some(last) => {
                self.sent = Some(last.object.key().into());
                Some(Step::Events(events))
            }
            None => {
                self.initial = Initial::Nothing;
                Some(Step::Synced(self.position))
            }
        }
    }

    /// The next entries that concern this watch, without moving on.
    fn pending(&self) -> Result<Vec<(u64, Arc<Entry>)>, WatchError> {
        let table = &self.table;
        let state = table.lock();
        let from = match *self.subscriber.place.lock() {
            Place::AtHead => return Ok(Vec::new()),
            Place::Lost => return Err(WatchError::Expired),
            Place::Behind(number) if number < state.log.first() => return Err(WatchError::Expired),
            Place::Behind(number) => number,
        };
        let selects = &table.resource.selects;
        let concerned = |(_, entry): &(u64, &Arc<Entry>)| {
            entry.revision > self.subscriber.after && entry.concerns(&self.subscriber.filter, selects)
        };
        Ok(state.log.from(from).filter(concerned).take(BATCH).map(|(n, entry)| (n, entry.clone())).collect())
    }

    /// Moves behind entry number `last`, to the next one that concerns this watch or to the head.
    fn advance(&mut self, last: u64) {
        let table = &self.table;
        let state = table.lock();
        let mut place = self.subscriber.place.lock();
        if *place == Place::Lost {
            return;
        }
        if last + 1 < state.log.first() {
            // The log was cut while old values were read: the next call finds out.
            *place = Place::Behind(last + 1);
            return;
        }
        let selects = &table.resource.selects;
        let next = state.log.from(last + 1).find(|(_, entry)| entry.concerns(&self.subscriber.filter, selects));
        match next {
            Some((number, entry)) => {
                *place = Place::Behind(number);
                self.position = self.position.max(entry.revision - 1);
            }
            None => {
                *place = Place::AtHead;
                self.position = self.cache.revision();
            }
        }
    }

    /// Reads the old value of an entry that is not cached, if this watch needs it.
    async fn resolve(&self, entry: &Entry) -> Result<(), WatchError> {
        let Old::InBackend(cell) = &entry.old else { return Ok(()) };
        if entry.new.is_some() && self.subscriber.filter.is_by_key() {
            return Ok(());
        }
        cell.get_or_try_init(|| async {
            let (namespace, name) = split_key(&entry.key);
            let full = self.cache.key(&self.table, namespace, name);
            let range = Range { revision: entry.revision - 1, ..Range::key(&full) };
            let found = match self.backend.range(range).await {
                Ok(found) => found.items,
                Err(BackendError::Compacted { .. }) => return Err(WatchError::Expired),
                Err(error) => return Err(error.into()),
            };
            Ok(found.first().and_then(|kv| self.decode(&entry.key, kv)))
        })
        .await?;
        Ok(())
    }

    fn decode(&self, key: &str, stored: &KeyValue) -> Option<Arc<Object>> {
        Object::decode(key, stored, self.table.extractor()).ok().map(Arc::new)
    }

    /// What an entry means under this watch's filter: who enters is ADDED, who leaves is DELETED.
    fn event(&self, entry: &Entry) -> Option<Event> {
        let selects: &Selects = &self.table.resource.selects;
        let filter = &self.subscriber.filter;
        let matches = |object: &&Arc<Object>| filter.matches(object, selects);
        let old = match &entry.old {
            Old::Absent => None,
            Old::Known(object) => Some(object),
            Old::InBackend(cell) => match cell.get() {
                Some(found) => found.as_ref(),
                // Only the key selects: it was selected before as it is now.
                None => entry.new.as_ref(),
            },
        };
        let (before, after) = (old.filter(matches), entry.new.as_ref().filter(matches));
        let (kind, object) = match (before, after) {
            (None, None) => return None,
            (None, Some(new)) => (EventType::Added, new),
            (Some(_), Some(new)) => (EventType::Modified, new),
            (Some(old), None) => (EventType::Deleted, old),
        };
        let deleted = (kind == EventType::Deleted).then(|| entry.deleted_frame(object));
        Some(Event { kind, object: object.clone(), revision: entry.revision, deleted })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let table = &self.table;
        table.lock().subscribers.remove(&self.subscriber, &table.resource);
    }
}
