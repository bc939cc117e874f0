//! The structure of the built-in types: members, their Go shapes, and how lists and maps merge.
//!
//! Built once from the JSON schemas of the Rust types and the tables in `data/` of what those schemas do not carry:
//! `pointers.tsv` (where Go tells zero from unset), `merge.tsv` (merge keys, list and map types) and `enums.tsv` (fields of
//! a fixed set of values). Decoding, strategic merge patches and OpenAPI all go by it. What values are allowed is not known here: that is validation.

pub mod decode;
mod facts;

use std::{collections::HashMap, sync::OnceLock};

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::Value;

pub use facts::{Merge, merge_facts};

use crate::kinds;

/// A type with members.
#[derive(Debug)]
pub struct Type {
    /// `io.k8s.api.core.v1.Pod`.
    pub name: String,
    /// Sorted by name.
    fields: Vec<Field>,
    /// The whole object is replaced rather than merged by server-side apply.
    pub atomic: bool,
}

/// A member of a type.
#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub shape: Shape,
    /// Written even when it is zero.
    pub required: bool,
    /// Go holds it by pointer: zero is a value of its own.
    pub pointer: bool,
    pub merge: Merge,
    /// The values it, or an item of it, may have, if they are a fixed set.
    pub values: Option<Vec<&'static str>>,
}

/// What a value looks like on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    String,
    Bool,
    Int32,
    Int64,
    Float,
    /// Base64 text.
    Bytes,
    /// RFC 3339, whole seconds.
    Time,
    /// RFC 3339 with microseconds.
    MicroTime,
    Quantity,
    IntOrString,
    /// Index into the registry.
    Object(usize),
    List(Box<Shape>),
    Map(Box<Shape>),
    /// Anything at all; kept as it is.
    Any,
}

impl Type {
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.binary_search_by(|f| f.name.as_str().cmp(name)).ok().map(|i| &self.fields[i])
    }

    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The name without its package, as Go errors show it.
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }
}

impl Shape {
    /// The type behind an object, or behind the items of a list or map of objects.
    pub fn type_of_items(&self) -> Option<&'static Type> {
        match self {
            Self::Object(index) => Some(registry().get(*index)),
            Self::List(item) | Self::Map(item) => item.type_of_items(),
            _ => None,
        }
    }
}

/// All types that the served kinds reach.
#[derive(Debug)]
pub struct Registry {
    types: Vec<Type>,
    by_name: HashMap<String, usize>,
}

impl Registry {
    pub fn find(&self, name: &str) -> Option<&Type> {
        self.by_name.get(name).map(|i| &self.types[*i])
    }

    pub fn types(&self) -> &[Type] {
        &self.types
    }

    fn get(&self, index: usize) -> &Type {
        &self.types[index]
    }
}

/// The registry of the built-in kinds, built on first use.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut generator = generator();
        for kind in kinds::all() {
            kind.add_schema(&mut generator);
        }
        build(&generator.take_definitions(false))
    })
}

/// A generator whose references are those of an OpenAPI v3 document.
pub fn generator() -> SchemaGenerator {
    SchemaSettings::draft2019_09()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
        .into_generator()
}

fn build(definitions: &serde_json::Map<String, Value>) -> Registry {
    let objects: Vec<_> = definitions
        .iter()
        .filter(|(name, schema)| special(name).is_none() && schema.get("properties").is_some())
        .collect();
    let by_name: HashMap<_, _> = objects.iter().enumerate().map(|(i, (name, _))| ((*name).clone(), i)).collect();
    let types = objects
        .into_iter()
        .map(|(name, schema)| {
            let short = facts::short_type(name);
            let required: Vec<_> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let mut fields: Vec<_> = schema["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(field, schema)| Field {
                    shape: shape(schema, definitions, &by_name),
                    required: required.contains(&field.as_str()),
                    pointer: facts::is_pointer(&short, field),
                    merge: facts::merge(&short, field),
                    values: facts::values(&short, field),
                    name: field.clone(),
                })
                .collect();
            fields.sort_by(|a, b| a.name.cmp(&b.name));
            Type { atomic: facts::merge(&short, "-").map_type == Some("atomic"), name: name.clone(), fields }
        })
        .collect();
    Registry { types, by_name }
}

