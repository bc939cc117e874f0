//! The `scale` subresource: the one number of a workload, in a form that is the same for all of them.

use api_types::{k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector, selector::Selector};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    kind::{Kind, ScalePaths, SelectorPath},
    value,
};

/// The Scale of an object; `None` for kinds that have none.
pub fn read(kind: &dyn Kind, object: &Value) -> Option<Value> {
    let ScalePaths { spec_replicas, status_replicas, selector } = kind.scale_paths()?;
    let count = |path: &[&str]| value::at(object, path).and_then(Value::as_i64).unwrap_or(0);
    let mut metadata = json!({});
    for member in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        value::copy(&mut metadata, value::at(object, &["metadata"])?, &[member]);
    }
    let mut scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": {}, "status": {"replicas": count(status_replicas)}});
    if count(spec_replicas) != 0 {
        value::set(&mut scale, &["spec", "replicas"], count(spec_replicas).into());
    }
    if let Some(selector) = selector_text(object, selector) {
        value::set(&mut scale, &["status", "selector"], selector.into());
    }
    Some(scale)
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
pub fn write(kind: &dyn Kind, object: &mut Value, scale: &Value) {
    let Some(paths) = kind.scale_paths() else { return };
    let wanted = value::at(scale, &["spec", "replicas"]).and_then(Value::as_i64).unwrap_or(0);
    value::set(object, paths.spec_replicas, wanted.into());
    if let Some(version) = value::at(scale, &["metadata", "resourceVersion"]) {
        value::set(object, &["metadata", "resourceVersion"], version.clone());
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
        let scale = read(kind, &object).unwrap();
        assert_eq!(
            scale,
            json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d", "namespace": "n"},
                "spec": {"replicas": 3}, "status": {"replicas": 2, "selector": "a=b"}})
        );
        write(kind, &mut object, &json!({"spec": {"replicas": 5}}));
        assert_eq!(object["spec"]["replicas"], 5);
        assert!(read(kinds::find("", "v1", "pods").unwrap(), &object).is_none());
    }
}
