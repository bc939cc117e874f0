//! The patch of client-side apply: what to do to `current` so that it has what `modified` says and loses what
//! `original` said before, and keeps what others put there.

use serde_json::{Map, Value, json};

use super::{DELETE_FROM_LIST, DIRECTIVE, ELEMENT_ORDER, Members, PatchError, RETAIN_KEYS, member};
use crate::{
    patch::go,
    schema::{Field, Type},
};

/// `original` is what was applied last, `modified` what is applied now, `current` what the server has.
/// An empty object if there is nothing to do. Fails if an item of a keyed list lacks its key.
pub fn three_way(original: &Value, modified: &Value, current: &Value, type_: &Type) -> Result<Value, PatchError> {
    let empty = Map::new();
    let [original, modified, current] = [original, modified, current].map(|v| v.as_object().unwrap_or(&empty));
    Ok(Value::Object(object(original, modified, current, Some(type_))?))
}

fn object(
    original: &Members,
    modified: &Members,
    current: &Members,
    type_: Option<&Type>,
) -> Result<Members, PatchError> {
    let mut patch = Map::new();
    let empty = Map::new();
    for (name, wanted) in modified.iter().filter(|(_, v)| !v.is_null()) {
        let (field, inner) = member(type_, name);
        let before = original.get(name);
        match (wanted, current.get(name)) {
            (Value::Object(wanted), Some(Value::Object(have))) => {
                let before = before.and_then(Value::as_object).unwrap_or(&empty);
                let mut change = object(before, wanted, have, inner)?;
                retain_keys(&mut change, wanted, field);
                if !change.is_empty() {
                    patch.insert(name.clone(), Value::Object(change));
                }
            }
            (Value::Array(wanted), Some(Value::Array(have))) if field.is_some_and(|f| f.merge.merges()) => {
                let before = before.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                list(&mut patch, name, [before, wanted, have], field, inner)?;
            }
            (_, Some(have)) if have == wanted => {}
            _ => drop(patch.insert(name.clone(), wanted.clone())),
        }
    }
    for name in original.keys() {
        let wanted = modified.get(name).is_some_and(|v| !v.is_null());
        if !wanted && current.contains_key(name) {
            patch.insert(name.clone(), Value::Null);
        }
    }
    Ok(patch)
}

/// Unions say which members stay, so that a change of variant does not leave the old one behind.
fn retain_keys(change: &mut Members, wanted: &Members, field: Option<&Field>) {
    if !change.is_empty() && field.is_some_and(|f| f.merge.retains_keys()) {
        let mut names: Vec<_> = wanted.iter().filter(|(_, v)| !v.is_null()).map(|(name, _)| name.clone()).collect();
        names.sort();
        change.insert(RETAIN_KEYS.to_owned(), json!(names));
    }
}

fn list(
    patch: &mut Members,
    name: &str,
    [before, wanted, have]: [&[Value]; 3],
    field: Option<&Field>,
    type_: Option<&Type>,
) -> Result<(), PatchError> {
    let objects = wanted.iter().chain(have).any(Value::is_object);
    match field.and_then(|f| f.merge.patch_merge_key).filter(|_| objects) {
        Some(key) => keyed(patch, name, [before, wanted, have], key, field, type_),
        None if objects => {
            if wanted != have {
                patch.insert(name.to_owned(), wanted.to_vec().into());
            }
            Ok(())
        }
        None => {
            set(patch, name, [before, wanted, have]);
            Ok(())
        }
    }
}

fn keyed(
    patch: &mut Members,
    name: &str,
    [before, wanted, have]: [&[Value]; 3],
    key: &str,
    field: Option<&Field>,
    type_: Option<&Type>,
) -> Result<(), PatchError> {
    let empty = Map::new();
    let mut changes = Vec::new();
    let mut order = Vec::new();
    for item in wanted {
        let id = id_of(item, key)?;
        order.push(json!({key: id}));
        let item = item.as_object().unwrap_or(&empty);
        match find(have, key, id) {
            None => changes.push(Value::Object(item.clone())),
            Some(current) => {
                let mut change = object(find(before, key, id).unwrap_or(&empty), item, current, type_)?;
                retain_keys(&mut change, item, field);
                if !change.is_empty() {
                    change.insert(key.to_owned(), id.clone());
                    changes.push(Value::Object(change));
                }
            }
        }
    }
    for item in before {
        let id = id_of(item, key)?;
        if find(wanted, key, id).is_none() && find(have, key, id).is_some() {
            changes.push(json!({DIRECTIVE: "delete", key: id}));
        }
    }
    let in_order: Vec<_> = have
        .iter()
        .filter_map(|i| i.get(key))
        .filter(|id| find(wanted, key, id).is_some())
        .map(|id| json!({key: id}))
        .collect();
    if !changes.is_empty() || in_order != order {
        patch.insert(format!("{ELEMENT_ORDER}{name}"), order.into());
    }
    if !changes.is_empty() {
        patch.insert(name.to_owned(), changes.into());
    }
    Ok(())
}

fn set(patch: &mut Members, name: &str, [before, wanted, have]: [&[Value]; 3]) {
    let added: Vec<_> = wanted.iter().filter(|w| !have.contains(w)).cloned().collect();
    let gone: Vec<_> = before.iter().filter(|b| !wanted.contains(b) && have.contains(b)).cloned().collect();
    let in_order = have.iter().filter(|h| wanted.contains(h)).eq(wanted.iter());
    if !added.is_empty() || !gone.is_empty() || !in_order {
        patch.insert(format!("{ELEMENT_ORDER}{name}"), wanted.to_vec().into());
    }
    if !added.is_empty() {
        patch.insert(name.to_owned(), added.into());
    }
    if !gone.is_empty() {
        patch.insert(format!("{DELETE_FROM_LIST}{name}"), gone.into());
    }
}

fn id_of<'a>(item: &'a Value, key: &str) -> Result<&'a Value, PatchError> {
    item.get(key).ok_or_else(|| PatchError::NoMergeKey(go::show(item), key.to_owned()))
}

fn find<'a>(list: &'a [Value], key: &str, id: &Value) -> Option<&'a Members> {
    list.iter().find(|item| item.get(key) == Some(id)).and_then(Value::as_object)
}
