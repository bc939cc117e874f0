//! What a static pod may not refer to: it must be able to run without the API.

use crate::{core::Pod, volumes::payload};

/// The resource of an API object that the pod needs, for the text `static pods may not reference %s`.
pub fn api_reference(pod: &Pod) -> Option<&'static str> {
    let spec = pod.spec.as_ref()?;
    if spec.service_account_name.as_deref().is_some_and(|name| !name.is_empty()) {
        return Some("serviceaccounts");
    }
    let (config_maps, secrets) = payload::references(pod);
    if !secrets.is_empty() {
        return Some("secrets");
    }
    if !config_maps.is_empty() {
        return Some("configmaps");
    }
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        return Some("resourceclaims");
    }
    spec.volumes.iter().flatten().find_map(|volume| {
        if volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some() {
            return Some("persistentvolumeclaims");
        }
        let sources = volume.projected.as_ref().and_then(|p| p.sources.as_deref()).unwrap_or_default();
        sources.iter().find_map(|source| {
            if source.service_account_token.is_some() {
                Some("serviceaccounts")
            } else {
                source.cluster_trust_bundle.as_ref().map(|_| "clustertrustbundles")
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(spec: Value, want: Option<&str>) {
        let mut spec = spec;
        spec["containers"] = spec.get("containers").cloned().unwrap_or_else(|| json!([{"name": "a"}]));
        let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
        assert_eq!(api_reference(&pod), want, "{spec}");
    }

    #[test]
    fn every_kind_of_reference() {
        check(json!({}), None);
        check(json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), None);
        check(json!({"serviceAccountName": "x"}), Some("serviceaccounts"));
        check(json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}), Some("secrets"));
        check(json!({"imagePullSecrets": [{"name": "s"}]}), Some("secrets"));
        check(json!({"volumes": [{"name": "v", "configMap": {"name": "c"}}]}), Some("configmaps"));
        let from = json!([{"name": "a", "envFrom": [{"configMapRef": {"name": "c"}}]}]);
        check(json!({"containers": from}), Some("configmaps"));
        check(json!({"resourceClaims": [{"name": "r"}]}), Some("resourceclaims"));
        let claim = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]);
        check(json!({"volumes": claim}), Some("persistentvolumeclaims"));
        let token = json!([{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]);
        check(json!({"volumes": token}), Some("serviceaccounts"));
    }
}
