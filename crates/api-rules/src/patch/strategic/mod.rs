//! Strategic merge patch: like a merge patch, but lists merge by key where the type says so, and directives say the rest:
//! `$patch` (`delete`, `replace`, `merge`), `$retainKeys`, `$setElementOrder/<list>`, `$deleteFromPrimitiveList/<list>`.

mod order;
#[cfg(test)]
mod tests;
mod three_way;

use api_types::status::Status;
use serde_json::{Map, Value};

use super::{go, unreadable};
use crate::schema::{Field, Type};

pub use three_way::three_way;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList/";

type Members = Map<String, Value>;

/// Applies `patch` to a copy of `document`, whose type is `type_`. 400 if it is not a JSON object, 422 if it does not
/// fit the document.
pub fn apply(document: &Value, patch: &[u8], type_: &Type) -> Result<Value, Status> {
    let patch: Members = serde_json::from_slice(patch).map_err(unreadable)?;
    let mut result = document.as_object().cloned().unwrap_or_default();
    merge_object(&mut result, patch, Some(type_)).map_err(PatchError::status)?;
    Ok(Value::Object(result))
}

/// Why a patch cannot be carried out; the text is upstream's.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    #[error("Unknown directive: {0}")]
    UnknownDirective(String),
    #[error("map: {0} does not contain declared merge key: {1}")]
    NoMergeKey(String, String),
    #[error("invalid patch format of {0}")]
    BadFormat(String),
    #[error("The order in patch list:\n{0}\n doesn't match {1} list:\n{2}\n")]
    OrderMismatch(String, String, String),
    #[error("delete patch type with no merge key defined")]
    DeleteWithoutKey,
}

impl PatchError {
    /// Upstream knows only some of these for the client's fault.
    fn status(self) -> Status {
        match self {
            Self::BadFormat(_) => Status::bad_request(self.to_string()),
            _ => Status::unknown(self.to_string()),
        }
    }
}

/// The type behind a member, and how it merges.
fn member<'a>(type_: Option<&'a Type>, name: &str) -> (Option<&'a Field>, Option<&'a Type>) {
    let field = type_.and_then(|t| t.field(name));
    (field, field.and_then(|f| f.shape.type_of_items()))
}

fn merge_object(original: &mut Members, mut patch: Members, type_: Option<&Type>) -> Result<(), PatchError> {
    match patch.shift_remove(DIRECTIVE) {
        None => {}
        Some(directive) => match directive.as_str() {
            Some("replace") => {
                *original = patch;
                return Ok(());
            }
            Some("delete") => {
                original.clear();
                return Ok(());
            }
            Some("merge") => {}
            _ => return Err(PatchError::UnknownDirective(directive.to_string())),
        },
    }
    if let Some(kept) = patch.shift_remove(RETAIN_KEYS) {
        let kept = kept.as_array().cloned().ok_or_else(|| PatchError::BadFormat(RETAIN_KEYS.into()))?;
        original.retain(|name, _| kept.iter().any(|k| k == name));
    }
    delete_from_lists(original, &mut patch)?;
    merge_ordered_lists(original, &mut patch, type_)?;
    for (name, value) in patch {
        merge_member(original, name, value, type_)?;
    }
    Ok(())
}

fn merge_member(original: &mut Members, name: String, value: Value, type_: Option<&Type>) -> Result<(), PatchError> {
    let (field, inner) = member(type_, &name);
    match value {
        Value::Null => drop(original.shift_remove(&name)),
        Value::Object(patch) => {
            let have = original.entry(name).or_insert_with(|| Value::Object(Map::new()));
            if !have.is_object() {
                *have = Value::Object(Map::new());
            }
            merge_object(have.as_object_mut().expect("made an object above"), patch, inner)?;
        }
        Value::Array(patch) if field.is_some_and(|f| f.merge.merges()) => {
            let have = original.get(&name).and_then(Value::as_array).cloned().unwrap_or_default();
            let key = field.and_then(|f| f.merge.patch_merge_key);
            original.insert(name, Value::Array(merge_list(have, patch, key, inner)?));
        }
        other => drop(original.insert(name, other)),
    }
    Ok(())
}

