//! The cache of one watch: the objects, the revision they stand for, and who is told of changes.
//!
//! Readers get shared objects, never copies. A subscriber that is slow is not queued for without limit: of each object
//! it sees the newest state only, together with the state it saw before.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::DropGuard;

use api_types::object::Object;

use crate::subscription::Subscription;

/// A change of one object.
#[derive(Debug)]
pub enum Event<K> {
    /// `old` is what was known before; none for an object that is new.
    Applied {
        old: Option<Arc<K>>,
        new: Arc<K>,
    },
    Deleted(Arc<K>),
}

impl<K> Clone for Event<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Applied { old, new } => Self::Applied { old: old.clone(), new: new.clone() },
            Self::Deleted(object) => Self::Deleted(object.clone()),
        }
    }
}

impl<K> Event<K> {
    /// The object as it is, or was last.
    pub fn object(&self) -> &Arc<K> {
        match self {
            Self::Applied { new, .. } => new,
            Self::Deleted(object) => object,
        }
    }

    /// The object before and after.
    pub fn both(&self) -> impl Iterator<Item = &Arc<K>> {
        let (old, new) = match self {
            Self::Applied { old, new } => (old.as_ref(), Some(new)),
            Self::Deleted(object) => (Some(object), None),
        };
        old.into_iter().chain(new)
    }
}

/// A handle on a shared cache. The watch behind it ends with its last handle.
pub struct Store<K> {
    pub(crate) shared: Arc<Shared<K>>,
    _watch: Arc<DropGuard>,
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), _watch: self._watch.clone() }
    }
}

/// Answers whether it wants to be told more.
type Handler<K> = Box<dyn FnMut(&Event<K>) -> bool + Send>;
type Keys<K> = Box<dyn Fn(&K) -> Vec<String> + Send + Sync>;
pub(crate) type Name = Box<str>;

pub(crate) struct Shared<K> {
    objects: RwLock<Objects<K>>,
    /// Held while a change is applied and told, so that all see the changes in one order.
    handlers: Mutex<Vec<Handler<K>>>,
    revision: watch::Sender<u64>,
    lists: watch::Sender<u64>,
    hearing: Mutex<Hearing>,
    pub(crate) list_again: Notify,
}

/// A watch that is taken up again within this time has missed nothing that matters.
const SHORT_GAP: Duration = Duration::from_secs(5);

/// Since when the watch has heard the server.
#[derive(Clone, Copy)]
enum Hearing {
    Never,
    Since(Instant),
    Lost { since: Instant, at: Instant },
}

struct Objects<K> {
    by_namespace: BTreeMap<Name, BTreeMap<Name, Arc<K>>>,
    indexes: Vec<IndexData<K>>,
}

struct IndexData<K> {
    keys: Keys<K>,
    entries: HashMap<String, BTreeMap<(Name, Name), Arc<K>>>,
}

