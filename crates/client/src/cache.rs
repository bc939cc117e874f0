//! What is behind a [`Store`](crate::Store): the objects of one watch, the revision they stand for, and who is told of
//! changes.
//!
//! Knows no type: a process caches dozens of kinds, and one copy of this code serves them all. [`Store`](crate::Store)
//! gives the objects their type back.

use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use api_types::object::Object;
use parking_lot::{Mutex, RwLock};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::store::Event;

/// By what a cache knows an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    pub uid: &'a str,
    pub resource_version: &'a str,
}

impl Identity<'_> {
    fn revision(&self) -> u64 {
        self.resource_version.parse().unwrap_or_default()
    }

    pub fn place(&self) -> (Name, Name) {
        (self.namespace.into(), self.name.into())
    }
}

/// An object of whatever type.
pub(crate) trait Cached: Any + Send + Sync {
    fn identity(&self) -> Identity<'_>;
}

impl<K: Object> Cached for K {
    fn identity(&self) -> Identity<'_> {
        Identity {
            namespace: self.namespace(),
            name: self.name(),
            uid: self.uid(),
            resource_version: self.resource_version(),
        }
    }
}

/// Answers whether it wants to be told more.
type Handler = Box<dyn FnMut(&Event<dyn Cached>) -> bool + Send>;
type Keys = Box<dyn Fn(&dyn Cached) -> Vec<String> + Send + Sync>;
pub(crate) type Name = Box<str>;

pub(crate) struct Cache {
    pub(crate) objects: RwLock<Objects>,
    /// Held while a change is applied and told, so that all see the changes in one order.
    handlers: Mutex<Vec<Handler>>,
    pub(crate) revision: watch::Sender<u64>,
    /// How many lists are in.
    pub(crate) lists: watch::Sender<u64>,
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

impl Cache {
    pub fn new() -> Self {
        Self {
            objects: RwLock::new(Objects { by_namespace: BTreeMap::new(), indexes: Vec::new() }),
            handlers: Mutex::new(Vec::new()),
            revision: watch::Sender::new(0),
            lists: watch::Sender::new(0),
            hearing: Mutex::new(Hearing::Never),
            list_again: Notify::new(),
        }
    }

    /// The watch is open.
    pub fn heard(&self) {
        let now = Instant::now();
        let mut hearing = self.hearing.lock();
        *hearing = match *hearing {
            Hearing::Since(since) => Hearing::Since(since),
            Hearing::Lost { since, at } if now - at < SHORT_GAP => Hearing::Since(since),
            Hearing::Lost { .. } | Hearing::Never => Hearing::Since(now),
        };
    }

    /// The watch has ended.
    pub fn lost(&self) {
        let mut hearing = self.hearing.lock();
        if let Hearing::Since(since) = *hearing {
            *hearing = Hearing::Lost { since, at: Instant::now() };
        }
    }

    /// See [`Store::listening_for`](crate::Store::listening_for).
    pub fn listening_for(&self) -> Option<Duration> {
        match *self.hearing.lock() {
            Hearing::Since(since) => Some(since.elapsed()),
            Hearing::Lost { since, at } if at.elapsed() < SHORT_GAP => Some(since.elapsed()),
            Hearing::Lost { .. } | Hearing::Never => None,
        }
    }

    pub fn revision(&self) -> u64 {
        *self.revision.borrow()
    }

    /// Everything before `revision` has been seen.
    pub fn reach(&self, revision: u64) {
        self.revision.send_modify(|reached| *reached = (*reached).max(revision));
    }

    pub fn apply(&self, object: Arc<dyn Cached>) {
        let revision = object.identity().revision();
        let mut handlers = self.handlers.lock();
        let event = self.objects.write().insert(object);
        tell(&mut handlers, &event);
        drop(handlers);
        self.reach(revision);
    }

    /// `object` is the last state, with the revision of its deletion.
    pub fn delete(&self, object: &dyn Cached) {
        let gone = object.identity();
        let mut handlers = self.handlers.lock();
        let removed = self.objects.write().remove(gone.namespace, gone.name);
        if let Some(removed) = removed {
            tell(&mut handlers, &Event::Deleted(removed));
        }
        drop(handlers);
        self.reach(gone.revision());
    }

    /// Replaces everything by the answer of a list.
    ///
    /// The revision may go back here, and only here: a restored etcd starts again at an older one.
    pub fn replace(&self, objects: Vec<Arc<dyn Cached>>, revision: u64) {
        let mut handlers = self.handlers.lock();
        for (namespace, name) in self.missing_from(&objects) {
            let removed = self.objects.write().remove(&namespace, &name);
            if let Some(removed) = removed {
                tell(&mut handlers, &Event::Deleted(removed));
            }
        }
        for object in objects {
            let is_known = {
                let (new, known) = (object.identity(), self.objects.read());
                let known = known.get(new.namespace, new.name).map(|known| known.identity());
                known.is_some_and(|known| (known.uid, known.resource_version) == (new.uid, new.resource_version))
            };
            if !is_known {
                let event = self.objects.write().insert(object);
                tell(&mut handlers, &event);
            }
        }
        drop(handlers);
        self.revision.send_replace(revision);
        self.lists.send_modify(|lists| *lists += 1);
    }

