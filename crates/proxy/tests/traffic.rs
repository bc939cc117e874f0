//! Packets through compiled rules: a node with two pods and a host beside it, each a network namespace of its own.
//! Needs root, `ip`, `nft` and `conntrack`.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod net;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use net::{Host, Lab};
use proxy::kernel::{Kernel, Nft};
use serde_json::{Value, json};
use service_rules::{
    Rules, Settings,
    object::{EndpointSlice, Service},
};

const TABLE: &str = "traffic-test";

/// The node's rules, applied in its namespace.
struct Node<'a> {
    lab: &'a Lab,
    rules: Rules,
}

impl<'a> Node<'a> {
    fn new(lab: &'a Lab) -> Self {
        let settings = Settings {
            table: TABLE.into(),
            node_name: "node".into(),
            node_port_addresses: vec![net::NODE.parse().unwrap()],
            cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
            masquerade_all: false,
            masquerade_fully_random: true,
        };
        let mut node = Self { lab, rules: Rules::new(settings) };
        node.apply(true);
        node
    }

    fn service(&mut self, spec: Value) {
        let service = json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec});
        self.rules.apply_service(Arc::new(serde_json::from_value::<Service>(service).unwrap()));
    }

    /// Endpoints as (address, node).
    fn endpoints(&mut self, endpoints: &[(&str, &str)]) {
        let endpoints: Vec<_> =
            endpoints.iter().map(|(ip, node)| json!({"addresses": [ip], "nodeName": node})).collect();
        let slice = json!({
            "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"name": "t", "port": 8080, "protocol": "TCP"}, {"name": "u", "port": 8080, "protocol": "UDP"}]});
        self.rules.apply_slice(Arc::new(serde_json::from_value::<EndpointSlice>(slice).unwrap()));
    }

    /// Hands the kernel the difference, or everything; then deletes stale flows.
    fn apply(&mut self, everything: bool) {
        let transaction = if everything { self.rules.everything(false) } else { self.rules.changes() };
        let wanted = self.rules.udp();
        self.lab.node.run(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let kernel = Nft::new(vec![]);
                kernel.apply(&transaction.text).await.unwrap_or_else(|e| panic!("{e:#}\n{}", transaction.text));
                if transaction.udp {
                    kernel.forget_stale(&wanted).await.unwrap();
                }
            });
        });
    }

    /// The elements that `nft` lists, for comparison of a difference with the whole.
    fn listed(&self) -> String {
        self.lab.node.shell(&format!("nft -j list table ip {TABLE} | sed 's/\"handle\": *[0-9]*,*//g'"))
    }
}

fn ports() -> Value {
    json!([{"name": "t", "port": 80, "protocol": "TCP", "nodePort": 30080}, {"name": "u", "port": 80, "protocol": "UDP", "nodePort": 30080}])
}

