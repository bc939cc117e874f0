//! Role: what may be done in one namespace.

use api_types::{field::FieldError, k8s_openapi::api::rbac::v1};
use jiff::Timestamp;
use serde_json::Value;

use super::rbac;
use crate::{
    kind::{Names, Scope, Storage},
    metadata::{self, NameRule},
    typed::Resource,
};

pub struct Role;

impl Resource for Role {
    type Object = v1::Role;

    const NAMES: Names = Names {
        group: rbac::GROUP,
        version: "v1",
        kind: "Role",
        list_kind: "RoleList",
        plural: "roles",
        singular: "role",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "roles", cached: true });
    const NAME_RULE: NameRule = metadata::path_segment;
    const CREATES_ON_UPDATE: bool = true;

    fn validate(object: &v1::Role, errors: &mut Vec<FieldError>) {
        rbac::validate_rules(object.rules.as_deref(), true, errors);
    }

    fn cells(object: &v1::Role, _: Timestamp) -> Vec<Value> {
        rbac::role_cells(&object.metadata)
    }
}
