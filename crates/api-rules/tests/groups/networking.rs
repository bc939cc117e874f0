use serde_json::{Value, json};

use crate::check::{changed, check, check_cells, check_change, created, kind, with};

fn ingress(spec: Value) -> Value {
    let path =
        json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}});
    with(json!({"spec": {"rules": [{"host": "a.example.com", "http": {"paths": [path]}}]}}), json!({"spec": spec}))
}

fn ingress_path(changes: Value) -> Value {
    let base =
        json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}});
    ingress(json!({"rules": [{"http": {"paths": [with(base, changes)]}}]}))
}

#[test]
fn ingresses() {
    check("Ingress", ingress(json!({})), &[]);
    check(
        "Ingress",
        json!({"spec": {}}),
        &["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
    );
    check(
        "Ingress",
        ingress_path(json!({"path": "a//b/..", "backend": {"service": {"port": {"name": "http"}}}})),
        &[
            "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": must be an absolute path",
            "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": must not contain '//'",
            "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": cannot end with '/..'",
            "spec.rules[0].http.paths[0].backend: Invalid value: \"\": cannot set both port name & port number",
        ],
    );
    check(
        "Ingress",
        ingress_path(json!({"pathType": null})),
        &["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"],
    );
    check(
        "Ingress",
        ingress_path(json!({"pathType": "Odd", "backend": {"service": null}})),
        &[
            "spec.rules[0].http.paths[0].pathType: Unsupported value: \"Odd\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\"",
            "spec.rules[0].http.paths[0].backend: Invalid value: \"\": resource or service backend is required",
        ],
    );
    check(
        "Ingress",
        ingress(json!({"rules": [{"host": "10.0.0.1"}], "ingressClassName": "c"})),
        &["spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address"],
    );
    check(
        "Ingress",
        with(
            ingress(json!({"ingressClassName": "a"})),
            json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "b"}}}),
        ),
        &[
            "annotations.kubernetes.io/ingress.class: Invalid value: \"b\": must match `ingressClassName` when both are specified",
        ],
    );
    let old = created("Ingress", ingress(json!({"tls": [{"hosts": ["a.example.com"]}]})));
    assert_eq!((&old["metadata"]["generation"], &old["status"]), (&json!(1), &json!({})));
    let (new, _) = changed("Ingress", &old, json!({"spec": {"ingressClassName": "c"}}), None);
    assert_eq!(new["metadata"]["generation"], 2);
    let balanced =
        json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}, {"hostname": "lb.example.com"}]}}});
    let (balanced, errors) = changed("Ingress", &old, balanced, Some("status"));
    assert_eq!(errors, Vec::<String>::new());
    check_cells(
        "Ingress",
        &balanced,
        json!(["x", "<none>", "a.example.com", "192.0.2.9,lb.example.com", "80, 443", "<unknown>"]),
    );
    let wrong = json!({"status": {"loadBalancer": {"ingress": [{"hostname": "192.0.2.9"}]}}});
    assert_eq!(
        changed("Ingress", &old, wrong, Some("status")).1,
        [
            "status.loadBalancer.ingress[0].hostname: Invalid value: \"192.0.2.9\": must be a DNS name, not an IP address"
        ]
    );
}

#[test]
fn ingress_classes() {
    let class = |spec: Value| with(json!({"spec": {"controller": "example.com/c"}}), json!({"spec": spec}));
    check("IngressClass", class(json!({})), &[]);
    check("IngressClass", json!({"spec": {}}), &["spec.controller: Required value"]);
    check(
        "IngressClass",
        class(json!({"controller": "plain"})),
        &["spec.controller: Invalid value: \"plain\": must be a domain-prefixed path (such as \"acme.io/foo\")"],
    );
    check(
        "IngressClass",
        class(json!({"parameters": {"kind": "", "name": "n", "scope": "Namespace"}})),
        &[
            "spec.parameters.kind: Required value",
            "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
        ],
    );
    let old = created("IngressClass", class(json!({"parameters": {"apiGroup": "g.io", "kind": "K", "name": "n"}})));
    assert_eq!(old["spec"]["parameters"]["scope"], "Cluster");
    check_cells("IngressClass", &old, json!(["x", "example.com/c", "K.g.io/n", "<unknown>"]));
    check_change(
        "IngressClass",
        &old,
        json!({"spec": {"controller": "example.com/d"}}),
        &["spec.controller: Invalid value: \"example.com/d\": field is immutable"],
    );
}

