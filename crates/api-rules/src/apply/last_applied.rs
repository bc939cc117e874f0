//! Objects that kubectl managed on the client's side before: its annotation says what it set.
//!
//! Only kubectl's own server-side apply heeds it: what the annotation holds is no conflict, and the annotation follows.

use serde_json::{Map, Value};

use super::{Subject, check::check, compare::compare, conflict::Conflict, extract::fields, set::Set};
use crate::{metadata, value};

/// The name that `kubectl apply --server-side` goes by.
pub const MANAGER: &str = "kubectl";
const ANNOTATION: [&str; 3] = ["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"];

/// The conflicts that are left if what was applied last from the client's side may change.
pub fn remaining(subject: Subject, conflicts: Vec<Conflict>, live: Option<&Value>) -> Vec<Conflict> {
    let Some(allowed) = live.and_then(|live| applied_fields(subject, live)) else { return conflicts };
    let left = |conflict: Conflict| Conflict { fields: conflict.fields.difference(&allowed), ..conflict };
    conflicts.into_iter().map(left).filter(|conflict| !conflict.fields.is_empty()).collect()
}

/// What the annotation names and nobody changed since.
fn applied_fields(subject: Subject, live: &Value) -> Option<Set> {
    let last: Value = serde_json::from_str(value::text(live, &ANNOTATION)).ok()?;
    if last["apiVersion"] != subject.api_version {
        return None;
    }
    let root = subject.typing.root();
    check(root, &last).ok()?;
    let changes = compare(root, Some(&last), live).ok()?;
    Some(fields(root, &last).difference(&changes.written).difference(&changes.removed))
}

/// Makes the annotation say what was applied now, if there is one.
pub fn keep_up(object: &mut Value, config: &Value) {
    if value::text(object, &ANNOTATION).is_empty() {
        return;
    }
    let mut config = sorted(config);
    if value::at(&config, &ANNOTATION[..2]).is_some() {
        value::remove(&mut config, &ANNOTATION);
    }
    value::set(object, &ANNOTATION, format!("{config}\n").into());
    let texts = value::at(object, &ANNOTATION[..2]).and_then(Value::as_object).into_iter().flatten();
    let size: usize = texts.map(|(name, text)| name.len() + text.as_str().map_or(0, str::len)).sum();
    if size > metadata::ANNOTATIONS_MAX {
        value::remove(object, &ANNOTATION);
    }
}

/// The same value with the members of its objects in order, as Go writes maps.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut names: Vec<_> = members.iter().collect();
            names.sort_by_key(|(name, _)| *name);
            Value::Object(names.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        scalar => scalar.clone(),
    }
}
