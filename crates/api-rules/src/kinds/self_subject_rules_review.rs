//! SelfSubjectRulesReview: asks for all that the asker may do in a namespace. Answered, never stored.

use api_types::k8s_openapi::api::authorization::v1;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    kind::{Names, Scope, Storage},
    table::{cells, duration},
    typed::{ANSWERED, Resource},
};

pub struct SelfSubjectRulesReview;

impl Resource for SelfSubjectRulesReview {
    type Object = v1::SelfSubjectRulesReview;

    const NAMES: Names = Names {
        group: "authorization.k8s.io",
        version: "v1",
        kind: "SelfSubjectRulesReview",
        list_kind: "",
        plural: "selfsubjectrulesreviews",
        singular: "selfsubjectrulesreview",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const VERBS: &'static [&'static str] = ANSWERED;
    const STORAGE: Option<Storage> = None;

    fn cells(object: &v1::SelfSubjectRulesReview, _: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), duration::created(&object.metadata)]
    }
}