fn spec(more: Value) -> Value {
    let mut spec = json!({"type": "NodePort", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ports": ports()});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

const VIP: &str = "10.96.0.7:80";
const NODE_PORT: &str = "192.168.50.1:30080";
const POD_A: &str = "10.244.0.2";
const POD_B: &str = "10.244.0.3";
const BOTH: [(&str, &str); 2] = [(POD_A, "node"), (POD_B, "node")];

/// Who answers, over many connections: "pod sees source".
fn answers(host: &Host, address: &str, protocol: &str) -> BTreeSet<String> {
    (0..24).map(|_| host.ask(address, protocol).unwrap_or_else(|error| error)).collect()
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| text.to_string()).collect()
}

#[test]
fn services_carry_traffic() {
    let Some(lab) = Lab::new() else { return };
    let mut node = Node::new(&lab);
    let (outside, pod) = (&lab.outside, &lab.pods[0]);

    // Nothing is there yet, and a ClusterIP unknown to the rules is nobody's.
    node.service(spec(json!({})));
    node.apply(false);
    let attempts = [
        ("node", &lab.node, VIP),
        ("pod", pod, VIP),
        ("outside", outside, VIP),
        ("outside", outside, NODE_PORT),
        ("node", &lab.node, NODE_PORT),
    ];
    for (who, host, address) in attempts {
        assert_eq!(host.ask(address, "tcp"), Err("refused".into()), "{who} → {address} without endpoints");
    }

    node.endpoints(&BOTH);
    node.apply(false);
    for protocol in ["tcp", "udp"] {
        // From outside and from the node, answers have to come back here: masqueraded. Pods keep their address but for
        // the one that reaches itself.
        let masqueraded = set(&["a sees 10.244.0.1", "b sees 10.244.0.1"]);
        assert_eq!(answers(outside, VIP, protocol), masqueraded, "outside → ClusterIP {protocol}");
        assert_eq!(answers(outside, NODE_PORT, protocol), masqueraded, "outside → NodePort {protocol}");
        assert_eq!(answers(&lab.node, VIP, protocol), masqueraded, "node → ClusterIP {protocol}");
        assert_eq!(answers(&lab.node, NODE_PORT, protocol), masqueraded, "node → NodePort {protocol}");
        assert_eq!(
            answers(pod, VIP, protocol),
            set(&["a sees 10.244.0.1", "b sees 10.244.0.2"]),
            "pod → ClusterIP {protocol}"
        );
        assert_eq!(answers(pod, NODE_PORT, protocol), masqueraded, "pod → NodePort {protocol}");
    }
    assert_eq!(outside.ask("10.96.0.7:81", "tcp"), Err("refused".into()), "a port that the service does not have");

    // One endpoint goes: nobody is sent there any more.
    node.endpoints(&BOTH[1..]);
    node.apply(false);
    assert_eq!(answers(pod, VIP, "tcp"), set(&["b sees 10.244.0.2"]));
    // What differences led to is what everything at once leads to.
    let listed = node.listed();
    node.apply(true);
    assert_eq!(node.listed().len(), listed.len());

    node.rules.remove_service("default", "web");
    node.apply(false);
    assert!(outside.ask(VIP, "tcp").is_err());
}

#[test]
fn affinity_keeps_a_client_with_its_endpoint() {
    let Some(lab) = Lab::new() else { return };
    let mut node = Node::new(&lab);
    node.service(spec(
        json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}}}),
    ));
    node.endpoints(&BOTH);
    node.apply(false);
    for protocol in ["tcp", "udp"] {
        let first = answers(&lab.outside, VIP, protocol);
        assert_eq!(first.len(), 1, "one endpoint for one client: {first:?}");
        // Its endpoint goes: another one takes over, and keeps the client when the first comes back.
        let (gone, left) = if first.first().unwrap().starts_with('a') { (POD_A, POD_B) } else { (POD_B, POD_A) };
        node.endpoints(&[(left, "node")]);
        node.apply(false);
        let second = answers(&lab.outside, VIP, protocol);
        assert_eq!(second.len(), 1, "{second:?}");
        assert_ne!(first, second);
        node.endpoints(&[(left, "node"), (gone, "node")]);
        node.apply(false);
        assert_eq!(answers(&lab.outside, VIP, protocol), second);
        // A restarted proxy reconciles; clients stay where they are.
        node.apply(true);
        assert_eq!(answers(&lab.outside, VIP, protocol), second);
    }
}

#[test]
fn local_policies() {
    let Some(lab) = Lab::new() else { return };
    let mut node = Node::new(&lab);
    let (outside, pod) = (&lab.outside, &lab.pods[0]);
    // Pod b counts as another node's.
    let spread = [(POD_A, "node"), (POD_B, "other")];
    node.service(spec(json!({"externalTrafficPolicy": "Local"})));
    node.endpoints(&spread);
    node.apply(false);
    assert_eq!(answers(outside, NODE_PORT, "tcp"), set(&["a sees 192.168.50.2"]), "the client's address is kept");
    assert_eq!(
        answers(pod, NODE_PORT, "tcp"),
        set(&["a sees 10.244.0.1", "b sees 10.244.0.2"]),
        "pods get any endpoint"
    );
    assert_eq!(
        answers(&lab.node, NODE_PORT, "tcp"),
        set(&["a sees 10.244.0.1", "b sees 10.244.0.1"]),
        "so does the node"
    );

    node.endpoints(&spread[1..]);
    node.apply(false);
    assert_eq!(outside.ask(NODE_PORT, "tcp"), Err("timed out".into()), "no endpoint here: dropped");
    assert!(pod.ask(NODE_PORT, "tcp").is_ok());

    node.service(spec(json!({"internalTrafficPolicy": "Local"})));
    node.endpoints(&spread);
    node.apply(false);
    assert_eq!(answers(pod, VIP, "tcp"), set(&["a sees 10.244.0.1"]));
    node.endpoints(&spread[1..]);
    node.apply(false);
    assert_eq!(pod.ask(VIP, "tcp"), Err("timed out".into()));
}

