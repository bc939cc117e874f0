//! Validation of a value against a schema, in the words of upstream's OpenAPI validator.
//!
//! On an update what has not changed is not blamed (ratcheting, KEP-4008): a schema may become stricter without
//! locking out the objects that are there. Lists of type set and map, and metadata inside objects, are checked elsewhere
//! (`lists.rs`, `embedded.rs`).

use std::fmt::Display;

use api_types::field::{FieldError, Path};
use serde_json::{Map, Value};

use super::{
    formats,
    path::Trail,
    schema::{Additional, Bound, ListType, Rules, Schema, Type},
};

/// What is wrong with `value`. `old` is what was there before, on an update.
pub fn validate(value: &Value, old: Option<&Value>, schema: &Schema) -> Vec<FieldError> {
    let mut walk = Walk { trail: Trail::default(), errors: Vec::new() };
    walk.value(value, old, schema);
    walk.errors
}

struct Walk {
    trail: Trail,
    errors: Vec<FieldError>,
}

impl Walk {
    fn value(&mut self, value: &Value, old: Option<&Value>, schema: &Schema) {
        let before = self.errors.len();
        self.check(value, old, schema);
        if self.errors.len() > before && old == Some(value) {
            self.errors.truncate(before);
        }
    }

    fn check(&mut self, value: &Value, old: Option<&Value>, schema: &Schema) {
        let rules = schema.rules.as_deref();
        self.type_(value, schema, rules);
        if !value.is_null() {
            if let Some(rules) = rules {
                self.combined(value, rules);
            }
            match value {
                Value::String(text) => self.text(text, rules),
                Value::Number(_) => self.number(value, schema, rules),
                Value::Array(items) => self.list(items, old, schema, rules),
                _ => {}
            }
        }
        if let Some(allowed) = rules.and_then(|rules| rules.enum_.as_deref()) {
            self.enumeration(value, schema, allowed);
        }
        if let Value::Object(members) = value {
            self.object(members, old, schema, rules);
        }
    }

    fn path(&self) -> Path {
        match self.trail.to_string() {
            empty if empty.is_empty() => Path::root(),
            path => Path::new(&path),
        }
    }

    fn invalid(&mut self, value: &Value, why: impl Display) {
        self.errors.push(FieldError::invalid(&self.path(), value.clone(), format!("{} in body {why}", self.trail)));
    }

    /// What upstream reports without a place of its own.
    fn at_root(&mut self, why: String) {
        self.errors.push(FieldError::invalid(&Path::root(), "", why));
    }

    fn wrong_type(&mut self, wanted: &str, found: &str) {
        let why = format!("{} in body must be of type {wanted}: {found:?}", self.trail);
        self.errors.push(FieldError::type_invalid(&self.path(), found, why));
    }

    fn type_(&mut self, value: &Value, schema: &Schema, rules: Option<&Rules>) {
        if schema.int_or_string {
            let fits = value.is_string() || is_integer(value) || (value.is_null() && schema.nullable);
            if !fits {
                self.wrong_type("integer,string", name_of(value));
            }
            return;
        }
        let Some(wanted) = schema.type_ else { return };
        let fits = match (wanted, value) {
            (_, Value::Null) => schema.nullable,
            (Type::Object, Value::Object(_))
            | (Type::Array, Value::Array(_))
            | (Type::String, Value::String(_))
            | (Type::Boolean, Value::Bool(_))
            | (Type::Number, Value::Number(_)) => true,
            (Type::Integer, Value::Number(_)) => is_integer(value),
            _ => false,
        };
        if fits {
            return;
        }
        // Upstream names the format rather than the type of what is no string or list.
        let format = rules.and_then(|rules| rules.format.as_deref());
        match (format, value) {
            (Some(format), Value::Bool(_) | Value::Number(_) | Value::Object(_)) if wanted != Type::String => {
                self.wrong_type(format, format_of(value));
            }
            _ => self.wrong_type(wanted.name(), name_of(value)),
        }
    }

