//! DELETE: at once, or by marking the object and waiting for finalizers, a grace period or a namespace's contents.

use api_rules::value;
use api_types::{Status, status::Details};
use bytes::Bytes;
use http::StatusCode;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    Call,
    delete_options::{DeleteOptions, Propagation},
    ownership::New,
    write::{ATTEMPTS, Current, Written, changes_nothing},
};
use crate::{
    answer::{self, Answer},
    claims::Claims,
    core::format_time,
    request::Operation,
};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What became of a delete.
pub enum Deleted {
    /// It is gone; as it was last.
    Gone(Bytes),
    /// It is still there, marked.
    Marked(Bytes),
}

pub async fn delete(call: &Call<'_>) -> Result<Answer, Status> {
    let form = call.form()?;
    let options = DeleteOptions::of(call)?;
    match delete_object(call, &options).await? {
        Deleted::Marked(json) => Ok(call.answer(StatusCode::OK, &json, form)),
        Deleted::Gone(json) if call.served.kind.returns_deleted() => Ok(call.answer(StatusCode::OK, &json, form)),
        Deleted::Gone(json) => {
            let uid = serde_json::from_slice::<Value>(&json).unwrap_or_default();
            let status = success(call, value::text(&uid, &["metadata", "uid"]));
            Ok(answer::document(StatusCode::OK, Bytes::from(status.to_json()), form))
        }
    }
}

fn success(call: &Call<'_>, uid: &str) -> Status {
    let resource = &call.served.group_resource;
    Status::success().with_details(Details {
        name: call.info.name.to_owned(),
        group: resource.group.to_string(),
        kind: resource.resource.to_string(),
        uid: uid.to_owned(),
        ..Details::default()
    })
}

/// Deletes the object of the request, as often as others come between.
pub async fn delete_object(call: &Call<'_>, options: &DeleteOptions) -> Result<Deleted, Status> {
    let mut current = call.start().await?;
    for _ in 0..ATTEMPTS {
        let Some(seen) = current else { return Err(call.not_found()) };
        match attempt(call, &seen, options).await {
            Ok(Attempt::Done(deleted)) => return Ok(deleted),
            Ok(Attempt::Raced(newer)) => current = newer,
            Ok(Attempt::AlreadyMarked) if seen.is_newest => return Ok(Deleted::Marked(seen.object.body())),
            Err(status) if seen.is_newest => return Err(status),
            judged => {
                let newest = call.newest().await?;
                let same = newest.as_ref().is_some_and(|n| n.object.revision() == seen.object.revision());
                if same {
                    return judged.map(|_| Deleted::Marked(seen.object.body()));
                }
                current = newest;
            }
        }
    }
    Err(Status::modified(&call.served.group_resource, call.info.name))
}

enum Attempt {
    Done(Deleted),
    /// Nothing to do: the object waits for something already.
    AlreadyMarked,
    Raced(Option<Current>),
}

async fn attempt(call: &Call<'_>, current: &Current, options: &DeleteOptions) -> Result<Attempt, Status> {
    check_preconditions(call, current, options)?;
    let admission = call.admission(Operation::Delete, call.info.name, Some(&current.value), options.dry_run);
    call.app.admission.validate(&admission, &Value::Null).await?;
    let mut marked = current.value.clone();
    let fate = mark(call, &mut marked, options);
    if fate == Fate::Goes {
        return remove(call, current, options).await;
    }
    if fate == Fate::Waits && changes_nothing(&current.value, &marked) {
        return Ok(Attempt::AlreadyMarked);
    }
    let marked = New { value: marked, managed: current.managed.clone() };
    let written = call.store(call.info.name, Some(current), marked, Claims::default(), options.dry_run).await?;
    Ok(match written {
        Written::Stored(json) => Attempt::Done(Deleted::Marked(json)),
        Written::Raced(newer) => Attempt::Raced(newer),
    })
}

async fn remove(call: &Call<'_>, current: &Current, options: &DeleteOptions) -> Result<Attempt, Status> {
    if options.dry_run {
        return Ok(Attempt::Done(Deleted::Gone(current.object.body())));
    }
    let claims = match call.app.claimant(call.served) {
        Some(claimant) => claimant.release(&current.value).await?,
        None => Claims::default(),
    };
    Ok(match call.remove(call.info.name, current, claims).await? {
        Written::Stored(json) => Attempt::Done(Deleted::Gone(json)),
        Written::Raced(newer) => Attempt::Raced(newer),
    })
}

