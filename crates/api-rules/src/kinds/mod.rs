//! The list of kinds that are served. There is no other.

mod binding;
mod certificate_signing_request;
mod cluster_role;
mod cluster_role_binding;
mod config_map;
mod deployment;
mod endpoint_slice;
pub mod endpoints;
mod event;
mod eviction;
mod ip_address;
mod lease;
mod local_subject_access_review;
mod namespace;
mod node;
pub mod pod;
mod priority_class;
mod rbac;
mod replica_set;
mod role;
mod role_binding;
mod scale;
mod secret;
mod self_subject_access_review;
mod self_subject_review;
mod self_subject_rules_review;
mod service;
mod service_account;
mod subject_access_review;
mod token_request;
mod token_review;
mod workload;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector,
};

use crate::{
    kind::Kind,
    metadata,
    names::{self, one_of, report},
    typed::Typed,
};

/// Every kind, in the order of discovery: the core group first, then the groups as upstream ranks them.
pub fn all() -> &'static [&'static dyn Kind] {
    static ALL: &[&dyn Kind] = &[
        &Typed::<binding::Binding>::NEW,
        &Typed::<config_map::ConfigMap>::NEW,
        &Typed::<endpoints::Endpoints>::NEW,
        &Typed::<event::core::Event>::NEW,
        &Typed::<namespace::Namespace>::NEW,
        &Typed::<node::Node>::NEW,
        &Typed::<pod::Pod>::NEW,
        &Typed::<secret::Secret>::NEW,
        &Typed::<service_account::ServiceAccount>::NEW,
        &Typed::<service::Service>::NEW,
        &Typed::<deployment::Deployment>::NEW,
        &Typed::<replica_set::ReplicaSet>::NEW,
        &Typed::<event::events::Event>::NEW,
        &Typed::<token_request::TokenRequest>::NEW,
        &Typed::<token_review::TokenReview>::NEW,
        &Typed::<self_subject_review::SelfSubjectReview>::NEW,
        &Typed::<local_subject_access_review::LocalSubjectAccessReview>::NEW,
        &Typed::<self_subject_access_review::SelfSubjectAccessReview>::NEW,
        &Typed::<self_subject_rules_review::SelfSubjectRulesReview>::NEW,
        &Typed::<subject_access_review::SubjectAccessReview>::NEW,
        &Typed::<scale::Scale>::NEW,
        &Typed::<certificate_signing_request::CertificateSigningRequest>::NEW,
        &Typed::<ip_address::IPAddress>::NEW,
        &Typed::<eviction::Eviction>::NEW,
        &Typed::<cluster_role_binding::ClusterRoleBinding>::NEW,
        &Typed::<cluster_role::ClusterRole>::NEW,
        &Typed::<role_binding::RoleBinding>::NEW,
        &Typed::<role::Role>::NEW,
        &Typed::<priority_class::PriorityClass>::NEW,
        &Typed::<lease::Lease>::NEW,
        &Typed::<endpoint_slice::EndpointSlice>::NEW,
    ];
    ALL
}

/// The kind served at a path.
pub fn find(group: &str, version: &str, resource: &str) -> Option<&'static dyn Kind> {
    by(|n| !resource.is_empty() && (n.group, n.version, n.plural) == (group, version, resource))
}

/// The kind of a body, including those that have no path of their own.
pub fn find_kind(group: &str, version: &str, kind: &str) -> Option<&'static dyn Kind> {
    by(|n| (n.group, n.version, n.kind) == (group, version, kind))
}

fn by(matches: impl Fn(&crate::kind::Names) -> bool) -> Option<&'static dyn Kind> {
    all().iter().copied().find(|kind| matches(kind.names()))
}

/// `TCP`, `UDP` or `SCTP`.
fn validate_protocol(protocol: Option<&str>, path: &Path, errors: &mut Vec<FieldError>) {
    match protocol.unwrap_or_default() {
        "" => errors.push(FieldError::required(path, "")),
        protocol => one_of(protocol, &["SCTP", "TCP", "UDP"], path, errors),
    }
}

fn validate_label_selector(selector: &LabelSelector, path: &Path, errors: &mut Vec<FieldError>) {
    metadata::validate_labels(selector.match_labels.as_ref(), &path.child("matchLabels"), errors);
    for (i, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        let at = path.child("matchExpressions").index(i);
        let empty = requirement.values.as_ref().is_none_or(Vec::is_empty);
        match requirement.operator.as_str() {
            "In" | "NotIn" if empty => {
                errors.push(FieldError::required(
                    &at.child("values"),
                    "must be specified when `operator` is 'In' or 'NotIn'",
                ));
            }
            "Exists" | "DoesNotExist" if !empty => {
                errors.push(FieldError::forbidden(
                    &at.child("values"),
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                ));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(FieldError::invalid(&at.child("operator"), other, "not a valid selector operator")),
        }
        report(names::qualified_name(&requirement.key), &at.child("key"), &requirement.key, errors);
    }
}