    fn text(&mut self, text: &str, rules: Option<&Rules>) {
        let Some(rules) = rules else { return };
        let value = Value::from(text);
        let length = text.chars().count();
        if let Some(max) = rules.max_length.filter(|max| length > *max) {
            self.errors.push(FieldError::too_long(&self.path(), max));
        }
        if let Some(min) = rules.min_length.filter(|min| length < *min) {
            self.invalid(&value, format!("should be at least {min} chars long"));
        }
        if let Some(pattern) = rules.pattern.as_deref().filter(|pattern| !pattern.matches(text)) {
            self.invalid(&value, format!("should match '{}'", pattern.text));
        }
        if let Some(format) = rules.format.as_deref().filter(|format| !formats::fits(format, text)) {
            let why = format!("{} in body must be of type {format}: {text:?}", self.trail);
            self.errors.push(FieldError::type_invalid(&self.path(), text, why));
        }
    }

    fn number(&mut self, value: &Value, schema: &Schema, rules: Option<&Rules>) {
        let (Some(rules), Some(number)) = (rules, value.as_f64()) else { return };
        if rules.format.as_deref() == Some("int32")
            && schema.type_ == Some(Type::Integer)
            && value.as_i64().is_none_or(|n| i32::try_from(n).is_err())
        {
            self.at_root(format!("Checked value must be of type integer with format int32 in {}", self.trail));
        }
        if let Some(factor) = rules.multiple_of.filter(|factor| *factor > 0.0) {
            let times = number / factor;
            if (times - times.round()).abs() > 1e-9 * times.abs().max(1.0) {
                self.invalid(value, format!("should be a multiple of {factor}"));
            }
        }
        match rules.maximum {
            Some(Bound { value: max, exclusive: true }) if number >= max => {
                self.invalid(value, format!("should be less than {max}"));
            }
            Some(Bound { value: max, exclusive: false }) if number > max => {
                self.invalid(value, format!("should be less than or equal to {max}"));
            }
            _ => {}
        }
        match rules.minimum {
            Some(Bound { value: min, exclusive: true }) if number <= min => {
                self.invalid(value, format!("should be greater than {min}"));
            }
            Some(Bound { value: min, exclusive: false }) if number < min => {
                self.invalid(value, format!("should be greater than or equal to {min}"));
            }
            _ => {}
        }
    }

    fn list(&mut self, items: &[Value], old: Option<&Value>, schema: &Schema, rules: Option<&Rules>) {
        if let Some(known) = &schema.items {
            for (i, item) in items.iter().enumerate() {
                self.trail.enter_item(i);
                self.value(item, correlated(item, old, schema), known);
                self.trail.leave();
            }
        }
        let Some(rules) = rules else { return };
        let value = || Value::Array(items.to_vec());
        if let Some(min) = rules.min_items.filter(|min| items.len() < *min) {
            self.invalid(&items.len().into(), format!("should have at least {min} items"));
        }
        if let Some(max) = rules.max_items.filter(|max| items.len() > *max) {
            self.errors.push(FieldError::too_many(&self.path(), items.len(), max));
        }
        if rules.unique_items && items.iter().enumerate().any(|(i, item)| items[..i].contains(item)) {
            self.invalid(&value(), "shouldn't contain duplicates");
        }
    }

    fn enumeration(&mut self, value: &Value, schema: &Schema, allowed: &[Value]) {
        let same = |allowed: &Value| match (allowed.as_f64(), value.as_f64()) {
            (Some(a), Some(b)) => a == b,
            _ => allowed == value,
        };
        if (value.is_null() && schema.nullable) || allowed.iter().any(same) {
            return;
        }
        let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let shown: Vec<String> = allowed.iter().map(shown).collect();
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        self.errors.push(FieldError::not_supported(&self.path(), value.clone(), &shown));
    }

