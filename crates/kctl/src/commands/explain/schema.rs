//! Finding one's way in an OpenAPI v3 document.

use serde_json::{Map, Value};

const REFERENCE: &str = "#/components/schemas/";

pub struct Document(Map<String, Value>);

impl Document {
    pub fn new(mut document: Value) -> Self {
        match document["components"]["schemas"].take() {
            Value::Object(schemas) => Self(schemas),
            _ => Self(Map::new()),
        }
    }

    /// The schema of a kind's objects.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<&Value> {
        let is = |one: &Value| one["group"] == group && one["version"] == version && one["kind"] == kind;
        let all = self.0.values();
        let mut meant =
            all.filter(|schema| schema["x-kubernetes-group-version-kind"].as_array().is_some_and(|v| v.iter().any(is)));
        meant.next()
    }

    /// A field of what the schema describes; lists and maps are looked through.
    pub fn field<'a>(&'a self, schema: &'a Value, name: &str) -> Option<&'a Value> {
        self.inside(schema)["properties"].get(name)
    }

    /// The fields with their schemas, and whether each must be there.
    pub fn fields<'a>(&'a self, schema: &'a Value) -> Vec<(&'a str, &'a Value, bool)> {
        let inside = self.inside(schema);
        let required = |name: &str| inside["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
        let properties = inside["properties"].as_object().into_iter().flatten();
        let mut fields: Vec<_> = properties.map(|(name, schema)| (name.as_str(), schema, required(name))).collect();
        fields.sort_by_key(|(name, ..)| *name);
        fields
    }

    /// `string`, `[]Container`, `map[string]string`.
    pub fn type_of(&self, schema: &Value) -> String {
        if let Some(name) = reference(schema) {
            return name.rsplit('.').next().unwrap_or(name).to_owned();
        }
        if !schema["items"].is_null() {
            return format!("[]{}", self.type_of(&schema["items"]));
        }
        if schema["additionalProperties"].is_object() {
            return format!("map[string]{}", self.type_of(&schema["additionalProperties"]));
        }
        schema["type"].as_str().unwrap_or("Object").to_owned()
    }

    /// What is said of the field, and of its type.
    pub fn about(&self, schema: &Value) -> Vec<String> {
        let mut said = vec![];
        let mut next = Some(schema);
        while let Some(schema) = next {
            said.extend(schema["description"].as_str().filter(|text| !text.is_empty()).map(str::to_owned));
            next = reference(schema).and_then(|name| self.0.get(name)).or_else(|| below(schema));
        }
        said
    }

    /// The schema in which the fields are: behind references, lists and maps.
    fn inside<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match reference(schema).and_then(|name| self.0.get(name)).or_else(|| below(schema)) {
            Some(next) => self.inside(next),
            None => schema,
        }
    }
}

fn below(schema: &Value) -> Option<&Value> {
    ["items", "additionalProperties"].into_iter().filter_map(|key| schema.get(key)).find(|inner| inner.is_object())
}

/// The name of the type that a field has, if it has one.
fn reference(schema: &Value) -> Option<&str> {
    let direct = schema["$ref"].as_str();
    direct.or_else(|| schema["allOf"][0]["$ref"].as_str())?.strip_prefix(REFERENCE)
}
