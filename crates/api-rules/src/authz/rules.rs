//! One RBAC rule, and whether it covers a request.

use serde::{Deserialize, Serialize};

use super::Attributes;

/// A `PolicyRule` of rbac.authorization.k8s.io/v1. A missing or `null` list is an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    #[serde(deserialize_with = "null_is_empty")]
    pub verbs: Vec<String>,
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs", deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
}

pub(super) fn null_is_empty<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(input)?.unwrap_or_default())
}

const ALL: &str = "*";

impl Rule {
    /// Whether this rule allows the request.
    pub fn allows(&self, asked: &Attributes) -> bool {
        if !contains_or_all(&self.verbs, asked.verb) {
            return false;
        }
        if asked.is_resource() {
            contains_or_all(&self.api_groups, asked.api_group)
                && self.resources.iter().any(|have| resource_matches(have, asked.resource, asked.subresource))
                && (self.resource_names.is_empty() || self.resource_names.iter().any(|have| have == asked.name))
        } else {
            self.non_resource_urls.iter().any(|have| path_matches(have, asked.path))
        }
    }
}

fn contains_or_all(have: &[String], wanted: &str) -> bool {
    have.iter().any(|one| one == ALL || one == wanted)
}

/// `have` is `*`, `pods`, `pods/log` or `*/scale`.
fn resource_matches(have: &str, resource: &str, subresource: &str) -> bool {
    if have == ALL {
        return true;
    }
    match have.split_once('/') {
        None => subresource.is_empty() && have == resource,
        Some((left, right)) => !subresource.is_empty() && right == subresource && (left == ALL || left == resource),
    }
}

/// `have` is a path, or one whose last character is a star.
fn path_matches(have: &str, path: &str) -> bool {
    have == ALL || have == path || have.strip_suffix(ALL).is_some_and(|prefix| path.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(value: serde_json::Value) -> Rule {
        serde_json::from_value(value).unwrap()
    }

    /// Whether `rule` lets `verb` through on `"group resource/subresource name"`.
    fn check(rule: &Rule, verb: &str, target: &str, expected: bool) {
        let mut words = target.splitn(3, ' ');
        let group = words.next().unwrap_or_default();
        let (resource, subresource) = {
            let word = words.next().unwrap_or_default();
            word.split_once('/').unwrap_or((word, ""))
        };
        let name = words.next().unwrap_or_default();
        let asked = Attributes { verb, api_group: group, resource, subresource, name, ..Attributes::default() };
        assert_eq!(rule.allows(&asked), expected, "{verb} {target:?} by {rule:?}");
    }

    #[test]
    fn resources() {
        let pods = rule(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "nonResourceURLs": null}));
        check(&pods, "get", " pods", true);
        check(&pods, "list", " pods", false);
        check(&pods, "get", "apps pods", false);
        check(&pods, "get", " pods/log", false);
        let logs = rule(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]}));
        check(&logs, "get", " pods", false);
        check(&logs, "get", " pods/log", true);
        let scales = rule(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*/scale"]}));
        check(&scales, "patch", "apps deployments/scale", true);
        check(&scales, "patch", "apps deployments/status", false);
        check(&scales, "patch", "apps deployments", false);
        let all = rule(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        check(&all, "frob", "example.com widgets/spin", true);
    }

    #[test]
    fn names() {
        let one =
            rule(json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}));
        check(&one, "get", " pods a", true);
        check(&one, "get", " pods b", false);
        check(&one, "list", " pods", false);
    }

    #[test]
    fn paths() {
        let check = |have: &str, path: &str, expected: bool| {
            let rule = rule(json!({"verbs": ["get"], "nonResourceURLs": [have]}));
            let asked = Attributes { verb: "get", path, ..Attributes::default() };
            assert_eq!(rule.allows(&asked), expected, "{have} {path}");
        };
        check("/healthz", "/healthz", true);
        check("/healthz", "/healthz/etcd", false);
        check("/healthz/*", "/healthz/etcd", true);
        check("/healthz/*", "/healthz", false);
        check("*", "/anything", true);
    }

    #[test]
    fn resource_rules_do_not_open_paths() {
        let all = rule(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        assert!(!all.allows(&Attributes { verb: "get", path: "/metrics", ..Attributes::default() }));
    }
}
