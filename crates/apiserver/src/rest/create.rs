//! POST: a new object, from a body to the store.

use api_rules::{Encoding, document, value};
use api_types::{Status, status::Reason};
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::{
    Call,
    ownership::{Made, New, Options},
    write::{ATTEMPTS, Written},
};
use crate::{
    answer::Answer,
    claims::Claims,
    negotiate::{Form, body_encoding},
    request::Operation,
};

/// How often a generated name that is taken is replaced by another (KEP-4420).
const NAMES_TRIED: usize = 8;

pub async fn create(call: &Call<'_>) -> Result<Answer, Status> {
    let form = call.form()?;
    let dry_run = call.query.dry_run()?;
    call.check_options(Options::Create, false)?;
    let object = decode(call)?;
    let json = create_object(call, Made::Changed(object), dry_run).await?;
    Ok(answer(call, StatusCode::CREATED, &json, form))
}

fn answer(call: &Call<'_>, code: StatusCode, json: &Bytes, form: Form) -> Answer {
    call.answer(code, json, form)
}

/// The body as an object of the request's kind, with defaults.
pub fn decode(call: &Call<'_>) -> Result<Value, Status> {
    let encoding = body_encoding(call.headers)?;
    let decoded = call.served.kind.decode(&call.body, encoding, call.field_validation()?)?;
    call.warn(decoded.warnings);
    let mut object = decoded.object;
    call.served.kind.set_defaults(&mut object);
    set_namespace(call, &mut object)?;
    keep_reset(call, encoding, &mut object);
    Ok(object)
}

/// An empty list of owners is a wish of its own, though decoding takes empty lists for unset.
fn keep_reset(call: &Call<'_>, encoding: Encoding, object: &mut Value) {
    const MEMBER: &[u8] = b"managedFields";
    let path = ["metadata", "managedFields"];
    if value::at(object, &path).is_some() || !call.body.windows(MEMBER.len()).any(|window| window == MEMBER) {
        return;
    }
    let given = document::parse(&call.body, encoding).map(|document| document.value).unwrap_or_default();
    if value::at(&given, &path).is_some_and(Value::is_array) {
        value::set(object, &path, Value::Array(Vec::new()));
    }
}

/// The namespace of the path counts; another in the body is refused.
pub fn set_namespace(call: &Call<'_>, object: &mut Value) -> Result<(), Status> {
    if !call.served.is_namespaced() {
        return Ok(());
    }
    let given = value::text(object, &["metadata", "namespace"]);
    if given.is_empty() {
        value::set(object, &["metadata", "namespace"], call.info.namespace.into());
    } else if given != call.info.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

/// Admits, completes, validates and stores a new object; answers it as stored.
pub async fn create_object(call: &Call<'_>, made: Made, dry_run: bool) -> Result<Bytes, Status> {
    let New { value: mut object, managed } = match made {
        Made::Changed(object) => call.settle(None, object),
        Made::Settled(new) => new,
    };
    if !value::text(&object, &["metadata", "resourceVersion"]).is_empty() {
        let why = "resourceVersion should not be set on objects to be created";
        return Err(Status::failure(500, Reason::InternalError, why));
    }
    let given = value::text(&object, &["metadata", "name"]).to_owned();
    let admission = call.admission(Operation::Create, &given, None, dry_run);
    call.app.admission.mutate(&admission, &mut object).await?;
    call.served.kind.set_defaults(&mut object);
    let base = value::text(&object, &["metadata", "generateName"]).to_owned();
    let mut names_tried = 0;
    for _ in 0..ATTEMPTS {
        let mut new = object.clone();
        if given.is_empty() && !base.is_empty() {
            value::set(&mut new, &["metadata", "name"], call.core().random.name(&base).into());
            names_tried += 1;
            // What a kind derives from its name, such as a namespace's label, follows the name.
            call.served.kind.set_defaults(&mut new);
        }
        complete(call, &mut new);
        let claims = match call.app.claimant(call.served) {
            Some(claimant) => claimant.claim(&mut new, None).await?,
            None => Claims::default(),
        };
        let name = value::text(&new, &["metadata", "name"]).to_owned();
        validate(call, &new, &name)?;
        let admission = call.admission(Operation::Create, &name, None, dry_run);
        call.app.admission.validate(&admission, &new).await?;
        let raced_with =
            match call.store(&name, None, New { value: new, managed: managed.clone() }, claims, dry_run).await? {
                Written::Stored(json) if dry_run => {
                    refuse_taken(call, &name).await?;
                    return Ok(json);
                }
                Written::Stored(json) => return Ok(json),
                Written::Raced(present) => present,
            };
        // Without an object in the way it was a claim that someone else took first.
        if raced_with.is_some() && (!given.is_empty() || names_tried >= NAMES_TRIED) {
            return Err(Status::already_exists(&call.served.group_resource, &name));
        }
    }
    Err(Status::conflict(&call.served.group_resource, &given, "its claims were taken by others time and again"))
}

/// A dry run writes nothing that could show the conflict.
async fn refuse_taken(call: &Call<'_>, name: &str) -> Result<(), Status> {
    let store = &call.core().store;
    let found = store.get(call.id()?, call.namespace(), name, store::Freshness::Latest).await;
    match found.map_err(crate::answer::store_error)? {
        Some(_) => Err(Status::already_exists(&call.served.group_resource, name)),
        None => Ok(()),
    }
}

/// What only the server may say of a new object.
fn complete(call: &Call<'_>, object: &mut Value) {
    value::set(object, &["metadata", "uid"], call.core().random.uid().into());
    value::set(object, &["metadata", "creationTimestamp"], call.core().timestamp().into());
    // After the name and uid, which a Job's selector is made of.
    call.served.kind.prepare_create(object, &call.context());
}

fn validate(call: &Call<'_>, object: &Value, name: &str) -> Result<(), Status> {
    let errors = call.served.kind.validate_create(object);
    if !errors.is_empty() {
        return Err(Status::invalid(&call.served.kind.names().group_kind(), name, errors));
    }
    call.warn(call.served.kind.warnings(object));
    Ok(())
}
