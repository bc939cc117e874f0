//! LocalSubjectAccessReview: asks whether somebody may do something in this namespace. Answered, never stored.

use api_types::k8s_openapi::api::authorization::v1;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    kind::{Names, Scope, Storage},
    table::{cells, duration},
    typed::{ANSWERED, Resource},
};

pub struct LocalSubjectAccessReview;

impl Resource for LocalSubjectAccessReview {
    type Object = v1::LocalSubjectAccessReview;

    const NAMES: Names = Names {
        group: "authorization.k8s.io",
        version: "v1",
        kind: "LocalSubjectAccessReview",
        list_kind: "",
        plural: "localsubjectaccessreviews",
        singular: "localsubjectaccessreview",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const VERBS: &'static [&'static str] = ANSWERED;
    const STORAGE: Option<Storage> = None;

    fn cells(object: &v1::LocalSubjectAccessReview, _: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), duration::created(&object.metadata)]
    }
}
