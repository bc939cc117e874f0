mod classes;

use super::*;
use serde_json::json;

/// A cluster with two namespaces, a service account, a pod on node `a`, and the system's priority classes.
struct Cluster(Vec<(&'static str, &'static str, &'static str, Arc<Value>)>);

impl Cluster {
    fn new() -> Self {
        let mut cluster = Self(Vec::new());
        cluster.add("", "namespaces", "", json!({"metadata": {"name": "shop"}, "status": {"phase": "Active"}}));
        cluster.add("", "namespaces", "", json!({"metadata": {"name": "gone"}, "status": {"phase": "Terminating"}}));
        cluster.add(
            "",
            "serviceaccounts",
            "shop",
            json!({"metadata": {"name": "default"}, "imagePullSecrets": [{"name": "pull"}]}),
        );
        cluster.add(
            "",
            "serviceaccounts",
            "shop",
            json!({"metadata": {"name": "quiet"}, "automountServiceAccountToken": false}),
        );
        cluster.add("", "pods", "shop", json!({"metadata": {"name": "p", "uid": "u1"}, "spec": {"nodeName": "a"}}));
        cluster.add("", "pods", "shop", json!({"metadata": {"name": "q", "uid": "u2"}, "spec": {"nodeName": "b"}}));
        let classes = "scheduling.k8s.io";
        cluster.add(
            classes,
            "priorityclasses",
            "",
            json!({"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"}),
        );
        cluster
    }

    fn add(&mut self, group: &'static str, resource: &'static str, namespace: &'static str, object: Value) {
        self.0.push((group, resource, namespace, Arc::new(object)));
    }
}

impl World for Cluster {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let found = self
            .0
            .iter()
            .find(|(g, r, n, o)| (*g, *r, *n) == (group, resource, namespace) && o["metadata"]["name"] == name)?;
        Some(Arc::clone(&found.3))
    }

    fn list(&self, group: &str, resource: &str) -> Vec<Arc<Value>> {
        self.0.iter().filter(|(g, r, ..)| (*g, *r) == (group, resource)).map(|(.., o)| Arc::clone(o)).collect()
    }

    fn list_in(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        let here = self.0.iter().filter(|(g, r, n, _)| (*g, *r, *n) == (group, resource, namespace));
        here.map(|(.., o)| Arc::clone(o)).collect()
    }

    fn suffix(&self) -> String {
        "abcde".to_owned()
    }
}

struct Case<'a> {
    user: User,
    operation: Operation,
    /// `group/resource/subresource`
    target: &'a str,
    namespace: &'a str,
    old: Option<Value>,
}

fn create(target: &str) -> Case<'_> {
    Case {
        user: User::new("ann", ["system:authenticated"]),
        operation: Operation::Create,
        target,
        namespace: "shop",
        old: None,
    }
}

impl Case<'_> {
    fn by_node(mut self) -> Self {
        self.user = User::new("system:node:a", ["system:nodes"]);
        self
    }

    fn over(mut self, old: Value) -> Self {
        self.operation = Operation::Update;
        self.old = Some(old);
        self
    }

    /// The object after admission, or the message of the refusal.
    fn run_in(&self, world: &Cluster, object: &Value) -> Result<Value, String> {
        let mut parts = self.target.split('/');
        let (group, resource, subresource) =
            (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap_or_default());
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let request = AdmissionRequest {
            operation: self.operation,
            user: &self.user,
            kind: GroupVersionKind::new(group.to_owned(), "v1", "Any"),
            resource: GroupVersionResource::new(group.to_owned(), "v1", resource.to_owned()),
            subresource,
            namespace: self.namespace,
            name,
            old: self.old.as_ref(),
            dry_run: false,
        };
        let mut admitted = object.clone();
        mutate(&request, &mut admitted, world).map_err(|status| status.message)?;
        validate(&request, &admitted, world).map_err(|status| status.message)?;
        Ok(admitted)
    }

    fn run(&self, object: Value) -> Result<Value, String> {
        self.run_in(&Cluster::new(), &object)
    }

    fn check(&self, object: Value, refusal: &str) {
        let outcome = self.run(object).err().unwrap_or_default();
        assert_eq!(outcome, refusal);
    }
}

fn pod(spec: Value) -> Value {
    json!({"metadata": {"name": "web"}, "spec": spec})
}

