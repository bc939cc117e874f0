//! What is asked of a key-value store with revisions. etcd is the real one, `memory` its twin; one contract suite
//! (`tests/contract.rs`) runs on both.

use bytes::Bytes;
use futures::future::BoxFuture;

pub type Revision = i64;
pub type LeaseId = i64;

/// A key's value at the revision that last wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    pub key: String,
    pub value: Bytes,
    pub create_revision: Revision,
    pub mod_revision: Revision,
}

/// Holds if the key was last written at `revision`; 0 means that the key does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub key: String,
    pub revision: Revision,
}

impl Check {
    pub fn unchanged(key: impl Into<String>, revision: Revision) -> Self {
        Self { key: key.into(), revision }
    }

    pub fn absent(key: impl Into<String>) -> Self {
        Self::unchanged(key, 0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Put { key: String, value: Bytes, lease: Option<LeaseId> },
    Delete { key: String },
}

impl Write {
    pub fn put(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self::Put { key: key.into(), value: value.into(), lease: None }
    }

    pub fn delete(key: impl Into<String>) -> Self {
        Self::Delete { key: key.into() }
    }

    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// All writes happen at one revision if all checks hold, else none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    pub checks: Vec<Check>,
    pub writes: Vec<Write>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Committed {
        revision: Revision,
    },
    /// Some check failed: the present values of the checked keys, in the order of the checks.
    Refused {
        revision: Revision,
        current: Vec<Option<KeyValue>>,
    },
}

/// Keys `start <= key < end` in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: String,
    pub end: String,
    /// 0: no limit.
    pub limit: i64,
    /// 0: the newest state, linearizable.
    pub revision: Revision,
}

impl Range {
    pub fn prefix(prefix: &str) -> Self {
        Self { start: prefix.to_owned(), end: prefix_end(prefix), limit: 0, revision: 0 }
    }

    pub fn key(key: &str) -> Self {
        Self { start: key.to_owned(), end: format!("{key}\0"), limit: 1, revision: 0 }
    }
}

/// The first string after all that begin with `prefix`. Prefixes are ASCII.
pub fn prefix_end(prefix: &str) -> String {
    let mut end = prefix.to_owned();
    match end.pop() {
        Some(last) if last.is_ascii() && last < '\x7f' => end.push(char::from(last as u8 + 1)),
        Some(last) => {
            end.push(last);
            end.push(char::MAX);
        }
        None => end.push(char::MAX),
    }
    end
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranged {
    pub items: Vec<KeyValue>,
    pub more: bool,
    /// Keys in the range, limit or not.
    pub count: i64,
    /// The store's revision when it answered.
    pub revision: Revision,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put(KeyValue),
    Delete { key: String, revision: Revision },
}

impl Change {
    pub fn key(&self) -> &str {
        match self {
            Self::Put(kv) => &kv.key,
            Self::Delete { key, .. } => key,
        }
    }

    pub fn revision(&self) -> Revision {
        match self {
            Self::Put(kv) => kv.mod_revision,
            Self::Delete { revision, .. } => *revision,
        }
    }
}

#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BackendError {
    #[error("the required revision has been compacted (oldest available: {oldest})")]
    Compacted { oldest: Revision },
    #[error("the required revision is in the future")]
    FutureRevision,
    #[error("the request is too large for the storage")]
    TooLarge,
    /// Refused before it was carried out, or a read: trying again is safe.
    #[error("storage unavailable: {0}")]
    Unavailable(String),
    /// The connection broke while a write was on its way: it may or may not have happened.
    #[error("outcome of the write unknown: {0}")]
    Unknown(String),
}

pub type Result<T, E = BackendError> = std::result::Result<T, E>;

/// The changes under a prefix, in order. Each batch holds whole revisions only.
pub trait Changes: Send {
    /// An empty batch is a sign of life. After an error the stream is of no more use.
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Change>>>;
}

pub trait Backend: Send + Sync + 'static {
    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Outcome>>;
    fn range(&self, range: Range) -> BoxFuture<'_, Result<Ranged>>;
    /// The newest revision, linearizable.
    fn revision(&self) -> BoxFuture<'_, Result<Revision>>;
    /// All changes under `prefix` from revision `from` on, that one included.
    fn watch(&self, prefix: String, from: Revision) -> BoxFuture<'_, Result<Box<dyn Changes>>>;
    /// Forgets the history before `revision`.
    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<()>>;
    /// A lease that ends after `seconds` and takes its keys along.
    fn grant(&self, seconds: i64) -> BoxFuture<'_, Result<LeaseId>>;
}
