//! Lists whose items are told apart: sets by value, maps by keys. No two may be the same.

use std::collections::HashSet;

use api_types::field::{FieldError, Path};
use serde_json::{Map, Value};

use super::schema::{ListType, Schema};

/// Reports what occurs twice.
pub fn validate(value: &Value, schema: &Schema, path: &Path, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if let Some(known) = schema.property(name) {
                    validate(member, known, &path.child(name), errors);
                } else if let Some(known) = schema.member(name) {
                    validate(member, known, &path.key(name), errors);
                }
            }
        }
        Value::Array(items) => {
            match schema.list_type {
                ListType::Atomic => {}
                ListType::Set => unique(items, |item| item.clone(), path, errors),
                ListType::Map => unique(items, |item| keys_of(item, schema), path, errors),
            }
            if let Some(known) = &schema.items {
                for (i, item) in items.iter().enumerate() {
                    validate(item, known, &path.index(i), errors);
                }
            }
        }
        _ => {}
    }
}

fn unique(items: &[Value], key: impl Fn(&Value) -> Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut seen = HashSet::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let key = key(item);
        if !seen.insert(canonical(&key)) {
            errors.push(FieldError::duplicate(&path.index(i), key));
        }
    }
}

fn keys_of(item: &Value, schema: &Schema) -> Value {
    let keys = schema.list_map_keys.iter();
    keys.filter_map(|key| Some((key.to_string(), item.get(&**key)?.clone()))).collect::<Map<_, _>>().into()
}

/// A text that is the same for equal values, however their members are ordered.
fn canonical(value: &Value) -> String {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    sorted.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_two_alike() {
        let schema = Schema::read(&json!({"type": "object", "properties": {
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a", "b"],
                "items": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}},
            "free": {"type": "array", "items": {"type": "string"}},
        }}));
        let value = json!({"set": ["x", "y", "x"], "free": ["x", "x"],
            "map": [{"a": "1", "b": 1, "c": 1}, {"a": "1", "b": 2}, {"b": 1, "a": "1", "c": 2}]});
        let mut errors = Vec::new();
        validate(&value, &schema, &Path::root(), &mut errors);
        let found: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["set[2]: Duplicate value: \"x\"", "map[2]: Duplicate value: {\"a\":\"1\",\"b\":1}"]);
    }
}
