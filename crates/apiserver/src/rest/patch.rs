//! PATCH: JSON patch, merge patch and strategic merge patch on the newest object, tried again when others come between.

use api_rules::{Kind, patch, value};
use api_types::Status;
use http::{StatusCode, header};
use serde_json::Value;

use super::{Call, update, write::Current};
use crate::answer::Answer;

/// Attempts when others write in between, as upstream.
const ATTEMPTS: usize = 5;

const TYPES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Json,
    Merge,
    Strategic,
}

pub async fn patch(call: &Call<'_>) -> Result<Answer, Status> {
    let form = call.form()?;
    let dry_run = call.query.dry_run()?;
    let json = change(call, dry_run).await?;
    Ok(call.answer(StatusCode::OK, &json, form))
}

async fn change(call: &Call<'_>, dry_run: bool) -> Result<bytes::Bytes, Status> {
    let validation = call.field_validation()?;
    let content_type = call.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let make = |current: &Current| {
        let patched = apply_to(call.served.kind, content_type, &current.value, &call.body)?;
        let mut decoded = call.served.kind.decode_value(patched, validation)?;
        call.warn(decoded.warnings);
        let path = ["metadata", "name"];
        if value::text(&decoded.object, &path).is_empty() {
            value::set(&mut decoded.object, &path, call.info.name.into());
        }
        Ok(decoded.object)
    };
    update::change(call, ATTEMPTS, dry_run, make).await
}

/// `object` after the patch that a request of this content type brings.
pub fn apply_to(kind: &dyn Kind, content_type: &str, object: &Value, body: &[u8]) -> Result<Value, Status> {
    match Type::of(content_type)? {
        Type::Json => patch::json::apply(object, body),
        Type::Merge => patch::merge::apply(object, body),
        Type::Strategic => patch::strategic::apply(object, body, kind.schema()),
    }
}

impl Type {
    fn of(content_type: &str) -> Result<Self, Status> {
        match content_type.split(';').next().map(str::trim) {
            Some("application/json-patch+json") => Ok(Self::Json),
            Some("application/merge-patch+json") => Ok(Self::Merge),
            Some("application/strategic-merge-patch+json") => Ok(Self::Strategic),
            Some("application/apply-patch+yaml" | "application/apply-patch+cbor") => {
                let mut status = Status::unsupported_media_type(&TYPES);
                status.message = "server-side apply is not supported".into();
                Err(status)
            }
            _ => Err(Status::unsupported_media_type(&TYPES)),
        }
    }
}