/// A client that never stops sending from one port: two endpoints, one, none, and one again.
#[test]
fn udp_flows_follow_the_rules() {
    let Some(lab) = Lab::new() else { return };
    let mut node = Node::new(&lab);
    node.service(spec(json!({})));
    node.endpoints(&BOTH[..1]);
    node.apply(false);
    let client = lab.pods[1].udp_client(VIP);
    assert_eq!(client.ask().unwrap(), "a sees 10.244.0.3");
    node.endpoints(&[]);
    node.apply(false);
    assert!(client.ask().is_err());
    node.endpoints(&BOTH[..1]);
    node.apply(false);

    assert_eq!(client.ask_until(Duration::from_secs(1)).unwrap(), "a sees 10.244.0.3");
    node.endpoints(&BOTH[1..]);
    node.apply(false);
    assert!(client.ask_until(Duration::from_secs(1)).unwrap().starts_with("b sees"));
}

/// What somebody else deletes is noticed; what we do ourselves is not taken for it.
#[test]
fn deletions_by_others_are_noticed() {
    let Some(lab) = Lab::new() else { return };
    lab.node.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let kernel = Nft::new(vec![]);
            let tampering = kernel.tampering(TABLE).unwrap();
            let mut rules = Rules::new(Settings { table: TABLE.into(), ..Settings::default() });
            for _ in 0..3 {
                kernel.apply(&rules.everything(true).text).await.unwrap();
            }
            let bound = Duration::from_millis(300);
            assert!(tokio::time::timeout(bound, tampering.notified()).await.is_err(), "our own changes");
            let deleted = tokio::process::Command::new("nft").args(["flush", "ruleset"]).status().await.unwrap();
            assert!(deleted.success());
            tokio::time::timeout(Duration::from_secs(5), tampering.notified()).await.expect("noticed");
        });
    });
}

/// 10,000 services of three endpoints each are loaded at once, and one of them changes.
#[test]
fn many_services_load_quickly() {
    let Some(lab) = Lab::new() else { return };
    let mut node = Node::new(&lab);
    for n in 0..10_000_u32 {
        let name = format!("s{n}");
        let ip = format!("10.96.{}.{}", n / 250, n % 250 + 1);
        node.rules.apply_service(Arc::new(
            serde_json::from_value::<Service>(json!({"metadata": {"name": name, "namespace": "n"},
                "spec": {"clusterIP": ip, "ports": [{"port": 80}]}}))
            .unwrap(),
        ));
        node.rules.apply_slice(Arc::new(many_slice(&name, n, 3)));
    }
    let began = Instant::now();
    node.apply(true);
    let load = began.elapsed();
    node.rules.apply_slice(Arc::new(many_slice("s77", 77, 2)));
    let began = Instant::now();
    node.apply(false);
    let change = began.elapsed();
    println!("10,000 services: loaded in {load:?}, one changed in {change:?}");
    assert!(load < Duration::from_secs(20) && change < Duration::from_secs(2), "{load:?}, {change:?}");
}

fn many_slice(service: &str, number: u32, endpoints: u32) -> EndpointSlice {
    let endpoints: Vec<_> = (0..endpoints)
        .map(|e| json!({"addresses": [format!("10.244.{}.{}", number % 250, e + 2)], "nodeName": "other"}))
        .collect();
    serde_json::from_value(json!({
        "metadata": {"name": format!("{service}-1"), "namespace": "n", "labels": {"kubernetes.io/service-name": service}},
        "endpoints": endpoints, "ports": [{"name": "", "port": 8080}]}))
    .unwrap()
}