impl<K: Object> Shared<K> {
    pub(crate) fn new() -> Self {
        Self {
            objects: RwLock::new(Objects { by_namespace: BTreeMap::new(), indexes: Vec::new() }),
            handlers: Mutex::new(Vec::new()),
            revision: watch::Sender::new(0),
            lists: watch::Sender::new(0),
            hearing: Mutex::new(Hearing::Never),
            list_again: Notify::new(),
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        *self.revision.borrow()
    }

    /// The watch is open.
    pub(crate) fn heard(&self) {
        let now = Instant::now();
        let mut hearing = self.hearing.lock();
        *hearing = match *hearing {
            Hearing::Since(since) => Hearing::Since(since),
            Hearing::Lost { since, at } if now - at < SHORT_GAP => Hearing::Since(since),
            Hearing::Lost { .. } | Hearing::Never => Hearing::Since(now),
        };
    }

    /// The watch has ended.
    pub(crate) fn lost(&self) {
        let mut hearing = self.hearing.lock();
        if let Hearing::Since(since) = *hearing {
            *hearing = Hearing::Lost { since, at: Instant::now() };
        }
    }

    pub(crate) fn apply(&self, object: K) {
        let revision = object.resource_version().parse().unwrap_or_default();
        let mut handlers = self.handlers.lock();
        let event = self.objects.write().insert(Arc::new(object));
        tell(&mut handlers, &event);
        drop(handlers);
        self.reach(revision);
    }

    /// `object` is the last state, with the revision of its deletion.
    pub(crate) fn delete(&self, object: &K) {
        let revision = object.resource_version().parse().unwrap_or_default();
        let mut handlers = self.handlers.lock();
        let removed = self.objects.write().remove(object.namespace(), object.name());
        if let Some(removed) = removed {
            tell(&mut handlers, &Event::Deleted(removed));
        }
        drop(handlers);
        self.reach(revision);
    }

    /// Everything before `revision` has been seen.
    pub(crate) fn reach(&self, revision: u64) {
        self.revision.send_modify(|reached| *reached = (*reached).max(revision));
    }

    /// Replaces everything by the answer of a list.
    ///
    /// The revision may go back here, and only here: a restored etcd starts again at an older one.
    pub(crate) fn replace(&self, objects: Vec<K>, revision: u64) {
        let mut handlers = self.handlers.lock();
        let mut gone: BTreeMap<(Name, Name), ()> = BTreeMap::new();
        for (namespace, names) in &self.objects.read().by_namespace {
            gone.extend(names.keys().map(|name| ((namespace.clone(), name.clone()), ())));
        }
        for object in &objects {
            gone.remove(&(object.namespace().into(), object.name().into()));
        }
        for (namespace, name) in gone.into_keys() {
            let removed = self.objects.write().remove(&namespace, &name);
            if let Some(removed) = removed {
                tell(&mut handlers, &Event::Deleted(removed));
            }
        }
        for object in objects {
            let known = self.objects.read().get(object.namespace(), object.name()).cloned();
            if known.is_some_and(|known| {
                known.uid() == object.uid() && known.resource_version() == object.resource_version()
            }) {
                continue;
            }
            let event = self.objects.write().insert(Arc::new(object));
            tell(&mut handlers, &event);
        }
        drop(handlers);
        self.revision.send_replace(revision);
        self.lists.send_modify(|lists| *lists += 1);
    }
}

fn tell<K: Object>(handlers: &mut Vec<Handler<K>>, event: &Event<K>) {
    if let Event::Applied { old: Some(old), new } = event
        && old.uid() != new.uid()
    {
        // Deleted and made again between two looks.
        let (gone, fresh) = (Event::Deleted(old.clone()), Event::Applied { old: None, new: new.clone() });
        handlers.retain_mut(|handler| handler(&gone) && handler(&fresh));
        return;
    }
    handlers.retain_mut(|handler| handler(event));
}

impl<K: Object> Objects<K> {
    fn get(&self, namespace: &str, name: &str) -> Option<&Arc<K>> {
        self.by_namespace.get(namespace)?.get(name)
    }

    fn insert(&mut self, new: Arc<K>) -> Event<K> {
        let names = self.by_namespace.entry(new.namespace().into()).or_default();
        let old = names.insert(new.name().into(), new.clone());
        for index in &mut self.indexes {
            if let Some(old) = &old {
                index.remove(old);
            }
            index.insert(&new);
        }
        Event::Applied { old, new }
    }

    fn remove(&mut self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let names = self.by_namespace.get_mut(namespace)?;
        let removed = names.remove(name)?;
        if names.is_empty() {
            self.by_namespace.remove(namespace);
        }
        for index in &mut self.indexes {
            index.remove(&removed);
        }
        Some(removed)
    }
}

impl<K: Object> IndexData<K> {
    fn insert(&mut self, object: &Arc<K>) {
        for key in (self.keys)(object) {
            let place = (object.namespace().into(), object.name().into());
            self.entries.entry(key).or_default().insert(place, object.clone());
        }
    }

    fn remove(&mut self, object: &Arc<K>) {
        for key in (self.keys)(object) {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.remove(&(object.namespace().into(), object.name().into()));
                if entry.is_empty() {
                    self.entries.remove(&key);
                }
            }
        }
    }
}

impl<K: Object> Store<K> {
    pub(crate) fn new(shared: Arc<Shared<K>>, watch: Arc<DropGuard>) -> Self {
        Self { shared, _watch: watch }
    }

