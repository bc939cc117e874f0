//! The plugin alone.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::node::{Node, PLUGIN};

#[test]
fn pods_reach_each_other_and_the_node() {
    let Some(mut node) = Node::new("reach").map(Node::alone) else { return };
    let (a, b) = (node.pod("a", json!([])), node.pod("b", json!([])));
    assert_eq!((a.as_str(), b.as_str()), ("10.244.1.2", "10.244.1.3"));
    node.run("a", "busybox ping -c 1 -W 5 127.0.0.1");
    node.run("a", &format!("busybox ping -c 1 -W 5 {b}"));
    node.run("b", &format!("busybox ping -c 1 -W 5 {a}"));
    node.run("a", "busybox ping -c 1 -W 5 172.30.0.1");
    node.run("node", &format!("busybox ping -c 1 -W 5 {a}"));
    assert!(node.run("a", "ip link show eth0").contains("mtu 1400"));
    assert!(node.run("node", &format!("ip route get {a}")).contains("src 172.30.0.1"));
    node.must("CHECK", "a", &node.conf(json!([])));
}

#[test]
fn what_is_deleted_is_gone_and_may_be_deleted_again() {
    let Some(mut node) = Node::new("gone").map(Node::alone) else { return };
    let a = node.pod("a", json!([]));
    let conf = node.conf(json!([]));
    node.must("DEL", "a", &conf);
    node.must("DEL", "a", &conf);
    assert!(!node.call("CHECK", "a", &conf).status.success());
    assert!(!node.run("node", "ip link").contains("koggep"));
    assert!(!node.run("node", "ip route").contains(&a));
    assert_eq!(std::fs::read_dir(node.dir.join("state/addresses")).unwrap().count(), 0);
    assert_eq!(node.pod("b", json!([])), "10.244.1.3", "an address just freed rests");
}

#[test]
fn a_failed_add_leaves_nothing() {
    let Some(node) = Node::new("failed").map(Node::alone) else { return };
    let output = node.call("ADD", "missing", &node.conf(json!([])));
    assert_eq!(output.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["code"], 100);
    assert!(said["msg"].as_str().unwrap().contains("opening the network namespace"), "{said}");
    assert_eq!(std::fs::read_dir(node.dir.join("state/addresses")).unwrap().count(), 0);
}

#[test]
fn host_ports_lead_to_their_pod() {
    let Some(mut node) = Node::new("ports").map(Node::alone) else { return };
    let ports = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]);
    node.pod("a", ports.clone());
    node.pod("b", json!([]));
    std::fs::write(node.dir.join("index.html"), "from a").unwrap();
    let _server = node.serve("a", &node.dir, 80);
    let get = "for i in 1 2 3 4 5 6 7 8 9; do timeout 5 busybox wget -q -O - http://172.30.0.1:8080/ && exit; busybox usleep 100000; done; exit 1";
    for from in ["b", "node", "a"] {
        assert_eq!(node.run(from, get), "from a", "{from}");
    }
    let conf = node.conf(ports);
    node.must("DEL", "a", &conf);
    node.must("DEL", "a", &conf);
    assert!(!node.run("node", "nft list table ip koggetest-hostports").contains("8080"));
}

#[test]
fn versions_are_told() {
    let output = Command::new(PLUGIN).env("CNI_COMMAND", "VERSION").stdin(Stdio::null()).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said["supportedVersions"].as_array().unwrap().contains(&json!("1.0.0")));
}
