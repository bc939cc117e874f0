//! Service: a stable address in front of pods. Addresses and ports are given out by the server; what they may be,
//! and what of them may change, is here.

mod prepare;
mod validation;

use api_types::{field::FieldError, k8s_openapi::api::core::v1};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    kind::{Context, Names, Scope, Storage, Subresource},
    metadata::{self, NameRule},
    table::{
        cells::{self, NONE},
        duration,
    },
    typed::{GET_PATCH_UPDATE, PROXIED, Resource},
    value,
};

const AFFINITY_SECONDS: i32 = 10_800;

pub struct Service;

impl Resource for Service {
    type Object = v1::Service;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "Service",
        list_kind: "ServiceList",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        categories: &["all"],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "services/specs", cached: true });
    const RETURNS_DELETED: bool = true;
    const SUBRESOURCES: &'static [Subresource] = &[
        Subresource { name: "proxy", group: "", version: "v1", kind: "ServiceProxyOptions", verbs: PROXIED },
        Subresource { name: "status", group: "", version: "v1", kind: "Service", verbs: GET_PATCH_UPDATE },
    ];
    const FIELDS: &'static [&'static str] = &["spec.clusterIP", "spec.type"];
    const NAME_RULE: NameRule = metadata::dns_1035_label;
    const CREATES_ON_UPDATE: bool = true;

    fn set_defaults(object: &mut Value) {
        let spec = value::child(object, "spec");
        value::default(spec, "sessionAffinity", "None");
        match value::text(spec, &["sessionAffinity"]) {
            "None" => drop(value::remove(spec, &["sessionAffinityConfig"])),
            "ClientIP" => {
                let client = value::child(value::child(spec, "sessionAffinityConfig"), "clientIP");
                value::default(client, "timeoutSeconds", AFFINITY_SECONDS);
            }
            _ => {}
        }
        value::default(spec, "type", "ClusterIP");
        value::each(spec, "ports", |port| {
            value::default(port, "protocol", "TCP");
            if matches!(port.get("targetPort"), None | Some(Value::Null))
                || port["targetPort"] == 0
                || port["targetPort"] == ""
            {
                value::set(port, &["targetPort"], port["port"].clone());
            }
        });
        let type_ = value::text(spec, &["type"]).to_owned();
        let external = matches!(type_.as_str(), "NodePort" | "LoadBalancer")
            || (type_ == "ClusterIP" && !value::items(spec, &["externalIPs"]).is_empty());
        if external {
            value::default(spec, "externalTrafficPolicy", "Cluster");
        }
        if type_ != "ExternalName" {
            value::default(spec, "internalTrafficPolicy", "Cluster");
        }
        if type_ == "LoadBalancer" {
            value::default(spec, "allocateLoadBalancerNodePorts", true);
        }
    }

    fn prepare_create(object: &mut Value, _: &Context) {
        value::set(object, &["status"], json!({"loadBalancer": {}}));
        prepare::normalise_cluster_ips(object, None);
    }

    fn prepare_update(new: &mut Value, old: &Value, subresource: Option<&str>, _: &Context) {
        if subresource.is_none() {
            prepare::drop_what_another_type_needed(new, old);
            prepare::keep_allocated(new, old);
            prepare::normalise_cluster_ips(new, Some(old));
        }
    }

    fn validate(object: &v1::Service, errors: &mut Vec<FieldError>) {
        if let Some(spec) = &object.spec {
            validation::spec(spec, errors);
        }
    }

    fn validate_update(new: &v1::Service, old: &v1::Service, subresource: Option<&str>, errors: &mut Vec<FieldError>) {
        if subresource.is_none() {
            validation::update(new, old, errors);
        }
    }

    fn cells(object: &v1::Service, now: Timestamp) -> Vec<Value> {
        let spec = object.spec.clone().unwrap_or_default();
        let cluster_ip = spec.cluster_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| NONE.to_owned());
        vec![
            cells::name(&object.metadata),
            spec.type_.clone().unwrap_or_default().into(),
            cluster_ip.into(),
            external(object, &spec).into(),
            ports(spec.ports.as_deref().unwrap_or_default()).into(),
            duration::age(&object.metadata, now),
            cells::labels(spec.selector.as_ref()).into(),
        ]
    }
}

fn external(object: &v1::Service, spec: &v1::ServiceSpec) -> String {
    let external = spec.external_ips.clone().unwrap_or_default();
    match spec.type_.as_deref() {
        Some("ExternalName") => spec.external_name.clone().unwrap_or_default(),
        Some("LoadBalancer") => {
            let ingress =
                object.status.iter().filter_map(|s| s.load_balancer.as_ref()).flat_map(|l| l.ingress.iter().flatten());
            let mut all: Vec<_> = ingress.filter_map(|i| i.ip.clone().or_else(|| i.hostname.clone())).collect();
            all.extend(external);
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        _ => cells::list(external),
    }
}

fn ports(ports: &[v1::ServicePort]) -> String {
    cells::list(ports.iter().map(|port| {
        let protocol = port.protocol.as_deref().unwrap_or_default();
        match port.node_port.filter(|n| *n > 0) {
            Some(node) => format!("{}:{node}/{protocol}", port.port),
            None => format!("{}/{protocol}", port.port),
        }
    }))
}
