//! The state of the cluster: etcd, and the watch cache over it that answers every read.
//!
//! An object is **one shared buffer of JSON** from the moment its change arrives until the last reader has written it to a
//! socket; what it has in common with many others (its managers' `fieldsV1`) is held once for all of them. Beside the bytes
//! the cache keeps only what selects: key, labels and the selectable fields.
//!
//! * [`backend`]: what is asked of a key-value store with revisions; [`etcd`] and [`memory`] answer it.
//! * [`object`]: the shared buffer, and what is extracted from it once.
//! * [`cache`]: per resource an ordered map with O(1) snapshots and a log of recent events read by [`Watcher`]s.
//! * [`store`]: consistent reads, pages, watches and transactions on top of both.
//!
//! What this crate does not know: kinds, versions, validation, users, HTTP. It stores what it is given.

pub mod backend;
pub mod cache;
pub mod compactor;
pub mod etcd;
mod feed;
mod freshness;
mod leases;
pub mod memory;
pub mod metrics;
pub mod object;
pub mod resource;
pub mod store;
mod watcher;

pub use backend::{Backend, BackendError, Check, KeyValue, Outcome, Transaction, Write};
pub use cache::{ResourceRef, Snapshot};
pub use object::Object;
pub use resource::{Adapt, Field, Filter, Resource, Selects};
pub use store::{Freshness, List, ListAt, Options, Store, StoreError, WatchFrom, next_key};
pub use watcher::{BATCH, Event, EventType, Step, WatchError, Watcher};
