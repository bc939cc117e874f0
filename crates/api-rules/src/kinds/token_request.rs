//! TokenRequest: the body of `serviceaccounts/token`; the server answers with a token.

use api_types::k8s_openapi::api::authentication::v1;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    kind::{Names, Scope, Storage},
    table::{cells, duration},
    typed::Resource,
};

pub struct TokenRequest;

impl Resource for TokenRequest {
    type Object = v1::TokenRequest;

    const NAMES: Names = Names {
        group: "authentication.k8s.io",
        version: "v1",
        kind: "TokenRequest",
        list_kind: "",
        plural: "",
        singular: "",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const VERBS: &'static [&'static str] = &[];
    const STORAGE: Option<Storage> = None;

    fn cells(object: &v1::TokenRequest, _: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), duration::created(&object.metadata)]
    }
}
