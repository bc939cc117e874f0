//! ControllerRevision: a state of a StatefulSet or DaemonSet that one may go back to. Its data never changes.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::apps::v1,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    kind::{Names, Scope, Storage},
    names::not_negative,
    table::{cells, duration},
    typed::Resource,
};

pub struct ControllerRevision;

impl Resource for ControllerRevision {
    type Object = v1::ControllerRevision;

    const NAMES: Names = Names {
        group: "apps",
        version: "v1",
        kind: "ControllerRevision",
        list_kind: "ControllerRevisionList",
        plural: "controllerrevisions",
        singular: "controllerrevision",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "controllerrevisions", cached: true });

    fn validate(object: &v1::ControllerRevision, errors: &mut Vec<FieldError>) {
        if object.data.is_none() {
            errors.push(FieldError::required(&Path::new("data"), "data is mandatory"));
        }
        not_negative(object.revision, &Path::new("revision"), errors);
    }

    fn validate_update(
        new: &v1::ControllerRevision,
        old: &v1::ControllerRevision,
        _: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        if new.data != old.data {
            errors.push(FieldError::invalid(&Path::new("data"), json!(new.data), "field is immutable"));
        }
    }

    fn cells(object: &v1::ControllerRevision, now: Timestamp) -> Vec<Value> {
        let owner = object.metadata.owner_references.iter().flatten().find(|o| o.controller == Some(true));
        let controller = owner.map(|owner| {
            let kind = match owner.api_version.rsplit_once('/') {
                Some((group, _)) => format!("{}.{group}", owner.kind),
                None => owner.kind.clone(),
            };
            format!("{}/{}", kind.to_lowercase(), owner.name)
        });
        vec![
            cells::name(&object.metadata),
            controller.unwrap_or_else(|| cells::NONE.to_owned()).into(),
            object.revision.into(),
            duration::age(&object.metadata, now),
        ]
    }
}
