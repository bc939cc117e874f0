use serde_json::json;

use super::*;

fn settings() -> Settings {
    Settings {
        table: "t".into(),
        node_name: "here".into(),
        node_port_addresses: vec!["192.168.0.1".parse().unwrap(), "fd99::1".parse().unwrap()],
        ..Settings::default()
    }
}

/// Endpoints by address; those that end in an even digit are on this node.
fn slice(addresses: &[&str], port: u16, protocol: &str) -> EndpointSlice {
    let endpoint = |address: &&str| {
        let even = address.ends_with(['0', '2', '4', '6', '8']);
        json!({"addresses": [address], "nodeName": if even { "here" } else { "there" }})
    };
    let endpoints: Vec<_> = addresses.iter().map(endpoint).collect();
    serde_json::from_value(json!({"endpoints": endpoints, "ports": [{"name": "", "port": port, "protocol": protocol}]}))
        .unwrap()
}

#[track_caller]
fn check(spec: serde_json::Value, slices: &[EndpointSlice], want: &[&str]) {
    check_with_status(spec, json!({}), slices, want);
}

/// One line for each element: table, key, value.
#[track_caller]
fn check_with_status(spec: serde_json::Value, status: serde_json::Value, slices: &[EndpointSlice], want: &[&str]) {
    let service: Service = serde_json::from_value(json!({"spec": spec, "status": status})).unwrap();
    let slices: Vec<_> = slices.iter().collect();
    let elements = compile(&service, &slices, &settings());
    let mut got: Vec<_> = elements.iter().map(|(table, key, value)| format!("{} {key}{value}", table.name())).collect();
    got.sort();
    let mut want: Vec<_> = want.iter().map(|line| line.to_string()).collect();
    want.sort();
    assert_eq!(got, want, "{spec}");
}

#[test]
fn none_of_ours() {
    for spec in [
        json!({"clusterIP": "None", "ports": [{"port": 80}]}),
        json!({"type": "ExternalName", "ports": [{"port": 80}]}),
        json!({"clusterIP": "", "ports": [{"port": 80}]}),
    ] {
        check(spec, &[slice(&["10.0.0.1"], 8080, "TCP")], &[]);
    }
}

#[test]
fn cluster_ip() {
    let spec = json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80}]});
    check(spec.clone(), &[], &["cluster-ips 10.96.0.1", "refused 10.96.0.1 . tcp . 80 : goto refuse"]);
    check(
        spec.clone(),
        &[slice(&["10.0.0.2"], 8080, "TCP"), slice(&["10.0.0.3", "10.0.0.2"], 8080, "TCP")],
        &[
            "cluster-ips 10.96.0.1",
            "frontends 10.96.0.1 . tcp . 80 : goto pick-2",
            "endpoints-tcp 10.96.0.1 . 80 . 0 : 10.0.0.2 . 8080",
            "endpoints-tcp 10.96.0.1 . 80 . 1 : 10.0.0.3 . 8080",
            "hairpin 10.0.0.2 . 10.0.0.2",
        ],
    );
    // Another protocol's endpoints are no endpoints.
    check(
        spec,
        &[slice(&["10.0.0.2"], 8080, "UDP")],
        &["cluster-ips 10.96.0.1", "refused 10.96.0.1 . tcp . 80 : goto refuse"],
    );
}

#[test]
fn internal_policy_local() {
    let spec =
        json!({"clusterIP": "10.96.0.1", "internalTrafficPolicy": "Local", "ports": [{"port": 53, "protocol": "UDP"}]});
    check(
        spec.clone(),
        &[slice(&["10.0.0.2", "10.0.0.3"], 53, "UDP")],
        &[
            "cluster-ips 10.96.0.1",
            "frontends 10.96.0.1 . udp . 53 : goto pick-1",
            "endpoints-udp 10.96.0.1 . 53 . 0 : 10.0.0.2 . 53",
            "hairpin 10.0.0.2 . 10.0.0.2",
        ],
    );
    check(spec, &[slice(&["10.0.0.3"], 53, "UDP")], &["cluster-ips 10.96.0.1", "refused 10.96.0.1 . udp . 53 : drop"]);
}

