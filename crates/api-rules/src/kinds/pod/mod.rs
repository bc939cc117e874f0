//! Pod: the containers that run together on one node.
//!
//! What a running pod does is the kubelet's; here is only what a pod may say, what it means when it does not say, and
//! what may change afterwards.

pub mod binding;
mod cells;
pub mod defaults;
mod own_labels;
mod prepare;
pub mod qos;
#[cfg(test)]
mod tests;
pub mod validation;
pub mod warnings;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    kind::{Context, Names, Scope, Storage, Subresource},
    typed::{ANSWERED, GET_PATCH_UPDATE, PROXIED, Resource},
    value,
};

const CREATE_GET: &[&str] = &["create", "get"];

pub struct Pod;

impl Resource for Pod {
    type Object = v1::Pod;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "Pod",
        list_kind: "PodList",
        plural: "pods",
        singular: "pod",
        short_names: &["po"],
        categories: &["all"],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "pods", cached: true });
    const RETURNS_DELETED: bool = true;
    const SUBRESOURCES: &'static [Subresource] = &[
        Subresource { name: "attach", group: "", version: "v1", kind: "PodAttachOptions", verbs: CREATE_GET },
        Subresource { name: "binding", group: "", version: "v1", kind: "Binding", verbs: ANSWERED },
        Subresource { name: "ephemeralcontainers", group: "", version: "v1", kind: "Pod", verbs: GET_PATCH_UPDATE },
        Subresource { name: "eviction", group: "policy", version: "v1", kind: "Eviction", verbs: ANSWERED },
        Subresource { name: "exec", group: "", version: "v1", kind: "PodExecOptions", verbs: CREATE_GET },
        Subresource { name: "log", group: "", version: "v1", kind: "Pod", verbs: &["get"] },
        Subresource { name: "portforward", group: "", version: "v1", kind: "PodPortForwardOptions", verbs: CREATE_GET },
        Subresource { name: "proxy", group: "", version: "v1", kind: "PodProxyOptions", verbs: PROXIED },
        Subresource { name: "resize", group: "", version: "v1", kind: "Pod", verbs: GET_PATCH_UPDATE },
        Subresource { name: "status", group: "", version: "v1", kind: "Pod", verbs: GET_PATCH_UPDATE },
    ];
    const FIELDS: &'static [&'static str] = &[
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ];
    const GENERATION: bool = true;

    fn set_defaults(object: &mut Value) {
        defaults::pod(object);
    }

    fn prepare_create(object: &mut Value, _: &Context) {
        prepare::create(object);
    }

    fn prepare_update(new: &mut Value, old: &Value, subresource: Option<&str>, _: &Context) {
        prepare::update(new, old, subresource);
    }

    fn validate(object: &v1::Pod, errors: &mut Vec<FieldError>) {
        if let Some(spec) = &object.spec {
            validation::pod_spec(spec, &Path::new("spec"), errors);
        } else {
            errors.push(FieldError::required(&Path::new("spec").child("containers"), ""));
        }
    }

    fn validate_update(new: &v1::Pod, old: &v1::Pod, subresource: Option<&str>, errors: &mut Vec<FieldError>) {
        validation::update::validate(new, old, subresource, errors);
    }

    fn warnings(object: &v1::Pod) -> Vec<String> {
        object.spec.as_ref().map(|spec| warnings::of_spec(spec, &Path::new("spec"))).unwrap_or_default()
    }

    /// The pod's own grace period unless the request names one; none for pods that have no kubelet or have ended.
    fn grace_period(object: &Value, requested: Option<i64>) -> Option<i64> {
        let own = || value::at(object, &["spec", "terminationGracePeriodSeconds"]).and_then(Value::as_i64);
        let ended = matches!(value::text(object, &["status", "phase"]), "Succeeded" | "Failed");
        let seconds = match requested.or_else(own).unwrap_or(0) {
            _ if value::text(object, &["spec", "nodeName"]).is_empty() || ended => 0,
            negative if negative < 0 => 1,
            seconds => seconds,
        };
        Some(seconds)
    }

    fn field(object: &Value, field: &str) -> String {
        match field {
            "status.podIPs" => value::items(object, &["status", "podIPs"])
                .iter()
                .map(|ip| value::text(ip, &["ip"]))
                .collect::<Vec<_>>()
                .join(","),
            "spec.hostNetwork" => value::at(object, &["spec", "hostNetwork"]).map_or("false".to_owned(), value::plain),
            _ => value::at(object, &field.split('.').collect::<Vec<_>>()).map(value::plain).unwrap_or_default(),
        }
    }

    fn cells(object: &v1::Pod, now: Timestamp) -> Vec<Value> {
        cells::row(object, now)
    }
}
