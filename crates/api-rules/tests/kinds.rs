//! The rules of single kinds through the interface that the server uses: defaults, validation, updates.

use std::collections::BTreeMap;

use api_rules::{Context, FieldValidation, Kind, Requester, kinds};
use serde_json::{Value, json};

fn kind(name: &str) -> &'static dyn Kind {
    kinds::all().iter().copied().find(|k| k.names().kind == name).expect("a kind of the list")
}

fn decoded(name: &str, mut value: Value) -> Value {
    json_patch::merge(&mut value, &json!({"metadata": {"name": "x"}}));
    if kind(name).scope() == api_rules::Scope::Namespaced {
        json_patch::merge(&mut value, &json!({"metadata": {"namespace": "default"}}));
    }
    let mut object = kind(name).decode_value(value, FieldValidation::Strict).expect("a well-formed object").object;
    kind(name).set_defaults(&mut object);
    object
}

fn with_context<T>(run: impl FnOnce(&Context) -> T) -> T {
    let (groups, extra) = (vec!["g".to_owned()], BTreeMap::new());
    let user = Requester { name: "u", uid: "", groups: &groups, extra: &extra };
    run(&Context { now: jiff::Timestamp::UNIX_EPOCH, user })
}

/// Errors on creating `value`.
#[track_caller]
fn check(name: &str, value: Value, wanted: &[&str]) {
    let errors: Vec<_> = kind(name).validate_create(&decoded(name, value)).iter().map(ToString::to_string).collect();
    assert_eq!(errors, wanted);
}

/// Errors on changing `old` to `new`.
#[track_caller]
fn check_update(name: &str, old: Value, new: Value, wanted: &[&str]) {
    let (old, mut new) = (decoded(name, old), decoded(name, new));
    with_context(|cx| kind(name).prepare_update(&mut new, &old, None, cx));
    let errors: Vec<_> = kind(name).validate_update(&new, &old, None).iter().map(ToString::to_string).collect();
    assert_eq!(errors, wanted);
}

