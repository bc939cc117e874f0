//! Which processes make up a cluster, with their programs, flags and what each must wait for. Pure.
//!
//! Flags carry what differs per machine; everything that upstream reads from a file is in a file (`config`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::layout::Layout;
use crate::options::Spec;

/// What must be there before a process is started for the first time. Only true dependencies: a component that
/// waits by itself at no cost has none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Gate {
    /// Something accepts connections there.
    Tcp(SocketAddr),
    /// Something accepts connections on that socket.
    Socket(PathBuf),
    File(PathBuf),
    /// The API server that this kubeconfig leads to says that it is ready: before, it refuses those whose roles it
    /// has not made yet, and they would back off.
    Api(PathBuf),
}

/// A process that the supervisor keeps running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// `etcd`, or `node-1/kubelet`.
    pub name: String,
    pub program: PathBuf,
    pub args: Vec<String>,
    pub log: PathBuf,
    /// Network namespace to run in; the supervisor's own if absent.
    pub netns: Option<PathBuf>,
    pub gates: Vec<Gate>,
}

impl Process {
    /// The node that the process belongs to; none for the control plane.
    pub fn node(&self) -> Option<&str> {
        self.name.split_once('/').map(|(node, _)| node)
    }
}

/// Programs that are not ours, by name, as found on this machine.
pub type Programs = BTreeMap<&'static str, PathBuf>;

/// Programs a cluster needs besides our own.
pub const FOREIGN: [&str; 2] = ["etcd", "containerd"];

/// Programs that components call, whose absence is better told before anything is started.
pub const CALLED: [&str; 4] = ["runc", "containerd-shim-runc-v2", "nft", "conntrack"];

/// All processes, in the order in which a person would start them.
pub fn processes(layout: &Layout, spec: &Spec, programs: &Programs) -> Vec<Process> {
    let of = Maker { layout, spec, programs };
    let mut all = vec![of.etcd(), of.apiserver(), of.controller_manager(), of.scheduler(), of.images()];
    for node in &spec.nodes {
        all.extend([of.containerd(node), of.cni_agent(node), of.kubelet(node), of.proxy(node)]);
    }
    all
}

/// Port of the cluster's own images, on the first node's address.
pub const IMAGES_PORT: u16 = 5443;

struct Maker<'a> {
    layout: &'a Layout,
    spec: &'a Spec,
    programs: &'a Programs,
}

