//! PATCH: JSON patch, merge patch and strategic merge patch on the newest object, tried again when others come between.

use api_rules::{Kind, patch, value};
use api_types::Status;
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::{Call, update, write::Current};
use crate::answer::Answer;

/// Attempts when others write in between, as upstream.
const ATTEMPTS: usize = 5;

const TYPES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];

/// Those of kinds without Go types, as upstream lists them.
const TYPES_OF_CUSTOM: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

/// How a patch's body says what changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
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
    let patch_type = Type::of(call.headers)?;
    let make = |current: &Current| {
        let patched = apply_to(&*call.served.kind, patch_type, &current.value, &call.body)?;
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

/// `object` after the patch in `body`.
pub fn apply_to(kind: &dyn Kind, patch_type: Type, object: &Value, body: &[u8]) -> Result<Value, Status> {
    match patch_type {
        Type::Json => patch::json::apply(object, body),
        Type::Merge => patch::merge::apply(object, body),
        Type::Strategic => {
            let schema = kind.schema().ok_or_else(|| Status::unsupported_media_type(&TYPES_OF_CUSTOM))?;
            patch::strategic::apply(object, body, schema)
        }
    }
}

impl Type {
    /// What the request's content type says; whether the object exists does not matter to the answer.
    pub fn of(headers: &HeaderMap) -> Result<Self, Status> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        let check = |content_type: &'static str, expected: Result<Type, &str>| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type))]);
            let got = Type::of(&headers).map_err(|status| (status.code, status.message));
            assert_eq!(got, expected.map_err(|message| (415, message.to_owned())), "{content_type}");
        };
        check("application/json-patch+json", Ok(Type::Json));
        check("application/merge-patch+json; charset=utf-8", Ok(Type::Merge));
        check("application/strategic-merge-patch+json", Ok(Type::Strategic));
        check("application/apply-patch+yaml", Err("server-side apply is not supported"));
        let others = Status::unsupported_media_type(&TYPES).message;
        check("application/json", Err(&others));
        check("", Err(&others));
    }
}