fn deployment(changes: Value) -> Value {
    let mut value = json!({"spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    json_patch::merge(&mut value, &json!({"spec": changes}));
    value
}

#[test]
fn deployments() {
    let object = decoded("Deployment", deployment(json!({})));
    let spec = &object["spec"];
    assert_eq!((&spec["replicas"], &spec["revisionHistoryLimit"]), (&json!(1), &json!(10)));
    assert_eq!(spec["progressDeadlineSeconds"], 600);
    assert_eq!(
        spec["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}})
    );
    assert_eq!(spec["template"]["spec"]["terminationGracePeriodSeconds"], 30);
    assert!(spec["template"]["spec"].get("enableServiceLinks").is_none());
    check("Deployment", deployment(json!({})), &[]);
    check(
        "Deployment",
        deployment(json!({"template": {"metadata": {"labels": {"a": "c"}}}})),
        &["spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does not match template `labels`"],
    );
    check(
        "Deployment",
        deployment(json!({"replicas": -1, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}})),
        &[
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
        ],
    );
    check(
        "Deployment",
        deployment(json!({"template": {"spec": {"restartPolicy": "Never"}}})),
        &["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""],
    );
    let other =
        json!({"selector": {"matchLabels": {"a": "b", "c": "d"}}, "template": {"metadata": {"labels": {"c": "d"}}}});
    check_update(
        "Deployment",
        deployment(json!({})),
        deployment(other),
        &["spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\",\"c\":\"d\"}}: field is immutable"],
    );
}

#[test]
fn generation_counts_what_controllers_act_on() {
    let check = |change: fn(&mut Value), subresource, wanted: i64| {
        with_context(|cx| {
            let mut old = decoded("Deployment", deployment(json!({})));
            kind("Deployment").prepare_create(&mut old, cx);
            let mut new = old.clone();
            change(&mut new);
            kind("Deployment").prepare_update(&mut new, &old, subresource, cx);
            assert_eq!(new["metadata"]["generation"], wanted);
        });
    };
    check(|_| {}, None, 1);
    check(|d| d["spec"]["replicas"] = 5.into(), None, 2);
    check(|d| d["metadata"]["annotations"] = json!({"a": "b"}), None, 2);
    check(|d| d["metadata"]["labels"] = json!({"a": "b"}), None, 1);
    check(|d| d["status"] = json!({"replicas": 5}), None, 1);
    check(|d| d["spec"]["replicas"] = 5.into(), Some("status"), 1);
}

fn service(spec: Value) -> Value {
    let mut value = json!({"spec": {"ports": [{"port": 80}]}});
    json_patch::merge(&mut value, &json!({"spec": spec}));
    value
}

#[test]
fn services() {
    let object = decoded("Service", service(json!({"sessionAffinity": "ClientIP"})));
    assert_eq!(object["spec"]["ports"], json!([{"port": 80, "protocol": "TCP", "targetPort": 80}]));
    assert_eq!(object["spec"]["sessionAffinityConfig"], json!({"clientIP": {"timeoutSeconds": 10800}}));
    assert_eq!(object["spec"]["internalTrafficPolicy"], "Cluster");
    check("Service", service(json!({})), &[]);
    check("Service", service(json!({"type": "NodePort"})), &[]);
    check("Service", json!({"spec": {}}), &["spec.ports: Required value"]);
    check("Service", json!({"spec": {"clusterIP": "None", "clusterIPs": ["None"]}}), &[]);
    check(
        "Service",
        service(json!({"ports": [{"port": 80}, {"name": "a", "port": 80}]})),
        &["spec.ports[0].name: Required value", "spec.ports[1]: Duplicate value: {\"port\":80,\"protocol\":\"TCP\"}"],
    );
    check(
        "Service",
        service(json!({"ports": [{"port": 80, "nodePort": 30000}]})),
        &["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    );
    check("Service", json!({"spec": {"type": "ExternalName"}}), &["spec.externalName: Required value"]);
}

#[test]
fn services_keep_what_they_were_given() {
    let given = json!({"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "type": "NodePort",
        "ports": [{"port": 80, "nodePort": 30080}], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"});
    let old = decoded("Service", service(given.clone()));
    let updated = |spec: Value| {
        let mut new = decoded("Service", service(spec));
        with_context(|cx| kind("Service").prepare_update(&mut new, &old, None, cx));
        new["spec"].take()
    };
    let spec = updated(json!({"type": "NodePort"}));
    assert_eq!((&spec["clusterIP"], &spec["clusterIPs"]), (&json!("10.96.0.7"), &json!(["10.96.0.7"])));
    assert_eq!(spec["ports"][0]["nodePort"], 30080);
    let mut as_cluster_ip = given.clone();
    as_cluster_ip["type"] = "ClusterIP".into();
    assert!(updated(as_cluster_ip)["ports"][0].get("nodePort").is_none());
    let mut as_external = given.clone();
    json_patch::merge(&mut as_external, &json!({"type": "ExternalName", "externalName": "example.com"}));
    assert!(updated(as_external).get("clusterIP").is_none());
    check_update(
        "Service",
        service(given),
        service(json!({"type": "NodePort", "clusterIP": "10.96.0.8", "clusterIPs": ["10.96.0.8"]})),
        &["spec.clusterIPs[0]: Invalid value: \"10.96.0.8\": may not change once set"],
    );
}

#[test]
fn secrets_and_config_maps() {
    let object = decoded("Secret", json!({"stringData": {"a": "b"}, "data": {"a": "eA==", "c": "eA=="}}));
    assert_eq!((&object["data"], &object["type"]), (&json!({"a": "Yg==", "c": "eA=="}), &json!("Opaque")));
    assert!(object.get("stringData").is_none());
    check(
        "Secret",
        json!({"type": "kubernetes.io/tls"}),
        &["data[tls.crt]: Required value", "data[tls.key]: Required value"],
    );
    check_update("Secret", json!({}), json!({"type": "x"}), &["type: Invalid value: \"x\": field is immutable"]);
    let fixed = |text: &str| json!({"immutable": true, "data": {"a": text}});
    check_update("ConfigMap", fixed("1"), fixed("1"), &[]);
    check_update("ConfigMap", fixed("1"), fixed("2"), &["data: Forbidden: field is immutable when `immutable` is set"]);
    check_update(
        "Secret",
        json!({"immutable": true}),
        json!({}),
        &["immutable: Forbidden: field is immutable when `immutable` is set"],
    );
}

#[test]
fn rbac() {
    let role = json!({"kind": "ClusterRole", "name": "r"});
    let subjects = json!([{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]);
    let object = decoded("ClusterRoleBinding", json!({"roleRef": role, "subjects": subjects}));
    assert_eq!(object["subjects"][0]["apiGroup"], "rbac.authorization.k8s.io");
    assert_eq!(kind("ClusterRoleBinding").validate_create(&object), vec![]);
    check_update(
        "RoleBinding",
        json!({"roleRef": role}),
        json!({"roleRef": {"kind": "Role", "name": "r"}}),
        &[
            "roleRef: Invalid value: {\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"Role\",\"name\":\"r\"}: cannot change roleRef",
        ],
    );
    check(
        "Role",
        json!({"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}, {"verbs": []}]}),
        &[
            "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
            "rules[1].verbs: Required value: verbs must contain at least one value",
            "rules[1].apiGroups: Required value: resource rules must supply at least one api group",
            "rules[1].resources: Required value: resource rules must supply at least one resource",
        ],
    );
}

#[test]
fn nodes_namespaces_and_classes() {
    with_context(|cx| {
        let mut namespace = decoded("Namespace", json!({}));
        kind("Namespace").prepare_create(&mut namespace, cx);
        assert_eq!(namespace["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "x"}));
        assert_eq!(
            (&namespace["spec"], &namespace["status"]),
            (&json!({"finalizers": ["kubernetes"]}), &json!({"phase": "Active"}))
        );
        let strict =
            decoded("Namespace", json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}));
        let said =
            "pod-security.kubernetes.io/enforce is stored but not enforced: pods are not held to security standards";
        assert_eq!(kind("Namespace").warnings(&strict), [said]);
        let mut node = decoded("Node", json!({"status": {"capacity": {"cpu": 2}}}));
        kind("Node").prepare_create(&mut node, cx);
        assert_eq!(node["status"]["allocatable"], json!({"cpu": "2"}));
    });
    check_update(
        "Node",
        json!({"spec": {"podCIDR": "10.244.0.0/24"}}),
        json!({"spec": {"podCIDR": "10.244.1.0/24"}}),
        &["spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid"],
    );
    check_update(
        "PriorityClass",
        json!({"value": 1}),
        json!({"value": 2}),
        &["value: Forbidden: may not be changed in an update."],
    );
    check(
        "Lease",
        json!({"spec": {"leaseDurationSeconds": 0}}),
        &["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
    );
}

#[test]
fn metadata() {
    let errors = |meta: Value| -> Vec<String> {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta});
        kind("ConfigMap").validate_create(&object).iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        errors(json!({})),
        ["metadata.name: Required value: name or generateName is required", "metadata.namespace: Required value"]
    );
    assert!(
        errors(json!({"name": "A", "namespace": "n"}))[0]
            .starts_with("metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of")
    );
    assert!(
        errors(json!({"name": "a", "namespace": "n", "labels": {"a b": "c"}}))[0]
            .starts_with("metadata.labels: Invalid value: \"a b\": name part must consist of")
    );
    let owner = |name: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": "u", "controller": true});
    assert_eq!(errors(json!({"name": "a", "namespace": "n", "ownerReferences": [owner("a"), owner("b")]})).len(), 1);
    check_update(
        "ConfigMap",
        json!({"metadata": {"uid": "a"}}),
        json!({"metadata": {"uid": "b"}}),
        &["metadata.uid: Invalid value: \"b\": field is immutable"],
    );
    check_update(
        "ConfigMap",
        json!({"metadata": {"uid": "a", "finalizers": ["a/b"], "deletionTimestamp": "2024-01-01T00:00:00Z"}}),
        json!({"metadata": {"finalizers": ["a/b", "c/d"]}}),
        &[
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"c/d\"}",
        ],
    );
}

#[test]
fn strictness() {
    let body = br#"{"metadata":{"name":"a","name":"b"},"spec":{"replicaz":1}}"#;
    let decode = |validation| kind("Deployment").decode(body, api_rules::Encoding::Json, validation);
    let found = ["duplicate field \"metadata.name\"", "unknown field \"spec.replicaz\""];
    assert_eq!(
        decode(FieldValidation::Strict).unwrap_err().message,
        format!(
            "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: {}",
            found.join(", ")
        )
    );
    assert_eq!(decode(FieldValidation::Warn).unwrap().warnings, found);
    let object = decode(FieldValidation::Ignore).unwrap().object;
    assert_eq!(object, json!({"metadata": {"name": "b"}, "spec": {}, "apiVersion": "apps/v1", "kind": "Deployment"}));
}
