//! ServiceAccount: every pod runs as one, and finds that account's credentials at the well-known place.
//!
//! The token is a projected one that the kubelet fetches and renews; no Secret is made for it.

use api_types::{GroupResource, Status};
use serde_json::{Value, json};

use super::{AdmissionRequest, Operation, Plugin, World};
use crate::authz::node::MIRROR_ANNOTATION;

pub struct ServiceAccount;

/// What a pod runs as if it does not say.
pub const DEFAULT_SERVICE_ACCOUNT: &str = "default";
/// The projected volume of the token is called this and a generated suffix.
pub const API_ACCESS_VOLUME_PREFIX: &str = "kube-api-access-";
/// Where containers look for their token, CA bundle and namespace.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Seconds a token is asked for: an hour, and seven seconds by which the server knows that it did not come from a person.
const TOKEN_SECONDS: i64 = 3607;

impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn mutate(&self, request: &AdmissionRequest, pod: &mut Value, world: &dyn World) -> Result<(), Status> {
        if !request.is_core("pods", "") || request.operation != Operation::Create {
            return Ok(());
        }
        if is_mirror(pod) {
            return mirror_has_no_account(request, pod);
        }
        let Some(spec) = pod["spec"].as_object_mut() else { return Ok(()) };
        let name = match spec.get("serviceAccountName").and_then(Value::as_str) {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ => DEFAULT_SERVICE_ACCOUNT.to_owned(),
        };
        spec.insert("serviceAccountName".to_owned(), json!(name));
        // The deprecated alias, which upstream still fills.
        spec.insert("serviceAccount".to_owned(), json!(name));
        let Some(account) = world.get("", "serviceaccounts", request.namespace, &name) else {
            let missing = Status::not_found(&GroupResource::new("", "serviceaccounts"), &name);
            let why = format!("error looking up service account {}/{name}: {}", request.namespace, missing.message);
            return Err(request.forbidden(why));
        };
        if wants_token(spec.get("automountServiceAccountToken"), &account["automountServiceAccountToken"]) {
            mount_token(spec, world);
        }
        if spec.get("imagePullSecrets").and_then(Value::as_array).is_none_or(Vec::is_empty)
            && let Some(secrets) = account["imagePullSecrets"].as_array().filter(|list| !list.is_empty())
        {
            spec.insert("imagePullSecrets".to_owned(), Value::Array(secrets.clone()));
        }
        Ok(())
    }

    fn validate(&self, request: &AdmissionRequest, pod: &Value, _world: &dyn World) -> Result<(), Status> {
        if request.is_core("pods", "") && request.operation == Operation::Create && is_mirror(pod) {
            return mirror_has_no_account(request, pod);
        }
        Ok(())
    }
}

fn is_mirror(pod: &Value) -> bool {
    pod["metadata"]["annotations"].get(MIRROR_ANNOTATION).is_some()
}

/// The kubelet makes these itself, without credentials of the namespace.
fn mirror_has_no_account(request: &AdmissionRequest, pod: &Value) -> Result<(), Status> {
    if pod["spec"]["serviceAccountName"].as_str().is_some_and(|name| !name.is_empty()) {
        return Err(request.forbidden("a mirror pod may not reference service accounts"));
    }
    let projects_token = list(&pod["spec"]["volumes"])
        .flat_map(|volume| list(&volume["projected"]["sources"]))
        .any(|source| source["serviceAccountToken"].is_object());
    if projects_token {
        return Err(request.forbidden("a mirror pod may not use ServiceAccountToken volume projections"));
    }
    Ok(())
}

/// The pod's word counts before the account's; without either, yes.
fn wants_token(pod: Option<&Value>, account: &Value) -> bool {
    pod.and_then(Value::as_bool).or(account.as_bool()).unwrap_or(true)
}

fn mount_token(spec: &mut serde_json::Map<String, Value>, world: &dyn World) {
    let existing = spec.get("volumes").and_then(Value::as_array).into_iter().flatten().find_map(|volume| {
        let name = volume["name"].as_str()?;
        (name.starts_with(API_ACCESS_VOLUME_PREFIX) && volume["projected"].is_object()).then(|| name.to_owned())
    });
    let (volume_name, is_new) = match existing {
        Some(name) => (name, false),
        None => (format!("{API_ACCESS_VOLUME_PREFIX}{}", world.suffix()), true),
    };
    let mut mounted = false;
    for containers in ["initContainers", "containers"] {
        for container in spec.get_mut(containers).and_then(Value::as_array_mut).into_iter().flatten() {
            mounted |= mount(container, &volume_name);
        }
    }
    if !(mounted && is_new) {
        return;
    }
    let volumes = spec.entry("volumes").or_insert_with(|| json!([]));
    if !volumes.is_array() {
        *volumes = json!([]);
    }
    if let Some(volumes) = volumes.as_array_mut() {
        volumes.push(token_volume(&volume_name));
    }
}

/// Whether the mount was added; a container that mounts something there already keeps it.
fn mount(container: &mut Value, volume_name: &str) -> bool {
    let Some(container) = container.as_object_mut() else { return false };
    let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
    if !mounts.is_array() {
        *mounts = json!([]);
    }
    let Some(mounts) = mounts.as_array_mut() else { return false };
    if mounts.iter().any(|mount| mount["mountPath"] == MOUNT_PATH) {
        return false;
    }
    mounts.push(json!({"name": volume_name, "readOnly": true, "mountPath": MOUNT_PATH}));
    true
}

fn token_volume(name: &str) -> Value {
    json!({
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{
                    "path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                }]}},
            ],
            "defaultMode": 0o644,
        },
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
