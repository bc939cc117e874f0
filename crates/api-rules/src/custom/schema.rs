//! A structural schema, read from `openAPIV3Schema` into what pruning, defaulting and validation go by.
//!
//! What may stand in a schema is checked when the definition is written (`kinds/custom_resource_definition`); reading one
//! here takes it as checked and is lenient about the rest.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value};

use super::pattern::Pattern;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// How server-side apply merges a list (`x-kubernetes-list-type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    #[default]
    Atomic,
    Set,
    Map,
}

/// What `additionalProperties` says.
#[derive(Debug)]
pub enum Additional {
    Any,
    None,
    Of(Box<Schema>),
}

/// One node of a schema.
#[derive(Debug, Default)]
pub struct Schema {
    pub type_: Option<Type>,
    pub nullable: bool,
    pub preserve_unknown_fields: bool,
    pub embedded_resource: bool,
    pub int_or_string: bool,
    /// A map or object that is replaced as a whole (`x-kubernetes-map-type: atomic`).
    pub atomic_map: bool,
    pub list_type: ListType,
    pub list_map_keys: Box<[Box<str>]>,
    pub default: Option<Box<Value>>,
    /// Sorted by name.
    pub properties: Box<[(Box<str>, Schema)]>,
    pub additional: Option<Additional>,
    pub items: Option<Box<Schema>>,
    pub rules: Option<Box<Rules>>,
}

/// What a value must be like beyond its type.
#[derive(Debug, Default)]
pub struct Rules {
    pub format: Option<Box<str>>,
    pub pattern: Option<Arc<Pattern>>,
    pub enum_: Option<Box<[Value]>>,
    pub required: Box<[Box<str>]>,
    pub minimum: Option<Bound>,
    pub maximum: Option<Bound>,
    pub multiple_of: Option<f64>,
    pub min_length: Option<usize>,
    pub max_length: Option<usize>,
    pub min_items: Option<usize>,
    pub max_items: Option<usize>,
    pub min_properties: Option<usize>,
    pub max_properties: Option<usize>,
    pub unique_items: bool,
    pub all_of: Box<[Schema]>,
    pub any_of: Box<[Schema]>,
    pub one_of: Box<[Schema]>,
    pub not: Option<Box<Schema>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    pub value: f64,
    pub exclusive: bool,
}

impl Schema {
    /// Reads the schema of a version. Equal patterns are shared.
    pub fn read(schema: &Value) -> Self {
        Reader::default().schema(schema)
    }

    pub fn property(&self, name: &str) -> Option<&Self> {
        let at = self.properties.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(&self.properties[at].1)
    }

    /// What a member of an object must be like: a property, or one of `additionalProperties`.
    pub fn member(&self, name: &str) -> Option<&Self> {
        self.property(name).or(match &self.additional {
            Some(Additional::Of(schema)) => Some(&**schema),
            _ => None,
        })
    }
}

#[derive(Default)]
struct Reader {
    patterns: HashMap<String, Arc<Pattern>>,
}

impl Reader {
    fn schema(&mut self, json: &Value) -> Schema {
        let flag = |name: &str| json[name].as_bool().unwrap_or(false);
        let mut properties: Vec<(Box<str>, Schema)> =
            members(&json["properties"]).map(|(name, schema)| (name.as_str().into(), self.schema(schema))).collect();
        properties.sort_by(|a, b| a.0.cmp(&b.0));
        Schema {
            type_: json["type"].as_str().and_then(Type::of),
            nullable: flag("nullable"),
            preserve_unknown_fields: flag("x-kubernetes-preserve-unknown-fields"),
            embedded_resource: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            atomic_map: json["x-kubernetes-map-type"] == "atomic",
            list_type: match json["x-kubernetes-list-type"].as_str() {
                Some("set") => ListType::Set,
                Some("map") => ListType::Map,
                _ => ListType::Atomic,
            },
            list_map_keys: texts(&json["x-kubernetes-list-map-keys"]),
            default: json.get("default").filter(|default| !default.is_null()).cloned().map(Box::new),
            properties: properties.into(),
            additional: match json.get("additionalProperties") {
                None | Some(Value::Null) => None,
                Some(Value::Bool(false)) => Some(Additional::None),
                Some(Value::Object(schema)) if !schema.is_empty() => {
                    Some(Additional::Of(Box::new(self.schema(&json["additionalProperties"]))))
                }
                Some(_) => Some(Additional::Any),
            },
            items: json.get("items").filter(|items| items.is_object()).map(|items| Box::new(self.schema(items))),
            rules: self.rules(json),
        }
    }

