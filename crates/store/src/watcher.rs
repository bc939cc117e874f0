//! A watch: a cursor into a resource's log, with a filter. It reads shared entries; nothing is queued for it.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};

pub use crate::object::EventType;
use crate::{
    backend::{Backend, BackendError, Range, Revision},
    cache::{
        Cache, Entry, Old, ResourceRef, Snapshot, TableState,
        subscribers::{Place, Subscriber},
    },
    object::{Object, framed_body, split_key},
    resource::{Filter, Selects},
    store::next_key,
};

/// So many events are handed out at once, and the rest of the last one's revision.
pub const BATCH: usize = 128;

/// One event as this watch sees it.
#[derive(Clone, Debug)]
pub struct Event {
    pub kind: EventType,
    /// The object; for DELETED as it was before, with the resourceVersion of its end in the frame only.
    pub object: Arc<Object>,
    pub revision: Revision,
    /// Where it comes from; none for what was there before.
    entry: Option<Arc<Entry>>,
}

impl Event {
    /// The whole line of a watch stream in the storage version, shared where possible.
    pub fn frame(&self) -> Bytes {
        match &self.entry {
            None => self.object.frame(self.kind),
            Some(entry) if self.kind == EventType::Deleted => entry.deleted_frame(&self.object),
            Some(entry) => entry.line(self.kind, &self.object),
        }
    }

