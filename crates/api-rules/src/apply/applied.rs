//! Apply: a configuration becomes part of an object, and its fields the applier's.

use serde_json::{Map, Value};

use super::{
    Subject,
    check::{self, Misfits},
    compare::compare,
    conflict::Conflict,
    extract::{fields, with_named_parents},
    last_applied,
    managers::{self, Entry, ManagersError, Operation},
    merge::merge,
    remove::{Emptied, remove},
    schema::Type,
    set::Set,
    track::{ChangesByVersion, TrackError, claimed, fit, identity, stripped},
};

/// An object with a configuration applied.
#[derive(Debug)]
pub struct Applied {
    /// Without managedFields.
    pub object: Value,
    /// As JSON; empty if nobody owns anything.
    pub managed: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("{} managers own fields that would change", .0.len())]
    Conflicts(Vec<Conflict>),
    #[error("{0}")]
    Misfits(#[from] Misfits),
    #[error("failed to decode managed fields: {0}")]
    Managers(#[from] ManagersError),
    #[error(transparent)]
    Track(#[from] TrackError),
    #[error("failed to compare objects: {0}")]
    Compare(String),
}

/// Owns what was there before anything was tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Applies `config` to `live` (`None`: there is no such object yet) in the name of `manager`; with `force` fields are
/// taken from other owners.
pub fn apply(
    subject: Subject,
    manager: &str,
    force: bool,
    live: Option<&Value>,
    config: &Value,
    managed: &[u8],
) -> Result<Applied, ApplyError> {
    check::check(subject.typing.root(), config)?;
    let mut entries = managers::read(managed)?;
    if let (Some(live), true) = (live, entries.is_empty()) {
        entries = claimed(subject, BEFORE_FIRST_APPLY, live)?;
    }
    fit(subject, &mut entries);
    let request = Request { subject, manager, live, config };
    let (mut object, mut entries) = match request.carried_out(entries.clone(), force) {
        Err(ApplyError::Conflicts(conflicts)) if manager == last_applied::MANAGER => {
            match last_applied::remaining(subject, conflicts, live) {
                none if none.is_empty() => request.carried_out(entries, true)?,
                conflicts => return Err(ApplyError::Conflicts(conflicts)),
            }
        }
        outcome => outcome?,
    };
    if manager == last_applied::MANAGER {
        last_applied::keep_up(&mut object, config);
    }
    Ok(Applied { object, managed: managers::write(&mut entries) })
}

struct Request<'a> {
    subject: Subject<'a>,
    manager: &'a str,
    live: Option<&'a Value>,
    config: &'a Value,
}

impl Request<'_> {
    fn carried_out(&self, mut entries: Vec<Entry>, force: bool) -> Result<(Value, Vec<Entry>), ApplyError> {
        let type_ = self.subject.typing.root();
        let nothing = Value::Object(Map::new());
        let live = self.live.unwrap_or(&nothing);
        let mut object = live.clone();
        merge(type_, &mut object, self.config);
        let identity = identity(self.subject, self.manager, Operation::Apply);
        let last = entries.iter().position(|entry| entry.manager.is(&identity)).map(|at| entries.remove(at));
        let mut set = fields(type_, self.config);
        set.subtract_recursively(self.subject.resets);
        if let Some(last) = &last {
            object = self.pruned(object, last, &set, &entries);
        }
        self.settle(&mut entries, &object, force)?;
        let time = if object == *live { last.and_then(|last| last.time) } else { Some(self.subject.now.to_owned()) };
        entries.push(Entry::new(identity, time, stripped(set)));
        entries.retain(|entry| !entry.is_empty());
        Ok((object, entries))
    }

    /// Takes what changed from its owners, or refuses.
    fn settle(&self, entries: &mut Vec<Entry>, object: &Value, force: bool) -> Result<(), ApplyError> {
        let own = compare(self.subject.typing.root(), self.live, object).map_err(ApplyError::Compare)?;
        let own = own.without(self.subject.resets);
        let mut versions = ChangesByVersion::new(self.subject, self.live, object, &own);
        let mut conflicts = Vec::new();
        let mut kept = Vec::with_capacity(entries.len());
        for mut entry in std::mem::take(entries) {
            let Some(changes) = versions.of(&entry.manager.api_version)? else { continue };
            if entry.fields().intersects(&changes.written) {
                let fields = entry.fields().intersection(&changes.written);
                conflicts.push(Conflict { manager: entry.manager.clone(), fields });
            }
            entry.lose(&changes.written);
            entry.lose(&changes.removed);
            kept.push(entry);
        }
        *entries = kept;
        if force || conflicts.is_empty() { Ok(()) } else { Err(ApplyError::Conflicts(conflicts)) }
    }

    /// Without what the applier named the last time, names no more, and no other applier names.
    fn pruned(&self, merged: Value, last: &Entry, set: &Set, others: &[Entry]) -> Value {
        let here = self.subject.api_version;
        let mut owned = vec![(here.to_owned(), set.clone())];
        for other in others.iter().filter(|entry| entry.is_applied()) {
            match owned.iter_mut().find(|(version, _)| *version == other.manager.api_version) {
                Some((_, fields)) => fields.add(other.fields()),
                None => owned.push((other.manager.api_version.clone(), other.fields().clone())),
            }
        }
        let version = &last.manager.api_version;
        if version == here {
            return self.without_dropped(self.subject.typing.root(), merged, last.fields(), &owned);
        }
        let Some((converted, typing)) = self.subject.versions.convert(&merged, version) else { return merged };
        let pruned = self.without_dropped(typing.root(), converted, last.fields(), &owned);
        self.subject.versions.convert(&pruned, here).map_or(merged, |(pruned, _)| pruned)
    }

    /// `merged`, of `type_`, without those of the `last` fields that nobody in `owned` has. An item or object goes with
    /// all that is in it, a struct when nothing is left in it.
    fn without_dropped(&self, type_: Type, merged: Value, last: &Set, owned: &[(String, Set)]) -> Value {
        let last = with_named_parents(last, type_);
        let version = merged["apiVersion"].as_str().unwrap_or(self.subject.api_version).to_owned();
        let all = with_named_parents(&fields(type_, &merged), type_);
        let mut pruned = merged.clone();
        remove(type_, &mut pruned, &last, Emptied::IsNull);
        let mut kept = with_named_parents(&fields(type_, &pruned), type_);
        for (_, fields) in owned.iter().filter(|(of, _)| *of == version) {
            kept = kept.union(&with_named_parents(fields, type_));
        }
        let mut back = merged.clone();
        remove(type_, &mut back, &all.difference(&kept), Emptied::IsNull);
        let back = self.with_owned_in_other_versions(type_, &merged, back, &version, owned);
        let kept = with_named_parents(&fields(type_, &back), type_);
        let mut result = merged;
        remove(type_, &mut result, &all.difference(&kept).intersection(&last), Emptied::Goes);
        result
    }

    /// `pruned`, with what appliers through other versions own of `merged` put back.
    fn with_owned_in_other_versions(
        &self,
        type_: Type,
        merged: &Value,
        pruned: Value,
        version: &str,
        owned: &[(String, Set)],
    ) -> Value {
        let versions = self.subject.versions;
        let mut pruned = pruned;
        for (other, owned) in owned.iter().filter(|(other, _)| other != version) {
            let (Some((whole, typing)), Some((rest, _))) =
                (versions.convert(merged, other), versions.convert(&pruned, other))
            else {
                continue;
            };
            let root = typing.root();
            let named = |value: &Value| with_named_parents(&fields(root, value), root);
            let kept = named(&rest).union(&with_named_parents(owned, root));
            let mut back = whole.clone();
            remove(root, &mut back, &named(&whole).difference(&kept), Emptied::IsNull);
            if let Some((back, _)) = versions.convert(&back, version) {
                pruned = back;
            }
        }
        // What conversion made up was not there before.
        let all = with_named_parents(&fields(type_, merged), type_);
        let invented = with_named_parents(&fields(type_, &pruned), type_).difference(&all);
        remove(type_, &mut pruned, &invented, Emptied::IsNull);
        pruned
    }
}
