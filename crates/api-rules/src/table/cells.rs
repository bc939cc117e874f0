//! Cells that several kinds share.

use std::collections::BTreeMap;

use api_types::{
    k8s_openapi::{
        api::core::v1::PodTemplateSpec,
        apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
    },
    selector::Selector,
};
use serde_json::Value;

pub const NONE: &str = "<none>";

pub fn name(meta: &ObjectMeta) -> Value {
    meta.name.clone().unwrap_or_default().into()
}

/// `a,b`, or `<none>`.
pub fn list<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    let joined = items.into_iter().map(|i| i.as_ref().to_owned()).collect::<Vec<_>>().join(",");
    if joined.is_empty() { NONE.to_owned() } else { joined }
}

/// `a=b,c=d`, or `<none>`.
pub fn labels(labels: Option<&BTreeMap<String, String>>) -> String {
    list(labels.into_iter().flatten().map(|(key, value)| format!("{key}={value}")))
}

/// A label selector as `-l` takes it, or `<none>`.
pub fn selector(selector: Option<&LabelSelector>) -> String {
    match selector.map(Selector::from_label_selector) {
        None => NONE.to_owned(),
        Some(Err(_)) => "<error>".to_owned(),
        Some(Ok(selector)) if selector.is_everything() => NONE.to_owned(),
        Some(Ok(selector)) => selector.to_string(),
    }
}

/// The `Containers` and `Images` cells of a workload.
pub fn containers(template: Option<&PodTemplateSpec>) -> [Value; 2] {
    let containers = template.and_then(|t| t.spec.as_ref()).map(|s| s.containers.as_slice()).unwrap_or_default();
    let join = |text: Vec<&str>| Value::from(text.join(","));
    [
        join(containers.iter().map(|c| c.name.as_str()).collect()),
        join(containers.iter().map(|c| c.image.as_deref().unwrap_or_default()).collect()),
    ]
}
