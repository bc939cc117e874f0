//! Resources that come and go while the cache runs.
//!
//! A new resource enters first and is read from the backend then: what the feed brings meanwhile is kept in its log, and
//! wins over what was read wherever it is newer. The resource is served from the moment both are put together.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};

use super::{Cache, ResourceRef, TableState};
use crate::{backend::Revision, metrics, object::Object, resource::Resource};

impl Cache {
    /// Takes a resource into the feed. It is served after [`Cache::fill`].
    pub(crate) fn add(&self, resource: Resource) -> ResourceRef {
        let table = self.table(resource, TableState::entering());
        self.enter(table.clone());
        table
    }

    pub(super) fn enter(&self, table: ResourceRef) {
        let _alone = self.changing.lock();
        let mut tables = (**self.tables.load()).clone();
        tables.entry(table.folder().into()).or_default().push(table);
        self.tables.store(Arc::new(tables));
    }

    /// Gives an entering resource the objects that were there at `read_at`, which the cache must have reached. False if
    /// changes since then have been lost: then it is to be read again.
    pub(crate) fn fill(&self, table: &ResourceRef, objects: Vec<Arc<Object>>, read_at: Revision) -> bool {
        let mut state = table.lock();
        let present = self.revision();
        if !state.log.reaches_back_to(read_at) {
            return false;
        }
        let newer: HashSet<Box<str>> =
            state.log.from(state.log.after(read_at)).map(|(_, entry)| entry.key.clone()).collect();
        let since: Vec<_> = state.objects.iter().filter(|object| newer.contains(object.key())).cloned().collect();
        let before = objects.into_iter().filter(|object| !newer.contains(object.key()));
        let all = before.chain(since).collect();
        state.rebuild(all, present);
        state.open();
        self.log_bytes.fetch_sub(table.log_bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        table.objects.set(state.objects.len() as i64);
        true
    }

    /// Takes a resource out. Its watches end with 410.
    pub(crate) fn remove(&self, table: &ResourceRef) {
        {
            let _alone = self.changing.lock();
            let mut tables = (**self.tables.load()).clone();
            if let Some(same_folder) = tables.get_mut(table.folder()) {
                same_folder.retain(|other| other != table);
                if same_folder.is_empty() {
                    tables.remove(table.folder());
                    let _ = metrics::STORAGE_OBJECTS.remove_label_values(&[&table.resource.label]);
                }
            }
            self.tables.store(Arc::new(tables));
        }
        let mut state = table.lock();
        state.close(self.revision());
        self.log_bytes.fetch_sub(table.log_bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}