    /// The object in the storage version, with the event's resourceVersion.
    pub fn body(&self) -> Bytes {
        match &self.entry {
            Some(entry) if self.kind == EventType::Deleted => {
                framed_body(EventType::Deleted, &entry.deleted_frame(&self.object))
            }
            _ => self.object.body(),
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
    /// Whether namespace and name decide alone what is wanted.
    by_key: bool,
    initial: Initial,
    /// The least key of the initial objects that has not been sent.
    from: Option<String>,
    position: Revision,
    /// The old value of the next entry is being read.
    resolving: Option<BoxFuture<'static, Result<(), WatchError>>>,
}

/// What the log holds for a watch.
enum Pending {
    Nothing,
    /// The watch has moved on behind these.
    Entries(Vec<Arc<Entry>>),
    /// The next entry's old value has to be read first.
    Unresolved(Arc<Entry>),
}

impl Pending {
    fn entries(numbered: Vec<(u64, Arc<Entry>)>) -> Self {
        Self::Entries(numbered.into_iter().map(|(_, entry)| entry).collect())
    }
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
        let by_key = filter.is_by_key();
        let subscriber = Arc::new(Subscriber::new(filter, after));
        let concerned = |(number, entry): (u64, &Arc<Entry>)| {
            entry.concerns(&subscriber.filter, &resource.selects).then_some(number)
        };
        let first = state.log.from(state.log.after(after)).find_map(concerned);
        if let Some(number) = first {
            *subscriber.place.lock() = Place::Behind(number);
        }
        state.subscribers.add(subscriber.clone(), resource);
        Self { cache, backend, table, subscriber, by_key, initial, from: None, position: after, resolving: None }
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
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// What comes next, if it is there.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, WatchError>> {
        if let Some(step) = self.next_initial() {
            return Poll::Ready(Ok(step));
        }
        // Before looking, so that no change is missed in between.
        self.subscriber.wake.register(cx.waker());
        loop {
            if let Some(resolving) = &mut self.resolving {
                let resolved = ready!(resolving.as_mut().poll(cx));
                self.resolving = None;
                resolved?;
            }
            match self.take()? {
                Pending::Nothing => return Poll::Pending,
                Pending::Unresolved(entry) => {
                    let (cache, backend, table) = (self.cache.clone(), self.backend.clone(), self.table.clone());
                    self.resolving = Some(resolve(cache, backend, table, entry).boxed());
                }
                Pending::Entries(entries) => {
                    let events: Vec<Event> = entries.into_iter().filter_map(|entry| self.event(entry)).collect();
                    if !events.is_empty() {
                        return Poll::Ready(Ok(Step::Events(events)));
                    }
                }
            }
        }
    }

    fn next_initial(&mut self) -> Option<Step> {
        let added =
            |object: Arc<Object>| Event { kind: EventType::Added, revision: object.revision(), object, entry: None };
        let selects = &self.table.resource.selects;
        let filter = &self.subscriber.filter;
        let events: Vec<Event> = match &mut self.initial {
            Initial::Nothing => return None,
            Initial::Cached(snapshot) => {
                let objects = snapshot.range(filter.namespace.as_deref(), self.from.as_deref());
                objects.filter(|o| filter.matches(o, selects)).take(BATCH).cloned().map(added).collect()
            }
            Initial::Listed(objects) => {
                let count = objects.len().min(BATCH);
                objects.drain(..count).map(added).collect()
            }
        };
        match events.last() {
            Some(last) => {
                self.from = Some(next_key(last.object.key()));
                Some(Step::Events(events))
            }
            None => {
                self.initial = Initial::Nothing;
                Some(Step::Synced(self.position))
            }
        }
    }

    /// The next entries that concern this watch, whole revisions only: who goes on from the last one it has seen misses
    /// nothing. Moves behind them: to the next one after, or to the head.
    fn take(&mut self) -> Result<Pending, WatchError> {
        let table = &self.table;
        let state = table.lock();
        let mut place = self.subscriber.place.lock();
        let from = match *place {
            Place::AtHead => return Ok(Pending::Nothing),
            Place::Lost => return Err(WatchError::Expired),
            Place::Behind(number) if number < state.log.first() => return Err(WatchError::Expired),
            Place::Behind(number) => number,
        };
        let filter = &self.subscriber.filter;
        let concerned = |(_, entry): &(u64, &Arc<Entry>)| {
            entry.revision > self.subscriber.after && entry.concerns(filter, &table.resource.selects)
        };
        let mut entries: Vec<(u64, Arc<Entry>)> = Vec::new();
        for (number, entry) in state.log.from(from).filter(concerned) {
            let unresolved = entry.lacks_old() && !(self.by_key && entry.new.is_some());
            let full = entries.len() >= BATCH && entries.last().is_some_and(|(_, last)| last.revision < entry.revision);
            if full || unresolved {
                let whole = entries.partition_point(|(_, earlier)| earlier.revision < entry.revision);
                *place = Place::Behind(entries.get(whole).map_or(number, |(first, _)| *first));
                self.position = self.position.max(entry.revision - 1);
                entries.truncate(whole);
                if entries.is_empty() {
                    return Ok(Pending::Unresolved(entry.clone()));
                }
                return Ok(Pending::entries(entries));
            }
            entries.push((number, entry.clone()));
        }
        *place = Place::AtHead;
        self.position = self.cache.revision();
        Ok(Pending::entries(entries))
    }

    /// What an entry means under this watch's filter: who enters is ADDED, who leaves is DELETED.
    fn event(&self, entry: Arc<Entry>) -> Option<Event> {
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
            (None, Some(new)) => (EventType::Added, new.clone()),
            (Some(_), Some(new)) => (EventType::Modified, new.clone()),
            (Some(old), None) => (EventType::Deleted, old.clone()),
        };
        Some(Event { kind, object, revision: entry.revision, entry: Some(entry) })
    }
}

/// Reads the old value of an entry that is not cached, once for all watches.
async fn resolve(
    cache: Arc<Cache>,
    backend: Arc<dyn Backend>,
    table: ResourceRef,
    entry: Arc<Entry>,
) -> Result<(), WatchError> {
    let Old::InBackend(cell) = &entry.old else { return Ok(()) };
    cell.get_or_try_init(|| async {
        let (namespace, name) = split_key(&entry.key);
        let full = cache.key(&table, namespace, name);
        let range = Range { revision: entry.revision - 1, ..Range::key(&full) };
        let found = match backend.range(range).await {
            Ok(found) => found.items,
            Err(BackendError::Compacted { .. }) => return Err(WatchError::Expired),
            Err(error) => return Err(error.into()),
        };
        let decode = |kv| Object::decode(&entry.key, kv, table.extractor()).ok().map(Arc::new);
        Ok(found.first().and_then(decode))
    })
    .await?;
    Ok(())
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let table = &self.table;
        table.lock().subscribers.remove(&self.subscriber, &table.resource);
    }
}
