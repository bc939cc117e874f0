//! Server-side apply and the ownership of fields that it rests on (`metadata.managedFields`).
//!
//! [`track`] writes down what an ordinary write changed; [`apply`] merges a configuration into an object, refuses what
//! others own, and takes out what the applier no longer names. Both see objects without their managedFields, which are
//! passed beside them as the JSON that is stored, and read only where they matter ([`split`]).
//!
//! What a request may change at all, defaults, admission and validation are not decided here.

mod applied;
mod built_in;
mod check;
mod compare;
mod conflict;
mod element;
mod extract;
mod fields_v1;
mod items;
mod last_applied;
mod managers;
mod merge;
mod remove;
mod resets;
pub mod schema;
mod set;
mod split;
mod structural;
#[cfg(test)]
mod tests;
mod track;

use serde_json::Value;

pub use applied::{Applied, ApplyError, apply};
pub use built_in::built_in;
pub use conflict::{Conflict, status as conflict_status};
pub use managers::{ManagersError, is_same_but_for_times, starting_from};
pub use resets::resets;
pub use schema::Typing;
pub use set::Set;
pub use split::{Split, split};
pub use structural::structural;
pub use track::{TrackError, track};

/// The object and the request that a write is about.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub typing: &'a Typing,
    /// The version of the request, in which `typing` describes the object: `apps/v1`.
    pub api_version: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// Fields that the request cannot change, so that nobody comes to own them by it.
    pub resets: &'a Set,
    pub versions: &'a dyn Versions,
    /// RFC 3339, UTC, whole seconds.
    pub now: &'a str,
}

/// The other versions of an object, for entries that were made through one of them.
pub trait Versions {
    /// `object` in the version `to`; `None` if that is not served any more.
    fn convert(&self, object: &Value, to: &str) -> Option<(Value, Typing)>;
}

/// For kinds of one version.
pub struct OneVersion;

impl Versions for OneVersion {
    fn convert(&self, _: &Value, _: &str) -> Option<(Value, Typing)> {
        None
    }
}
