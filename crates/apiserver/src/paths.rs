//! Paths that name no resource: discovery, OpenAPI, version, metrics, keys.

use api_types::Status;
use component::serve::Body;
use http::{StatusCode, request::Parts};
use serde_json::json;

use crate::{
    answer::{self, Answer},
    app::App,
    request::RequestInfo,
    version,
};

const ROOT: [&str; 11] = [
    "/.well-known/openid-configuration",
    "/api",
    "/api/v1",
    "/apis",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/readyz",
    "/version",
];

pub async fn serve(app: &App, parts: &Parts, info: RequestInfo<'_>) -> Result<Answer, Status> {
    if !matches!(info.verb, "get" | "head") {
        return Err(Status::path_not_found());
    }
    match info.path.trim_end_matches('/') {
        "" => Ok(json_answer(&json!({ "paths": ROOT }))),
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

fn json_answer(value: &serde_json::Value) -> Answer {
    answer::with_body(StatusCode::OK, Body::from(value.to_string()), "application/json")
}