/// Types whose JSON form is not that of their members.
fn special(name: &str) -> Option<Shape> {
    Some(match name.rsplit('.').next()? {
        "Quantity" => Shape::Quantity,
        "IntOrString" => Shape::IntOrString,
        "Time" => Shape::Time,
        "MicroTime" => Shape::MicroTime,
        "FieldsV1"
        | "RawExtension"
        | "JSON"
        | "JSONSchemaPropsOrArray"
        | "JSONSchemaPropsOrBool"
        | "JSONSchemaPropsOrStringArray" => Shape::Any,
        _ => return None,
    })
}

fn shape(schema: &Value, definitions: &serde_json::Map<String, Value>, by_name: &HashMap<String, usize>) -> Shape {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        return special(name).unwrap_or_else(|| match (by_name.get(name), definitions.get(name)) {
            (Some(index), _) => Shape::Object(*index),
            (None, Some(other)) => shape(other, definitions, by_name),
            (None, None) => Shape::Any,
        });
    }
    let inner = |member: &str| Box::new(shape(&schema[member], definitions, by_name));
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("string"), Some("byte")) => Shape::Bytes,
        (Some("string"), Some("date-time")) => Shape::Time,
        (Some("string"), _) => Shape::String,
        (Some("boolean"), _) => Shape::Bool,
        (Some("integer"), Some("int32")) => Shape::Int32,
        (Some("integer"), _) => Shape::Int64,
        (Some("number"), _) => Shape::Float,
        (Some("array"), _) => Shape::List(inner("items")),
        (Some("object"), _) if schema["additionalProperties"].is_object() => Shape::Map(inner("additionalProperties")),
        _ => Shape::Any,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(type_: &str, name: &str) -> &'static Field {
        registry().find(type_).unwrap().field(name).unwrap()
    }

    #[test]
    fn a_pod_is_known_to_its_leaves() {
        let containers = field("io.k8s.api.core.v1.PodSpec", "containers");
        assert!(containers.required);
        assert_eq!(containers.merge.patch_merge_key, Some("name"));
        assert_eq!(containers.shape.type_of_items().unwrap().short_name(), "Container");
        let priority = field("io.k8s.api.core.v1.PodSpec", "priority");
        assert_eq!((priority.pointer, &priority.shape), (true, &Shape::Int32));
        assert_eq!(field("io.k8s.api.core.v1.PodSpec", "nodeSelector").shape, Shape::Map(Box::new(Shape::String)));
        assert_eq!(
            field("io.k8s.api.core.v1.ResourceRequirements", "limits").shape,
            Shape::Map(Box::new(Shape::Quantity))
        );
        assert_eq!(field("io.k8s.api.coordination.v1.LeaseSpec", "renewTime").shape, Shape::MicroTime);
        assert_eq!(field("io.k8s.api.core.v1.Secret", "data").shape, Shape::Map(Box::new(Shape::Bytes)));
    }

    /// A row of a table that names no field would be without effect in silence.
    #[test]
    fn enums_are_of_fields_that_exist() {
        let known: usize =
            registry().types().iter().flat_map(Type::fields).filter(|field| field.values.is_some()).count();
        assert_eq!(known, include_str!("../../data/enums.tsv").lines().count() - 2);
        let restart = field("io.k8s.api.core.v1.PodSpec", "restartPolicy");
        assert_eq!(restart.values.as_deref(), Some(["Always", "Never", "OnFailure"].as_slice()));
    }

    /// Embedded Go structs carry their pointers into the types that embed them.
    #[test]
    fn embedded_pointers_are_found() {
        assert!(field("io.k8s.api.core.v1.Volume", "emptyDir").pointer);
        assert!(field("io.k8s.api.core.v1.Probe", "httpGet").pointer);
        assert!(field("io.k8s.api.core.v1.EphemeralContainer", "securityContext").pointer);
    }
}