impl Maker<'_> {
    fn ours(&self, name: &str, program: &str, args: Vec<String>) -> Process {
        self.process(name, self.spec.bin_dir.join(program), args)
    }

    fn foreign(&self, name: &str, program: &'static str, args: Vec<String>) -> Process {
        self.process(name, self.programs.get(program).cloned().unwrap_or_else(|| program.into()), args)
    }

    fn process(&self, name: &str, program: PathBuf, args: Vec<String>) -> Process {
        Process { name: name.into(), program, args, log: self.layout.log(name), netns: None, gates: vec![] }
    }

    /// A process of a node: its name and its namespace.
    fn on(&self, node: &str, process: Process) -> Process {
        let name = format!("{node}/{}", process.name);
        let netns = (!self.spec.is_host(node)).then(|| self.layout.node(node).netns());
        Process { log: self.layout.log(&name), name, netns, ..process }
    }

    fn pki(&self, file: &str) -> String {
        self.layout.pki().join(file).display().to_string()
    }

    fn api(&self) -> Gate {
        Gate::Api(self.layout.admin_kubeconfig())
    }

    fn etcd(&self) -> Process {
        let args = flags([
            ("name", "kogge".into()),
            ("data-dir", text(&self.layout.etcd())),
            ("listen-client-urls", "https://127.0.0.1:2379".into()),
            ("advertise-client-urls", "https://127.0.0.1:2379".into()),
            ("listen-peer-urls", "https://127.0.0.1:2380".into()),
            ("initial-advertise-peer-urls", "https://127.0.0.1:2380".into()),
            ("initial-cluster", "kogge=https://127.0.0.1:2380".into()),
            ("listen-metrics-urls", "http://127.0.0.1:2381".into()),
            ("cert-file", self.pki("etcd.crt")),
            ("key-file", self.pki("etcd.key")),
            ("trusted-ca-file", self.pki("etcd-ca.crt")),
            ("client-cert-auth", "true".into()),
            ("peer-cert-file", self.pki("etcd.crt")),
            ("peer-key-file", self.pki("etcd.key")),
            ("peer-trusted-ca-file", self.pki("etcd-ca.crt")),
            ("peer-client-cert-auth", "true".into()),
            // A single member has nobody to wait for: it elects itself as soon as it may.
            ("heartbeat-interval", "50".into()),
            ("election-timeout", "250".into()),
            // The default keeps 100,000 changes in memory for followers that there are not.
            ("snapshot-count", "10000".into()),
            ("quota-backend-bytes", (8_u64 << 30).to_string()),
            ("log-level", "warn".into()),
            ("logger", "zap".into()),
        ]);
        self.foreign("etcd", "etcd", args)
    }

    fn apiserver(&self) -> Process {
        let args = flags([
            ("etcd-servers", "https://127.0.0.1:2379".into()),
            ("etcd-cafile", self.pki("etcd-ca.crt")),
            ("etcd-certfile", self.pki("apiserver-etcd-client.crt")),
            ("etcd-keyfile", self.pki("apiserver-etcd-client.key")),
            ("secure-port", self.spec.api_port.to_string()),
            ("advertise-address", self.host_address()),
            ("tls-cert-file", self.pki("apiserver.crt")),
            ("tls-private-key-file", self.pki("apiserver.key")),
            ("client-ca-file", self.pki("ca.crt")),
            ("service-account-key-file", self.pki("sa.pub")),
            ("service-account-signing-key-file", self.pki("sa.key")),
            ("service-account-issuer", format!("https://kubernetes.default.svc.{}", self.spec.domain)),
            ("service-cluster-ip-range", self.spec.service_cidr.clone()),
            ("kubelet-client-certificate", self.pki("apiserver-kubelet-client.crt")),
            ("kubelet-client-key", self.pki("apiserver-kubelet-client.key")),
            ("kubelet-certificate-authority", self.pki("ca.crt")),
            ("kubelet-preferred-address-types", "InternalIP,Hostname".into()),
            ("authorization-mode", "Node,RBAC".into()),
        ]);
        let gates = vec![Gate::Tcp(SocketAddr::from(([127, 0, 0, 1], 2379)))];
        Process { gates, ..self.ours("apiserver", "kogge-apiserver", args) }
    }

    fn controller_manager(&self) -> Process {
        let mut args = flags([
            ("kubeconfig", text(&self.layout.kubeconfig("controller-manager"))),
            ("allocate-node-cidrs", "true".into()),
            ("cluster-cidr", self.spec.pod_cidr.clone()),
            ("service-cluster-ip-range", self.spec.service_cidr.clone()),
            ("cluster-signing-cert-file", self.pki("ca.crt")),
            ("cluster-signing-key-file", self.pki("ca.key")),
            ("root-ca-file", self.pki("ca.crt")),
            ("service-account-private-key-file", self.pki("sa.key")),
            ("leader-elect", "true".into()),
        ]);
        args.extend(self.side_port("controller-manager-serving"));
        let gates = vec![self.api()];
        Process { gates, ..self.ours("controller-manager", "kogge-controller-manager", args) }
    }

    fn scheduler(&self) -> Process {
        let mut args = flags([("config", text(&self.layout.scheduler_config()))]);
        args.extend(self.side_port("scheduler-serving"));
        Process { gates: vec![self.api()], ..self.ours("scheduler", "kogge-scheduler", args) }
    }

    fn side_port(&self, certificate: &str) -> Vec<String> {
        flags([
            ("bind-address", "127.0.0.1".into()),
            ("tls-cert-file", self.pki(&format!("{certificate}.crt"))),
            ("tls-private-key-file", self.pki(&format!("{certificate}.key"))),
            ("client-ca-file", self.pki("ca.crt")),
        ])
    }

    fn images(&self) -> Process {
        let args = ["cluster", "serve-images", "--dir"].map(str::to_owned).into_iter();
        self.ours("images", "kctl", args.chain([text(self.layout.dir())]).collect())
    }

    fn containerd(&self, node: &str) -> Process {
        let args = flags([("config", text(&self.layout.node(node).containerd_config())), ("log-level", "warn".into())]);
        self.on(node, self.foreign("containerd", "containerd", args))
    }

    fn kubelet(&self, node: &str) -> Process {
        let files = self.layout.node(node);
        let args = flags([
            ("config", text(&files.kubelet_config())),
            ("kubeconfig", text(&files.kubeconfig("kubelet"))),
            ("hostname-override", node.into()),
            ("node-ip", self.spec.address(node).to_string()),
            ("root-dir", text(&files.kubelet_root())),
            ("cert-dir", text(&files.pki())),
            ("pod-infra-container-image", crate::images::PAUSE.into()),
        ]);
        // A pod must not come before the sandbox's image, or its first start fails.
        let gates = vec![Gate::Socket(files.containerd_socket()), Gate::File(files.images()), self.api()];
        Process { gates, ..self.on(node, self.ours("kubelet", "kogge-kubelet", args)) }
    }

    fn proxy(&self, node: &str) -> Process {
        let args = flags([
            ("config", text(&self.layout.node(node).proxy_config())),
            ("hostname-override", node.into()),
            ("service-cluster-ip-range", self.spec.service_cidr.clone()),
        ]);
        Process { gates: vec![self.api()], ..self.on(node, self.ours("proxy", "kogge-proxy", args)) }
    }

    fn cni_agent(&self, node: &str) -> Process {
        let files = self.layout.node(node);
        let mut args = vec!["agent".to_owned()];
        args.extend(flags([
            ("kubeconfig", text(&files.kubeconfig("cni-agent"))),
            ("node-name", node.into()),
            ("conf-dir", text(&files.cni_conf())),
            ("state-dir", text(&files.cni_state())),
        ]));
        Process { gates: vec![self.api()], ..self.on(node, self.ours("cni", "kogge-cni", args)) }
    }

    fn host_address(&self) -> String {
        self.spec.nodes.first().map(|node| self.spec.address(node).to_string()).unwrap_or_default()
    }
}

