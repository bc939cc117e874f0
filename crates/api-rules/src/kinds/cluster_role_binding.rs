//! ClusterRoleBinding: who has a cluster role everywhere.

use api_types::{field::FieldError, k8s_openapi::api::rbac::v1};
use jiff::Timestamp;
use serde_json::Value;

use super::rbac;
use crate::{
    kind::{Names, Scope, Storage},
    metadata::{self, NameRule},
    table::{cells, duration},
    typed::Resource,
};

pub struct ClusterRoleBinding;

impl Resource for ClusterRoleBinding {
    type Object = v1::ClusterRoleBinding;

    const NAMES: Names = Names {
        group: rbac::GROUP,
        version: "v1",
        kind: "ClusterRoleBinding",
        list_kind: "ClusterRoleBindingList",
        plural: "clusterrolebindings",
        singular: "clusterrolebinding",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "clusterrolebindings", cached: true });
    const NAME_RULE: NameRule = metadata::path_segment;
    const CREATES_ON_UPDATE: bool = true;

    fn set_defaults(object: &mut Value) {
        rbac::default_binding(object);
    }

    fn validate(object: &v1::ClusterRoleBinding, errors: &mut Vec<FieldError>) {
        rbac::validate_binding(&object.role_ref, object.subjects.as_deref(), false, errors);
    }

    fn validate_update(
        new: &v1::ClusterRoleBinding,
        old: &v1::ClusterRoleBinding,
        _: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        rbac::validate_role_kept(&new.role_ref, &old.role_ref, errors);
    }

    fn cells(object: &v1::ClusterRoleBinding, now: Timestamp) -> Vec<Value> {
        let (role, subjects) = rbac::binding_cells(&object.role_ref, object.subjects.as_deref());
        let mut cells = vec![cells::name(&object.metadata), role, duration::age(&object.metadata, now)];
        cells.extend(subjects);
        cells
    }
}
