//! SelfSubjectAccessReview: asks whether the asker may do something. Answered, never stored.

use api_types::k8s_openapi::api::authorization::v1;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    kind::{Names, Scope, Storage},
    table::{cells, duration},
    typed::{ANSWERED, Resource},
};

pub struct SelfSubjectAccessReview;

impl Resource for SelfSubjectAccessReview {
    type Object = v1::SelfSubjectAccessReview;

    const NAMES: Names = Names {
        group: "authorization.k8s.io",
        version: "v1",
        kind: "SelfSubjectAccessReview",
        list_kind: "",
        plural: "selfsubjectaccessreviews",
        singular: "selfsubjectaccessreview",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const VERBS: &'static [&'static str] = ANSWERED;
    const STORAGE: Option<Storage> = None;

    fn cells(object: &v1::SelfSubjectAccessReview, _: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), duration::created(&object.metadata)]
    }
}