fn flags<const N: usize>(flags: [(&str, String); N]) -> Vec<String> {
    flags.into_iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(nodes: usize) -> Vec<Process> {
        let spec = Spec::new("/opt/kogge/bin".into(), nodes);
        let programs = Programs::from([("etcd", "/usr/bin/etcd".into()), ("containerd", "/usr/bin/containerd".into())]);
        processes(&Layout::new(Path::new("/c")), &spec, &programs)
    }

    #[test]
    fn names_tell_the_node() {
        let names: Vec<_> = all(2).into_iter().map(|process| process.name).collect();
        let control = ["etcd", "apiserver", "controller-manager", "scheduler", "images"];
        let node = ["containerd", "cni", "kubelet", "proxy"];
        let nodes = ["node-1", "node-2"].into_iter().flat_map(|n| node.map(|process| format!("{n}/{process}")));
        assert_eq!(names, control.into_iter().map(str::to_owned).chain(nodes).collect::<Vec<_>>());
    }

    #[test]
    fn only_further_nodes_have_a_namespace() {
        for process in all(3) {
            let further = matches!(process.node(), Some("node-2" | "node-3"));
            assert_eq!(process.netns.is_some(), further, "{}", process.name);
        }
    }

    #[test]
    fn nothing_but_the_api_server_is_shown_the_way_into_etcd() {
        for process in all(1).iter().filter(|process| !["etcd", "apiserver"].contains(&process.name.as_str())) {
            assert!(process.args.iter().all(|arg| !arg.contains("etcd")), "{}", process.name);
        }
    }

    #[test]
    fn waiting_ends_for_every_process() {
        // Gates may only name what an ungated process, or one that waits for such a process, brings.
        let all = all(1);
        let roots = all.iter().filter(|process| process.gates.is_empty()).count();
        assert_eq!(roots, 3, "etcd, containerd and the images start at once");
    }
}