#[test]
fn namespaces_must_live() {
    create("/configmaps").check(json!({"metadata": {"name": "x"}}), "");
    Case { namespace: "none", ..create("/configmaps") }
        .check(json!({"metadata": {"name": "x"}}), r#"namespaces "none" not found"#);
    Case { namespace: "gone", ..create("/configmaps") }.check(
        json!({"metadata": {"name": "x"}}),
        r#"configmaps "x" is forbidden: unable to create new content in namespace gone because it is being terminated"#,
    );
    Case { namespace: "gone", ..create("/configmaps") }.over(json!({})).check(json!({"metadata": {"name": "x"}}), "");
    Case { namespace: "none", ..create("authorization.k8s.io/localsubjectaccessreviews") }.check(json!({}), "");
    let delete = Case { operation: Operation::Delete, namespace: "kube-system", ..create("/namespaces") };
    delete.check(
        json!({"metadata": {"name": "kube-system"}}),
        r#"namespaces "kube-system" is forbidden: this namespace may not be deleted"#,
    );
}

#[test]
fn a_pod_gets_its_account_token_and_pull_secrets() {
    let admitted =
        create("/pods").run(pod(json!({"containers": [{"name": "c"}], "initContainers": [{"name": "i"}]}))).unwrap();
    let spec = &admitted["spec"];
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!(spec["serviceAccount"], "default");
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "pull"}]));
    assert_eq!(spec["volumes"][0]["name"], "kube-api-access-abcde");
    assert_eq!(spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3607);
    for list in ["containers", "initContainers"] {
        assert_eq!(
            spec[list][0]["volumeMounts"],
            json!([{"name": "kube-api-access-abcde", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}])
        );
    }
}

#[test]
fn tokens_are_not_forced_on_anybody() {
    let none = |spec: Value| create("/pods").run(pod(spec)).unwrap()["spec"]["volumes"].is_null();
    assert!(none(json!({"containers": [{}], "serviceAccountName": "quiet"})));
    assert!(none(json!({"containers": [{}], "automountServiceAccountToken": false})));
    assert!(!none(json!({"containers": [{}], "serviceAccountName": "quiet", "automountServiceAccountToken": true})));
    let own = json!([{"name": "t", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]);
    assert!(none(json!({"containers": [{"volumeMounts": own}]})));
    create("/pods").check(
        pod(json!({"containers": [], "serviceAccountName": "no"})),
        r#"pods "web" is forbidden: error looking up service account shop/no: serviceaccounts "no" not found"#,
    );
}

#[test]
fn tolerations_are_added_once() {
    let tolerations = |given: Value| {
        let admitted = create("/pods").run(pod(json!({"containers": [], "tolerations": given}))).unwrap();
        let list = admitted["spec"]["tolerations"].as_array().unwrap().clone();
        list.iter()
            .map(|t| format!("{}={}", t["key"].as_str().unwrap_or_default(), t["tolerationSeconds"]))
            .collect::<Vec<_>>()
    };
    let both = ["node.kubernetes.io/not-ready=300", "node.kubernetes.io/unreachable=300"];
    assert_eq!(tolerations(Value::Null), both);
    assert_eq!(tolerations(json!([{"operator": "Exists"}])), ["=null"]);
    assert_eq!(
        tolerations(
            json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}])
        ),
        ["node.kubernetes.io/not-ready=5", "node.kubernetes.io/unreachable=300"]
    );
    assert_eq!(tolerations(json!([{"operator": "Exists", "effect": "NoSchedule"}])), [&["=null"], &both[..]].concat());
}

#[test]
fn priorities_come_from_classes() {
    let priority = |spec: Value| {
        create("/pods")
            .run(pod(spec))
            .map(|pod| (pod["spec"]["priority"].clone(), pod["spec"]["preemptionPolicy"].clone()))
    };
    assert_eq!(priority(json!({})), Ok((json!(0), json!("PreemptLowerPriority"))));
    assert_eq!(priority(json!({"priorityClassName": "high"})), Ok((json!(1000), json!("Never"))));
    assert_eq!(
        priority(json!({"priorityClassName": "low"})),
        Err(r#"pods "web" is forbidden: no PriorityClass with name low was found"#.to_owned())
    );
    assert_eq!(
        priority(json!({"priority": 7})),
        Err(r#"pods "web" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name"#.to_owned())
    );
    let updated =
        create("/pods").over(pod(json!({"priority": 5, "preemptionPolicy": "Never"}))).run(pod(json!({}))).unwrap();
    assert_eq!(updated["spec"]["priority"], 5);
}

#[test]
fn one_default_priority() {
    let mut world = Cluster::new();
    let default = json!({"metadata": {"name": "usual"}, "value": 10, "globalDefault": true});
    world.add("scheduling.k8s.io", "priorityclasses", "", default.clone());
    let admitted = create("/pods").run_in(&world, &pod(json!({}))).unwrap();
    assert_eq!((&admitted["spec"]["priority"], &admitted["spec"]["priorityClassName"]), (&json!(10), &json!("usual")));
    let classes = Case { namespace: "", ..create("scheduling.k8s.io/priorityclasses") };
    assert!(classes.run_in(&world, &default).is_ok());
    let second = json!({"metadata": {"name": "other"}, "value": 1, "globalDefault": true});
    assert_eq!(
        classes.run_in(&world, &second).unwrap_err(),
        r#"priorityclasses.scheduling.k8s.io "other" is forbidden: PriorityClass usual is already marked as default. Only one default can exist"#
    );
}

#[test]
fn new_nodes_are_not_ready() {
    let case = Case { namespace: "", ..create("/nodes") };
    let admitted = case.run(json!({"metadata": {"name": "a"}, "spec": {}})).unwrap();
    assert_eq!(admitted["spec"]["taints"], json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]));
    assert_eq!(case.run(admitted.clone()).unwrap(), admitted);
}

