//! Whether a configuration fits its type, so that it can be merged; said in upstream's words.
//!
//! Only the structure is judged. Values are validated with the whole object, after the merge.

use std::{collections::BTreeSet, fmt};

use serde_json::Value;

use super::{
    element::{Element, path_text},
    items,
    schema::{ListKind, Node, Scalar, Type},
};

/// What does not fit, each with its path.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfits(Vec<String>);

impl std::error::Error for Misfits {}

impl fmt::Display for Misfits {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0.as_slice() {
            [only] => f.write_str(only),
            all => {
                f.write_str("errors:")?;
                all.iter().try_for_each(|misfit| write!(f, "\n  {misfit}"))
            }
        }
    }
}

pub fn check(type_: Type, config: &Value) -> Result<(), Misfits> {
    let mut walk = Walk { path: Vec::new(), misfits: Vec::new() };
    walk.value(type_, config);
    if walk.misfits.is_empty() { Ok(()) } else { Err(Misfits(walk.misfits)) }
}

struct Walk {
    path: Vec<Element>,
    misfits: Vec<String>,
}

impl Walk {
    fn misfit(&mut self, why: &str) {
        let path = path_text(&self.path);
        self.misfits.push(if path.is_empty() { why.to_owned() } else { format!("{path}: {why}") });
    }

    fn below(&mut self, element: Element, type_: Type, value: &Value) {
        self.path.push(element);
        self.value(type_, value);
        self.path.pop();
    }

    fn value(&mut self, type_: Type, value: &Value) {
        if value.is_null() {
            return;
        }
        match (type_.node(), value) {
            (Node::Deduced, _) => {}
            (Node::Scalar(scalar), _) => self.scalar(*scalar, value),
            (Node::List { item, kind }, Value::Array(values)) => self.list(type_.at(*item), kind, values),
            (Node::List { .. }, other) => self.misfit(&format!("expected list, got {}", shown(other))),
            (Node::Map { .. } | Node::Struct { .. }, Value::Object(members)) => {
                for (name, value) in members {
                    match type_.member(name) {
                        Some(place) => self.below(Element::field(name), place.type_, value),
                        None => {
                            self.path.push(Element::field(name));
                            self.misfit("field not declared in schema");
                            self.path.pop();
                        }
                    }
                }
            }
            (Node::Map { .. } | Node::Struct { .. }, other) => {
                self.misfit(&format!("expected map, got {}", shown(other)));
            }
        }
    }

    fn scalar(&mut self, scalar: Scalar, value: &Value) {
        let (fits, expected) = match scalar {
            Scalar::String => (value.is_string(), "string"),
            Scalar::Number => (value.is_number(), "numeric (int or float)"),
            Scalar::Bool => (value.is_boolean(), "boolean"),
            Scalar::Untyped => (!value.is_object() && !value.is_array(), "scalar"),
        };
        if !fits {
            self.misfit(&format!("expected {expected}, got {}", kind_of(value)));
        }
    }

    fn list(&mut self, type_: Type, kind: &ListKind, values: &[Value]) {
        let mut seen = BTreeSet::new();
        for (i, value) in values.iter().enumerate() {
            let element = match kind {
                ListKind::Atomic => Ok(Element::Index(i as i64)),
                _ => items::element(kind, value),
            };
            match element {
                Err(why) => self.misfit(&format!("element {i}: {why}")),
                Ok(element) => {
                    if !seen.insert(element.clone()) {
                        self.misfit(&format!("duplicate entries for key {element}"));
                    }
                    self.below(element, type_, value);
                }
            }
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
    }
}

/// A value as Go prints it behind a pointer.
fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("&{{{text}}}")
}
