//! The components' configuration files, in upstream's forms, as text. Nothing here touches the disk.

use std::net::Ipv4Addr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::options::Spec;

/// Where a node's containerd has its files, and how it gets on with the machine.
pub struct Containerd<'a> {
    pub root: &'a Path,
    pub state: &'a Path,
    pub socket: &'a Path,
    pub cni_bin: &'a Path,
    pub cni_conf: &'a Path,
    pub registries: &'a Path,
    pub cgroups: CgroupDriver,
    /// Whether this process has CAP_SYS_RESOURCE: without it every sandbox would die on the score that CRI asks for,
    /// so containerd is told to ask for what is allowed.
    pub may_lower_oom_score: bool,
}

/// Who makes the pods' cgroups: kubelet and containerd must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupDriver {
    Cgroupfs,
    Systemd,
}

/// containerd's configuration for one node, version 2 (containerd 1.6 and 1.7; 2.x migrates it by itself).
pub fn containerd(of: &Containerd<'_>) -> String {
    let show = |path: &Path| format!("{:?}", path.display().to_string());
    format!(
        r#"version = 2
root = {root}
state = {state}
# "opt" would make /opt/containerd; the snapshotters are those that a node has no use for.
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = {socket}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = {restrict}
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = {systemd}

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {cni_bin}
    conf_dir = {cni_conf}
    max_conf_num = 1

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = {registries}
"#,
        root = show(of.root),
        state = show(of.state),
        socket = show(of.socket),
        pause = crate::images::PAUSE,
        restrict = !of.may_lower_oom_score,
        systemd = of.cgroups == CgroupDriver::Systemd,
        cni_bin = show(of.cni_bin),
        cni_conf = show(of.cni_conf),
        registries = show(of.registries),
    )
}

/// Where containerd asks for images of docker.io: the cluster's own images first, then the real one.
pub fn registry_hosts(mirror: &str, ca: &Path) -> String {
    format!(
        r#"server = "https://registry-1.docker.io"

[host."https://{mirror}"]
  capabilities = ["pull", "resolve"]
  ca = {ca:?}
"#,
        ca = ca.display().to_string()
    )
}

/// What of a KubeletConfiguration differs between machines.
pub struct Kubelet<'a> {
    pub ca: &'a Path,
    /// Its port's certificate and key, without their suffixes.
    pub serving: &'a Path,
    pub endpoint: &'a str,
    pub cgroups: CgroupDriver,
    pub cgroup_root: &'a str,
    pub dns: Ipv4Addr,
    pub domain: &'a str,
    pub manifests: &'a Path,
    pub pod_logs: &'a Path,
    /// The disk is its owner's, who may keep it as full as they like: that evicts nothing and removes no image.
    pub shares_disk: bool,
}

const SHARED_DISK: &str = "\
evictionHard:
  memory.available: 100Mi
  nodefs.available: 0%
  nodefs.inodesFree: 0%
  imagefs.available: 0%
imageGCHighThresholdPercent: 100
";

pub fn kubelet(of: &Kubelet<'_>) -> String {
    format!(
        r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous:
    enabled: false
  webhook:
    enabled: true
  x509:
    clientCAFile: {ca}
authorization:
  mode: Webhook
tlsCertFile: {serving}.crt
tlsPrivateKeyFile: {serving}.key
containerRuntimeEndpoint: {endpoint}
cgroupDriver: {cgroups}
cgroupRoot: {cgroup_root}
clusterDNS:
- {dns}
clusterDomain: {domain}
staticPodPath: {manifests}
podLogsDir: {logs}
failSwapOn: false
{disk}"#,
        ca = of.ca.display(),
        serving = of.serving.display(),
        endpoint = of.endpoint,
        cgroups = of.cgroups.name(),
        cgroup_root = of.cgroup_root,
        dns = of.dns,
        domain = of.domain,
        manifests = of.manifests.display(),
        logs = of.pod_logs.display(),
        disk = if of.shares_disk { SHARED_DISK } else { "" },
    )
}

impl CgroupDriver {
    pub fn name(self) -> &'static str {
        match self {
            Self::Cgroupfs => "cgroupfs",
            Self::Systemd => "systemd",
        }
    }
}

/// `metrics` is the address of the proxy's metrics, which has no credentials.
pub fn proxy(pod_cidr: &str, metrics: Ipv4Addr, kubeconfig: &Path) -> String {
    format!(
        r#"apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: {pod_cidr}
healthzBindAddress: 0.0.0.0:10256
metricsBindAddress: {metrics}:10249
clientConnection:
  kubeconfig: {kubeconfig}
"#,
        kubeconfig = kubeconfig.display(),
    )
}

pub fn scheduler(kubeconfig: &Path) -> String {
    format!(
        r#"apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: {kubeconfig}
leaderElection:
  leaderElect: true
"#,
        kubeconfig = kubeconfig.display(),
    )
}

/// The nodes for `deploy/prometheus/prometheus.yml`.
pub fn prometheus_nodes(spec: &Spec) -> String {
    let target = |node: &String| serde_json::json!({"targets": [spec.address(node)], "labels": {"node": node}});
    serde_json::Value::from_iter(spec.nodes.iter().map(target)).to_string()
}