#[test]
fn node_port() {
    let spec = |policy: &str| json!({"type": "NodePort", "clusterIP": "10.96.0.1", "externalTrafficPolicy": policy, "ports": [{"port": 80, "nodePort": 30080}]});
    let inside = [
        "cluster-ips 10.96.0.1",
        "frontends 10.96.0.1 . tcp . 80 : goto pick-2",
        "endpoints-tcp 10.96.0.1 . 80 . 0 : 10.0.0.2 . 8080",
        "endpoints-tcp 10.96.0.1 . 80 . 1 : 10.0.0.3 . 8080",
        "hairpin 10.0.0.2 . 10.0.0.2",
        // The node's address of the other family has no endpoints.
        "refused fd99::1 . tcp . 30080 : goto refuse",
        "endpoints-tcp 192.168.0.1 . 30080 . 0 : 10.0.0.2 . 8080",
        "endpoints-tcp 192.168.0.1 . 30080 . 1 : 10.0.0.3 . 8080",
    ];
    let with = |more: &[&'static str]| [&inside, more].concat();
    let both = [slice(&["10.0.0.2", "10.0.0.3"], 8080, "TCP")];
    check(
        spec("Cluster"),
        &both,
        &with(&[
            "frontends 192.168.0.1 . tcp . 30080 : goto pick-2",
            "masquerading 192.168.0.1 . tcp . 30080 : goto source-nat",
        ]),
    );
    check(
        spec("Local"),
        &both,
        &with(&[
            "frontends 192.168.0.1 . tcp . 30080 : goto by-source",
            "frontends-cluster 192.168.0.1 . tcp . 30080 : goto pick-2",
            "frontends-local 192.168.0.1 . tcp . 30080 : goto local-1",
            "endpoints-tcp 192.168.0.1 . 30080 . 65536 : 10.0.0.2 . 8080",
            "masquerading 192.168.0.1 . tcp . 30080 : goto source-nat-own",
        ]),
    );
}

#[test]
fn external_addresses() {
    let spec =
        json!({"type": "LoadBalancer", "clusterIP": "10.96.0.1", "externalIPs": ["1.2.3.4"], "ports": [{"port": 80}]});
    let status = json!({"loadBalancer": {"ingress": [{"ip": "5.6.7.8"}, {"ip": "5.6.7.9", "ipMode": "Proxy"}, {"hostname": "x"}]}});
    check_with_status(
        spec,
        status,
        &[slice(&["10.0.0.3"], 8080, "TCP")],
        &[
            "cluster-ips 10.96.0.1",
            "frontends 10.96.0.1 . tcp . 80 : goto pick-1",
            "frontends 1.2.3.4 . tcp . 80 : goto pick-1",
            "frontends 5.6.7.8 . tcp . 80 : goto pick-1",
            "endpoints-tcp 10.96.0.1 . 80 . 0 : 10.0.0.3 . 8080",
            "endpoints-tcp 1.2.3.4 . 80 . 0 : 10.0.0.3 . 8080",
            "endpoints-tcp 5.6.7.8 . 80 . 0 : 10.0.0.3 . 8080",
            "masquerading 1.2.3.4 . tcp . 80 : goto source-nat",
            "masquerading 5.6.7.8 . tcp . 80 : goto source-nat",
        ],
    );
}

#[test]
fn dual_stack() {
    check(
        json!({"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd96::1"], "ports": [{"port": 80}]}),
        &[slice(&["10.0.0.3"], 8080, "TCP"), slice(&["fd00::3"], 8080, "TCP")],
        &[
            "cluster-ips 10.96.0.1",
            "cluster-ips fd96::1",
            "frontends 10.96.0.1 . tcp . 80 : goto pick-1",
            "frontends fd96::1 . tcp . 80 : goto pick-1",
            "endpoints-tcp 10.96.0.1 . 80 . 0 : 10.0.0.3 . 8080",
            "endpoints-tcp fd96::1 . 80 . 0 : fd00::3 . 8080",
        ],
    );
}

#[test]
fn affinity() {
    let spec = json!({"clusterIP": "10.96.0.1", "sessionAffinity": "ClientIP", "ports": [{"port": 80}]});
    let ids = |addresses: &[&str]| {
        let service: Service = serde_json::from_value(json!({ "spec": spec })).unwrap();
        let elements = compile(&service, &[&slice(addresses, 8080, "TCP")], &settings());
        let id = |(_, key, value): &Element| match (key, value) {
            (Key::Id(_, id), Value::Endpoint(endpoint)) => Some((endpoint.ip.to_string(), *id)),
            _ => None,
        };
        let verdict =
            elements.iter().find(|(table, ..)| *table == Table::Frontends).map(|(.., value)| value.to_string());
        (elements.iter().filter_map(id).collect::<std::collections::BTreeMap<_, _>>(), verdict.unwrap())
    };
    let (two, verdict) = ids(&["10.0.0.1", "10.0.0.3"]);
    assert_eq!(verdict, " : goto pick-2-a10800");
    // An endpoint keeps its number whoever comes and goes beside it.
    let (three, _) = ids(&["10.0.0.0", "10.0.0.1", "10.0.0.3"]);
    assert_eq!((three.len(), &three["10.0.0.1"], &three["10.0.0.3"]), (3, &two["10.0.0.1"], &two["10.0.0.3"]));
}