fn delete_from_lists(original: &mut Members, patch: &mut Members) -> Result<(), PatchError> {
    for (name, gone) in take_prefixed(patch, DELETE_FROM_LIST) {
        let gone =
            gone.as_array().cloned().ok_or_else(|| PatchError::BadFormat(format!("{DELETE_FROM_LIST}{name}")))?;
        if let Some(Value::Array(list)) = original.get_mut(&name) {
            list.retain(|item| !gone.contains(item));
        }
    }
    Ok(())
}

/// Lists whose order the patch states.
fn merge_ordered_lists(original: &mut Members, patch: &mut Members, type_: Option<&Type>) -> Result<(), PatchError> {
    for (name, wanted) in take_prefixed(patch, ELEMENT_ORDER) {
        let wanted =
            wanted.as_array().cloned().ok_or_else(|| PatchError::BadFormat(format!("{ELEMENT_ORDER}{name}")))?;
        let (field, inner) = member(type_, &name);
        let key = field.and_then(|f| f.merge.patch_merge_key);
        let have = original.get(&name).and_then(Value::as_array).cloned();
        let change = patch.shift_remove(&name).and_then(|v| match v {
            Value::Array(items) => Some(items),
            _ => None,
        });
        if have.is_none() && change.is_none() {
            continue;
        }
        let server = have.unwrap_or_default();
        if let Some(change) = &change {
            order::check(change, &wanted, key)?;
        }
        let merged = match change {
            Some(change) => merge_list(server.clone(), change, key, inner)?,
            None => server.clone(),
        };
        original.insert(name, Value::Array(order::arrange(merged, &wanted, &server, key)));
    }
    Ok(())
}

fn take_prefixed(patch: &mut Members, prefix: &str) -> Vec<(String, Value)> {
    let names: Vec<_> = patch.keys().filter(|k| k.starts_with(prefix)).cloned().collect();
    names.into_iter().filter_map(|name| Some((name[prefix.len()..].to_owned(), patch.shift_remove(&name)?))).collect()
}

fn merge_list(
    original: Vec<Value>,
    patch: Vec<Value>,
    key: Option<&str>,
    type_: Option<&Type>,
) -> Result<Vec<Value>, PatchError> {
    let objects = original.iter().chain(&patch).any(Value::is_object);
    let Some(key) = key.filter(|_| objects) else {
        if objects {
            return Ok(patch);
        }
        let mut merged = original.clone();
        merged.extend(patch.iter().filter(|p| !original.contains(p)).cloned());
        merged.dedup();
        return Ok(order::arrange(merged, &patch, &original, None));
    };
    let (mut merged, changes) = special_elements(original.clone(), patch, key)?;
    for change in &changes {
        let Value::Object(change) = change else { return Err(PatchError::BadFormat("a list of objects".into())) };
        let id = change
            .get(key)
            .ok_or_else(|| PatchError::NoMergeKey(go::show(&Value::Object(change.clone())), key.to_owned()))?;
        let same = merged.iter_mut().find(|item| item.get(key) == Some(id)).and_then(Value::as_object_mut);
        match same {
            Some(item) => merge_object(item, change.clone(), type_)?,
            None => {
                let mut item = Map::new();
                merge_object(&mut item, change.clone(), type_)?;
                merged.push(Value::Object(item));
            }
        }
    }
    Ok(order::arrange(merged, &changes, &original, Some(key)))
}

/// Carries out the elements that are directives; answers what is left of both lists.
fn special_elements(
    original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let mut original = original;
    let mut rest = Vec::new();
    let mut replace = false;
    for element in patch {
        match element.get(DIRECTIVE) {
            None => rest.push(element),
            Some(directive) => match directive.as_str() {
                Some("delete") => {
                    let id = element.get(key).ok_or(PatchError::DeleteWithoutKey)?;
                    original.retain(|item| item.get(key) != Some(id));
                }
                Some("replace") => replace = true,
                // An element that replaces nothing merges.
                Some("merge") => rest.push(element),
                _ => return Err(PatchError::UnknownDirective(directive.to_string())),
            },
        }
    }
    if replace {
        original.clear();
    }
    Ok((original, rest))
}