#[test]
fn a_kubelet_keeps_to_its_node() {
    let node = |target| Case { namespace: "", ..create(target) }.by_node();
    node("/nodes")
        .check(json!({"metadata": {"name": "a", "labels": {"kubernetes.io/hostname": "a", "mine": "1"}}}), "");
    node("/nodes").check(
        json!({"metadata": {"name": "b"}}),
        r#"nodes "b" is forbidden: node "a" is not allowed to modify node "b""#,
    );
    node("/nodes").check(
        json!({"metadata": {"name": "a", "labels": {"node-restriction.kubernetes.io/x": "1", "node-role.kubernetes.io/master": ""}}}),
        r#"nodes "a" is forbidden: node "a" is not allowed to set the following labels: node-restriction.kubernetes.io/x, node-role.kubernetes.io/master"#,
    );
    let old =
        json!({"metadata": {"name": "a", "labels": {"node-restriction.kubernetes.io/x": "1"}}, "spec": {"taints": []}});
    node("/nodes").over(old.clone()).check(old.clone(), "");
    node("/nodes").over(old.clone()).check(
        json!({"metadata": {"name": "a"}}),
        r#"nodes "a" is forbidden: is not allowed to modify labels: node-restriction.kubernetes.io/x"#,
    );
    let mut tainted = old.clone();
    tainted["spec"]["taints"] = json!([{"key": "k"}]);
    node("/nodes").over(old).check(tainted, r#"nodes "a" is forbidden: node "a" is not allowed to modify taints"#);
    let lease = || Case { namespace: "shop", ..create("coordination.k8s.io/leases") }.by_node();
    lease().check(json!({"metadata": {"name": "a"}}), "");
    lease().check(
        json!({"metadata": {"name": "b"}}),
        r#"leases.coordination.k8s.io "b" is forbidden: can only access node lease with the same name as the requesting node"#,
    );
}

#[test]
fn a_kubelet_keeps_to_its_pods() {
    let on = |node: &str| json!({"metadata": {"name": "p"}, "spec": {"nodeName": node}});
    create("/pods/status").by_node().over(on("a")).check(on("a"), "");
    create("/pods/status").by_node().over(on("b")).check(
        on("b"),
        r#"pods "p" is forbidden: node "a" can only update pod status for pods with spec.nodeName set to itself"#,
    );
    let delete = |node| Case { operation: Operation::Delete, old: Some(on(node)), ..create("/pods").by_node() };
    delete("a").check(json!({"metadata": {"name": "p"}}), "");
    delete("b").check(
        json!({"metadata": {"name": "p"}}),
        r#"pods "p" is forbidden: node "a" can only delete pods with spec.nodeName set to itself"#,
    );
    create("/pods").by_node().check(
        pod(json!({"containers": []})),
        r#"pods "web" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "a" can only create mirror pods"#,
    );
    let mirror = |spec: Value| json!({"metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "h"}}, "spec": spec});
    create("/pods").by_node().check(mirror(json!({"nodeName": "a", "containers": []})), "");
    create("/pods").by_node().check(
        mirror(json!({"nodeName": "a", "volumes": [{"secret": {"secretName": "s"}}]})),
        r#"pods "m" is forbidden: node "a" can not create pods that reference secrets"#,
    );
    create("/pods/eviction").by_node().check(json!({"metadata": {"name": "p"}}), "");
    create("/pods/eviction").by_node().check(
        json!({"metadata": {"name": "q"}}),
        r#"pods "q" is forbidden: node a can only evict pods with spec.nodeName set to itself"#,
    );
}

#[test]
fn a_kubelet_gets_tokens_of_its_pods() {
    let check = |bound: Value, why: &str| {
        let expected =
            if why.is_empty() { String::new() } else { format!(r#"serviceaccounts "default" is forbidden: {why}"#) };
        let token = json!({"metadata": {"name": "default"}, "spec": {"boundObjectRef": bound}});
        create("/serviceaccounts/token").by_node().check(token, &expected);
    };
    check(json!({"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "u1"}), "");
    check(Value::Null, "node requested token not bound to a pod");
    check(
        json!({"kind": "Secret", "apiVersion": "v1", "name": "p", "uid": "u1"}),
        "node requested token not bound to a pod",
    );
    check(
        json!({"kind": "Pod", "apiVersion": "v1", "name": "p"}),
        "node requested token with a pod binding without a uid",
    );
    check(
        json!({"kind": "Pod", "apiVersion": "v1", "name": "q", "uid": "u2"}),
        "node requested token bound to a pod scheduled on a different node",
    );
    check(
        json!({"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "u9"}),
        "the UID in the bound object reference (u9) does not match the UID in record. The object might have been deleted and then recreated",
    );
}
