//! Defaults of a schema, and what becomes of `null` where it may not stand.

use serde_json::Value;

use super::schema::Schema;

/// Fills in what is missing, or `null` where the schema does not allow that. Whether anything changed.
pub fn set_defaults(value: &mut Value, schema: &Schema) -> bool {
    let mut changed = false;
    match value {
        Value::Object(members) => {
            for (name, property) in &schema.properties {
                let Some(default) = &property.default else { continue };
                if members.get(&**name).is_none_or(|member| is_stray_null(member, property)) {
                    members.insert(name.to_string(), (**default).clone());
                    changed = true;
                }
            }
            for (name, member) in members.iter_mut() {
                let Some(known) = schema.member(name) else { continue };
                changed |= fill_null(member, known) | set_defaults(member, known);
            }
        }
        Value::Array(items) => {
            let Some(known) = &schema.items else { return false };
            for item in items {
                changed |= fill_null(item, known) | set_defaults(item, known);
            }
        }
        _ => {}
    }
    changed
}

/// Drops `null` members that the schema does not allow and has no default for. Whether anything changed.
pub fn drop_nulls(value: &mut Value, schema: &Schema) -> bool {
    let mut changed = false;
    match value {
        Value::Object(members) => members.retain(|name, member| {
            let Some(known) = schema.member(name) else { return true };
            if is_stray_null(member, known) {
                changed = true;
                return false;
            }
            changed |= drop_nulls(member, known);
            true
        }),
        Value::Array(items) => {
            let Some(known) = &schema.items else { return false };
            for item in items {
                changed |= drop_nulls(item, known);
            }
        }
        _ => {}
    }
    changed
}

fn is_stray_null(value: &Value, schema: &Schema) -> bool {
    value.is_null() && !schema.nullable
}

fn fill_null(value: &mut Value, schema: &Schema) -> bool {
    match &schema.default {
        Some(default) if is_stray_null(value, schema) => {
            *value = (**default).clone();
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(given: Value, wanted: Value) {
        let schema = Schema::read(&json!({"type": "object", "properties": {
            "a": {"type": "string", "default": "A"},
            "n": {"type": "string", "default": "N", "nullable": true},
            "x": {"type": "string"},
            "o": {"type": "object", "default": {}, "properties": {"b": {"type": "integer", "default": 5}}},
            "l": {"type": "array", "items": {"type": "object", "properties": {"c": {"type": "boolean", "default": false}}}},
            "m": {"type": "object", "additionalProperties": {"type": "string", "default": "M"}},
        }}));
        let mut value = given.clone();
        let changed = set_defaults(&mut value, &schema) | drop_nulls(&mut value, &schema);
        assert_eq!(value, wanted);
        assert_eq!(changed, value != given);
        let again = set_defaults(&mut value, &schema) | drop_nulls(&mut value, &schema);
        assert!(!again, "settled");
    }

    #[test]
    fn fills_and_drops() {
        check(json!({}), json!({"a": "A", "n": "N", "o": {"b": 5}}));
        check(
            json!({"a": null, "n": null, "x": null, "o": {"b": 1}, "l": [{}, {"c": true}], "m": {"k": null}}),
            json!({"a": "A", "n": null, "o": {"b": 1}, "l": [{"c": false}, {"c": true}], "m": {"k": "M"}}),
        );
        check(json!({"a": "1", "n": "2", "o": {"b": 3}}), json!({"a": "1", "n": "2", "o": {"b": 3}}));
    }
}
