use super::*;
use api_types::selector::FieldSelector;
use serde_json::json;

fn pod(node: &str) -> serde_json::Value {
    json!({
        "metadata": {"name": "p", "namespace": "shop"},
        "spec": {
            "nodeName": node,
            "serviceAccountName": "till",
            "imagePullSecrets": [{"name": "pull"}],
            "initContainers": [{"envFrom": [{"configMapRef": {"name": "init-cm"}}]}],
            "containers": [{
                "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "env-secret", "key": "k"}}}, {"name": "B", "value": "x"}],
            }],
            "volumes": [
                {"name": "v", "secret": {"secretName": "volume-secret"}},
                {"name": "w", "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}, {"serviceAccountToken": {}}]}},
                {"name": "data", "persistentVolumeClaim": {"claimName": "claim"}},
                {"name": "scratch", "ephemeral": {}},
            ],
        }
    })
}

fn authorizer() -> NodeAuthorizer {
    let events =
        serde_json::from_value(json!({"verbs": ["create"], "apiGroups": [""], "resources": ["events"]})).unwrap();
    let mut authorizer = NodeAuthorizer::new(vec![events]);
    authorizer.graph.set_pod("shop", "p", PodRefs::of(&pod("a")));
    authorizer
}

/// Asks as the kubelet of node `a`; `target` is `group/resource[/subresource] namespace/name [selector]`.
fn check(verb: &str, target: &str, expected: &str) {
    let user = User::new("system:node:a", ["system:nodes", "system:authenticated"]);
    let mut words = target.split(' ');
    let mut path = words.next().unwrap().splitn(3, '/');
    let (group, resource, subresource) = (path.next().unwrap(), path.next().unwrap(), path.next().unwrap_or_default());
    let (namespace, name) = words.next().and_then(|word| word.split_once('/')).unwrap_or_default();
    let selector = words.next().map(|text| FieldSelector::parse(text).unwrap());
    let field_selector = selector.as_ref();
    let asked = Attributes {
        verb,
        namespace,
        api_group: group,
        resource,
        subresource,
        name,
        field_selector,
        ..Attributes::default()
    };
    let decision = authorizer().authorize(&user, &asked);
    let shown = if decision.is_allowed() { "yes" } else { decision.reason() };
    assert_eq!(shown, expected, "{verb} {target}");
}

const UNRELATED: &str = "no relationship found between node 'a' and this object";

#[test]
fn what_pods_refer_to() {
    for name in ["pull", "env-secret", "volume-secret"] {
        check("get", &format!("/secrets shop/{name}"), "yes");
    }
    check("watch", "/secrets shop/pull", "yes");
    check("get", "/secrets yard/pull", UNRELATED);
    check("get", "/secrets shop/other", UNRELATED);
    check("list", "/secrets shop/", "No Object name found");
    check("update", "/secrets shop/pull", "can only read resources of this type");
    check("get", "/configmaps shop/init-cm", "yes");
    check("get", "/configmaps shop/kube-root-ca.crt", "yes");
    check("get", "/persistentvolumeclaims shop/claim", "yes");
    check("get", "/persistentvolumeclaims shop/p-scratch", "yes");
    check("list", "/persistentvolumeclaims shop/claim", "can only get individual resources of this type");
    check("create", "/serviceaccounts/token shop/till", "yes");
    check("create", "/serviceaccounts/token shop/default", UNRELATED);
    check("delete", "/serviceaccounts shop/till", "can only get individual resources of this type");
}

#[test]
fn pods_and_nodes() {
    check("get", "/pods shop/p", "yes");
    check("get", "/pods shop/q", UNRELATED);
    check("list", "/pods / spec.nodeName=a", "yes");
    check("list", "/pods / spec.nodeName=b", "can only list/watch pods with spec.nodeName field selector");
    check("watch", "/pods /", "can only list/watch pods with spec.nodeName field selector");
    check("patch", "/pods/status shop/p", "yes");
    check("create", "/pods/exec shop/p", "");
    check("get", "/nodes /a", "yes");
    check("get", "/nodes /b", "node 'a' cannot read 'b', only its own Node object");
    check("list", "/nodes /", "node 'a' cannot read all nodes, only its own Node object");
    check("patch", "/nodes/status /a", "yes");
    check("delete", "/nodes /a", "");
}

#[test]
fn leases_and_the_rest() {
    check("update", "coordination.k8s.io/leases kube-node-lease/a", "yes");
    check("create", "coordination.k8s.io/leases kube-node-lease/", "yes");
    check(
        "update",
        "coordination.k8s.io/leases kube-node-lease/b",
        "can only access node lease with the same name as the requesting node",
    );
    check(
        "get",
        "coordination.k8s.io/leases shop/a",
        r#"can only access leases in the "kube-node-lease" system namespace"#,
    );
    check("get", "storage.k8s.io/csinodes /a", "yes");
    check("get", "storage.k8s.io/csinodes /b", "can only access CSINode with the same name as the requesting node");
    check("list", "resource.k8s.io/resourceslices / spec.nodeName=a", "yes");
    check("create", "/events shop/", "yes");
    check("create", "/services shop/", "");
}

#[test]
fn only_kubelets_with_a_name() {
    let authorizer = authorizer();
    let asked = Attributes { verb: "get", namespace: "shop", resource: "pods", name: "p", ..Attributes::default() };
    assert_eq!(authorizer.authorize(&User::new("ann", ["system:nodes"]), &asked), Decision::no_opinion());
    let nameless = authorizer.authorize(&User::new("system:node:", ["system:nodes"]), &asked);
    assert_eq!(nameless.reason(), r#"unknown node for user "system:node:""#);
}

#[test]
fn a_mirror_pod_lends_nothing() {
    let mut mirror = pod("a");
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    assert!(PodRefs::of(&mirror).objects.is_empty());
}

#[test]
fn rights_go_when_the_last_pod_goes() {
    let mut graph = Graph::default();
    let refs = PodRefs::of(&pod("a"));
    graph.set_pod("shop", "p", refs.clone());
    graph.set_pod("shop", "q", refs.clone());
    graph.set_pod("shop", "q", refs);
    graph.remove_pod("shop", "p");
    assert!(graph.is_related("a", Object::Secret, "shop", "pull"));
    graph.set_pod("shop", "q", PodRefs::of(&pod("b")));
    assert!(!graph.is_related("a", Object::Secret, "shop", "pull"));
    assert!(graph.is_related("b", Object::Secret, "shop", "pull"));
    graph.remove_pod("shop", "q");
    graph.remove_pod("shop", "q");
    assert!(graph.is_empty());
}
