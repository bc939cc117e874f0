//! PATCH: JSON patch, merge patch and strategic merge patch on the newest object, tried again when others come between.
//! Server-side apply is another thing, in `apply`.

use api_rules::{Kind, patch, value};
use api_types::Status;
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::{
    Call, apply,
    ownership::{Made, Options},
    update,
    write::Current,
};
use crate::answer::Answer;

/// Attempts when others write in between, as upstream.
const ATTEMPTS: usize = 5;

const TYPES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// Those of kinds without Go types, as upstream lists them.
const TYPES_OF_CUSTOM: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

/// What the body of a PATCH is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// A configuration to be applied.
    Configuration,
    Patch(Type),
}

/// How a patch says what changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Json,
    Merge,
    Strategic,
}

pub async fn patch(call: &Call<'_>) -> Result<Answer, Status> {
    let patch_type = match Given::of(call.headers)? {
        Given::Configuration => return apply::apply(call).await,
        Given::Patch(patch_type) => patch_type,
    };
    let form = call.form()?;
    let dry_run = call.query.dry_run()?;
    call.check_options(Options::Patch, false)?;
    let json = change(call, patch_type, dry_run).await?;
    Ok(call.answer(StatusCode::OK, &json, form))
}

async fn change(call: &Call<'_>, patch_type: Type, dry_run: bool) -> Result<bytes::Bytes, Status> {
    let validation = call.field_validation()?;
    let kind = &*call.served.kind;
    let speaks_of_owners = mentions_owners(&call.body);
    let make = |current: &Current| {
        let mut patched = if speaks_of_owners {
            apply_to(kind, patch_type, &with_owners(current), &call.body)?
        } else {
            apply_to(kind, patch_type, &current.value, &call.body)?
        };
        // Decoding would take an empty list for unset.
        let owners = value::remove(&mut patched, &OWNERS);
        let mut decoded = kind.decode_value(patched, validation)?;
        call.warn(decoded.warnings);
        let path = ["metadata", "name"];
        if value::text(&decoded.object, &path).is_empty() {
            value::set(&mut decoded.object, &path, call.info.name.into());
        }
        kind.set_defaults(&mut decoded.object);
        if let Some(owners) = owners {
            value::set(&mut decoded.object, &OWNERS, owners);
        }
        Ok(Made::Changed(decoded.object))
    };
    update::change(call, ATTEMPTS, dry_run, make).await
}

const OWNERS: [&str; 2] = ["metadata", "managedFields"];

fn mentions_owners(body: &[u8]) -> bool {
    let member = OWNERS[1].as_bytes();
    body.windows(member.len()).any(|window| window == member)
}

/// The object as clients see it. Most patches do not care, so it is only put together for those that do.
fn with_owners(current: &Current) -> Value {
    let mut object = current.value.clone();
    if let Ok(owners) = serde_json::from_slice(&current.managed) {
        value::set(&mut object, &OWNERS, owners);
    }
    object
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

impl Given {
    /// What the request's content type says; whether the object exists does not matter to the answer.
    pub fn of(headers: &HeaderMap) -> Result<Self, Status> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        match content_type.split(';').next().map(str::trim) {
            Some("application/json-patch+json") => Ok(Self::Patch(Type::Json)),
            Some("application/merge-patch+json") => Ok(Self::Patch(Type::Merge)),
            Some("application/strategic-merge-patch+json") => Ok(Self::Patch(Type::Strategic)),
            Some("application/apply-patch+yaml") => Ok(Self::Configuration),
            _ => Err(Status::unsupported_media_type(&TYPES)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        let check = |content_type: &'static str, expected: Result<Given, &str>| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type))]);
            let got = Given::of(&headers).map_err(|status| (status.code, status.message));
            assert_eq!(got, expected.map_err(|message| (415, message.to_owned())), "{content_type}");
        };
        check("application/json-patch+json", Ok(Given::Patch(Type::Json)));
        check("application/merge-patch+json; charset=utf-8", Ok(Given::Patch(Type::Merge)));
        check("application/strategic-merge-patch+json", Ok(Given::Patch(Type::Strategic)));
        check("application/apply-patch+yaml", Ok(Given::Configuration));
        let others = Status::unsupported_media_type(&TYPES).message;
        check("application/json", Err(&others));
        check("", Err(&others));
    }
}
