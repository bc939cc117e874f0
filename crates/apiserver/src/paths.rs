//! Paths that name no resource: discovery, OpenAPI, version, metrics, keys.

use std::collections::BTreeSet;

use api_types::Status;
use component::serve::Body;
use http::{StatusCode, request::Parts};
use serde_json::json;

use crate::{
    answer::{self, Answer},
    app::App,
    registry::Registry,
    request::RequestInfo,
    version,
};

/// What there is beside the groups.
const ROOT: [&str; 12] = [
    "/.well-known/openid-configuration",
    "/api",
    "/api/v1",
    "/apis",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/readyz",
    "/version",
];

pub async fn serve(app: &App, parts: &Parts, info: RequestInfo<'_>) -> Result<Answer, Status> {
    if !matches!(info.verb, "get" | "head") {
        return Err(Status::path_not_found());
    }
    match info.path.trim_end_matches('/') {
        "" => Ok(json_answer(&json!({ "paths": all(&app.core.registry()) }))),
        "/version" => Ok(version::serve()),
        "/metrics" => {
            let text = component::metrics::render();
            Ok(answer::with_body(StatusCode::OK, Body::from(text), "text/plain; version=0.0.4; charset=utf-8"))
        }
        path => {
            let registry = app.core.registry();
            let found = app.discovery.serve(&registry, path, &parts.headers);
            let found = found.or_else(|| app.openapi.serve(&registry, path, &parts.headers));
            let found = found.or_else(|| app.tokens.serve(path));
            found.map(|response| answer::compress(response, &parts.headers)).ok_or_else(Status::path_not_found)
        }
    }
}

fn all(registry: &Registry) -> BTreeSet<String> {
    let versions = registry.group_versions().filter(|of| !of.group.is_empty());
    let groups = versions.flat_map(|of| [format!("/apis/{}", of.group), format!("/apis/{}/{}", of.group, of.version)]);
    ROOT.into_iter().map(str::to_owned).chain(groups).collect()
}

fn json_answer(value: &serde_json::Value) -> Answer {
    answer::with_body(StatusCode::OK, Body::from(value.to_string()), "application/json")
}
