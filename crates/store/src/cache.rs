//! The watch cache: the newest state of every resource, and the recent changes.
//!
//! *Whole revisions*: a change becomes visible together with all others of its revision. A table is locked while a
//! revision is applied to it, and the cache's revision moves on before the lock is released; whoever holds a table's
//! lock therefore sees exactly the changes up to the cache's revision.
//!
//! The feed (`feed.rs`) is the only writer of what is served. Resources come and go while it runs: a new one takes part in
//! the feed at once and is served when its objects have been read (`admission.rs`); a removed one ends its watches.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::{
    backend::{Change, Revision},
    metrics,
    object::{DecodeError, Extractor, Object, Rewrite},
    resource::Resource,
};

mod admission;
mod bell;
mod log;
pub(crate) mod subscribers;
mod table;

pub(crate) use bell::Bells;
pub(crate) use log::{Entry, Old};
pub use table::Snapshot;
pub(crate) use table::TableState;

pub struct Cache {
    prefix: String,
    tables: ArcSwap<Tables>,
    /// Keeps changes of `tables` apart from one another.
    changing: Mutex<()>,
    /// The number of the next resource.
    next: AtomicU64,
    rewrite: Rewrite,
    revision: AtomicI64,
    announced: watch::Sender<Revision>,
    /// Revisions below it are gone from etcd.
    compacted: AtomicI64,
    log_bytes: AtomicUsize,
    log_limit: usize,
}

/// The resources by folder. While a resource is replaced by another form of itself, a folder has two.
type Tables = HashMap<Box<str>, Vec<ResourceRef>>;

/// A resource of the store; cheap to clone. After its removal reads go to the backend, and watches end.
#[derive(Clone)]
pub struct ResourceRef(Arc<Table>);

impl Deref for ResourceRef {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.0
    }
}

impl PartialEq for ResourceRef {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

pub struct Table {
    /// The order in which several tables are locked.
    pub(crate) number: u64,
    pub resource: Resource,
    extractor: Extractor,
    state: Mutex<TableState>,
    log_bytes: AtomicUsize,
    objects: prometheus::IntGauge,
}

impl Table {
    pub(crate) fn lock(&self) -> MutexGuard<'_, TableState> {
        self.state.lock()
    }

    pub fn extractor(&self) -> &Extractor {
        &self.extractor
    }

    /// The full key of an object is `prefix` and this.
    fn folder(&self) -> &str {
        &self.resource.folder
    }
}

/// What a load has found, by number of the resource.
pub(crate) type Loaded = HashMap<u64, Vec<Arc<Object>>>;

/// A change of a known resource, decoded.
struct Applied {
    table: ResourceRef,
    key: Box<str>,
    created: bool,
    new: Option<Arc<Object>>,
}

impl Cache {
    /// `prefix` is `/registry`; `log_limit` bounds the bytes of all logs together.
    pub fn new(prefix: &str, resources: Vec<Resource>, log_limit: usize, rewrite: Rewrite) -> Self {
        let cache = Self {
            prefix: format!("{}/", prefix.trim_end_matches('/')),
            tables: ArcSwap::default(),
            changing: Mutex::default(),
            next: AtomicU64::new(0),
            rewrite,
            revision: AtomicI64::new(0),
            announced: watch::Sender::new(0),
            compacted: AtomicI64::new(0),
            log_bytes: AtomicUsize::new(0),
            log_limit,
        };
        for resource in resources {
            let table = cache.table(resource, TableState::default());
            cache.enter(table);
        }
        cache
    }

