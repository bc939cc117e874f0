//! Server-side apply: PATCH with a configuration, which creates what is missing.
//!
//! What merging and ownership mean is in `api_rules::apply`; a changed object then goes the way of every other one.

use api_rules::{
    Encoding, FieldValidation,
    apply::{self, ApplyError},
    document, value,
};
use api_types::{Status, status::Reason};
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::{
    Call,
    create::create_object,
    ownership::{Made, New, Options},
    update,
    write::Current,
};
use crate::answer::Answer;

/// Attempts when others write in between, as upstream.
const ATTEMPTS: usize = 5;

pub async fn apply(call: &Call<'_>) -> Result<Answer, Status> {
    let form = call.form()?;
    let dry_run = call.query.dry_run()?;
    call.check_options(Options::Patch, true)?;
    let config = read(call)?;
    check_type(&config, &call.served.api_version, call.served.kind.names().kind)?;
    for _ in 0..ATTEMPTS {
        if call.start().await?.is_some() {
            let json = update::change(call, ATTEMPTS, dry_run, |current| made(call, Some(current), &config)).await?;
            return Ok(call.answer(StatusCode::OK, &json, form));
        }
        if call.subresource().is_some() {
            return Err(call.not_found());
        }
        match create(call, &config, dry_run).await {
            Ok(json) => return Ok(call.answer(StatusCode::CREATED, &json, form)),
            Err(status) if status.is(&Reason::AlreadyExists) => {}
            Err(status) => return Err(status),
        }
    }
    Err(Status::modified(&call.served.group_resource, call.info.name))
}

async fn create(call: &Call<'_>, config: &Value, dry_run: bool) -> Result<Bytes, Status> {
    let conflict = |why: String| Err(Status::conflict(&call.served.group_resource, call.info.name, why));
    match (value::text(config, &["metadata", "uid"]), value::text(config, &["metadata", "resourceVersion"])) {
        ("", "") => create_object(call, made(call, None, config)?, dry_run).await,
        ("", version) => conflict(format!(
            "the provided object specified resourceVersion {version}, and no existing object was found"
        )),
        (uid, _) => {
            conflict(format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found"))
        }
    }
}

/// The configuration in the body.
pub fn read(call: &Call<'_>) -> Result<Value, Status> {
    let config = document::parse(&call.body, Encoding::Yaml)
        .map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))?;
    let twice: Vec<_> = config.duplicates.iter().map(|path| format!("duplicate field {path:?}")).collect();
    match call.field_validation()? {
        FieldValidation::Strict if !twice.is_empty() => {
            Err(Status::bad_request(format!("error strict decoding YAML: {}", twice.join(", "))))
        }
        FieldValidation::Warn => {
            call.warn(twice);
            Ok(config.value)
        }
        _ => Ok(config.value),
    }
}

/// A configuration has to say of which type it is, and must not speak of owners.
pub fn check_type(config: &Value, api_version: &str, kind: &str) -> Result<(), Status> {
    if value::text(config, &["apiVersion"]) != api_version || value::text(config, &["kind"]) != kind {
        return Err(Status::bad_request(format!("invalid object type: {}", type_text(config))));
    }
    match value::at(config, &["metadata", "managedFields"]) {
        None | Some(Value::Null) => Ok(()),
        Some(_) => Err(Status::bad_request("metadata.managedFields must be nil")),
    }
}

/// `apps/v1, Kind=Deployment`, `/v1, Kind=Pod`.
fn type_text(object: &Value) -> String {
    let api_version = value::text(object, &["apiVersion"]);
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!("{slash}{api_version}, Kind={}", value::text(object, &["kind"]))
}

/// `current` with the configuration applied, or a new object of it.
fn made(call: &Call<'_>, current: Option<&Current>, config: &Value) -> Result<Made, Status> {
    let kind = &*call.served.kind;
    let New { value, managed } =
        applied(call, call.info.subresource, current, config).map_err(|error| refusal(error, config))?;
    let mut object = kind.decode_value(value, FieldValidation::Ignore)?.object;
    check_place(call, &mut object)?;
    kind.set_defaults(&mut object);
    Ok(Made::Settled(New { value: object, managed }))
}

/// The object as merged, and who owns it then.
pub fn applied(
    call: &Call<'_>,
    subresource: &str,
    current: Option<&Current>,
    config: &Value,
) -> Result<New, ApplyError> {
    let force = call.query.bool("force").unwrap_or(false);
    let (live, managed) = current.map_or((None, &[][..]), |current| (Some(&current.value), &current.managed[..]));
    let applied =
        call.with_subject(subresource, |subject| apply::apply(subject, &call.manager(), force, live, config, managed))?;
    Ok(New { value: applied.object, managed: applied.managed.into() })
}

/// Why a configuration is not applied, in upstream's words.
pub fn refusal(error: ApplyError, config: &Value) -> Status {
    match error {
        ApplyError::Conflicts(conflicts) => apply::conflict_status(conflicts),
        ApplyError::Misfits(misfits) => {
            let place = |member: &str| value::text(config, &["metadata", member]);
            let (namespace, name, type_) = (place("namespace"), place("name"), type_text(config));
            plain(format!("failed to create typed patch object ({namespace}/{name}; {type_}): {misfits}"))
        }
        error => plain(error.to_string()),
    }
}

/// An error that upstream has no reason for.
fn plain(message: String) -> Status {
    let mut status = Status::failure(500, Reason::InternalError, message);
    status.reason = None;
    status
}

/// The object must be the one that the path names.
fn check_place(call: &Call<'_>, object: &mut Value) -> Result<(), Status> {
    update::check_name(call, object)?;
    super::create::set_namespace(call, object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types() {
        let check = |config: Value, expected: Result<(), &str>| {
            let got = check_type(&config, "apps/v1", "Deployment").map_err(|status| status.message);
            assert_eq!(got, expected.map_err(str::to_owned));
        };
        check(json!({"apiVersion": "apps/v1", "kind": "Deployment"}), Ok(()));
        check(json!({"apiVersion": "v1", "kind": "Pod"}), Err("invalid object type: /v1, Kind=Pod"));
        check(json!({}), Err("invalid object type: /, Kind="));
        check(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"managedFields": []}}),
            Err("metadata.managedFields must be nil"),
        );
    }
}
