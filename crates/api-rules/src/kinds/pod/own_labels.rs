//! `matchLabelKeys` and `mismatchLabelKeys` of affinity and spreading (KEP-3633, KEP-3243): the pod's own values of these
//! labels become requirements of the rule's selector when the pod is made. Keys that the pod lacks are left out.

use std::collections::BTreeMap;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use serde_json::{Map, Value, json};

use crate::{names, value};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub fn merge(pod: &mut Value) {
    let labels = value::at(pod, &["metadata", "labels"]).and_then(Value::as_object).cloned().unwrap_or_default();
    let Some(spec) = pod.get_mut("spec") else { return };
    for constraint in items(spec.get_mut("topologySpreadConstraints")) {
        extend(constraint, &labels);
    }
    let Some(affinity) = spec.get_mut("affinity") else { return };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(rules) = affinity.get_mut(kind) else { continue };
        for term in items(rules.get_mut(REQUIRED)) {
            extend(term, &labels);
        }
        for weighted in items(rules.get_mut(PREFERRED)) {
            weighted.get_mut("podAffinityTerm").into_iter().for_each(|term| extend(term, &labels));
        }
    }
}

fn items(list: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    list.and_then(Value::as_array_mut).into_iter().flatten()
}

/// A rule without a selector means nobody, and stays so.
fn extend(rule: &mut Value, labels: &Map<String, Value>) {
    let requirements: Vec<Value> = [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")]
        .into_iter()
        .flat_map(|(field, operator)| {
            let keys = rule[field].as_array().into_iter().flatten().filter_map(Value::as_str);
            keys.filter_map(move |key| Some(json!({"key": key, "operator": operator, "values": [labels.get(key)?]})))
        })
        .collect();
    if requirements.is_empty() || !rule["labelSelector"].is_object() {
        return;
    }
    match &mut rule["labelSelector"]["matchExpressions"] {
        Value::Array(expressions) => expressions.extend(requirements),
        none => *none = Value::Array(requirements),
    }
}

/// The keys as a request gives them, after [`merge`]: each may stand in the selector once, where it was put.
pub fn validate(
    selector: Option<&LabelSelector>,
    fields: [(&str, &Option<Vec<String>>); 2],
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    let mut stands: BTreeMap<&str, usize> = BTreeMap::new();
    for key in selector.iter().flat_map(|s| s.match_labels.iter().flatten().map(|(key, _)| key)) {
        // Nothing is merged here: it is the request's own.
        *stands.entry(key).or_default() += 2;
    }
    for expression in selector.iter().flat_map(|s| s.match_expressions.iter().flatten()) {
        *stands.entry(&expression.key).or_default() += 1;
    }
    let [(_, first), (_, second)] = fields;
    for (field, keys) in fields {
        for (i, key) in keys.iter().flatten().enumerate() {
            let at = path.child(field).index(i);
            if selector.is_none() {
                errors.push(FieldError::forbidden(
                    &path.child(field),
                    "must not be specified when labelSelector is not set",
                ));
                break;
            }
            names::report(names::qualified_name(key), &at, key, errors);
            if stands.get(key.as_str()).is_some_and(|times| *times > 1) {
                errors.push(FieldError::invalid(
                    &at,
                    key.as_str(),
                    format!("exists in both {field} and labelSelector"),
                ));
            }
        }
    }
    for (i, key) in first.iter().flatten().enumerate() {
        if second.iter().flatten().any(|other| other == key) {
            let at = path.child("matchLabelKeys").index(i);
            errors.push(FieldError::invalid(&at, key.as_str(), "exists in both matchLabelKeys and mismatchLabelKeys"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: Value, want: Value) {
        let rules = json!({"podAntiAffinity": {REQUIRED: [rule.clone()], PREFERRED: [{"weight": 1, "podAffinityTerm": rule.clone()}]}});
        let mut pod = json!({"metadata": {"labels": {"app": "web", "hash": "7"}},
            "spec": {"topologySpreadConstraints": [rule.clone()], "affinity": rules}});
        merge(&mut pod);
        let spec = &pod["spec"];
        let terms = &spec["affinity"]["podAntiAffinity"];
        let found =
            [&spec["topologySpreadConstraints"][0], &terms[REQUIRED][0], &terms[PREFERRED][0]["podAffinityTerm"]];
        for found in found {
            assert_eq!(found["labelSelector"], want, "{rule}");
        }
    }

    #[test]
    fn merges_the_pods_own_values() {
        let app = json!({"matchLabels": {"app": "web"}});
        let with = |expressions: Value| json!({"matchLabels": {"app": "web"}, "matchExpressions": expressions});
        let own = |operator: &str| json!({"key": "hash", "operator": operator, "values": ["7"]});
        check(json!({"labelSelector": app}), app.clone());
        check(json!({"labelSelector": app, "matchLabelKeys": ["hash"]}), with(json!([own("In")])));
        check(json!({"labelSelector": app, "mismatchLabelKeys": ["hash"]}), with(json!([own("NotIn")])));
        check(json!({"labelSelector": app, "matchLabelKeys": ["other"]}), app.clone());
        let before = json!({"key": "tier", "operator": "Exists"});
        check(
            json!({"labelSelector": with(json!([before])), "matchLabelKeys": ["hash", "other"]}),
            with(json!([before, own("In")])),
        );
        check(json!({"matchLabelKeys": ["hash"]}), Value::Null);
    }

    #[test]
    fn validates_what_was_given() {
        let check = |selector: Value, matching: &[&str], mismatching: &[&str], want: &[&str]| {
            let selector: Option<LabelSelector> = serde_json::from_value(selector).unwrap();
            let keys = |keys: &[&str]| Some(keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
            let (matching, mismatching) = (keys(matching), keys(mismatching));
            let mut errors = Vec::new();
            let fields = [("matchLabelKeys", &matching), ("mismatchLabelKeys", &mismatching)];
            validate(selector.as_ref(), fields, &Path::new("term"), &mut errors);
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), want);
        };
        let merged = json!({"matchExpressions": [{"key": "hash", "operator": "In", "values": ["7"]}]});
        check(merged, &["hash"], &[], &[]);
        check(json!({}), &["other"], &[], &[]);
        check(
            json!(null),
            &["hash"],
            &[],
            &["term.matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"],
        );
        check(
            json!({"matchLabels": {"hash": "7"}}),
            &["hash"],
            &[],
            &["term.matchLabelKeys[0]: Invalid value: \"hash\": exists in both matchLabelKeys and labelSelector"],
        );
        check(
            json!({}),
            &["hash"],
            &["hash"],
            &["term.matchLabelKeys[0]: Invalid value: \"hash\": exists in both matchLabelKeys and mismatchLabelKeys"],
        );
    }
}
