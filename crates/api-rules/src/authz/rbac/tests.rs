use super::*;
use serde_json::{Value, json};

fn role(rules: Value) -> Role {
    serde_json::from_value(json!({ "rules": rules })).unwrap()
}

fn binding(kind: &str, role: &str, subjects: Value) -> Binding {
    serde_json::from_value(json!({"subjects": subjects, "roleRef": {"kind": kind, "name": role, "apiGroup": "x"}}))
        .unwrap()
}

fn cluster() -> Rbac {
    let mut rbac = Rbac::default();
    rbac.set_role("", "view", role(json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}])));
    rbac.set_role("", "metrics", role(json!([{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}])));
    rbac.set_role("shop", "edit", role(json!([{"verbs": ["create"], "apiGroups": [""], "resources": ["pods"]}])));
    rbac.set_binding("", "viewers", binding("ClusterRole", "view", json!([{"kind": "User", "name": "ann"}])));
    rbac.set_binding("", "scrapers", binding("ClusterRole", "metrics", json!([{"kind": "Group", "name": "monitors"}])));
    rbac.set_binding("shop", "view", binding("ClusterRole", "view", json!([{"kind": "Group", "name": "sellers"}])));
    rbac.set_binding(
        "shop",
        "edit",
        binding("Role", "edit", json!([{"kind": "ServiceAccount", "name": "till"}, {"kind": "User", "name": "bob"}])),
    );
    rbac.set_binding("shop", "lost", binding("Role", "gone", json!([{"kind": "User", "name": "eve"}])));
    rbac
}

/// `target` is `namespace/resource`, or a path.
fn check(rbac: &Rbac, user: &User, verb: &str, target: &str, expected: &str) {
    let asked = match target.strip_prefix('/') {
        Some(_) => Attributes { verb, path: target, ..Attributes::default() },
        None => {
            let (namespace, resource) = target.split_once('/').unwrap();
            Attributes { verb, namespace, resource, ..Attributes::default() }
        }
    };
    let decision = rbac.authorize(user, &asked);
    let shown = if decision.is_allowed() { decision.reason().to_owned() } else { format!("no: {}", decision.reason()) };
    assert_eq!(shown, expected, "{} {verb} {target}", user.name);
}

#[test]
fn decisions() {
    let rbac = cluster();
    let (ann, eve) = (User::new("ann", ["people"]), User::new("eve", ["people"]));
    let seller = User::new("tim", ["people", "sellers"]);
    let till = User::service_account("shop", "till", "");
    let by_cluster = r#"RBAC: allowed by ClusterRoleBinding "viewers" of ClusterRole "view" to User "ann""#;
    check(&rbac, &ann, "get", "shop/pods", by_cluster);
    check(&rbac, &ann, "list", "/pods", "no: ");
    check(&rbac, &ann, "create", "shop/pods", "no: ");
    let by_group = r#"RBAC: allowed by RoleBinding "view/shop" of ClusterRole "view" to Group "sellers""#;
    check(&rbac, &seller, "list", "shop/pods", by_group);
    check(&rbac, &seller, "list", "yard/pods", "no: ");
    let by_account = r#"RBAC: allowed by RoleBinding "edit/shop" of Role "edit" to ServiceAccount "till/shop""#;
    check(&rbac, &till, "create", "shop/pods", by_account);
    check(&rbac, &till, "create", "yard/pods", "no: ");
    check(&rbac, &eve, "get", "shop/pods", r#"no: RBAC: role.rbac.authorization.k8s.io "gone" not found"#);
    let by_path = r#"RBAC: allowed by ClusterRoleBinding "scrapers" of ClusterRole "metrics" to Group "monitors""#;
    check(&rbac, &User::new("prom", ["monitors"]), "get", "/metrics", by_path);
}

#[test]
fn cluster_wide_lists_need_a_cluster_binding() {
    let rbac = cluster();
    let asked = Attributes { verb: "list", resource: "pods", ..Attributes::default() };
    assert!(rbac.authorize(&User::new("ann", ["people"]), &asked).is_allowed());
    assert!(!rbac.authorize(&User::new("tim", ["sellers"]), &asked).is_allowed());
}

#[test]
fn changes_take_effect_and_leave_nothing_behind() {
    let mut rbac = cluster();
    let asked = Attributes { verb: "get", namespace: "shop", resource: "pods", ..Attributes::default() };
    let (ann, cid) = (User::new("ann", ["x"]), User::new("cid", ["x"]));
    rbac.set_binding("", "viewers", binding("ClusterRole", "view", json!([{"kind": "User", "name": "cid"}])));
    assert!(!rbac.authorize(&ann, &asked).is_allowed());
    assert!(rbac.authorize(&cid, &asked).is_allowed());
    rbac.set_role("", "view", role(json!(null)));
    assert!(!rbac.authorize(&cid, &asked).is_allowed());
    for (namespace, name) in [("", "viewers"), ("", "scrapers"), ("shop", "view"), ("shop", "edit"), ("shop", "lost")] {
        rbac.remove_binding(namespace, name);
    }
    for (namespace, name) in [("", "view"), ("", "metrics"), ("shop", "edit")] {
        rbac.remove_role(namespace, name);
    }
    assert!(rbac.scopes.is_empty() && rbac.roles.is_empty());
}

#[test]
fn rules_of_a_user() {
    let rbac = cluster();
    let (rules, error) = rbac.rules_for(&User::new("bob", ["sellers"]), "shop");
    assert_eq!(rules.len(), 2);
    assert_eq!(error, None);
    let (rules, error) = rbac.rules_for(&User::new("eve", ["none"]), "shop");
    assert!(rules.is_empty());
    assert_eq!(error.as_deref(), Some(r#"role.rbac.authorization.k8s.io "gone" not found"#));
}
