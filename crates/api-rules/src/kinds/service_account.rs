//! ServiceAccount: the identity of a pod.

use api_types::k8s_openapi::api::core::v1;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    kind::{Names, Scope, Storage, Subresource},
    table::{cells, duration},
    typed::{ANSWERED, Resource},
};

pub struct ServiceAccount;

impl Resource for ServiceAccount {
    type Object = v1::ServiceAccount;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "ServiceAccount",
        list_kind: "ServiceAccountList",
        plural: "serviceaccounts",
        singular: "serviceaccount",
        short_names: &["sa"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "serviceaccounts", cached: true });
    const RETURNS_DELETED: bool = true;
    const SUBRESOURCES: &'static [Subresource] = &[Subresource {
        name: "token",
        group: "authentication.k8s.io",
        version: "v1",
        kind: "TokenRequest",
        verbs: ANSWERED,
    }];

    fn cells(object: &v1::ServiceAccount, now: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), duration::age(&object.metadata, now)]
    }
}
