//! Namespaces that stand for a node and its pods.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

pub const PLUGIN: &str = env!("CARGO_BIN_EXE_kogge-cni");

/// A node: a namespace with one device that has the node's address, and its pods.
pub struct Node {
    pub dir: PathBuf,
    namespaces: Vec<String>,
}

impl Node {
    /// None without root.
    pub fn new(test: &str) -> Option<Node> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return None;
        }
        let dir = std::env::temp_dir().join(format!("kogge-cni-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut node = Node { dir, namespaces: Vec::new() };
        node.namespace("node");
        node.run("node", "ip link set lo up");
        Some(node)
    }

    /// Gives the node an uplink to nowhere, and lets it forward, as the agent would.
    pub fn alone(self) -> Node {
        self.run(
            "node",
            "ip link add uplink type veth peer name other; ip link set uplink up; ip link set other up; \
            ip addr add 172.30.0.1/24 dev uplink; echo 1 > /proc/sys/net/ipv4/ip_forward",
        );
        self
    }

    pub fn path(&self, namespace: &str) -> PathBuf {
        self.dir.join(namespace)
    }

    pub fn namespace(&mut self, name: &str) {
        std::fs::File::create(self.path(name)).unwrap();
        let status = Command::new("unshare").arg(format!("--net={}", self.path(name).display())).arg("true").status();
        assert!(status.unwrap().success());
        self.namespaces.push(name.to_owned());
    }

    pub fn within(&self, namespace: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path(namespace).display()));
        command
    }

    /// Runs a script that must succeed, and returns what it says.
    pub fn run(&self, namespace: &str, script: &str) -> String {
        let output = self.within(namespace).args(["sh", "-ec", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn serve(&self, namespace: &str, folder: &Path, port: u16) -> Server {
        let port = port.to_string();
        let mut command = self.within(namespace);
        command.args(["busybox", "httpd", "-f", "-p", &port, "-h"]).arg(folder).stderr(Stdio::null());
        Server(command.spawn().unwrap())
    }

    pub fn conf(&self, ports: Value) -> Value {
        json!({
            "cniVersion": "0.4.0", "name": "kogge", "type": "kogge-cni",
            "podCIDR": "10.244.1.0/24", "nodeIP": "172.30.0.1", "stateDir": self.dir.join("state"), "mtu": 1400,
            "tablePrefix": "koggetest", "runtimeConfig": {"portMappings": ports},
        })
    }

    /// Calls the plugin as containerd does, from within the node.
    pub fn call(&self, command: &str, pod: &str, conf: &Value) -> Output {
        let device = if conf["type"] == "loopback" { "lo" } else { "eth0" };
        let mut plugin = self.within("node");
        plugin.arg(PLUGIN).env("CNI_COMMAND", command).env("CNI_CONTAINERID", format!("container-of-{pod}"));
        plugin.env("CNI_IFNAME", device).env("CNI_NETNS", self.path(pod)).env("CNI_PATH", "/nowhere");
        plugin.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = plugin.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), conf.to_string().as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    pub fn must(&self, command: &str, pod: &str, conf: &Value) -> Value {
        let output = self.call(command, pod, conf);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command} {pod}: {said}");
        if said.trim().is_empty() { Value::Null } else { serde_json::from_str(&said).unwrap() }
    }

    /// Makes a pod and returns its address.
    pub fn pod(&mut self, name: &str, ports: Value) -> String {
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
        for namespace in &self.namespaces {
            Command::new("umount").arg(self.path(namespace)).status().ok();
        }
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

pub struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
