//! The plugin in network namespaces of the test's own: a node and its pods, with real packets.
//!
//! Needs root, `unshare`, `nsenter`, `ip`, `nft` and `busybox`; without root it is skipped with a message.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

const PLUGIN: &str = env!("CARGO_BIN_EXE_kogge-cni");

/// A node: a namespace with one device that has the node's address.
struct Node {
    dir: PathBuf,
    pods: Vec<String>,
}

impl Node {
    /// None without root.
    fn new(test: &str) -> Option<Node> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return None;
        }
        let dir = std::env::temp_dir().join(format!("kogge-cni-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut node = Node { dir, pods: Vec::new() };
        node.namespace("node");
        node.run("node", "ip link set lo up; ip link add uplink type veth peer name other; ip link set uplink up; \
            ip link set other up; ip addr add 172.30.0.1/24 dev uplink; echo 1 > /proc/sys/net/ipv4/ip_forward");
        Some(node)
    }

    fn path(&self, namespace: &str) -> PathBuf {
        self.dir.join(namespace)
    }

    fn namespace(&mut self, name: &str) {
        std::fs::File::create(self.path(name)).unwrap();
        let status = Command::new("unshare").arg(format!("--net={}", self.path(name).display())).arg("true").status();
        assert!(status.unwrap().success());
        self.pods.push(name.to_owned());
    }

    fn within(&self, namespace: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path(namespace).display()));
        command
    }

    /// Runs a script that must succeed, and returns what it says.
    fn run(&self, namespace: &str, script: &str) -> String {
        let output = self.within(namespace).args(["sh", "-ec", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn serve(&self, namespace: &str, folder: &Path, port: u16) -> Server {
        let port = port.to_string();
        let mut command = self.within(namespace);
        command.args(["busybox", "httpd", "-f", "-p", &port, "-h"]).arg(folder).stderr(Stdio::null());
        Server(command.spawn().unwrap())
    }

    fn conf(&self, ports: Value) -> Value {
        json!({
            "cniVersion": "0.4.0", "name": "kogge", "type": "kogge-cni",
            "podCIDR": "10.244.1.0/24", "nodeIP": "172.30.0.1", "stateDir": self.dir.join("state"), "mtu": 1400,
            "tablePrefix": "koggetest", "runtimeConfig": {"portMappings": ports},
        })
    }

    /// Calls the plugin as containerd does, from within the node.
    fn call(&self, command: &str, pod: &str, conf: &Value) -> Output {
        let device = if conf["type"] == "loopback" { "lo" } else { "eth0" };
        let mut plugin = self.within("node");
        plugin.arg(PLUGIN).env("CNI_COMMAND", command).env("CNI_CONTAINERID", format!("container-of-{pod}"));
        plugin.env("CNI_IFNAME", device).env("CNI_NETNS", self.path(pod)).env("CNI_PATH", "/nowhere");
        plugin.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = plugin.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), conf.to_string().as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn must(&self, command: &str, pod: &str, conf: &Value) -> Value {
        let output = self.call(command, pod, conf);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command} {pod}: {said}");
        if said.trim().is_empty() { Value::Null } else { serde_json::from_str(&said).unwrap() }
    }

    /// Makes a pod and returns its address.
    fn pod(&mut self, name: &str, ports: Value) -> String {
        self.namespace(name);
        let loopback = json!({"cniVersion": "0.3.1", "name": "cni-loopback", "type": "loopback"});
        self.must("ADD", name, &loopback);
        let answer = self.must("ADD", name, &self.conf(ports));
        assert_eq!(answer["interfaces"][1]["name"], "eth0");
        assert_eq!(answer["ips"][0]["version"], "4");
        answer["ips"][0]["address"].as_str().unwrap().trim_end_matches("/32").to_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for namespace in &self.pods {
            Command::new("umount").arg(self.path(namespace)).status().ok();
        }
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn pods_reach_each_other_and_the_node() {
    let Some(mut node) = Node::new("reach") else { return };
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
    let Some(mut node) = Node::new("gone") else { return };
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
    let Some(node) = Node::new("failed") else { return };
    let output = node.call("ADD", "missing", &node.conf(json!([])));
    assert_eq!(output.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["code"], 100);
    assert!(said["msg"].as_str().unwrap().contains("opening the network namespace"), "{said}");
    assert_eq!(std::fs::read_dir(node.dir.join("state/addresses")).unwrap().count(), 0);
}

#[test]
fn host_ports_lead_to_their_pod() {
    let Some(mut node) = Node::new("ports") else { return };
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
