//! What a pod means when it does not say: the defaults of a pod, and those that templates of pods share.

use serde_json::{Value, json};

use crate::value;

const FILE_MODE: i32 = 0o644;
const TOKEN_EXPIRATION_SECONDS: i32 = 3600;
const GRACE_PERIOD_SECONDS: i32 = 30;

/// The defaults of a pod itself.
pub fn pod(object: &mut Value) {
    let spec = value::child(object, "spec");
    pod_spec(spec);
    value::default(spec, "enableServiceLinks", true);
    for list in ["containers", "initContainers"] {
        value::each(spec, list, |container| {
            if let Some(resources) = container.get_mut("resources") {
                requests_from_limits(resources);
            }
        });
    }
    same_addresses(object);
}

/// The defaults of `spec` in pods and templates.
pub fn pod_spec(spec: &mut Value) {
    service_account_alias(spec);
    value::default(spec, "restartPolicy", "Always");
    value::default(spec, "terminationGracePeriodSeconds", GRACE_PERIOD_SECONDS);
    value::default(spec, "dnsPolicy", "ClusterFirst");
    value::default(spec, "securityContext", json!({}));
    value::default(spec, "schedulerName", "default-scheduler");
    let host_network = spec.get("hostNetwork").and_then(Value::as_bool).unwrap_or(false);
    value::each(spec, "volumes", volume);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        value::each(spec, list, |c| container(c, host_network && list != "ephemeralContainers"));
    }
}

/// `serviceAccount` is the old name of `serviceAccountName`; Go writes both.
fn service_account_alias(spec: &mut Value) {
    let name = match value::text(spec, &["serviceAccountName"]) {
        "" => value::text(spec, &["serviceAccount"]),
        name => name,
    };
    if !name.is_empty() {
        let name = Value::from(name);
        value::set(spec, &["serviceAccount"], name.clone());
        value::set(spec, &["serviceAccountName"], name);
    }
}

fn container(container: &mut Value, host_network: bool) {
    let policy = if pulls_always(value::text(container, &["image"])) { "Always" } else { "IfNotPresent" };
    value::default(container, "imagePullPolicy", policy);
    value::default(container, "resources", json!({}));
    value::default(container, "terminationMessagePath", "/dev/termination-log");
    value::default(container, "terminationMessagePolicy", "File");
    value::each(container, "ports", |port| {
        value::default(port, "protocol", "TCP");
        if let (true, Some(number)) = (host_network, port.get("containerPort").cloned()) {
            value::default(port, "hostPort", number);
        }
    });
    value::each(container, "env", |env| {
        if let Some(source) = env.get_mut("valueFrom") {
            field_source(source);
        }
    });
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name) {
            value::default(probe, "timeoutSeconds", 1);
            value::default(probe, "periodSeconds", 10);
            value::default(probe, "successThreshold", 1);
            value::default(probe, "failureThreshold", 3);
            handler(probe);
        }
    }
    for name in ["postStart", "preStop"] {
        if let Some(hook) = container.get_mut("lifecycle").and_then(|l| l.get_mut(name)) {
            handler(hook);
        }
    }
}

/// Whether an image is named by a tag that moves: `latest`, or none at all.
fn pulls_always(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    match last.split_once(':') {
        None => true,
        Some((_, tag)) => tag == "latest",
    }
}

fn handler(handler: &mut Value) {
    if let Some(http) = handler.get_mut("httpGet") {
        value::default(http, "path", "/");
        value::default(http, "scheme", "HTTP");
    }
    if let Some(grpc) = handler.get_mut("grpc") {
        value::default(grpc, "service", "");
    }
}

/// `fieldRef` and `resourceFieldRef`, of variables and downward API files alike.
fn field_source(source: &mut Value) {
    if let Some(field) = source.get_mut("fieldRef") {
        value::default(field, "apiVersion", "v1");
    }
    if let Some(field) = source.get_mut("resourceFieldRef") {
        value::default(field, "divisor", "0");
    }
}

fn volume(volume: &mut Value) {
    let has_source = volume.as_object().is_some_and(|members| members.keys().any(|k| k != "name"));
    if !has_source {
        value::default(volume, "emptyDir", json!({}));
    }
    for (name, mode) in
        [("configMap", true), ("secret", true), ("downwardAPI", true), ("projected", true), ("hostPath", false)]
    {
        let Some(source) = volume.get_mut(name) else { continue };
        match name {
            "hostPath" => value::default(source, "type", ""),
            "downwardAPI" => value::each(source, "items", field_source),
            "projected" => value::each(source, "sources", |projection| {
                if let Some(token) = projection.get_mut("serviceAccountToken") {
                    value::default(token, "expirationSeconds", TOKEN_EXPIRATION_SECONDS);
                }
                if let Some(downward) = projection.get_mut("downwardAPI") {
                    value::each(downward, "items", field_source);
                }
            }),
            _ => {}
        }
        if mode {
            value::default(source, "defaultMode", FILE_MODE);
        }
    }
    if let Some(claim) = volume.get_mut("ephemeral").and_then(|e| e.get_mut("volumeClaimTemplate")) {
        value::default(value::child(claim, "spec"), "volumeMode", "Filesystem");
    }
    if let Some(image) = volume.get_mut("image") {
        let policy = if pulls_always(value::text(image, &["reference"])) { "Always" } else { "IfNotPresent" };
        value::default(image, "pullPolicy", policy);
    }
}

/// Whoever limits a resource and does not request any of it requests the limit.
fn requests_from_limits(resources: &mut Value) {
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let requests = value::child(resources, "requests");
    for (name, limit) in limits {
        value::default(requests, &name, limit);
    }
}

/// `podIP` is the first of `podIPs`, and `hostIP` of `hostIPs`.
fn same_addresses(object: &mut Value) {
    let Some(status) = object.get_mut("status") else { return };
    for (one, many) in [("podIP", "podIPs"), ("hostIP", "hostIPs")] {
        let first = value::items(status, &[many]).first().map(|ip| value::text(ip, &["ip"]).to_owned());
        match (value::text(status, &[one]).to_owned(), first) {
            (ip, None) if !ip.is_empty() && one == "podIP" => value::set(status, &[many], json!([{"ip": ip}])),
            (ip, Some(first)) if ip.is_empty() => value::set(status, &[one], first.into()),
            _ => {}
        }
    }
}
