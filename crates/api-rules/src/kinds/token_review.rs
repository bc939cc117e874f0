//! TokenReview: asks whose token this is. Answered, never stored.

use api_types::k8s_openapi::api::authentication::v1;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    kind::{Names, Scope, Storage},
    table::{cells, duration},
    typed::{ANSWERED, Resource},
};

pub struct TokenReview;

impl Resource for TokenReview {
    type Object = v1::TokenReview;

    const NAMES: Names = Names {
        group: "authentication.k8s.io",
        version: "v1",
        kind: "TokenReview",
        list_kind: "",
        plural: "tokenreviews",
        singular: "tokenreview",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const VERBS: &'static [&'static str] = ANSWERED;
    const STORAGE: Option<Storage> = None;

    fn cells(object: &v1::TokenReview, _: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), duration::created(&object.metadata)]
    }
}
