//! Eviction: the body of `pods/eviction`, a delete that disruption budgets may refuse.

use api_types::k8s_openapi::api::policy::v1;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    kind::{Names, Scope, Storage},
    table::{cells, duration},
    typed::Resource,
};

pub struct Eviction;

impl Resource for Eviction {
    type Object = v1::Eviction;

    const NAMES: Names = Names {
        group: "policy",
        version: "v1",
        kind: "Eviction",
        list_kind: "",
        plural: "",
        singular: "",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const VERBS: &'static [&'static str] = &[];
    const STORAGE: Option<Storage> = None;

    fn cells(object: &v1::Eviction, _: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), duration::created(&object.metadata)]
    }
}
