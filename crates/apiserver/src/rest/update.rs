//! PUT, and the loop that every change of an existing object goes through.

use api_rules::{apply, value};
use api_types::{
    Status,
    field::{FieldError, Path},
};
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::{
    Call, create,
    ownership::{Made, New, Options},
    write::{ATTEMPTS, Current, Written, changes_nothing},
};
use crate::{answer::Answer, claims::Claims, request::Operation};

pub async fn update(call: &Call<'_>) -> Result<Answer, Status> {
    let form = call.form()?;
    let dry_run = call.query.dry_run()?;
    call.check_options(Options::Update, false)?;
    let object = create::decode(call)?;
    check_name(call, &object)?;
    let conditional = !value::text(&object, &["metadata", "resourceVersion"]).is_empty();
    let may_create = call.served.kind.creates_on_update() && !conditional && call.info.subresource.is_empty();
    if may_create && call.start().await?.is_none() {
        let json = create::create_object(call, Made::Changed(object), dry_run).await?;
        return Ok(call.answer(StatusCode::CREATED, &json, form));
    }
    if !conditional && !call.served.kind.updates_unconditionally() {
        let path = Path::new("metadata").child("resourceVersion");
        let error = FieldError::invalid(&path, 0, "must be specified for an update");
        return Err(Status::invalid(&call.served.kind.names().group_kind(), call.info.name, vec![error]));
    }
    let json = change(call, ATTEMPTS, dry_run, |_| Ok(Made::Changed(object.clone()))).await?;
    Ok(call.answer(StatusCode::OK, &json, form))
}

pub fn check_name(call: &Call<'_>, object: &Value) -> Result<(), Status> {
    match value::text(object, &["metadata", "name"]) {
        "" => Err(Status::bad_request("name must be provided")),
        name if name != call.info.name => Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.info.name
        ))),
        _ => Ok(()),
    }
}

/// Changes the object of the request to what `make` makes of it, as often as others come between.
///
/// An object that carries a resourceVersion is only written over that version. The answer is the object as stored.
pub async fn change(
    call: &Call<'_>,
    attempts: usize,
    dry_run: bool,
    make: impl Fn(&Current) -> Result<Made, Status> + Send + Sync,
) -> Result<Bytes, Status> {
    retry(call, attempts, dry_run, By::Client, make).await
}

/// As [`change`], for what the server itself decides: `make`'s object is stored without defaults, admission and validation,
/// and its owners stay.
pub async fn write(
    call: &Call<'_>,
    attempts: usize,
    dry_run: bool,
    make: impl Fn(&Current) -> Result<Value, Status> + Send + Sync,
) -> Result<Bytes, Status> {
    let made = |current: &Current| Ok(Made::Settled(New { value: make(current)?, managed: current.managed.clone() }));
    retry(call, attempts, dry_run, By::Server, made).await
}

/// Who decides what an object becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Client,
    Server,
}

async fn retry(
    call: &Call<'_>,
    attempts: usize,
    dry_run: bool,
    by: By,
    make: impl Fn(&Current) -> Result<Made, Status> + Send + Sync,
) -> Result<Bytes, Status> {
    let mut current = call.start().await?;
    for _ in 0..attempts {
        let Some(seen) = current else { return Err(call.not_found()) };
        let outcome = match (make(&seen), by) {
            (Ok(Made::Settled(new)), By::Server) => put(call, &seen, new, Claims::default(), dry_run).await,
            (Ok(made), _) => attempt(call, &seen, made, dry_run).await,
            (Err(status), _) => Err(status),
        };
        match outcome {
            Ok(Attempt::Done(json)) => return Ok(json),
            Ok(Attempt::Raced(newer)) => current = newer,
            // What the cache led to is said only if the newest state leads there too.
            Ok(Attempt::Unchanged) if seen.is_newest => return Ok(seen.object.body()),
            Err(status) if seen.is_newest => return Err(status),
            judged => {
                let newest = call.newest().await?;
                let same = newest.as_ref().is_some_and(|n| n.object.revision() == seen.object.revision());
                if same {
                    return judged.map(|_| seen.object.body());
                }
                current = newest;
            }
        }
    }
    Err(Status::modified(&call.served.group_resource, call.info.name))
}