    /// The places of the objects that are not among these, sorted.
    fn missing_from(&self, objects: &[Arc<dyn Cached>]) -> Vec<(Name, Name)> {
        let mut missing: BTreeMap<(Name, Name), ()> = BTreeMap::new();
        for (namespace, names) in &self.objects.read().by_namespace {
            missing.extend(names.keys().map(|name| ((namespace.clone(), name.clone()), ())));
        }
        if !missing.is_empty() {
            for object in objects {
                missing.remove(&object.identity().place());
            }
        }
        missing.into_keys().collect()
    }

    /// Groups the objects by `keys` from now on; the number by which the index is asked.
    pub fn index(&self, keys: Keys) -> usize {
        let mut index = IndexData { keys, entries: HashMap::new() };
        let mut objects = self.objects.write();
        for object in objects.all() {
            index.insert(object);
        }
        objects.indexes.push(index);
        objects.indexes.len() - 1
    }

    /// Tells `handler` of every object there is, and then of every change.
    pub fn while_wanted(&self, mut handler: Handler) {
        let mut handlers = self.handlers.lock();
        let present: Vec<_> = self.objects.read().all().cloned().collect();
        for new in present {
            handler(&Event::Applied { old: None, new });
        }
        handlers.push(handler);
    }

    #[cfg(test)]
    pub fn listeners(&self) -> usize {
        self.handlers.lock().len()
    }
}

fn tell(handlers: &mut Vec<Handler>, event: &Event<dyn Cached>) {
    if let Event::Applied { old: Some(old), new } = event
        && old.identity().uid != new.identity().uid
    {
        // Deleted and made again between two looks.
        let (gone, fresh) = (Event::Deleted(old.clone()), Event::Applied { old: None, new: new.clone() });
        handlers.retain_mut(|handler| handler(&gone) && handler(&fresh));
        return;
    }
    handlers.retain_mut(|handler| handler(event));
}

pub(crate) struct Objects {
    by_namespace: BTreeMap<Name, BTreeMap<Name, Arc<dyn Cached>>>,
    indexes: Vec<IndexData>,
}

impl Objects {
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<dyn Cached>> {
        self.by_namespace.get(namespace)?.get(name)
    }

    /// By namespace and name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn Cached>> {
        self.by_namespace.values().flat_map(BTreeMap::values)
    }

    pub fn all_in(&self, namespace: &str) -> impl Iterator<Item = &Arc<dyn Cached>> {
        self.by_namespace.get(namespace).into_iter().flat_map(BTreeMap::values)
    }

    pub fn len(&self) -> usize {
        self.by_namespace.values().map(BTreeMap::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.by_namespace.is_empty()
    }

    /// Of the index of this number, sorted by namespace and name.
    pub fn indexed(&self, index: usize, key: &str) -> &[Arc<dyn Cached>] {
        self.indexes[index].entries.get(key).map_or(&[], Vec::as_slice)
    }

    fn insert(&mut self, new: Arc<dyn Cached>) -> Event<dyn Cached> {
        let (namespace, name) = new.identity().place();
        let old = self.by_namespace.entry(namespace).or_default().insert(name, new.clone());
        for index in &mut self.indexes {
            if let Some(old) = &old {
                index.remove(old);
            }
            index.insert(&new);
        }
        Event::Applied { old, new }
    }

    fn remove(&mut self, namespace: &str, name: &str) -> Option<Arc<dyn Cached>> {
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

struct IndexData {
    keys: Keys,
    /// Sorted by namespace and name: most keys have one object, for which a list is a tenth of a tree.
    entries: HashMap<String, Vec<Arc<dyn Cached>>>,
}

impl IndexData {
    fn insert(&mut self, object: &Arc<dyn Cached>) {
        for key in (self.keys)(&**object) {
            let entry = self.entries.entry(key).or_default();
            match find(entry, &**object) {
                Ok(at) => entry[at] = object.clone(),
                Err(at) => {
                    if entry.is_empty() {
                        entry.reserve_exact(1);
                    }
                    entry.insert(at, object.clone());
                }
            }
        }
    }

    fn remove(&mut self, object: &Arc<dyn Cached>) {
        for key in (self.keys)(&**object) {
            if let Some(entry) = self.entries.get_mut(&key) {
                if let Ok(at) = find(entry, &**object) {
                    entry.remove(at);
                }
                if entry.is_empty() {
                    self.entries.remove(&key);
                }
            }
        }
    }
}

fn find(entry: &[Arc<dyn Cached>], object: &dyn Cached) -> Result<usize, usize> {
    let wanted = object.identity();
    entry.binary_search_by(|other| {
        let other = other.identity();
        (other.namespace, other.name).cmp(&(wanted.namespace, wanted.name))
    })
}
