//! Makes a value what Go would have made of it: type checked, unknown members dropped (and reported), "unset" where Go
//! cannot tell zero from unset, quantities and times in canonical form.

use std::fmt::Write;

use api_types::Quantity;
use jiff::{Timestamp, fmt::strtime};
use serde_json::{Map, Value};

use super::{Field, Shape, Type};

/// What was found on the way that is not an error by itself.
#[derive(Debug, Default)]
pub struct Findings {
    /// Paths of members that the type does not have.
    pub unknown: Vec<String>,
}

/// Normalises `value` in place. The error is Go's text about the first value of a wrong type.
pub fn normalise(value: &mut Value, type_: &Type) -> Result<Findings, String> {
    let mut walk = Walk { path: Vec::new(), findings: Findings::default() };
    match value {
        Value::Object(members) => walk.object(members, type_)?,
        other => {
            return Err(format!(
                "json: cannot unmarshal {} into Go value of type {}",
                describe(other),
                type_.short_name()
            ));
        }
    }
    Ok(walk.findings)
}

enum Step {
    Member(String),
    Index(usize),
}

struct Walk {
    path: Vec<Step>,
    findings: Findings,
}

impl Walk {
    fn object(&mut self, members: &mut Map<String, Value>, type_: &Type) -> Result<(), String> {
        let mut failed = None;
        members.retain(|name, value| {
            if failed.is_some() {
                return true;
            }
            self.path.push(Step::Member(name.clone()));
            let keep = match type_.field(name) {
                None => {
                    self.findings.unknown.push(self.shown());
                    false
                }
                Some(_) if value.is_null() => false,
                Some(field) => match self.value(value, &field.shape, type_) {
                    Ok(()) => !is_unset(value, field),
                    Err(error) => {
                        failed = Some(error);
                        true
                    }
                },
            };
            self.path.pop();
            keep
        });
        failed.map_or(Ok(()), Err)
    }

    fn value(&mut self, value: &mut Value, shape: &Shape, owner: &Type) -> Result<(), String> {
        let fits = match (shape, &mut *value) {
            (Shape::Any, _)
            | (Shape::String, Value::String(_))
            | (Shape::Bool, Value::Bool(_))
            | (Shape::Float, Value::Number(_)) => true,
            (Shape::Int32, Value::Number(n)) => n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
            (Shape::Int64, Value::Number(n)) => n.as_i64().is_some(),
            (Shape::IntOrString, Value::Number(n)) => n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
            (Shape::IntOrString, Value::String(_)) => true,
            (Shape::Bytes, Value::String(text)) => return check_base64(text),
            (Shape::Time, Value::String(text)) => {
                return canonical_time(text, "%Y-%m-%dT%H:%M:%SZ", "2006-01-02T15:04:05Z07:00");
            }
            (Shape::MicroTime, Value::String(text)) => {
                return canonical_time(text, "%Y-%m-%dT%H:%M:%S%.6fZ", "2006-01-02T15:04:05.000000Z07:00");
            }
            (Shape::Quantity, Value::String(text)) => {
                *text = canonical_quantity(text)?;
                true
            }
            (Shape::Quantity, Value::Number(number)) => {
                *value = Value::String(canonical_quantity(&number.to_string())?);
                true
            }
            (Shape::Object(_), Value::Object(members)) => {
                let type_ = shape.type_of_items().expect("an object shape has a type");
                return self.object(members, type_);
            }
            (Shape::List(item), Value::Array(values)) => return self.list(values, item, owner),
            (Shape::Map(item), Value::Object(members)) => return self.map(members, item, owner),
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.mismatch(value, shape, owner)) }
    }

    fn list(&mut self, values: &mut [Value], item: &Shape, owner: &Type) -> Result<(), String> {
        for (i, value) in values.iter_mut().enumerate() {
            if value.is_null() {
                *value = zero(item);
            }
            self.path.push(Step::Index(i));
            self.value(value, item, owner)?;
            self.path.pop();
        }
        Ok(())
    }

    fn map(&mut self, members: &mut Map<String, Value>, item: &Shape, owner: &Type) -> Result<(), String> {
        for (key, value) in members.iter_mut() {
            if value.is_null() {
                *value = zero(item);
            }
            self.path.push(Step::Member(key.clone()));
            self.value(value, item, owner)?;
            self.path.pop();
        }
        Ok(())
    }

    /// `spec.containers[0].image`.
    fn shown(&self) -> String {
        let mut out = String::new();
        for step in &self.path {
            match step {
                Step::Member(name) if out.is_empty() => out.push_str(name),
                Step::Member(name) => drop(write!(out, ".{name}")),
                Step::Index(i) => drop(write!(out, "[{i}]")),
            }
        }
        out
    }

    fn mismatch(&self, value: &Value, shape: &Shape, owner: &Type) -> String {
        let members: Vec<_> =
            self.path.iter().filter_map(|s| if let Step::Member(m) = s { Some(m.as_str()) } else { None }).collect();
        format!(
            "json: cannot unmarshal {}{} into Go struct field {}.{} of type {}",
            describe(value),
            match (value, shape) {
                (Value::Number(n), Shape::Int32 | Shape::Int64) => format!(" {n}"),
                _ => String::new(),
            },
            owner.short_name(),
            members.join("."),
            go_type(shape)
        )
    }
}

