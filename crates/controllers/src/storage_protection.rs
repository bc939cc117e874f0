//! Storage protection: a claim that is being deleted stays while a pod uses it, a volume while it is bound.
//!
//! The finalizers are put on by admission; here they are taken off. Whether a pod uses a claim is asked of the API, not
//! only of the cache, before a claim is let go.

use api_types::{
    k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim},
    object::{Object, Watched},
    plan::{Plan, Target, Write},
};
use serde::Serialize;
use serde_json::json;

use crate::view::{ClaimUse, Pod};

pub const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
pub const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

/// Whether it only waits for its finalizer.
pub fn claim_waits(claim: &PersistentVolumeClaim) -> bool {
    waits(claim.metadata.deletion_timestamp.is_some(), claim.metadata.finalizers.as_deref(), CLAIM_FINALIZER)
}

/// A pod without a node does not count: no kubelet starts a pod whose claim is being deleted.
pub fn uses(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    !pod.spec.node_name.is_empty()
        && pod.namespace() == claim.namespace()
        && pod.spec.claims.iter().any(|used| match used {
            ClaimUse::Named(name) => **name == *claim.name(),
            ClaimUse::Ephemeral(volume) => {
                let owner = claim.metadata.owner_references.iter().flatten().any(|owner| owner.uid == pod.uid());
                owner && claim.name() == format!("{}-{volume}", pod.name())
            }
        })
}

/// `used`: by some pod.
pub fn claim(claim: &PersistentVolumeClaim, used: bool) -> Plan {
    let mut plan = Plan::default();
    if claim_waits(claim) && !used {
        let mut free = claim.clone();
        free.metadata.finalizers = without(free.metadata.finalizers, CLAIM_FINALIZER);
        plan.write(replace(&free));
    }
    plan
}

pub fn volume(volume: &PersistentVolume) -> Plan {
    let mut plan = Plan::default();
    let bound = volume.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound"));
    let deleted = volume.metadata.deletion_timestamp.is_some();
    if waits(deleted, volume.metadata.finalizers.as_deref(), VOLUME_FINALIZER) && !bound {
        let mut free = volume.clone();
        free.metadata.finalizers = without(free.metadata.finalizers, VOLUME_FINALIZER);
        plan.write(replace(&free));
    }
    plan
}

fn waits(deleted: bool, finalizers: Option<&[String]>, finalizer: &str) -> bool {
    deleted && finalizers.is_some_and(|present| present.iter().any(|name| name == finalizer))
}

fn without(finalizers: Option<Vec<String>>, finalizer: &str) -> Option<Vec<String>> {
    finalizers.map(|names| names.into_iter().filter(|name| name != finalizer).collect())
}

fn replace<K: Watched + Serialize>(object: &K) -> Write {
    Write::Replace { target: Target::of(object), subresource: None, object: json!(object) }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn of(phase: &str, deleted: bool, finalizer: &str) -> Value {
        let mut object = json!({"metadata": {"name": "a", "namespace": "n", "finalizers": [finalizer, "x/y"]},
            "spec": {}, "status": {"phase": phase}});
        if deleted {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        object
    }

    fn kept(plan: &Plan) -> Option<Value> {
        plan.writes().next().map(|write| match write {
            Write::Replace { object, .. } => object["metadata"]["finalizers"].clone(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn claims() {
        let check = |deleted: bool, used: bool, expected: Option<Value>| {
            let object: PersistentVolumeClaim = serde_json::from_value(of("Bound", deleted, CLAIM_FINALIZER)).unwrap();
            assert_eq!(kept(&claim(&object, used)), expected);
        };
        check(true, false, Some(json!(["x/y"])));
        check(true, true, None);
        check(false, false, None);
    }

    #[test]
    fn volumes() {
        let check = |phase: &str, deleted: bool, expected: Option<Value>| {
            let object: PersistentVolume = serde_json::from_value(of(phase, deleted, VOLUME_FINALIZER)).unwrap();
            assert_eq!(kept(&volume(&object)), expected);
        };
        check("Released", true, Some(json!(["x/y"])));
        check("Bound", true, None);
        check("Available", false, None);
    }

    #[test]
    fn users() {
        let object: PersistentVolumeClaim = serde_json::from_value(json!({
            "metadata": {"name": "p-data", "namespace": "n", "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p-uid"}]},
            "spec": {},
        }))
        .unwrap();
        let check = |name: &str, node: &str, volume: Value, expected: bool| {
            let pod: Pod = serde_json::from_value(json!({
                "metadata": {"name": name, "namespace": "n", "uid": format!("{name}-uid")},
                "spec": {"nodeName": node, "volumes": [{"name": "tmp", "emptyDir": {}}, volume]},
            }))
            .unwrap();
            assert_eq!(uses(&pod, &object), expected, "{name} {node} {volume}");
        };
        let named = |claim: &str| json!({"name": "v", "persistentVolumeClaim": {"claimName": claim}});
        check("q", "node", named("p-data"), true);
        check("q", "", named("p-data"), false);
        check("q", "node", named("other"), false);
        check("p", "node", json!({"name": "data", "ephemeral": {}}), true);
        check("q", "node", json!({"name": "data", "ephemeral": {}}), false);
    }
}
