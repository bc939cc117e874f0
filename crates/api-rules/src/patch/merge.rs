//! JSON merge patch (RFC 7396): members replace members, `null` removes them, lists are replaced whole.

use api_types::status::Status;
use serde_json::{Map, Value};

use super::unreadable;

/// Applies `patch` to a copy of `document`. 400 if it is not JSON.
pub fn apply(document: &Value, patch: &[u8]) -> Result<Value, Status> {
    let patch: Value = serde_json::from_slice(patch).map_err(unreadable)?;
    let mut result = document.clone();
    json_patch::merge(&mut result, &patch);
    Ok(result)
}

/// The merge patch that makes `current` have what `modified` says, and lose what `original` said and `modified` does
/// not say any more; everything else that `current` has stays. Empty if there is nothing to do.
///
/// For kinds whose lists nobody knows how to merge (client-side apply of custom resources).
pub fn three_way(original: &Value, modified: &Value, current: &Value) -> Value {
    let empty = Map::new();
    let [original, modified, current] = [original, modified, current].map(|v| v.as_object().unwrap_or(&empty));
    Value::Object(three_way_object(original, modified, current))
}

type Members = Map<String, Value>;

fn three_way_object(original: &Members, modified: &Members, current: &Members) -> Members {
    let mut patch = Map::new();
    let empty = Map::new();
    for (name, wanted) in modified.iter().filter(|(_, v)| !v.is_null()) {
        match (wanted, current.get(name)) {
            (Value::Object(wanted), Some(Value::Object(have))) => {
                let before = original.get(name).and_then(Value::as_object).unwrap_or(&empty);
                let inner = three_way_object(before, wanted, have);
                if !inner.is_empty() {
                    patch.insert(name.clone(), Value::Object(inner));
                }
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
    patch
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(original: Value, modified: Value, current: Value, patch: Value) {
        assert_eq!(three_way(&original, &modified, &current), patch);
    }

    #[test]
    fn three_ways() {
        check(json!({"a": 1}), json!({"a": 1}), json!({"a": 1, "status": {}}), json!({}));
        check(json!({"a": 1, "b": 1}), json!({"a": 2}), json!({"a": 1, "b": 1, "c": 1}), json!({"a": 2, "b": null}));
        check(
            json!({"m": {"x": 1}}),
            json!({"m": {"y": 1}}),
            json!({"m": {"x": 1, "z": 1}}),
            json!({"m": {"y": 1, "x": null}}),
        );
        check(json!({}), json!({"l": [1]}), json!({"l": [2, 3]}), json!({"l": [1]}));
        check(json!({"gone": 1}), json!({}), json!({}), json!({}));
    }
}