    fn object(&mut self, members: &Map<String, Value>, old: Option<&Value>, schema: &Schema, rules: Option<&Rules>) {
        if let Some(rules) = rules {
            if let Some(min) = rules.min_properties.filter(|min| members.len() < *min) {
                self.invalid(&members.len().into(), format!("should have at least {min} properties"));
            }
            if let Some(max) = rules.max_properties.filter(|max| members.len() > *max) {
                self.errors.push(FieldError::too_many(&self.path(), members.len(), max));
            }
        }
        for (name, member) in members {
            self.trail.enter(name);
            match schema.member(name) {
                Some(known) => self.value(member, old.and_then(|old| old.get(name)), known),
                None if matches!(schema.additional, Some(Additional::None)) => {
                    let path = self.path();
                    self.errors.push(FieldError::invalid(&path, "", format!("{path} in body is a forbidden property")));
                }
                None => {}
            }
            self.trail.leave();
        }
        for name in rules.into_iter().flat_map(|rules| &rules.required) {
            if !members.contains_key(&**name) {
                self.trail.enter(name);
                self.errors.push(FieldError::required(&self.path(), ""));
                self.trail.leave();
            }
        }
    }

    /// `allOf`, `anyOf`, `oneOf` and `not`.
    fn combined(&mut self, value: &Value, rules: &Rules) {
        let here = self.trail.to_string();
        if !rules.any_of.is_empty() {
            let (fitting, best) = self.alternatives(value, &rules.any_of);
            if fitting == 0 {
                self.at_root(format!("{here:?} must validate at least one schema (anyOf)"));
                self.errors.extend(best);
            }
        }
        if !rules.one_of.is_empty() {
            match self.alternatives(value, &rules.one_of) {
                (1, _) => {}
                (0, best) => {
                    let why = format!("{here:?} must validate one and only one schema (oneOf). Found none valid");
                    self.at_root(why);
                    self.errors.extend(best);
                }
                (n, _) => self.at_root(format!(
                    "{here:?} must validate one and only one schema (oneOf). Found {n} valid alternatives"
                )),
            }
        }
        if !rules.all_of.is_empty() {
            let mut valid = 0;
            for schema in &rules.all_of {
                let before = self.errors.len();
                self.check(value, None, schema);
                valid += usize::from(self.errors.len() == before);
            }
            if valid < rules.all_of.len() {
                let none = if valid == 0 { ". None validated" } else { "" };
                self.at_root(format!("{here:?} must validate all the schemas (allOf){none}"));
            }
        }
        if let Some(not) = &rules.not
            && self.alternatives(value, std::slice::from_ref(&**not)).0 == 1
        {
            self.at_root(format!("{here:?} must not validate the schema (not)"));
        }
    }

    /// How many of the schemas fit, and what is wrong with the first if none does.
    fn alternatives(&mut self, value: &Value, schemas: &[Schema]) -> (usize, Vec<FieldError>) {
        let (mut fitting, mut best) = (0, None);
        for schema in schemas {
            let mut walk = Walk { trail: self.trail.clone(), errors: Vec::new() };
            walk.check(value, None, schema);
            if walk.errors.is_empty() {
                fitting += 1;
            } else if best.is_none() {
                best = Some(walk.errors);
            }
        }
        (fitting, best.unwrap_or_default())
    }
}

/// What an item of a list was before: only items with keys can be told from one another.
fn correlated<'a>(item: &Value, old: Option<&'a Value>, schema: &Schema) -> Option<&'a Value> {
    if schema.list_type != ListType::Map {
        return None;
    }
    let same = |other: &&Value| schema.list_map_keys.iter().all(|key| other.get(&**key) == item.get(&**key));
    old?.as_array()?.iter().find(same)
}

/// Whether Go would read this as an integer: a float without fraction counts.
fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if value.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn format_of(value: &Value) -> &'static str {
    match value {
        Value::Number(_) if value.is_f64() => "double",
        Value::Number(_) => "int64",
        _ => "",
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