    /// `namespace` is empty for kinds without one.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.shared.objects.read().get(namespace, name).cloned()
    }

    /// All objects, by namespace and name.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.shared.objects.read().by_namespace.values().flat_map(BTreeMap::values).cloned().collect()
    }

    pub fn list_in(&self, namespace: &str) -> Vec<Arc<K>> {
        self.shared.objects.read().by_namespace.get(namespace).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.shared.objects.read().by_namespace.values().map(BTreeMap::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.shared.objects.read().by_namespace.is_empty()
    }

    /// Groups the objects by keys of the caller's making, from now on.
    pub fn index(&self, keys: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) -> Index<K> {
        let mut index = IndexData { keys: Box::new(keys), entries: HashMap::new() };
        let mut objects = self.shared.objects.write();
        for object in objects.by_namespace.values().flat_map(BTreeMap::values) {
            index.insert(object);
        }
        objects.indexes.push(index);
        Index { number: objects.indexes.len() - 1, store: self.clone() }
    }

    /// Calls `handler` for every object there is and for every change from then on, in order, in the watching task:
    /// it must be quick, and must not register another. A handler lives as long as the store.
    pub fn on_event(&self, mut handler: impl FnMut(&Event<K>) + Send + 'static) {
        self.while_wanted(move |event| {
            handler(event);
            true
        });
    }

    fn while_wanted(&self, mut handler: impl FnMut(&Event<K>) -> bool + Send + 'static) {
        let mut handlers = self.shared.handlers.lock();
        for new in self.list() {
            handler(&Event::Applied { old: None, new });
        }
        handlers.push(Box::new(handler));
    }

    /// The objects there are, then every change; changes of one object that wait are merged.
    pub fn subscribe(&self) -> Subscription<K> {
        let (subscription, mailbox) = Subscription::new(self.clone());
        self.while_wanted(move |event| mailbox.put(event));
        subscription
    }

    /// Returns once the first list is in.
    pub async fn synced(&self) {
        let mut lists = self.shared.lists.subscribe();
        // The sender lives in `self.shared`, so that this cannot fail.
        let _ = lists.wait_for(|lists| *lists > 0).await;
    }

    pub fn has_synced(&self) -> bool {
        *self.shared.lists.borrow() > 0
    }

    /// For how long the store has followed the server without a gap that matters; none while it does not.
    ///
    /// Silence of an object means something only if we were listening.
    pub fn listening_for(&self) -> Option<Duration> {
        match *self.shared.hearing.lock() {
            Hearing::Since(since) => Some(since.elapsed()),
            Hearing::Lost { since, at } if at.elapsed() < SHORT_GAP => Some(since.elapsed()),
            Hearing::Lost { .. } | Hearing::Never => None,
        }
    }

    /// Everything up to this revision is in; 0 before the first list.
    pub fn revision(&self) -> u64 {
        self.shared.revision()
    }

    /// Waits until the store has reached `revision`; false when `timeout` came first.
    pub async fn wait_revision(&self, revision: u64, timeout: Duration) -> bool {
        let mut reached = self.shared.revision.subscribe();
        let waiting = reached.wait_for(|reached| *reached >= revision);
        tokio::time::timeout(timeout, waiting).await.is_ok_and(|reached| reached.is_ok())
    }

    /// Waits until no object of this name has this uid; false when `timeout` came first.
    pub async fn wait_gone(&self, namespace: &str, name: &str, uid: &str, timeout: Duration) -> bool {
        let mut reached = self.shared.revision.subscribe();
        let gone = |_: &u64| self.get(namespace, name).is_none_or(|object| object.uid() != uid);
        tokio::time::timeout(timeout, reached.wait_for(gone)).await.is_ok_and(|reached| reached.is_ok())
    }

    /// Lists again, for when it is unknown what the server did; false when `timeout` came first.
    pub async fn list_again(&self, timeout: Duration) -> bool {
        let mut lists = self.shared.lists.subscribe();
        let before = *lists.borrow_and_update();
        self.shared.list_again.notify_one();
        tokio::time::timeout(timeout, lists.wait_for(|lists| *lists > before)).await.is_ok_and(|lists| lists.is_ok())
    }
}

/// Objects of a [`Store`] by keys of its user's making.
pub struct Index<K> {
    number: usize,
    store: Store<K>,
}

impl<K> Clone for Index<K> {
    fn clone(&self) -> Self {
        Self { number: self.number, store: self.store.clone() }
    }
}

impl<K: Object> Index<K> {
    /// Sorted by namespace and name.
    pub fn get(&self, key: &str) -> Vec<Arc<K>> {
        let objects = self.store.shared.objects.read();
        objects.indexes[self.number].entries.get(key).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    pub fn store(&self) -> &Store<K> {
        &self.store
    }
}

#[cfg(test)]
mod tests;
