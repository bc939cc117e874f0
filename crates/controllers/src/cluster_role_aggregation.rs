//! Cluster role aggregation: a ClusterRole with an aggregation rule has the rules of all ClusterRoles that its selectors
//! match.

use std::sync::Arc;

use api_types::{
    k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule},
    object::Object,
    plan::{Plan, Target, Write},
    selector::Selector,
};
use serde_json::json;

/// `all`: every ClusterRole there is.
pub fn reconcile(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Plan {
    let mut plan = Plan::default();
    let Some(aggregation) = &role.aggregation_rule else { return plan };
    let selectors = aggregation.cluster_role_selectors.as_deref().unwrap_or_default();
    let selectors: Vec<Selector> =
        selectors.iter().filter_map(|selector| Selector::from_label_selector(selector).ok()).collect();
    let mut sources: Vec<&ClusterRole> = all.iter().map(|other| &**other).collect();
    sources.sort_by(|a, b| a.name().cmp(b.name()));
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in &selectors {
        for source in sources.iter().filter(|source| source.name() != role.name()) {
            let labels = source.metadata.labels.clone().unwrap_or_default();
            if selector.matches(&labels) {
                let new = source.rules.iter().flatten().filter(|rule| !rules.contains(rule));
                rules.extend(new.cloned().collect::<Vec<_>>());
            }
        }
    }
    if rules != role.rules.clone().unwrap_or_default() {
        let object = ClusterRole { rules: Some(rules), ..role.clone() };
        plan.write(Write::Replace { target: Target::of(role), subresource: None, object: json!(object) });
    }
    plan
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::world::{World, converges};

    fn role(name: &str, aggregates: Value, labels: Value, resources: &[&str]) -> Value {
        let rules: Vec<Value> =
            resources.iter().map(|r| json!({"apiGroups": [""], "resources": [r], "verbs": ["get"]})).collect();
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name, "labels": labels}, "rules": rules, "aggregationRule": aggregates})
    }

    #[test]
    fn aggregates_in_levels() {
        let to = |label: &str| json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
        let mut start = World::new();
        start.put::<ClusterRole>(role("admin", to("to-admin"), json!({}), &["old"]));
        start.put::<ClusterRole>(role("edit", to("to-edit"), json!({"to-admin": "true"}), &[]));
        start.put::<ClusterRole>(role("z", Value::Null, json!({"to-edit": "true"}), &["pods", "maps"]));
        start.put::<ClusterRole>(role("a", Value::Null, json!({"to-edit": "true", "to-admin": "true"}), &["maps"]));
        let round = |world: &mut World| {
            let mut wrote = false;
            for role in world.all::<ClusterRole>() {
                let plan = reconcile(&role, &world.all());
                let _ = world.run(&plan);
                wrote |= !plan.is_empty();
            }
            wrote
        };
        converges(&start, 8, round, |world| {
            let resources = |name: &str| -> Vec<String> {
                let rules = world.get::<ClusterRole>("", name).unwrap().rules.unwrap_or_default();
                rules.into_iter().flat_map(|rule| rule.resources.unwrap_or_default()).collect()
            };
            assert_eq!(resources("edit"), ["maps", "pods"]);
            assert_eq!(resources("admin"), ["maps", "pods"]);
        });
    }
}
