//! SelfSubjectReview: asks "who am I". Answered, never stored.

use api_types::k8s_openapi::api::authentication::v1;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    kind::{Names, Scope, Storage},
    table::{cells, duration},
    typed::{ANSWERED, Resource},
};

pub struct SelfSubjectReview;

impl Resource for SelfSubjectReview {
    type Object = v1::SelfSubjectReview;

    const NAMES: Names = Names {
        group: "authentication.k8s.io",
        version: "v1",
        kind: "SelfSubjectReview",
        list_kind: "",
        plural: "selfsubjectreviews",
        singular: "selfsubjectreview",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const VERBS: &'static [&'static str] = ANSWERED;
    const STORAGE: Option<Storage> = None;

    fn cells(object: &v1::SelfSubjectReview, _: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), duration::created(&object.metadata)]
    }
}
