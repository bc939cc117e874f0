//! `kctl apply --server-side`: the server merges, by who owns which field.
//!
//! Fields that client-side apply has set are handed over to the same manager, as kubectl does: otherwise what a manifest
//! no longer says would stay for ever.

use anyhow::anyhow;
use serde_json::{Map, Value, json};

use super::{WriteOptions, apply};
use crate::{
    session::{PatchForm, Refused, Session, with_query},
    target::Object,
};

/// kubectl's name for itself: objects may be applied by both in turn.
const MANAGER: &str = "kubectl";
/// What is told with a conflict.
const ADVICE: &str = "\
Please review the fields above--they currently have other managers. Here
are the ways you can resolve this warning:
* If you intend to manage all of these fields, please re-run the apply
  command with the `--force-conflicts` flag.
* If you do not intend to manage all of the fields, please edit your
  manifest to remove references to the fields that should keep their
  current managers.
* You may co-own fields by updating your manifest to match the existing
  value; in this case, you'll become the manager if the other manager(s)
  stop managing the field (remove it from their configuration).
See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts";

/// Applies one object and says so.
pub async fn apply(session: &Session, object: Object, options: &WriteOptions, force: bool) -> anyhow::Result<()> {
    let value = send(session, &object, options, force).await?;
    let value = match hand_over(&value["metadata"], options.manager(MANAGER)) {
        Some(patch) if options.dry_run == super::DryRun::None => {
            session.patch(&object.path(), PatchForm::Json, &patch).await?;
            send(session, &object, options, force).await?
        }
        _ => value,
    };
    options.say(&Object { resource: object.resource, value }, "serverside-applied")
}

/// The object as the server has merged it.
pub async fn send(session: &Session, object: &Object, options: &WriteOptions, force: bool) -> anyhow::Result<Value> {
    let query = [
        ("fieldManager", options.manager(MANAGER)),
        ("fieldValidation", options.validation()),
        ("force", if force { "true" } else { "" }),
        ("dryRun", options.dry_run.parameter()),
    ];
    let done = session.patch(&with_query(&object.path(), &query), PatchForm::Apply, &object.value).await;
    done.map_err(|error| match error.downcast_ref::<Refused>() {
        Some(Refused(status)) if status.code == 409 && status.message.starts_with("Apply failed") => {
            anyhow!("{}\n{ADVICE}", status.message)
        }
        _ => error,
    })
}

/// The patch that gives what client-side apply owns to `manager`; `None` if it owns nothing.
fn hand_over(meta: &Value, manager: &str) -> Option<Value> {
    let mut entries = meta["managedFields"].as_array()?.clone();
    let of = |entry: &Value, name: &str, operation: &str| {
        entry["manager"] == name && entry["operation"] == operation && entry["subresource"].is_null()
    };
    let from = entries.iter().position(|entry| of(entry, apply::MANAGER, "Update"))?;
    let given = entries.remove(from)["fieldsV1"].take();
    let to = entries.iter_mut().find(|entry| of(entry, manager, "Apply"))?;
    unite(&mut to["fieldsV1"], given);
    Some(json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
    ]))
}

/// Both sets of fields in one tree.
fn unite(into: &mut Value, from: Value) {
    let Value::Object(from) = from else { return };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let Some(into) = into.as_object_mut() else { return };
    for (key, more) in from {
        match into.get_mut(&key) {
            Some(present) => unite(present, more),
            None => drop(into.insert(key, more)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_client_side_apply_owned_is_handed_over() {
        let entry = |manager: &str, operation: &str, fields: Value| json!({"manager": manager, "operation": operation, "fieldsV1": fields});
        let before = json!({"resourceVersion": "7", "managedFields": [
            entry("kubectl", "Apply", json!({"f:data": {"f:a": {}}})),
            entry("kubectl-client-side-apply", "Update", json!({"f:data": {"f:b": {}}})),
            entry("other", "Update", json!({"f:data": {"f:c": {}}})),
        ]});
        let patch = hand_over(&before, "kubectl").unwrap();
        assert_eq!(
            patch[0]["value"],
            json!([
                entry("kubectl", "Apply", json!({"f:data": {"f:a": {}, "f:b": {}}})),
                entry("other", "Update", json!({"f:data": {"f:c": {}}})),
            ])
        );
        assert_eq!(patch[1]["value"], "7");
        assert_eq!(hand_over(&json!({"managedFields": [entry("kubectl", "Apply", json!({}))]}), "kubectl"), None);
    }
}