    fn table(&self, resource: Resource, state: TableState) -> ResourceRef {
        ResourceRef(Arc::new(Table {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            extractor: Extractor::new(&resource, self.rewrite),
            objects: metrics::STORAGE_OBJECTS.with_label_values(&[&resource.label]),
            state: Mutex::new(state),
            log_bytes: AtomicUsize::new(0),
            resource,
        }))
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// All resources, in the order of their numbers.
    pub fn tables(&self) -> Vec<ResourceRef> {
        let mut tables: Vec<_> = self.tables.load().values().flatten().cloned().collect();
        tables.sort_unstable_by_key(|table| table.number);
        tables
    }

    /// The newest resource of a folder.
    pub fn find(&self, folder: &str) -> Option<ResourceRef> {
        self.tables.load().get(folder)?.last().cloned()
    }

    /// The newest revision that is in whole; 0 before the first load.
    pub fn revision(&self) -> Revision {
        self.revision.load(Ordering::Acquire)
    }

    pub fn compacted(&self) -> Revision {
        self.compacted.load(Ordering::Acquire)
    }

    /// Resolves when the cache has reached `revision`.
    pub async fn reached(&self, revision: Revision) {
        if self.revision() >= revision {
            return;
        }
        let mut announced = self.announced.subscribe();
        // The sender lives as long as `self`: waiting cannot fail.
        let _ = announced.wait_for(|at| *at >= revision).await;
    }

    /// The full key of an object.
    pub fn key(&self, id: &ResourceRef, namespace: &str, name: &str) -> String {
        let folder = id.folder();
        let mut key = String::with_capacity(self.prefix.len() + folder.len() + namespace.len() + name.len() + 2);
        key.push_str(&self.prefix);
        key.push_str(folder);
        key.push('/');
        if !namespace.is_empty() {
            key.push_str(namespace);
            key.push('/');
        }
        key.push_str(name);
        key
    }

    /// The resources of a full key, and the key within them. `None` for what no resource claims.
    fn locate<'t, 'k>(&self, tables: &'t Tables, full: &'k str) -> Option<(&'t [ResourceRef], &'k str)> {
        let path = full.strip_prefix(self.prefix.as_str())?;
        let first = path.find('/')?;
        let second = path[first + 1..].find('/').map(|at| first + 1 + at);
        [second, Some(first)]
            .into_iter()
            .flatten()
            .find_map(|end| Some((tables.get(&path[..end])?.as_slice(), &path[end + 1..])))
            .filter(|(tables, key)| tables.iter().all(|table| table.resource.namespaced == key.contains('/')))
    }

    /// Takes in a batch of whole revisions. Nothing of a revision is applied if part of it cannot be decoded. Whom it concerns
    /// is told by `bells`.
    pub(crate) fn apply(&self, changes: &[Change], bells: &mut Bells) -> Result<(), DecodeError> {
        // Loaded after the changes came: a resource that entered before them sees them.
        let tables = self.tables.load();
        for revision in changes.chunk_by(|a, b| a.revision() == b.revision()) {
            let mut applied = Vec::with_capacity(revision.len());
            for change in revision {
                self.decode(&tables, change, &mut applied)?;
            }
            self.apply_revision(revision[0].revision(), applied, bells);
        }
        self.trim(&tables);
        Ok(())
    }

    fn decode(
        &self,
        tables: &Guard<Arc<Tables>>,
        change: &Change,
        applied: &mut Vec<Applied>,
    ) -> Result<(), DecodeError> {
        let Some((tables, key)) = self.locate(tables, change.key()) else { return Ok(()) };
        for table in tables {
            let (created, new) = match change {
                Change::Put(stored) => {
                    let object = Object::decode(key, stored, table.extractor())?;
                    (stored.create_revision == stored.mod_revision, Some(Arc::new(object)))
                }
                Change::Delete { .. } => (false, None),
            };
            applied.push(Applied { table: table.clone(), key: key.into(), created, new });
        }
        Ok(())
    }

    fn apply_revision(&self, revision: Revision, mut applied: Vec<Applied>, bells: &mut Bells) {
        if revision <= self.revision() {
            return;
        }
        applied.sort_by_key(|change| change.table.number);
        let mut groups: Vec<(ResourceRef, Vec<Applied>)> = Vec::with_capacity(1);
        for change in applied {
            match groups.last_mut() {
                Some((table, group)) if *table == change.table => group.push(change),
                _ => groups.push((change.table.clone(), vec![change])),
            }
        }
        let tables: Vec<ResourceRef> = groups.iter().map(|(table, _)| table.clone()).collect();
        let mut guards: Vec<_> = tables.iter().map(|table| table.lock()).collect();
        for ((table, group), state) in groups.into_iter().zip(&mut guards) {
            if state.is_closed() {
                continue;
            }
            bells.add(&table);
            let before = state.log.bytes();
            for change in group {
                state.apply(&table.resource, revision, change.key, change.created, change.new);
            }
            let grown = state.log.bytes() - before;
            table.log_bytes.fetch_add(grown, Ordering::Relaxed);
            self.log_bytes.fetch_add(grown, Ordering::Relaxed);
            table.objects.set(state.objects.len() as i64);
        }
        self.revision.store(revision, Ordering::Release);
        drop(guards);
        self.announced.send_replace(revision);
    }

    /// Shortens the longest log until all together keep within the limit.
    fn trim(&self, tables: &Tables) {
        while self.log_bytes.load(Ordering::Relaxed) > self.log_limit {
            let all = tables.values().flatten();
            let Some(longest) = all.max_by_key(|table| table.log_bytes.load(Ordering::Relaxed)) else { return };
            let Some(freed) = longest.lock().log.pop() else { return };
            longest.log_bytes.fetch_sub(freed, Ordering::Relaxed);
            self.log_bytes.fetch_sub(freed, Ordering::Relaxed);
        }
    }

    /// Decodes the objects of one resource as they come from a range.
    pub(crate) fn decode_all(
        &self,
        table: &ResourceRef,
        stored: &[crate::backend::KeyValue],
    ) -> Result<Vec<Arc<Object>>, DecodeError> {
        let folder = self.key(table, "", "");
        let mut decoded = Vec::with_capacity(stored.len());
        for kv in stored {
            let key = kv.key.strip_prefix(&folder).unwrap_or(&kv.key);
            // What lies deeper or less deep belongs to another folder.
            if table.resource.namespaced == key.contains('/') {
                decoded.push(Arc::new(Object::decode(key, kv, table.extractor())?));
            }
        }
        Ok(decoded)
    }

    /// Replaces everything by the state at `revision`. Watches cannot bridge this and end with 410. A resource that entered
    /// since the load began learns that it has missed something.
    pub(crate) fn rebuild(&self, mut objects: Loaded, revision: Revision) {
        let tables = self.tables();
        let mut guards: Vec<_> = tables.iter().map(|table| table.lock()).collect();
        for (table, state) in tables.iter().zip(&mut guards) {
            if state.is_closed() {
                continue;
            }
            state.rebuild(objects.remove(&table.number).unwrap_or_default(), revision);
            self.log_bytes.fetch_sub(table.log_bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
            table.objects.set(state.objects.len() as i64);
        }
        self.revision.store(revision, Ordering::Release);
        drop(guards);
        self.announced.send_replace(revision);
    }

    /// The history below `revision` is gone: pages of older snapshots answer 410 from now on.
    pub fn compact(&self, revision: Revision) {
        self.compacted.fetch_max(revision, Ordering::AcqRel);
        for table in self.tables.load().values().flatten() {
            table.lock().forget_pages(revision);
        }
    }
}
