//! `pods/eviction`: a delete that disruption budgets may refuse.
//!
//! In three writes, as upstream: the disruption is taken from the budget, the pod says that it is evicted, the pod is
//! deleted. Whoever fails after the first has used up a disruption that nobody made; the controller gives it back when the
//! pod is still there after a while.

use api_rules::{
    eviction::{self, Guard},
    kinds, value,
};
use api_types::{GroupResource, Status, status::Reason};
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use store::{Freshness, ListAt};

use super::{
    Call, delete,
    delete_options::DeleteOptions,
    update,
    write::{ATTEMPTS, Current},
};
use crate::{
    answer::{self, Answer},
    core::without_owners,
    negotiate::body_encoding,
    request::Operation,
};

/// Tries to evict a pod that need not ask its budgets, while it changes.
const TRIES: usize = 20;
/// Budgets looked at between two breaths.
const BATCH: usize = 256;

pub async fn create(call: &Call<'_>) -> Result<Answer, Status> {
    if call.info.verb != "create" {
        return Err(call.not_supported());
    }
    let form = call.form()?;
    let kind = kinds::find_kind("policy", "v1", "Eviction").ok_or_else(Status::path_not_found)?;
    let decoded = kind.decode(&call.body, body_encoding(call.headers)?, call.field_validation()?)?;
    call.warn(decoded.warnings);
    let mut given = decoded.object;
    if value::text(&given, &["metadata", "name"]) != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let mut options = DeleteOptions::default();
    options.read(given.get("deleteOptions").unwrap_or(&Value::Null))?;
    options.dry_run |= call.query.dry_run()?;
    let admission = call.admission(Operation::Create, call.info.name, None, options.dry_run);
    call.app.admission.mutate(&admission, &mut given).await?;
    call.app.admission.validate(&admission, &given).await?;
    evict(&call.without_subresource(), &options).await?;
    let mut status = Status::success();
    status.code = 201;
    Ok(answer::document(StatusCode::CREATED, Bytes::from(status.to_json()), form))
}

async fn evict(call: &Call<'_>, options: &DeleteOptions) -> Result<(), Status> {
    for last in (0..TRIES).map(|i| i + 1 == TRIES) {
        let pod = call.newest().await?.ok_or_else(|| call.not_found())?;
        if !eviction::ignores_budgets(&pod.value) {
            return guarded(call, &pod, options).await;
        }
        let fixed = eviction::may_become_ready(&pod.value).then(|| as_seen(&pod, options));
        match remove(call, fixed.as_ref().unwrap_or(options)).await {
            Err(status) if status.is(&Reason::Conflict) && options.resource_version.is_none() && !last => {}
            outcome => return outcome,
        }
    }
    Err(Status::modified(&call.served.group_resource, call.info.name))
}

/// Evicts a pod that runs, if the one budget that covers it lets it go.
async fn guarded(call: &Call<'_>, pod: &Current, options: &DeleteOptions) -> Result<(), Status> {
    let budgets = budgets_of(call, pod).await?;
    let budget = match budgets.as_slice() {
        [] => return remove(call, options).await,
        [budget] => budget,
        _ => {
            let mut status = Status::failure(
                500,
                Reason::InternalError,
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            );
            status.reason = None;
            return Err(status);
        }
    };
    let name = value::text(budget, &["metadata", "name"]);
    if eviction::guard(budget, &pod.value) == Guard::Budget {
        take_from(call, name, options.dry_run).await?;
        return remove(call, options).await;
    }
    match remove(call, &as_seen(pod, options)).await {
        // It may have become ready in between, and then the budget would guard it.
        Err(status) if status.is(&Reason::Conflict) && options.resource_version.is_none() => {
            Err(eviction::still_processed(name))
        }
        outcome => outcome,
    }
}

/// The same wish, for the pod just as it was seen.
fn as_seen(pod: &Current, options: &DeleteOptions) -> DeleteOptions {
    let mut fixed = options.clone();
    fixed.resource_version.get_or_insert_with(|| pod.object.revision().to_string());
    fixed
}

/// The budgets that cover the pod, at their newest.
async fn budgets_of(call: &Call<'_>, pod: &Current) -> Result<Vec<Value>, Status> {
    let core = call.core();
    let served = core.served("policy", "v1", "poddisruptionbudgets").ok_or_else(Status::path_not_found)?;
    let id = served.id.as_ref().ok_or_else(Status::path_not_found)?;
    let fresh = ListAt::Fresh(Freshness::Latest);
    let listed = core.store.list(id, Some(call.info.namespace), None, fresh).await;
    let mut listed = listed.map_err(answer::store_error)?;
    let mut found = Vec::new();
    loop {
        let batch = listed.chunk(&core.store, BATCH).await.map_err(answer::store_error)?;
        if batch.is_empty() {
            return Ok(found);
        }
        found.extend(
            batch.iter().map(|object| without_owners(object)).filter(|budget| eviction::covers(budget, &pod.value)),
        );
    }
}

async fn take_from(call: &Call<'_>, budget: &str, dry_run: bool) -> Result<(), Status> {
    let served = call.core().served("policy", "v1", "poddisruptionbudgets").ok_or_else(Status::path_not_found)?;
    let of_budget = call.of_resource(&served, call.info.namespace, budget);
    let now = call.core().timestamp();
    let taken = update::write(&of_budget, ATTEMPTS, dry_run, |current| {
        let mut budget = current.value.clone();
        eviction::take(&mut budget, call.info.name, &now)?;
        Ok(budget)
    });
    taken.await.map(drop).map_err(|status| match status.is(&Reason::Conflict) {
        true => Status::timeout(format_args!("couldn't update PodDisruptionBudget {budget:?} due to conflicts"), 10),
        false => status,
    })
}

/// Says in the pod why it goes, and deletes it.
async fn remove(call: &Call<'_>, options: &DeleteOptions) -> Result<(), Status> {
    let mut options = options.clone();
    if !options.dry_run {
        let now = call.core().timestamp();
        let marked = update::write(call, ATTEMPTS, false, |current| {
            check_preconditions(call, current, &options)?;
            let mut pod = current.value.clone();
            eviction::mark(&mut pod, &now);
            Ok(pod)
        });
        let marked = marked.await?;
        if options.resource_version.is_some() {
            let pod: Value = serde_json::from_slice(&marked).unwrap_or_default();
            options.resource_version = Some(value::text(&pod, &["metadata", "resourceVersion"]).to_owned());
        }
    }
    delete::delete_object(call, &options).await.map(drop)
}

fn check_preconditions(call: &Call<'_>, current: &Current, options: &DeleteOptions) -> Result<(), Status> {
    let conflict = |why: String| Err(Status::conflict(&GroupResource::new("", "Pod"), call.info.name, why));
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != current.object.uid()) {
        let found = current.object.uid();
        return conflict(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({found}). The object might have been deleted and then recreated"
        ));
    }
    let found = current.object.revision().to_string();
    match options.resource_version.as_deref().filter(|wanted| *wanted != found) {
        Some(wanted) => conflict(format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({found}). The object might have been modified"
        )),
        None => Ok(()),
    }
}