fn check_preconditions(call: &Call<'_>, current: &Current, options: &DeleteOptions) -> Result<(), Status> {
    let conflict = |what: &str, wanted: &str, found: &str| {
        let why = format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}");
        Err(Status::conflict(&call.served.group_resource, call.info.name, why))
    };
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != current.object.uid()) {
        return conflict("UID", uid, current.object.uid());
    }
    let revision = current.object.revision().to_string();
    match options.resource_version.as_deref().filter(|version| *version != revision) {
        Some(version) => conflict("ResourceVersion", version, &revision),
        None => Ok(()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nothing keeps it.
    Goes,
    /// It stays until someone removes what keeps it.
    Waits,
}

/// Marks an object as deleted, and says whether something keeps it (upstream's `BeforeDelete` and what follows it).
fn mark(call: &Call<'_>, object: &mut Value, options: &DeleteOptions) -> Fate {
    set_propagation(object, options.propagation);
    if value::at(object, &["metadata", "deletionTimestamp"]).is_none() {
        call.served.kind.prepare_delete(object, call.core().clock.now());
    }
    let is_namespace =
        call.served.group_resource.resource == "namespaces" && call.served.group_resource.group.is_empty();
    let kept = !value::items(object, &["metadata", "finalizers"]).is_empty()
        || (is_namespace && !value::items(object, &["spec", "finalizers"]).is_empty());
    let now = call.core().clock.now();
    let was_marked = value::at(object, &["metadata", "deletionTimestamp"]).is_some();
    let graceful = if was_marked {
        shorten_grace(object, options.grace_seconds)
    } else {
        match call.served.kind.grace_period(object, options.grace_seconds) {
            Some(grace) if grace > 0 || kept => {
                set_deleted(object, now, grace);
                grace > 0
            }
            _ => false,
        }
    };
    if graceful {
        return Fate::Waits;
    }
    if !kept {
        return Fate::Goes;
    }
    if value::at(object, &["metadata", "deletionTimestamp"]).is_none() {
        set_deleted(object, now, 0);
    }
    if is_namespace {
        value::set(object, &["status", "phase"], "Terminating".into());
    }
    Fate::Waits
}

fn set_deleted(object: &mut Value, now: jiff::Timestamp, grace: i64) {
    let at = now.saturating_add(SignedDuration::from_secs(grace)).unwrap_or(now);
    value::set(object, &["metadata", "deletionTimestamp"], format_time(at).into());
    value::set(object, &["metadata", "deletionGracePeriodSeconds"], grace.into());
    if let Some(generation) = value::at(object, &["metadata", "generation"]).and_then(Value::as_i64) {
        value::set(object, &["metadata", "generation"], (generation + 1).into());
    }
}

/// A grace period that runs may only be shortened. Whether it still runs.
fn shorten_grace(object: &mut Value, requested: Option<i64>) -> bool {
    let running = value::at(object, &["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64).unwrap_or(0);
    if running == 0 {
        return false;
    }
    let Some(wanted) = requested.filter(|wanted| *wanted < running).map(|wanted| wanted.max(0)) else { return true };
    let ends: Option<jiff::Timestamp> = value::text(object, &["metadata", "deletionTimestamp"]).parse().ok();
    if let Some(ends) = ends.and_then(|ends| ends.checked_sub(SignedDuration::from_secs(running - wanted)).ok()) {
        value::set(object, &["metadata", "deletionTimestamp"], format_time(ends).into());
    }
    value::set(object, &["metadata", "deletionGracePeriodSeconds"], wanted.into());
    wanted > 0
}

/// The garbage collector's finalizers, as the propagation policy wants them; without one they stay as they are.
fn set_propagation(object: &mut Value, propagation: Option<Propagation>) {
    let Some(propagation) = propagation else { return };
    let mut finalizers: Vec<Value> = value::items(object, &["metadata", "finalizers"])
        .iter()
        .filter(|name| **name != ORPHAN && **name != FOREGROUND)
        .cloned()
        .collect();
    match propagation {
        Propagation::Background => {}
        Propagation::Foreground => finalizers.push(json!(FOREGROUND)),
        Propagation::Orphan => finalizers.push(json!(ORPHAN)),
    }
    if finalizers.is_empty() {
        value::remove(object, &["metadata", "finalizers"]);
    } else {
        value::set(object, &["metadata", "finalizers"], finalizers.into());
    }
}