    fn rules(&mut self, json: &Value) -> Option<Box<Rules>> {
        const NAMES: [&str; 18] = [
            "format",
            "pattern",
            "enum",
            "required",
            "minimum",
            "maximum",
            "multipleOf",
            "minLength",
            "maxLength",
            "minItems",
            "maxItems",
            "minProperties",
            "maxProperties",
            "uniqueItems",
            "allOf",
            "anyOf",
            "oneOf",
            "not",
        ];
        if !NAMES.iter().any(|name| json.get(name).is_some()) {
            return None;
        }
        let count = |name: &str| json[name].as_u64().map(|n| n as usize);
        let bound = |name: &str, exclusive: &str| {
            json[name].as_f64().map(|value| Bound { value, exclusive: json[exclusive].as_bool().unwrap_or(false) })
        };
        Some(Box::new(Rules {
            format: json["format"].as_str().filter(|format| !format.is_empty()).map(Into::into),
            pattern: json["pattern"].as_str().filter(|text| !text.is_empty()).map(|text| self.pattern(text)),
            enum_: json["enum"].as_array().filter(|values| !values.is_empty()).map(|values| values.clone().into()),
            required: texts(&json["required"]),
            minimum: bound("minimum", "exclusiveMinimum"),
            maximum: bound("maximum", "exclusiveMaximum"),
            multiple_of: json["multipleOf"].as_f64(),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            unique_items: json["uniqueItems"].as_bool().unwrap_or(false),
            all_of: self.schemas(&json["allOf"]),
            any_of: self.schemas(&json["anyOf"]),
            one_of: self.schemas(&json["oneOf"]),
            not: json.get("not").filter(|not| not.is_object()).map(|not| Box::new(self.schema(not))),
        }))
    }

    fn schemas(&mut self, list: &Value) -> Box<[Schema]> {
        list.as_array().into_iter().flatten().map(|schema| self.schema(schema)).collect()
    }

    fn pattern(&mut self, text: &str) -> Arc<Pattern> {
        if let Some(known) = self.patterns.get(text) {
            return known.clone();
        }
        let pattern = Arc::new(Pattern::new(text));
        self.patterns.insert(text.to_owned(), pattern.clone());
        pattern
    }
}

fn members(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flat_map(Map::iter)
}

fn texts(list: &Value) -> Box<[Box<str>]> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_what_is_there() {
        let schema = Schema::read(&json!({"type": "object", "properties": {
            "b": {"type": "string", "pattern": "^a+$", "default": "a"},
            "a": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
                "items": {"type": "object", "properties": {"n": {"type": "string", "pattern": "^a+$"}}}},
            "c": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1, "exclusiveMinimum": true}},
        }}));
        let [a, b, c] = ["a", "b", "c"].map(|name| schema.property(name).unwrap());
        assert_eq!((a.list_type, &*a.list_map_keys[0]), (ListType::Map, "n"));
        assert_eq!(b.default.as_deref(), Some(&json!("a")));
        let inner = a.items.as_ref().unwrap().property("n").unwrap();
        let pattern = |schema: &Schema| schema.rules.as_ref().unwrap().pattern.clone().unwrap();
        assert!(Arc::ptr_eq(&pattern(b), &pattern(inner)));
        let rules = c.member("any").unwrap().rules.as_ref().unwrap();
        assert_eq!(rules.minimum, Some(Bound { value: 1.0, exclusive: true }));
        assert!(schema.member("d").is_none() && schema.rules.is_none());
    }
}
