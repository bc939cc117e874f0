//! The watch cache: the newest state of every resource, and the recent changes.
//!
//! *Whole revisions*: a change becomes visible together with all others of its revision. A table is locked while a
//! revision is applied to it, and the cache's revision moves on before the lock is released; whoever holds a table's
//! lock therefore sees exactly the changes up to the cache's revision.
//!
//! The feed (`feed.rs`) is the only writer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::{
    backend::{Change, Revision},
    metrics,
    object::{DecodeError, Extractor, Object, Rewrite},
    resource::{Resource, ResourceId},
};

mod log;
pub(crate) mod subscribers;
mod table;

pub(crate) use log::{Entry, Old};
pub use table::Snapshot;
pub(crate) use table::TableState;

pub struct Cache {
    prefix: String,
    tables: Vec<Table>,
    folders: HashMap<String, ResourceId>,
    revision: AtomicI64,
    announced: watch::Sender<Revision>,
    /// Revisions below it are gone from etcd.
    compacted: AtomicI64,
    log_bytes: AtomicUsize,
    log_limit: usize,
}

pub struct Table {
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
}

/// A change of a known resource, decoded.
struct Applied {
    id: ResourceId,
    key: Box<str>,
    created: bool,
    new: Option<Arc<Object>>,
}

impl Cache {
    /// `prefix` is `/registry`; `log_limit` bounds the bytes of all logs together.
    pub fn new(prefix: &str, resources: Vec<Resource>, log_limit: usize, rewrite: Rewrite) -> Self {
        let folders = resources.iter().enumerate().map(|(n, r)| (r.folder.to_string(), ResourceId(n))).collect();
        let table = |resource: Resource| Table {
            extractor: Extractor::new(&resource.selects, rewrite),
            objects: metrics::STORAGE_OBJECTS.with_label_values(&[&resource.label]),
            state: Mutex::new(TableState::default()),
            log_bytes: AtomicUsize::new(0),
            resource,
        };
        Self {
            prefix: format!("{}/", prefix.trim_end_matches('/')),
            tables: resources.into_iter().map(table).collect(),
            folders,
            revision: AtomicI64::new(0),
            announced: watch::Sender::new(0),
            compacted: AtomicI64::new(0),
            log_bytes: AtomicUsize::new(0),
            log_limit,
        }
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub fn table(&self, id: ResourceId) -> &Table {
        &self.tables[id.0]
    }

    pub fn tables(&self) -> impl Iterator<Item = (ResourceId, &Table)> {
        self.tables.iter().enumerate().map(|(n, table)| (ResourceId(n), table))
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
    pub fn key(&self, id: ResourceId, namespace: &str, name: &str) -> String {
        let folder = &self.table(id).resource.folder;
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

    /// The resource of a full key, and the key within it. `None` for what no resource claims.
    fn locate<'k>(&self, full: &'k str) -> Option<(ResourceId, &'k str)> {
        let path = full.strip_prefix(self.prefix.as_str())?;
        let first = path.find('/')?;
        let second = path[first + 1..].find('/').map(|at| first + 1 + at);
        [second, Some(first)]
            .into_iter()
            .flatten()
            .find_map(|end| Some((*self.folders.get(&path[..end])?, &path[end + 1..])))
            .filter(|(id, key)| self.table(*id).resource.namespaced == key.contains('/'))
    }

    /// Takes in a batch of whole revisions. Nothing of a revision is applied if part of it cannot be decoded.
    pub fn apply(&self, changes: &[Change]) -> Result<(), DecodeError> {
        for revision in changes.chunk_by(|a, b| a.revision() == b.revision()) {
            let mut applied = Vec::with_capacity(revision.len());
            for change in revision {
                applied.extend(self.decode(change)?);
            }
            self.apply_revision(revision[0].revision(), applied);
        }
        self.trim();
        Ok(())
    }

    fn decode(&self, change: &Change) -> Result<Option<Applied>, DecodeError> {
        let Some((id, key)) = self.locate(change.key()) else { return Ok(None) };
        let (created, new) = match change {
            Change::Put(stored) => {
                let object = Object::decode(key, stored, self.table(id).extractor())?;
                (stored.create_revision == stored.mod_revision, Some(Arc::new(object)))
            }
            Change::Delete { .. } => (false, None),
        };
        Ok(Some(Applied { id, key: key.into(), created, new }))
    }

    fn apply_revision(&self, revision: Revision, mut applied: Vec<Applied>) {
        if revision <= self.revision() {
            return;
        }
        applied.sort_by_key(|change| change.id);
        let mut groups: Vec<(ResourceId, Vec<Applied>)> = Vec::with_capacity(1);
        for change in applied {
            match groups.last_mut() {
                Some((id, group)) if *id == change.id => group.push(change),
                _ => groups.push((change.id, vec![change])),
            }
        }
        let mut guards: Vec<_> = groups.iter().map(|(id, _)| self.table(*id).lock()).collect();
        for ((id, group), state) in groups.into_iter().zip(&mut guards) {
            let table = self.table(id);
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
    fn trim(&self) {
        while self.log_bytes.load(Ordering::Relaxed) > self.log_limit {
            let Some(longest) = self.tables.iter().max_by_key(|table| table.log_bytes.load(Ordering::Relaxed)) else {
                return;
            };
            let Some(freed) = longest.lock().log.pop() else { return };
            longest.log_bytes.fetch_sub(freed, Ordering::Relaxed);
            self.log_bytes.fetch_sub(freed, Ordering::Relaxed);
        }
    }

    /// Decodes the objects of one resource as they come from a range.
    pub(crate) fn decode_all(
        &self,
        stored: &[crate::backend::KeyValue],
    ) -> Result<BTreeMap<ResourceId, Vec<Arc<Object>>>, DecodeError> {
        let mut decoded: BTreeMap<ResourceId, Vec<Arc<Object>>> = BTreeMap::new();
        for kv in stored {
            let Some((id, key)) = self.locate(&kv.key) else { continue };
            decoded.entry(id).or_default().push(Arc::new(Object::decode(key, kv, self.table(id).extractor())?));
        }
        Ok(decoded)
    }

    /// Replaces everything by the state at `revision`. Watches cannot bridge this and end with 410.
    pub(crate) fn rebuild(&self, mut objects: BTreeMap<ResourceId, Vec<Arc<Object>>>, revision: Revision) {
        let mut guards: Vec<_> = self.tables.iter().map(Table::lock).collect();
        for (n, state) in guards.iter_mut().enumerate() {
            let table = &self.tables[n];
            state.rebuild(objects.remove(&ResourceId(n)).unwrap_or_default(), revision);
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
        for table in &self.tables {
            table.lock().forget_pages(revision);
        }
    }
}
