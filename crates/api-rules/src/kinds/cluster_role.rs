//! ClusterRole: what may be done anywhere; may gather the rules of others by their labels.

use api_types::{field::FieldError, k8s_openapi::api::rbac::v1};
use jiff::Timestamp;
use serde_json::Value;

use super::rbac;
use crate::{
    kind::{Names, Scope, Storage},
    metadata::{self, NameRule},
    typed::Resource,
};

pub struct ClusterRole;

impl Resource for ClusterRole {
    type Object = v1::ClusterRole;

    const NAMES: Names = Names {
        group: rbac::GROUP,
        version: "v1",
        kind: "ClusterRole",
        list_kind: "ClusterRoleList",
        plural: "clusterroles",
        singular: "clusterrole",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "clusterroles", cached: true });
    const NAME_RULE: NameRule = metadata::path_segment;
    const CREATES_ON_UPDATE: bool = true;

    fn validate(object: &v1::ClusterRole, errors: &mut Vec<FieldError>) {
        rbac::validate_rules(object.rules.as_deref(), false, errors);
    }

    fn cells(object: &v1::ClusterRole, _: Timestamp) -> Vec<Value> {
        rbac::role_cells(&object.metadata)
    }
}
