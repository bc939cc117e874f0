//! Scale: the body of the `scale` subresource; how it is read and written is in `crate::scale`.

use api_types::k8s_openapi::api::autoscaling::v1;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    kind::{Names, Scope, Storage},
    table::{cells, duration},
    typed::Resource,
};

pub struct Scale;

impl Resource for Scale {
    type Object = v1::Scale;

    const NAMES: Names = Names {
        group: "autoscaling",
        version: "v1",
        kind: "Scale",
        list_kind: "",
        plural: "",
        singular: "",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const VERBS: &'static [&'static str] = &[];
    const STORAGE: Option<Storage> = None;

    fn cells(object: &v1::Scale, now: Timestamp) -> Vec<Value> {
        vec![
            cells::name(&object.metadata),
            object.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0).into(),
            object.status.as_ref().map_or(0, |status| status.replicas).into(),
            duration::age(&object.metadata, now),
        ]
    }
}
