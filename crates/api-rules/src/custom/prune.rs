//! Pruning: what the schema does not name goes, and is reported.

use serde_json::Value;

use super::{
    path::Trail,
    schema::{Additional, Schema},
};

/// Removes unknown members in place and answers their paths. At the root of a resource `apiVersion`, `kind` and `metadata`
/// belong to it whatever the schema says.
pub fn prune(value: &mut Value, schema: &Schema, is_resource: bool) -> Vec<String> {
    let mut walk = Walk { trail: Trail::default(), unknown: Vec::new() };
    walk.value(value, Some(schema), is_resource);
    walk.unknown
}

struct Walk {
    trail: Trail,
    unknown: Vec<String>,
}

impl Walk {
    /// `None` is a schema that knows nothing.
    fn value(&mut self, value: &mut Value, schema: Option<&Schema>, is_resource: bool) {
        match value {
            Value::Object(members) => {
                let is_resource = is_resource || schema.is_some_and(|schema| schema.embedded_resource);
                let keeps = schema.is_some_and(|schema| schema.preserve_unknown_fields);
                members.retain(|name, member| {
                    let known = Member::of(schema, name);
                    self.trail.enter(name);
                    let keep = match known {
                        _ if is_resource && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") => true,
                        Member::Of(schema) => {
                            self.value(member, Some(schema), false);
                            true
                        }
                        Member::Free => true,
                        Member::Unknown if keeps => true,
                        Member::Unknown => {
                            self.unknown.push(self.trail.to_string());
                            false
                        }
                    };
                    self.trail.leave();
                    keep
                });
            }
            Value::Array(items) => {
                let items_schema = schema.and_then(|schema| schema.items.as_deref());
                if items_schema.is_none() && schema.is_some_and(|schema| schema.preserve_unknown_fields) {
                    return;
                }
                for (i, item) in items.iter_mut().enumerate() {
                    self.trail.enter_item(i);
                    self.value(item, items_schema, false);
                    self.trail.leave();
                }
            }
            _ => {}
        }
    }
}

/// What a schema knows of a member.
enum Member<'a> {
    Of(&'a Schema),
    /// Anything goes.
    Free,
    Unknown,
}

impl<'a> Member<'a> {
    fn of(schema: Option<&'a Schema>, name: &str) -> Self {
        let Some(schema) = schema else { return Self::Unknown };
        match (schema.property(name), &schema.additional) {
            (Some(property), _) => Self::Of(property),
            (None, Some(Additional::Of(additional))) => Self::Of(additional),
            (None, Some(Additional::Any)) => Self::Free,
            (None, Some(Additional::None) | None) => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: Value, given: Value, kept: Value, unknown: &[&str]) {
        let mut value = given;
        assert_eq!(prune(&mut value, &Schema::read(&schema), true), unknown);
        assert_eq!(value, kept);
    }

    #[test]
    fn unknown_members_go() {
        let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "known": {"type": "string"},
            "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "string"}}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"inner": {"type": "object"}}},
            "template": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}},
        }}}});
        check(
            schema,
            json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}, "other": 1, "spec": {
                "known": "x", "gone": 1, "list": [{"a": "1", "b": 2}], "map": {"k": {"a": "1", "b": 2}},
                "free": {"any": {"thing": 1}, "inner": {"gone": 1}},
                "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"gone": 1}, "gone": 2}}}),
            json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}, "spec": {
                "known": "x", "list": [{"a": "1"}], "map": {"k": {"a": "1"}},
                "free": {"any": {"thing": 1}, "inner": {}},
                "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {}}}}),
            &[
                "other",
                "spec.gone",
                "spec.list[0].b",
                "spec.map.k.b",
                "spec.free.inner.gone",
                "spec.template.spec.gone",
                "spec.template.gone",
            ],
        );
    }
}
