//! Changing an object that was read: the difference is sent as a patch, so that what others change meanwhile stays.

use api_rules::{kinds, patch};
use serde_json::{Value, json};

use super::{DryRun, WriteOptions};
use crate::{
    session::{PatchForm, Session, with_query},
    target::Object,
};

/// The patch that turns `before` into `after`, in the best form that the kind has.
pub fn between(object: &Object, before: &Value, after: &Value) -> anyhow::Result<(PatchForm, Value)> {
    let resource = &object.resource;
    let known = kinds::find_kind(&resource.group, &resource.version, &resource.kind).and_then(|kind| kind.schema());
    Ok(match known {
        Some(schema) => (PatchForm::Strategic, patch::strategic::three_way(before, after, before, schema)?),
        None => (PatchForm::Merge, patch::merge::three_way(before, after, before)),
    })
}

/// Sends the difference; `None` if there is none.
pub async fn send(
    session: &Session,
    object: &Object,
    after: &Value,
    options: &WriteOptions,
    manager: &str,
) -> anyhow::Result<Option<Value>> {
    let (form, patch) = between(object, &object.value, after)?;
    if patch == json!({}) {
        return Ok(None);
    }
    if options.dry_run == DryRun::Client {
        return Ok(Some(after.clone()));
    }
    let query = [
        ("fieldManager", options.manager(manager)),
        ("fieldValidation", options.validation()),
        ("dryRun", options.dry_run.parameter()),
    ];
    session.patch(&with_query(&object.path(), &query), form, &patch).await.map(Some)
}
