//! The default roles and bindings: missing ones are created, missing permissions and subjects added, nothing is taken away.

use std::collections::BTreeMap;

use api_rules::authz::{Rule, escalation};
use api_types::selector::Selector;
use serde_json::{Value, json};
use store::Freshness;

use super::{data, write};
use crate::core::Core;

const API: &str = "rbac.authorization.k8s.io/v1";
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
/// Aggregated roles that aggregate others settle after as many rounds as they are deep.
const ROUNDS: usize = 4;

pub async fn reconcile(core: &Core, data: data::Rbac) -> anyhow::Result<()> {
    let mut aggregated = Vec::new();
    for role in data.cluster_roles {
        if role["aggregationRule"].is_object() {
            aggregated.push(role["metadata"]["name"].as_str().unwrap_or_default().to_owned());
        }
        write::ensure(core, "clusterroles", API, plain(role.clone()), |old| merged_role(old, &role)).await?;
    }
    for role in data.roles {
        write::ensure(core, "roles", API, plain(role.clone()), |old| merged_role(old, &role)).await?;
    }
    for (resource, bindings) in
        [("clusterrolebindings", data.cluster_role_bindings), ("rolebindings", data.role_bindings)]
    {
        for binding in bindings {
            write::ensure(core, resource, API, binding.clone(), |old| merged_binding(old, &binding)).await?;
        }
    }
    for _ in 0..ROUNDS {
        if !aggregate(core, &aggregated).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// The data file says `null` where a role has no rules of its own.
fn plain(mut role: Value) -> Value {
    if let Some(members) = role.as_object_mut()
        && members.get("rules").is_some_and(Value::is_null)
    {
        members.insert("rules".to_owned(), json!([]));
    }
    role
}

fn merged_role(old: &Value, wanted: &Value) -> Option<Value> {
    let mut new = merged_metadata(old, wanted)?;
    if wanted["aggregationRule"].is_object() {
        new["aggregationRule"] = wanted["aggregationRule"].clone();
        return Some(new);
    }
    let (have, want) = (rules(old), rules(wanted));
    let missing = escalation::not_covered(&have, &want);
    if !missing.is_empty() {
        new["rules"] = json!(have.into_iter().chain(missing).collect::<Vec<_>>());
    }
    Some(new)
}

/// A binding's role cannot be changed: one that leads elsewhere is somebody's own and stays.
fn merged_binding(old: &Value, wanted: &Value) -> Option<Value> {
    if old["roleRef"] != wanted["roleRef"] {
        return None;
    }
    let mut new = merged_metadata(old, wanted)?;
    let mut subjects = old["subjects"].as_array().cloned().unwrap_or_default();
    let key = |subject: &Value| {
        ["kind", "namespace", "name"].map(|field| subject[field].as_str().unwrap_or_default().to_owned())
    };
    for subject in wanted["subjects"].as_array().into_iter().flatten() {
        if !subjects.iter().any(|have| key(have) == key(subject)) {
            subjects.push(subject.clone());
        }
    }
    if !subjects.is_empty() {
        new["subjects"] = Value::Array(subjects);
    }
    Some(new)
}

/// With the default labels and annotations; `None` for an object that asks to be left alone.
fn merged_metadata(old: &Value, wanted: &Value) -> Option<Value> {
    if old["metadata"]["annotations"][AUTOUPDATE] == "false" {
        return None;
    }
    let mut new = old.clone();
    for field in ["labels", "annotations"] {
        for (key, value) in wanted["metadata"][field].as_object().into_iter().flatten() {
            if new["metadata"][field].get(key).is_none() {
                new["metadata"][field][key] = value.clone();
            }
        }
    }
    Some(new)
}

/// Fills the rules of aggregated roles from the roles they select; answers whether one changed.
async fn aggregate(core: &Core, names: &[String]) -> anyhow::Result<bool> {
    let kind = write::kind_of("clusterroles", API)?;
    let mut changed = false;
    for name in names {
        let (role, _) = write::present(core, kind, &json!({"metadata": {"name": name}})).await?;
        let Some(role) = role else { continue };
        let rules = json!(aggregated_rules(core, &role).await?);
        if role["rules"] == rules {
            continue;
        }
        changed = true;
        let merge = |old: &Value| {
            let mut new = old.clone();
            new["rules"] = rules.clone();
            Some(new)
        };
        write::ensure(core, "clusterroles", API, role.clone(), merge).await?;
    }
    Ok(changed)
}

/// In the order of the roles' names, each rule once, as upstream's controller writes them.
async fn aggregated_rules(core: &Core, role: &Value) -> anyhow::Result<Vec<Rule>> {
    let selectors: Vec<Selector> = role["aggregationRule"]["clusterRoleSelectors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|selector| serde_json::from_value(selector.clone()).ok())
        .filter_map(|selector| Selector::from_label_selector(&selector).ok())
        .collect();
    let Some(id) = core.resource("rbac.authorization.k8s.io", "clusterroles") else { return Ok(Vec::new()) };
    // The newest state, which includes what was written just now.
    core.store.get(&id, "", "cluster-admin", Freshness::Latest).await?;
    let mut found: BTreeMap<String, Value> = BTreeMap::new();
    for object in core.store.snapshot(&id).into_iter().flat_map(|all| all.iter().cloned().collect::<Vec<_>>()) {
        if selectors.iter().any(|selector| selector.matches(&object.labels()))
            && role["metadata"]["name"] != *object.name()
        {
            found.insert(object.name().to_owned(), object.value());
        }
    }
    let mut all: Vec<Rule> = Vec::new();
    for rule in found.values().flat_map(rules) {
        if !all.contains(&rule) {
            all.push(rule);
        }
    }
    Ok(all)
}

fn rules(role: &Value) -> Vec<Rule> {
    serde_json::from_value(role["rules"].clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(rules: Value) -> Value {
        json!({"metadata": {"name": "r", "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}, "rules": rules})
    }

    #[test]
    fn lost_permissions_come_back_and_added_ones_stay() {
        let wanted = role(json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]));
        let old = json!({"metadata": {"name": "r"}, "rules": [
            {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},
            {"verbs": ["delete"], "apiGroups": [""], "resources": ["nodes"]},
        ]});
        let new = merged_role(&old, &wanted).unwrap();
        assert_eq!(new["metadata"]["labels"]["kubernetes.io/bootstrapping"], "rbac-defaults");
        assert_eq!(new["rules"].as_array().unwrap().len(), 3);
        assert_eq!(new["rules"][2], json!({"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}));
        assert_eq!(merged_role(&new, &wanted).unwrap(), new);
    }

    #[test]
    fn who_wants_to_be_left_alone_is() {
        let old = json!({"metadata": {"name": "r", "annotations": {AUTOUPDATE: "false"}}, "rules": []});
        assert_eq!(merged_role(&old, &role(json!([{"verbs": ["get"]}]))), None);
    }

    #[test]
    fn bindings_gain_subjects_and_keep_their_role() {
        let binding = |role: &str, user: &str| json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [{"kind": "User", "name": user}]});
        let new = merged_binding(&binding("a", "mine"), &binding("a", "default")).unwrap();
        assert_eq!(new["subjects"].as_array().unwrap().len(), 2);
        assert_eq!(merged_binding(&binding("a", "mine"), &binding("b", "default")), None);
    }
}
