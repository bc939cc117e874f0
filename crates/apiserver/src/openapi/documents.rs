//! The documents themselves, from the schemas that the kinds register: what `explain` and validation read.

use api_rules::{Kind, kinds, schema};
use component::version;
use serde_json::{Value, json};

/// All groups, in the older form: definitions instead of components.
pub fn v2() -> Value {
    let definitions = definitions(kinds::all().iter().copied()).to_string();
    let definitions = definitions.replace("#/components/schemas/", "#/definitions/");
    let definitions: Value = serde_json::from_str(&definitions).unwrap_or_default();
    json!({"swagger": "2.0", "info": info(), "paths": {}, "definitions": definitions})
}

pub fn v3_group(group: &str, version: &str) -> Value {
    let of_group = kinds::all().iter().copied().filter(|kind| (kind.names().group, kind.names().version) == (group, version));
    json!({"openapi": "3.0.0", "info": info(), "paths": {}, "components": {"schemas": definitions(of_group)}})
}

fn definitions(kinds: impl Iterator<Item = &'static dyn Kind>) -> Value {
    let mut generator = schema::generator();
    for kind in kinds {
        kind.add_schema(&mut generator);
    }
    Value::Object(generator.take_definitions(false))
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": version::GIT_VERSION})
}
