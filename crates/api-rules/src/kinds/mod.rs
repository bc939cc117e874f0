//! The list of kinds that are served. There is no other.

mod admission_policy;
mod admission_rule;
mod api_service;
mod binding;
mod certificate_signing_request;
mod cluster_role;
mod cluster_role_binding;
mod component_status;
mod conditions;
mod config_map;
mod controller_revision;
mod cron_job;
mod csi_driver;
mod csi_node;
mod csi_storage_capacity;
mod custom_resource_definition;
mod daemon_set;
mod deployment;
mod device_claim;
mod device_class;
mod endpoint_slice;
pub mod endpoints;
mod event;
mod eviction;
pub(crate) mod fields;
mod flow_control;
mod flow_schema;
mod horizontal_pod_autoscaler;
mod ingress;
mod ingress_class;
mod int_or_percent;
mod ip_address;
mod job;
mod lease;
mod limit_range;
mod local_subject_access_review;
mod mutating_admission_policy;
mod mutating_admission_policy_binding;
mod mutating_webhook_configuration;
mod namespace;
mod network_policy;
mod node;
mod persistent_volume;
mod persistent_volume_claim;
pub mod pod;
mod pod_disruption_budget;
mod pod_template;
mod priority_class;
mod priority_level_configuration;
mod rbac;
mod replica_set;
mod replication_controller;
mod resource_claim;
mod resource_claim_template;
mod resource_quota;
mod resource_slice;
mod role;
mod role_binding;
mod runtime_class;
mod scale;
mod secret;
mod self_subject_access_review;
mod self_subject_review;
mod self_subject_rules_review;
mod service;
mod service_account;
mod service_cidr;
mod stateful_set;
mod storage_class;
mod subject_access_review;
mod token_request;
mod token_review;
mod validating_admission_policy;
mod validating_admission_policy_binding;
mod validating_webhook_configuration;
mod volume;
mod volume_attachment;
mod volume_attributes_class;
mod webhook;
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
        &Typed::<component_status::ComponentStatus>::NEW,
        &Typed::<config_map::ConfigMap>::NEW,
        &Typed::<endpoints::Endpoints>::NEW,
        &Typed::<event::core::Event>::NEW,
        &Typed::<limit_range::LimitRange>::NEW,
        &Typed::<namespace::Namespace>::NEW,
        &Typed::<node::Node>::NEW,
        &Typed::<persistent_volume_claim::PersistentVolumeClaim>::NEW,
        &Typed::<persistent_volume::PersistentVolume>::NEW,
        &Typed::<pod::Pod>::NEW,
        &Typed::<pod_template::PodTemplate>::NEW,
        &Typed::<replication_controller::ReplicationController>::NEW,
        &Typed::<resource_quota::ResourceQuota>::NEW,
        &Typed::<secret::Secret>::NEW,
        &Typed::<service_account::ServiceAccount>::NEW,
        &Typed::<service::Service>::NEW,
        &Typed::<api_service::APIService>::NEW,
        &Typed::<controller_revision::ControllerRevision>::NEW,
        &Typed::<daemon_set::DaemonSet>::NEW,
        &Typed::<deployment::Deployment>::NEW,
        &Typed::<replica_set::ReplicaSet>::NEW,
        &Typed::<stateful_set::StatefulSet>::NEW,
        &Typed::<custom_resource_definition::CustomResourceDefinition>::NEW,
        &Typed::<event::events::Event>::NEW,
        &Typed::<token_request::TokenRequest>::NEW,
        &Typed::<token_review::TokenReview>::NEW,
        &Typed::<self_subject_review::SelfSubjectReview>::NEW,
        &Typed::<local_subject_access_review::LocalSubjectAccessReview>::NEW,
        &Typed::<self_subject_access_review::SelfSubjectAccessReview>::NEW,
        &Typed::<self_subject_rules_review::SelfSubjectRulesReview>::NEW,
        &Typed::<subject_access_review::SubjectAccessReview>::NEW,
        &Typed::<horizontal_pod_autoscaler::v2::HorizontalPodAutoscaler>::NEW,
        &Typed::<horizontal_pod_autoscaler::v1::HorizontalPodAutoscaler>::NEW,
        &Typed::<scale::Scale>::NEW,
        &Typed::<cron_job::CronJob>::NEW,
        &Typed::<job::Job>::NEW,
        &Typed::<certificate_signing_request::CertificateSigningRequest>::NEW,
        &Typed::<ingress_class::IngressClass>::NEW,
        &Typed::<ingress::Ingress>::NEW,
        &Typed::<ip_address::IPAddress>::NEW,
        &Typed::<network_policy::NetworkPolicy>::NEW,
        &Typed::<service_cidr::ServiceCIDR>::NEW,
        &Typed::<eviction::Eviction>::NEW,
        &Typed::<pod_disruption_budget::PodDisruptionBudget>::NEW,
        &Typed::<cluster_role_binding::ClusterRoleBinding>::NEW,
        &Typed::<cluster_role::ClusterRole>::NEW,
        &Typed::<role_binding::RoleBinding>::NEW,
        &Typed::<role::Role>::NEW,
        &Typed::<csi_driver::CSIDriver>::NEW,
        &Typed::<csi_node::CSINode>::NEW,
        &Typed::<csi_storage_capacity::CSIStorageCapacity>::NEW,
        &Typed::<storage_class::StorageClass>::NEW,
        &Typed::<volume_attachment::VolumeAttachment>::NEW,
        &Typed::<volume_attributes_class::VolumeAttributesClass>::NEW,
        &Typed::<mutating_admission_policy::MutatingAdmissionPolicy>::NEW,
        &Typed::<mutating_admission_policy_binding::MutatingAdmissionPolicyBinding>::NEW,
        &Typed::<mutating_webhook_configuration::MutatingWebhookConfiguration>::NEW,
        &Typed::<validating_admission_policy::ValidatingAdmissionPolicy>::NEW,
        &Typed::<validating_admission_policy_binding::ValidatingAdmissionPolicyBinding>::NEW,
        &Typed::<validating_webhook_configuration::ValidatingWebhookConfiguration>::NEW,
        &Typed::<priority_class::PriorityClass>::NEW,
        &Typed::<lease::Lease>::NEW,
        &Typed::<runtime_class::RuntimeClass>::NEW,
        &Typed::<endpoint_slice::EndpointSlice>::NEW,
        &Typed::<device_class::DeviceClass>::NEW,
        &Typed::<resource_claim::ResourceClaim>::NEW,
        &Typed::<resource_claim_template::ResourceClaimTemplate>::NEW,
        &Typed::<resource_slice::ResourceSlice>::NEW,
        &Typed::<flow_schema::FlowSchema>::NEW,
        &Typed::<priority_level_configuration::PriorityLevelConfiguration>::NEW,
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
