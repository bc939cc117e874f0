//! The OpenAPI documents: what clients learn the types and paths from (`kubectl explain`, validation, apply).
//!
//! Version 3 has a document for each group and version; version 2 is one document for all, derived from the former.
//! Only what is served appears.

mod paths;
pub(crate) mod schemas;
#[cfg(test)]
mod tests;
mod v2;
mod v2_protobuf;
mod values;

use serde_json::{Map, Value, json};

use crate::kind::Kind;

pub use v2_protobuf::encode as v2_protobuf;

/// The API level that the types are of.
const VERSION: &str = "v1.36.0";

/// The v2 document of all kinds, as JSON; [`v2_protobuf`] encodes it for clients that insist.
pub fn v2(served: &[&dyn Kind]) -> Value {
    v2::from_v3(v3(served))
}

/// The v3 document of the kinds of one group and version.
pub fn v3(served: &[&dyn Kind]) -> Value {
    let mut all: Map<String, Value> = Map::new();
    for kind in served {
        all.extend(paths::of(*kind));
    }
    all.sort_keys();
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION},
        "paths": all,
        "components": {
            "schemas": schemas::of(served),
            "securitySchemes": {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"}},
        },
        "security": [{"BearerToken": []}],
    })
}