#[test]
fn network_policies() {
    let policy = |spec: Value| json!({"spec": spec});
    let object = created("NetworkPolicy", policy(json!({"egress": [{"ports": [{"port": 53}]}]})));
    assert_eq!(object["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(
        (&object["spec"]["podSelector"], &object["spec"]["egress"][0]["ports"][0]["protocol"]),
        (&json!({}), &json!("TCP"))
    );
    assert_eq!(created("NetworkPolicy", policy(json!({})))["spec"]["policyTypes"], json!(["Ingress"]));
    let from = |peer: Value| policy(json!({"ingress": [{"from": [peer]}]}));
    check("NetworkPolicy", from(json!({})), &["spec.ingress[0].from[0]: Required value: must specify a peer"]);
    check(
        "NetworkPolicy",
        from(
            json!({"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.0.0.0/8", "11.0.0.0/9"]}}),
        ),
        &[
            "spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`",
            "spec.ingress[0].from[0].ipBlock.except[2]: Invalid value: \"11.0.0.0/9\": must be a strict subset of `cidr`",
            "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer",
        ],
    );
    let port = |port: Value| policy(json!({"ingress": [{"ports": [port]}]}));
    check("NetworkPolicy", port(json!({"port": 80, "endPort": 90})), &[]);
    check(
        "NetworkPolicy",
        port(json!({"port": 80, "endPort": 79, "protocol": "X"})),
        &[
            "spec.ingress[0].ports[0].protocol: Unsupported value: \"X\": supported values: \"TCP\", \"UDP\", \"SCTP\"",
            "spec.ingress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`",
        ],
    );
    check(
        "NetworkPolicy",
        port(json!({"port": "http", "endPort": 79})),
        &["spec.ingress[0].ports[0].endPort: Invalid value: 79: may not be specified when `port` is non-numeric"],
    );
}

#[test]
fn ranges_of_services() {
    let range = |cidrs: &[&str]| json!({"spec": {"cidrs": cidrs}});
    check("ServiceCIDR", range(&["10.1.0.0/16", "fd00::/108"]), &[]);
    check("ServiceCIDR", range(&[]), &["spec.cidrs: Required value: at least one CIDR required"]);
    check(
        "ServiceCIDR",
        range(&["10.1.0.1/16", "10.2.0.0/16"]),
        &[
            "spec.cidrs[0]: Invalid value: \"10.1.0.1/16\": must not have bits set beyond the prefix length",
            "spec.cidrs: Invalid value: [\"10.1.0.1/16\",\"10.2.0.0/16\"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        ],
    );
    let old = created("ServiceCIDR", range(&["10.1.0.0/16"]));
    check_change("ServiceCIDR", &old, range(&["10.1.0.0/16", "fd00::/108"]), &[]);
    check_change(
        "ServiceCIDR",
        &old,
        range(&["10.2.0.0/16"]),
        &["spec.cidrs[0]: Invalid value: \"10.2.0.0/16\": field is immutable"],
    );
    assert_eq!(kind("ServiceCIDR").warnings(&old).len(), 1);
    assert_eq!(kind("ServiceCIDR").warnings(&with(old, json!({"metadata": {"name": "kubernetes"}}))).len(), 0);
}

#[test]
fn api_services() {
    let service = |name: &str, spec: Value| {
        let base = json!({"group": "example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10});
        json!({"metadata": {"name": name}, "spec": with(base, spec)})
    };
    let remote = json!({"service": {"namespace": "n", "name": "s"}});
    check("APIService", service("v1.example.com", remote.clone()), &[]);
    let object = created("APIService", service("v1.example.com", remote));
    assert_eq!((&object["spec"]["service"]["port"], &object["status"]), (&json!(443), &json!({})));
    check_cells("APIService", &object, json!(["v1.example.com", "n/s", "Unknown", "<unknown>"]));
    let local = created("APIService", service("v1.example.com", json!({})));
    check_cells("APIService", &local, json!(["v1.example.com", "Local", "True", "<unknown>"]));
    check(
        "APIService",
        service("v2.example.com", json!({"versionPriority": 0, "insecureSkipTLSVerify": true})),
        &[
            "metadata.name: Invalid value: \"v2.example.com\": must be `spec.version+\".\"+spec.group`: \"v1.example.com\"",
            "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
            "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
        ],
    );
    check(
        "APIService",
        service("v1.example.com", json!({"service": {}, "caBundle": "Yg==", "insecureSkipTLSVerify": true})),
        &[
            "spec.service.namespace: Required value",
            "spec.service.name: Required value",
            "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
        ],
    );
}

#[test]
fn runtime_classes() {
    check("RuntimeClass", json!({"handler": "runc"}), &[]);
    let old = created("RuntimeClass", json!({"handler": "runc"}));
    check_change(
        "RuntimeClass",
        &old,
        json!({"handler": "kata"}),
        &["handler: Invalid value: \"kata\": field is immutable"],
    );
    check(
        "RuntimeClass",
        json!({"handler": "r", "overhead": {"podFixed": {"cpu": "-1"}}, "scheduling": {"tolerations": [{"operator": "Odd", "key": "k"}]}}),
        &[
            "overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
            "scheduling.tolerations[0].operator: Unsupported value: \"Odd\": supported values: \"Equal\", \"Exists\"",
        ],
    );
}
