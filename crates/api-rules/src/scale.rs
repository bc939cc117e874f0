//! The `scale` subresource: the one number of a workload, in a form that is the same for all of them.

use api_types::{k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector, selector::Selector};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    kind::{ScalePaths, SelectorPath},
    value,
};

/// The Scale of an object.
pub fn read(object: &Value, paths: ScalePaths) -> Value {
    let count = |path: &[&str]| value::at(object, path).and_then(Value::as_i64).unwrap_or(0);
    let mut metadata = json!({});
    for member in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(found) = value::at(object, &["metadata", member]) {
            metadata[member] = found.clone();
        }
    }
    let mut scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": {}, "status": {"replicas": count(paths.status_replicas)}});
    if count(paths.spec_replicas) != 0 {
        value::set(&mut scale, &["spec", "replicas"], count(paths.spec_replicas).into());
    }
    if let Some(selector) = selector_text(object, paths.selector) {
        value::set(&mut scale, &["status", "selector"], selector.into());
    }
    scale
}

/// The selector of an object's pods in its text form.
pub fn selector_text(object: &Value, path: SelectorPath) -> Option<String> {
    match path {
        SelectorPath::None => None,
        SelectorPath::Text(path) => Some(value::text(object, path).to_owned()).filter(|text| !text.is_empty()),
        SelectorPath::Labels(path) => {
            let labels = value::at(object, path)?.as_object()?;
            let mut terms: Vec<_> =
                labels.iter().map(|(key, wanted)| format!("{key}={}", value::plain(wanted))).collect();
            terms.sort();
            Some(terms.join(","))
        }
        SelectorPath::Selector(path) => {
            let selector = LabelSelector::deserialize(value::at(object, path)?).ok()?;
            Some(Selector::from_label_selector(&selector).ok()?.to_string())
        }
    }
}

/// Carries the wanted number into the object, and the preconditions the Scale came with.
pub fn write(object: &mut Value, scale: &Value, paths: ScalePaths) {
    let wanted = value::at(scale, &["spec", "replicas"]).and_then(Value::as_i64).unwrap_or(0);
    value::set(object, paths.spec_replicas, wanted.into());
    for member in ["uid", "resourceVersion"] {
        let given = value::text(scale, &["metadata", member]);
        if !given.is_empty() {
            value::set(object, &["metadata", member], given.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;

    #[test]
    fn reads_and_writes_a_deployment() {
        let kind = kinds::find("apps", "v1", "deployments").unwrap();
        let mut object = json!({"metadata": {"name": "d", "namespace": "n", "labels": {"x": "y"}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}}, "status": {"replicas": 2}});
        let paths = kind.scale_paths().unwrap();
        let scale = read(&object, paths);
        assert_eq!(
            scale,
            json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d", "namespace": "n"},
                "spec": {"replicas": 3}, "status": {"replicas": 2, "selector": "a=b"}})
        );
        write(&mut object, &json!({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 5}}), paths);
        assert_eq!(object["spec"]["replicas"], 5);
        assert_eq!(object["metadata"]["resourceVersion"], "7");
        assert!(kinds::find("", "v1", "pods").unwrap().scale_paths().is_none());
    }
}