/// A kubeconfig that names its files, so that a renewed certificate is picked up: for components.
pub fn kubeconfig(server: &str, ca: &Path, identity: &Path, user: &str) -> String {
    kubeconfig_of(
        &format!("certificate-authority: {}", ca.display()),
        server,
        &format!(
            "client-certificate: {}\n    client-key: {}",
            crate::pki::with_suffix(identity, "crt").display(),
            crate::pki::with_suffix(identity, "key").display()
        ),
        user,
    )
}

/// A kubeconfig whose user's certificate and key are one file, as the kubelet keeps those that it renews itself.
pub fn kubeconfig_of_node(server: &str, ca: &Path, identity: &Path) -> String {
    let identity = identity.display();
    kubeconfig_of(
        &format!("certificate-authority: {}", ca.display()),
        server,
        &format!("client-certificate: {identity}\n    client-key: {identity}"),
        "default-auth",
    )
}

/// A kubeconfig of someone who shows a token.
pub fn token_kubeconfig(server: &str, ca: &str, token: &str, user: &str) -> String {
    let authority = format!("certificate-authority-data: {}", STANDARD.encode(ca));
    kubeconfig_of(&authority, server, &format!("token: {token}"), user)
}

/// Where a cluster answers and whom to trust, without anybody to be: what joining machines read.
pub fn cluster_info(server: &str, ca: &str) -> String {
    let authority = STANDARD.encode(ca);
    format!(
        r#"apiVersion: v1
kind: Config
clusters:
- name: ""
  cluster:
    certificate-authority-data: {authority}
    server: {server}
contexts: []
current-context: ""
preferences: {{}}
users: []
"#
    )
}

/// A kubeconfig that carries everything, so that it can be copied anywhere: for people.
pub fn portable_kubeconfig(server: &str, ca: &[u8], certificate: &[u8], key: &[u8], user: &str) -> String {
    kubeconfig_of(
        &format!("certificate-authority-data: {}", STANDARD.encode(ca)),
        server,
        &format!(
            "client-certificate-data: {}\n    client-key-data: {}",
            STANDARD.encode(certificate),
            STANDARD.encode(key)
        ),
        user,
    )
}

fn kubeconfig_of(authority: &str, server: &str, credentials: &str, user: &str) -> String {
    format!(
        r#"apiVersion: v1
kind: Config
clusters:
- name: kogge
  cluster:
    server: {server}
    {authority}
users:
- name: {user}
  user:
    {credentials}
contexts:
- name: kogge
  context:
    cluster: kogge
    user: {user}
current-context: kogge
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Containerd<'static>, Kubelet<'static>) {
        let path = Path::new("/c");
        let containerd = Containerd {
            root: path,
            state: path,
            socket: path,
            cni_bin: path,
            cni_conf: path,
            registries: path,
            cgroups: CgroupDriver::Systemd,
            may_lower_oom_score: false,
        };
        let kubelet = Kubelet {
            ca: path,
            serving: path,
            endpoint: "unix:///c",
            cgroups: CgroupDriver::Systemd,
            cgroup_root: "/",
            dns: Ipv4Addr::new(10, 96, 0, 10),
            domain: "cluster.local",
            manifests: path,
            pod_logs: path,
            shares_disk: true,
        };
        (containerd, kubelet)
    }

    #[test]
    fn what_upstream_reads_as_yaml_is_yaml() {
        for (text, kind) in [
            (kubelet(&sample().1), "KubeletConfiguration"),
            (proxy("10.244.0.0/16", Ipv4Addr::LOCALHOST, Path::new("/p")), "KubeProxyConfiguration"),
            (scheduler(Path::new("/s")), "KubeSchedulerConfiguration"),
            (kubeconfig("https://a:1", Path::new("/ca"), Path::new("/id"), "u"), "Config"),
            (kubeconfig_of_node("https://a:1", Path::new("/ca"), Path::new("/id.pem")), "Config"),
            (token_kubeconfig("https://a:1", "ca", "t", "u"), "Config"),
            (cluster_info("https://a:1", "ca"), "Config"),
            (portable_kubeconfig("https://a:1", b"ca", b"c", b"k", "u"), "Config"),
        ] {
            let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
            assert_eq!(value["kind"], kind);
        }
    }

    #[test]
    fn kube_reads_our_kubeconfigs() {
        let text = kubeconfig("https://127.0.0.1:6443", Path::new("/ca.crt"), Path::new("/pki/admin"), "admin");
        let config = kube::config::Kubeconfig::from_yaml(&text).unwrap();
        let user = config.auth_infos[0].auth_info.as_ref().unwrap();
        assert_eq!(user.client_certificate.as_deref(), Some("/pki/admin.crt"));
    }

    #[test]
    fn containerd_and_kubelet_agree() {
        let (of, kubelet_of) = sample();
        let text = containerd(&of);
        assert!(text.contains("SystemdCgroup = true") && kubelet(&kubelet_of).contains("cgroupDriver: systemd"));
        assert!(text.contains("restrict_oom_score_adj = true"));
        assert!(containerd(&Containerd { may_lower_oom_score: true, ..of }).contains("restrict_oom_score_adj = false"));
    }
}
