//! From a manifest's text to pods: YAML or JSON, the API's own defaults and validation, and an identity.

use anyhow::{Context as _, bail, ensure};
use api_rules::{
    kind::Scope,
    kinds::pod::{Pod as Kind, defaults},
    metadata,
    typed::Resource,
};
use jiff::Timestamp;
use pod_lifecycle::{
    core::Pod,
    static_pods::{Origin, api_reference, identify},
};
use serde_json::Value;

/// The pods of one manifest: a Pod, or behind a URL also a list of them.
pub fn pods(text: &str, origin: &Origin, node: &str, now: Timestamp) -> anyhow::Result<Vec<Pod>> {
    let mut value = component::config::yaml(text).context("couldn't parse as pod")?;
    let list = matches!(value["kind"].as_str(), Some("PodList" | "List"));
    if list && matches!(origin, Origin::Url(_)) {
        let Value::Array(items) = value["items"].take() else { return Ok(vec![]) };
        return items.into_iter().map(|item| one(item, origin, node, now)).collect();
    }
    let (version, kind) = (&value["apiVersion"], &value["kind"]);
    ensure!(version == "v1" && kind == "Pod", "object is {version} {kind}, not a v1 Pod");
    Ok(vec![one(value, origin, node, now)?])
}

fn one(mut value: Value, origin: &Origin, node: &str, now: Timestamp) -> anyhow::Result<Pod> {
    defaults::pod(&mut value);
    let pod: Pod = serde_json::from_value(value).context("couldn't parse as pod")?;
    let pod = identify(pod, origin, node, now);
    let mut errors = vec![];
    metadata::validate(&pod.metadata, Scope::Namespaced, metadata::dns_subdomain, &mut errors);
    Kind::validate(&pod, &mut errors);
    if !errors.is_empty() {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        bail!("invalid pod: {}", errors.join(", "));
    }
    if let Some(resource) = api_reference(&pod) {
        bail!("static pods may not reference {resource}");
    }
    Ok(pod)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pod_lifecycle::names;

    fn check(text: &str, want: &str) {
        let got = pods(text, &Origin::File("/m/a.yaml".into()), "n", Timestamp::UNIX_EPOCH);
        let got = match got {
            Ok(pods) => pods.iter().map(names::full_name).collect::<Vec<_>>().join(" "),
            Err(error) => format!("{error:#}"),
        };
        assert!(got.starts_with(want), "{got}");
    }

    #[test]
    fn manifests() {
        check(
            "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i}]}}",
            "default/a-n",
        );
        check("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", "object is \"v1\" \"ConfigMap\", not a v1 Pod");
        check(
            "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: []}}",
            "invalid pod: spec.containers: Required value",
        );
        check(
            "{apiVersion: v1, kind: Pod, metadata: {}, spec: {containers: [{name: c, image: i}]}}",
            "invalid pod: metadata.name",
        );
        check(
            "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {serviceAccountName: x, containers: [{name: c, image: i}]}}",
            "static pods may not reference serviceaccounts",
        );
        check("{", "couldn't parse as pod");
    }

    #[test]
    fn what_is_not_said_is_defaulted() {
        let text = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"c","image":"i"}]}}"#;
        let pods = pods(text, &Origin::File("/m".into()), "n", Timestamp::UNIX_EPOCH).unwrap();
        let spec = pods[0].spec.as_ref().unwrap();
        assert_eq!(spec.restart_policy.as_deref(), Some("Always"));
        assert_eq!(spec.containers[0].termination_message_path.as_deref(), Some("/dev/termination-log"));
    }

    #[test]
    fn a_url_may_answer_with_a_list() {
        let text = "{kind: PodList, items: [{metadata: {name: a}, spec: {containers: [{name: c, image: i}]}}]}";
        let list = |origin: Origin| pods(text, &origin, "n", Timestamp::UNIX_EPOCH);
        assert_eq!(list(Origin::Url("http://x".into())).unwrap().len(), 1);
        assert!(list(Origin::File("/m".into())).is_err());
    }
}