enum Attempt {
    Done(Bytes),
    Unchanged,
    Raced(Option<Current>),
}

async fn put(call: &Call<'_>, seen: &Current, new: New, claims: Claims, dry_run: bool) -> Result<Attempt, Status> {
    Ok(match call.store(call.info.name, Some(seen), new, claims, dry_run).await? {
        Written::Stored(json) => Attempt::Done(json),
        Written::Raced(newer) => Attempt::Raced(newer),
    })
}

async fn attempt(call: &Call<'_>, current: &Current, made: Made, dry_run: bool) -> Result<Attempt, Status> {
    let kind = &call.served.kind;
    let name = call.info.name;
    let New { value: mut new, managed } = match made {
        Made::Changed(new) => {
            check_preconditions(call, &new, current)?;
            call.settle(Some(current), new)
        }
        Made::Settled(new) => {
            check_preconditions(call, &new.value, current)?;
            new
        }
    };
    let admission = call.admission(Operation::Update, name, Some(&current.value), dry_run);
    call.app.admission.mutate(&admission, &mut new).await?;
    kind.set_defaults(&mut new);
    kind.prepare_update(&mut new, &current.value, call.subresource(), &call.context());
    let claims = match call.app.claimant(call.served).filter(|_| call.info.subresource.is_empty()) {
        Some(claimant) => claimant.claim(&mut new, Some(&current.value)).await?,
        None => Claims::default(),
    };
    let errors = kind.validate_update(&new, &current.value, call.subresource());
    if !errors.is_empty() {
        return Err(Status::invalid(&kind.names().group_kind(), name, errors));
    }
    call.app.admission.validate(&admission, &new).await?;
    if is_last_step_of_deletion(&new, &current.value) {
        return finish_deletion(call, current, New { value: new, managed }, dry_run).await;
    }
    // Owners that only got another time are those of before.
    if changes_nothing(&current.value, &new) && apply::is_same_but_for_times(&current.managed, &managed) {
        return Ok(Attempt::Unchanged);
    }
    call.warn(kind.warnings(&new));
    put(call, current, New { value: new, managed }, claims, dry_run).await
}

fn check_preconditions(call: &Call<'_>, new: &Value, current: &Current) -> Result<(), Status> {
    let version = value::text(new, &["metadata", "resourceVersion"]);
    if !version.is_empty() && version != current.object.revision().to_string() {
        return Err(Status::modified(&call.served.group_resource, call.info.name));
    }
    let uid = value::text(new, &["metadata", "uid"]);
    if !uid.is_empty() && uid != current.object.uid() {
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", current.object.uid());
        return Err(Status::conflict(&call.served.group_resource, call.info.name, why));
    }
    Ok(())
}

/// Whether this update takes away the last thing that kept a deleted object.
fn is_last_step_of_deletion(new: &Value, old: &Value) -> bool {
    let has_none = |path: &[&str]| value::items(new, path).is_empty();
    let grace = value::at(old, &["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64).unwrap_or(0);
    let is_namespace = value::text(new, &["kind"]) == "Namespace" && value::text(new, &["apiVersion"]) == "v1";
    value::at(old, &["metadata", "deletionTimestamp"]).is_some()
        && grace == 0
        && has_none(&["metadata", "finalizers"])
        && (!is_namespace || has_none(&["spec", "finalizers"]))
}

/// Removes the object; the answer is what the update asked for.
async fn finish_deletion(call: &Call<'_>, current: &Current, new: New, dry_run: bool) -> Result<Attempt, Status> {
    let answer = call.unwritten(current, new);
    if dry_run {
        return Ok(Attempt::Done(answer));
    }
    let claims = match call.app.claimant(call.served) {
        Some(claimant) => claimant.release(&current.value).await?,
        None => Claims::default(),
    };
    Ok(match call.remove(call.info.name, current, claims).await? {
        Written::Stored(_) => Attempt::Done(answer),
        Written::Raced(newer) => Attempt::Raced(newer),
    })
}
