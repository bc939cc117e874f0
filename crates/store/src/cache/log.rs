//! The recent changes of one resource, read by watchers with a cursor of their own: no queue per watcher.

use std::{collections::VecDeque, sync::Arc, sync::OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::{
    backend::Revision,
    object::{EventType, Object},
    resource::{Filter, Selects},
};

/// The newest entries of a resource keep the line that their watchers write; who lags further behind makes its own.
const LINES: usize = 64;

/// What was there before a change.
#[derive(Debug)]
pub(crate) enum Old {
    Absent,
    Known(Arc<Object>),
    /// Not cached: to be read from the backend at the revision before, once, by the first who needs it.
    InBackend(OnceCell<Option<Arc<Object>>>),
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) revision: Revision,
    pub(crate) key: Box<str>,
    pub(crate) old: Old,
    pub(crate) new: Option<Arc<Object>>,
    deleted: OnceLock<Bytes>,
    line: Mutex<Line>,
}

/// The line of a watch stream for an object that has to be put together.
#[derive(Debug, Default)]
enum Line {
    #[default]
    Unmade,
    Made(EventType, Bytes),
    /// The entry is not among the newest: who still reads it makes a line of its own.
    Past,
}

impl Entry {
    pub(crate) fn new(revision: Revision, key: Box<str>, old: Old, new: Option<Arc<Object>>) -> Self {
        Self { revision, key, old, new, deleted: OnceLock::new(), line: Mutex::default() }
    }

    /// Whether a watcher has to look at this. Certain if the old object is known, else by its key only.
    pub(crate) fn concerns(&self, filter: &Filter, selects: &Selects) -> bool {
        if self.new.as_ref().is_some_and(|new| filter.matches(new, selects)) {
            return true;
        }
        match &self.old {
            Old::Absent => false,
            Old::Known(old) => filter.matches(old, selects),
            Old::InBackend(_) => {
                let (namespace, name) = crate::object::split_key(&self.key);
                filter.matches_key(namespace, name)
            }
        }
    }

    /// Whether the old object has yet to be read.
    pub(crate) fn lacks_old(&self) -> bool {
        matches!(&self.old, Old::InBackend(cell) if cell.get().is_none())
    }

    /// The DELETED line for `old`, made once for all watchers.
    pub(crate) fn deleted_frame(&self, old: &Object) -> Bytes {
        self.deleted.get_or_init(|| old.deleted_frame(self.revision)).clone()
    }

    /// The line of a watch stream for `new`, as one watcher after the other sees it.
    pub(crate) fn line(&self, event: EventType, new: &Object) -> Bytes {
        if new.has_frame(event) {
            return new.frame(event);
        }
        let mut line = self.line.lock();
        match &*line {
            Line::Made(kind, made) if *kind == event => return made.clone(),
            Line::Made(..) | Line::Past => {}
            Line::Unmade => {
                let made = new.frame(event);
                *line = Line::Made(event, made.clone());
                return made;
            }
        }
        drop(line);
        new.frame(event)
    }

    fn weight(&self) -> usize {
        let new = self.new.as_ref().map_or(0, |new| new.weight());
        let old = match &self.old {
            Old::Known(old) if self.new.is_none() => 2 * old.weight(),
            Old::Known(old) => old.weight(),
            Old::Absent | Old::InBackend(_) => 0,
        };
        new + old + self.key.len() + 120
    }
}

/// Entries have consecutive numbers; `first` is that of the oldest still held.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: VecDeque<(Arc<Entry>, usize)>,
    first: u64,
    bytes: usize,
    /// The newest revision of which something was dropped.
    lost: Revision,
}

impl Log {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The number that the next entry will get.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// All changes after this revision are still here.
    pub(crate) fn lost(&self) -> Revision {
        self.lost
    }

    /// Whether all changes after `revision` are still here.
    pub(crate) fn reaches_back_to(&self, revision: Revision) -> bool {
        revision >= self.lost
    }

    pub(crate) fn push(&mut self, entry: Arc<Entry>) {
        let weight = entry.weight();
        self.bytes += weight;
        self.entries.push_back((entry, weight));
        if let Some((older, _)) = self.entries.len().checked_sub(LINES + 1).and_then(|at| self.entries.get(at)) {
            *older.line.lock() = Line::Past;
        }
    }

    /// Drops the oldest entry; how many bytes that freed.
    pub(crate) fn pop(&mut self) -> Option<usize> {
        let (entry, weight) = self.entries.pop_front()?;
        self.first += 1;
        self.bytes -= weight;
        self.lost = entry.revision;
        Some(weight)
    }

    /// Nothing before `revision` is known any more.
    pub(crate) fn reset(&mut self, revision: Revision) {
        self.first = self.end();
        self.entries.clear();
        self.bytes = 0;
        self.lost = revision;
    }

    /// The number of the first entry after `revision`.
    pub(crate) fn after(&self, revision: Revision) -> u64 {
        self.first + self.entries.partition_point(|(entry, _)| entry.revision <= revision) as u64
    }

    /// Entries from number `from` on, which must not be below `first`.
    pub(crate) fn from(&self, from: u64) -> impl Iterator<Item = (u64, &Arc<Entry>)> {
        let skip = from.saturating_sub(self.first) as usize;
        let numbered = (self.first + skip as u64)..;
        numbered.zip(self.entries.range(skip.min(self.entries.len())..).map(|(entry, _)| entry))
    }
}