fn is_unset(value: &Value, field: &Field) -> bool {
    if field.required || (field.pointer && !matches!(field.shape, Shape::List(_) | Shape::Map(_))) {
        return false;
    }
    match (&field.shape, value) {
        (Shape::String | Shape::Bytes, Value::String(s)) => s.is_empty(),
        (Shape::Bool, Value::Bool(b)) => !b,
        (Shape::Int32 | Shape::Int64 | Shape::Float, Value::Number(n)) => n.as_f64() == Some(0.0),
        (Shape::List(_), Value::Array(items)) => items.is_empty(),
        (Shape::Map(_), Value::Object(members)) => members.is_empty(),
        _ => false,
    }
}

/// What Go makes of a `null` item.
fn zero(shape: &Shape) -> Value {
    match shape {
        Shape::String | Shape::Bytes => Value::String(String::new()),
        Shape::Bool => Value::Bool(false),
        Shape::Int32 | Shape::Int64 | Shape::Float | Shape::IntOrString => 0.into(),
        Shape::Quantity => "0".into(),
        Shape::Object(_) | Shape::Map(_) => Value::Object(Map::new()),
        Shape::List(_) => Value::Array(Vec::new()),
        Shape::Time | Shape::MicroTime | Shape::Any => Value::Null,
    }
}

fn canonical_quantity(text: &str) -> Result<String, String> {
    Quantity::parse(text).map(|q| q.to_string()).map_err(|e| e.to_string())
}

fn canonical_time(text: &mut String, format: &str, layout: &str) -> Result<(), String> {
    let failure = || format!("parsing time {:?} as {layout:?}: cannot parse {:?} as \"2006\"", text, text);
    let time: Timestamp = text.parse().map_err(|_| failure())?;
    *text = strtime::format(format, time).map_err(|e| e.to_string())?;
    Ok(())
}

fn check_base64(text: &str) -> Result<(), String> {
    use base64::{DecodeError, Engine, engine::general_purpose::STANDARD};
    match STANDARD.decode(text.bytes().filter(|b| !matches!(b, b'\n' | b'\r')).collect::<Vec<_>>()) {
        Ok(_) => Ok(()),
        Err(DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _)) => {
            Err(format!("illegal base64 data at input byte {at}"))
        }
        Err(_) => Err(format!("illegal base64 data at input byte {}", text.len() / 4 * 4)),
    }
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn go_type(shape: &Shape) -> String {
    match shape {
        Shape::String => "string".into(),
        Shape::Bool => "bool".into(),
        Shape::Int32 => "int32".into(),
        Shape::Int64 => "int64".into(),
        Shape::Float => "float64".into(),
        Shape::Bytes => "[]uint8".into(),
        Shape::Time => "v1.Time".into(),
        Shape::MicroTime => "v1.MicroTime".into(),
        Shape::Quantity => "resource.Quantity".into(),
        Shape::IntOrString => "intstr.IntOrString".into(),
        Shape::Any => "interface {}".into(),
        Shape::List(item) => format!("[]{}", go_type(item)),
        Shape::Map(item) => format!("map[string]{}", go_type(item)),
        Shape::Object(_) => {
            let name = &shape.type_of_items().expect("an object shape has a type").name;
            let mut parts = name.rsplit('.');
            let kind = parts.next().unwrap_or_default();
            format!("{}.{kind}", parts.next().unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::registry, *};

    fn check(type_: &str, given: Value, wanted: Value, unknown: &[&str]) {
        let mut value = given;
        let findings = normalise(&mut value, registry().find(type_).unwrap()).unwrap();
        assert_eq!(value, wanted);
        assert_eq!(findings.unknown, unknown);
    }

    fn check_error(type_: &str, mut given: Value, text: &str) {
        assert_eq!(normalise(&mut given, registry().find(type_).unwrap()).unwrap_err(), text);
    }

    const POD: &str = "io.k8s.api.core.v1.Pod";

    #[test]
    fn zero_is_unset_where_go_holds_values() {
        check(
            POD,
            json!({"metadata": {"name": "a", "labels": {}, "finalizers": []}, "spec": {
                "hostNetwork": false, "nodeName": "", "priority": 0, "nodeSelector": null,
                "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false,
                "containers": [], "volumes": [{"name": "v", "emptyDir": {}}]}}),
            json!({"metadata": {"name": "a"}, "spec": {"priority": 0, "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": false, "containers": [], "volumes": [{"name": "v", "emptyDir": {}}]}}),
            &[],
        );
    }

    #[test]
    fn unknown_members_go_and_are_named() {
        check(
            POD,
            json!({"spec": {"foo": 1, "containers": [{"name": "c", "bar": {}}]}}),
            json!({"spec": {"containers": [{"name": "c"}]}}),
            &["spec.foo", "spec.containers[0].bar"],
        );
    }

    #[test]
    fn canonical_forms() {
        check(
            POD,
            json!({"metadata": {"creationTimestamp": "2024-01-01T02:00:00.5+02:00"},
                "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}}]}}),
            json!({"metadata": {"creationTimestamp": "2024-01-01T00:00:00Z"},
                "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}}]}}),
            &[],
        );
    }

    #[test]
    fn wrong_types_as_go_says_it() {
        check_error(
            "io.k8s.api.apps.v1.Deployment",
            json!({"spec": {"replicas": "three"}}),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        );
        check_error(
            POD,
            json!({"spec": {"containers": {}}}),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        );
        check_error("io.k8s.api.core.v1.Secret", json!({"data": {"a": "!"}}), "illegal base64 data at input byte 0");
    }
}
