//! The `scale` subresource: the replica count of a workload, the same way for all kinds that have one.

use api_rules::{FieldValidation, ScalePaths, kinds, value};
use api_types::{
    GroupKind, Status,
    field::{FieldError, Path},
};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use store::Freshness;

use super::{Call, patch, update, write::ATTEMPTS};
use crate::{
    answer::{self, Answer},
    negotiate::body_encoding,
};

const KIND: (&str, &str, &str) = ("autoscaling", "v1", "Scale");

pub async fn serve(call: &Call<'_>) -> Result<Answer, Status> {
    let paths = call.served.kind.scale_paths().ok_or_else(Status::path_not_found)?;
    let form = call.form()?;
    let json = match call.info.verb {
        "get" => call.current(Freshness::Latest).await?.body(),
        "update" | "patch" => change(call, paths).await?,
        _ => return Err(call.not_supported()),
    };
    let object = call.served.kind.from_storage(serde_json::from_slice(&json).unwrap_or_default());
    let scale = scale(&object, paths);
    Ok(answer::document(StatusCode::OK, Bytes::from(scale.to_string()), form))
}

/// What a request brings: the scale as it shall be, or what changes in it.
enum Given {
    Whole(Value),
    Patch(patch::Type),
}

async fn change(call: &Call<'_>, paths: ScalePaths) -> Result<Bytes, Status> {
    let dry_run = call.query.dry_run()?;
    let kind = kinds::find_kind(KIND.0, KIND.1, KIND.2).ok_or_else(Status::path_not_found)?;
    let validation = call.field_validation()?;
    let given = if call.info.verb == "update" {
        let decoded = kind.decode(&call.body, body_encoding(call.headers)?, validation)?;
        call.warn(decoded.warnings);
        Given::Whole(decoded.object)
    } else {
        Given::Patch(patch::Type::of(call.headers)?)
    };
    let make = |current: &super::write::Current| {
        let wanted = match &given {
            Given::Whole(scale) => scale.clone(),
            Given::Patch(patch_type) => {
                let patched = patch::apply_to(kind, *patch_type, &scale(&current.value, paths), &call.body)?;
                kind.decode_value(patched, FieldValidation::Ignore)?.object
            }
        };
        check(call, &wanted)?;
        let mut new = current.value.clone();
        value::set(
            &mut new,
            paths.spec_replicas,
            value::at(&wanted, &["spec", "replicas"]).cloned().unwrap_or(json!(0)),
        );
        for member in ["uid", "resourceVersion"] {
            let given = value::text(&wanted, &["metadata", member]);
            if !given.is_empty() {
                value::set(&mut new, &["metadata", member], given.into());
            }
        }
        Ok(new)
    };
    update::change(&call.without_subresource(), ATTEMPTS, dry_run, make).await
}

fn check(call: &Call<'_>, scale: &Value) -> Result<(), Status> {
    let replicas = value::at(scale, &["spec", "replicas"]).and_then(Value::as_i64).unwrap_or(0);
    let name = value::text(scale, &["metadata", "name"]);
    if !name.is_empty() && name != call.info.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.info.name
        )));
    }
    if replicas < 0 {
        let path = Path::new("spec").child("replicas");
        let error = FieldError::invalid(&path, replicas, "must be greater than or equal to 0");
        return Err(Status::invalid(&GroupKind::new(KIND.0, KIND.2), call.info.name, vec![error]));
    }
    Ok(())
}

/// What a workload looks like through its scale.
fn scale(object: &Value, paths: ScalePaths) -> Value {
    let number = |path: &[&str]| value::at(object, path).and_then(Value::as_i64).unwrap_or(0);
    let mut metadata = json!({});
    for member in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(found) = value::at(object, &["metadata", member]) {
            metadata[member] = found.clone();
        }
    }
    let mut status = json!({ "replicas": number(paths.status_replicas) });
    if let Some(selector) = api_rules::scale::selector_text(object, paths.selector) {
        status["selector"] = selector.into();
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": { "replicas": number(paths.spec_replicas) },
        "status": status,
    })
}
