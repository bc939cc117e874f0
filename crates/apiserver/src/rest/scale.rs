//! The `scale` subresource: the replica count of a workload, the same way for all kinds that have one.

use api_rules::{FieldValidation, Kind, ScalePaths, apply::ApplyError, kinds, scale, value};
use api_types::{
    GroupKind, Status,
    field::{FieldError, Path},
};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use store::Freshness;

use super::{
    Call, apply,
    ownership::{Made, New, Options},
    patch, update,
    write::{ATTEMPTS, Current},
};
use crate::{
    answer::{self, Answer},
    negotiate::body_encoding,
    render,
};

const KIND: (&str, &str, &str) = ("autoscaling", "v1", "Scale");
const API_VERSION: &str = "autoscaling/v1";
const SUBRESOURCE: &str = "scale";

pub async fn serve(call: &Call<'_>) -> Result<Answer, Status> {
    let paths = call.served.kind.scale_paths().ok_or_else(Status::path_not_found)?;
    let form = call.form()?;
    let json = match call.info.verb {
        "get" => call.current(Freshness::Latest).await?.body(),
        "update" | "patch" => change(call, paths).await?,
        _ => return Err(call.not_supported()),
    };
    let object = call.served.kind.from_storage(serde_json::from_slice(&json).unwrap_or_default());
    let scale = Bytes::from(scale::read(&object, paths).to_string());
    let shown = render::object_of(kind()?, form, &scale, call.core().clock.now());
    Ok(answer::document(StatusCode::OK, shown, form))
}

fn kind() -> Result<&'static dyn Kind, Status> {
    kinds::find_kind(KIND.0, KIND.1, KIND.2).ok_or_else(Status::path_not_found)
}

/// What a request brings: the scale as it shall be, what changes in it, or a configuration of it.
enum Given {
    Whole(Value),
    Patch(patch::Type),
    Configuration(Value),
}

impl Given {
    fn of(call: &Call<'_>, kind: &dyn Kind) -> Result<Self, Status> {
        if call.info.verb == "update" {
            call.check_options(Options::Update, false)?;
            let decoded = kind.decode(&call.body, body_encoding(call.headers)?, call.field_validation()?)?;
            call.warn(decoded.warnings);
            return Ok(Self::Whole(decoded.object));
        }
        match patch::Given::of(call.headers)? {
            patch::Given::Patch(patch_type) => {
                call.check_options(Options::Patch, false)?;
                Ok(Self::Patch(patch_type))
            }
            patch::Given::Configuration => {
                call.check_options(Options::Patch, true)?;
                let config = apply::read(call)?;
                apply::check_type(&config, API_VERSION, KIND.2)?;
                Ok(Self::Configuration(config))
            }
        }
    }
}

async fn change(call: &Call<'_>, paths: ScalePaths) -> Result<Bytes, Status> {
    let dry_run = call.query.dry_run()?;
    let kind = kind()?;
    let given = Given::of(call, kind)?;
    let make = |current: &Current| {
        let wanted = match &given {
            Given::Whole(scale) => scale.clone(),
            Given::Patch(patch_type) => {
                let patched = patch::apply_to(kind, *patch_type, &scale::read(&current.value, paths), &call.body)?;
                kind.decode_value(patched, FieldValidation::Ignore)?.object
            }
            Given::Configuration(config) => return configured(call, kind, current, config, paths),
        };
        check(call, &wanted)?;
        let mut value = current.value.clone();
        scale::write(&mut value, &wanted, paths);
        let managed = current.managed.clone();
        let managed = call.tracked(SUBRESOURCE, Some(current), &value, managed.clone(), managed);
        Ok(Made::Settled(New { value, managed }))
    };
    update::change(&call.without_subresource(), ATTEMPTS, dry_run, make).await
}

/// A configuration of the scale is one of the object's replicas, owned through the subresource.
fn configured(
    call: &Call<'_>,
    kind: &dyn Kind,
    current: &Current,
    config: &Value,
    paths: ScalePaths,
) -> Result<Made, Status> {
    kind.decode_value(config.clone(), FieldValidation::Strict)?;
    check(call, config)?;
    let names = call.served.kind.names();
    let metadata = json!({"name": call.info.name, "namespace": call.info.namespace});
    let mut of_object = json!({"apiVersion": names.api_version(), "kind": names.kind, "metadata": metadata});
    for (from, to) in [
        (&["metadata", "uid"][..], &["metadata", "uid"][..]),
        (&["metadata", "resourceVersion"], &["metadata", "resourceVersion"]),
        (&["spec", "replicas"], paths.spec_replicas),
    ] {
        if let Some(given) = value::at(config, from) {
            value::set(&mut of_object, to, given.clone());
        }
    }
    let mut new = apply::applied(call, SUBRESOURCE, Some(current), &of_object)
        .map_err(|error| apply::refusal(as_of_scale(error), config))?;
    if value::at(&new.value, paths.spec_replicas).is_none() {
        value::set(&mut new.value, paths.spec_replicas, json!(0));
    }
    Ok(Made::Settled(new))
}

/// Through the scale its version is the one that owners are seen in.
fn as_of_scale(error: ApplyError) -> ApplyError {
    match error {
        ApplyError::Conflicts(mut conflicts) => {
            conflicts.iter_mut().for_each(|conflict| conflict.manager.api_version = API_VERSION.to_owned());
            ApplyError::Conflicts(conflicts)
        }
        error => error,
    }
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
