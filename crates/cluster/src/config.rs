//! The components' configuration files, in upstream's forms, as text. Nothing here touches the disk.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::layout::Layout;
use crate::options::Spec;

/// containerd's configuration for one node, version 2 (containerd 1.6 and 1.7; 2.x migrates it by itself).
///
/// `may_lower_oom_score` is whether this process has CAP_SYS_RESOURCE: without it every sandbox would die on the
/// score that CRI asks for, so containerd is told to ask for what is allowed.
pub fn containerd(layout: &Layout, node: &str, may_lower_oom_score: bool) -> String {
    let files = layout.node(node);
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
        SystemdCgroup = false

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {cni_bin}
    conf_dir = {cni_conf}
    max_conf_num = 1

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = {registries}
"#,
        root = show(&files.containerd_root()),
        state = show(&files.containerd_state()),
        socket = show(&files.containerd_socket()),
        pause = crate::images::PAUSE,
        restrict = !may_lower_oom_score,
        cni_bin = show(&layout.cni_bin()),
        cni_conf = show(&files.cni_conf()),
        registries = show(&files.registries()),
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

/// The nodes share this machine's disk with its owner, who may keep it as full as they like: that evicts nothing and
/// removes no image.
pub fn kubelet(layout: &Layout, spec: &Spec, node: &str) -> String {
    let files = layout.node(node);
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
tlsCertFile: {pki}/kubelet.crt
tlsPrivateKeyFile: {pki}/kubelet.key
containerRuntimeEndpoint: unix://{socket}
cgroupDriver: cgroupfs
cgroupRoot: {cgroup}
clusterDNS:
- {dns}
clusterDomain: {domain}
staticPodPath: {manifests}
podLogsDir: {logs}
failSwapOn: false
evictionHard:
  memory.available: 100Mi
  nodefs.available: 0%
  nodefs.inodesFree: 0%
  imagefs.available: 0%
imageGCHighThresholdPercent: 100
"#,
        ca = layout.pki().join("ca.crt").display(),
        pki = files.pki().display(),
        socket = files.containerd_socket().display(),
        cgroup = layout.cgroup(node),
        dns = spec.dns_address,
        domain = spec.domain,
        manifests = files.manifests().display(),
        logs = files.pod_logs().display(),
    )
}

pub fn proxy(layout: &Layout, spec: &Spec, node: &str) -> String {
    format!(
        r#"apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: {pods}
healthzBindAddress: 0.0.0.0:10256
metricsBindAddress: {address}:10249
clientConnection:
  kubeconfig: {kubeconfig}
"#,
        pods = spec.pod_cidr,
        address = spec.address(node),
        kubeconfig = layout.node(node).kubeconfig("proxy").display(),
    )
}

pub fn scheduler(layout: &Layout) -> String {
    format!(
        r#"apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: {kubeconfig}
leaderElection:
  leaderElect: true
"#,
        kubeconfig = layout.kubeconfig("scheduler").display(),
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

    fn cluster() -> (Layout, Spec) {
        (Layout::new(Path::new("/c")), Spec::new("/bin".into(), 2))
    }

    #[test]
    fn what_upstream_reads_as_yaml_is_yaml() {
        let (layout, spec) = cluster();
        for (text, kind) in [
            (kubelet(&layout, &spec, "node-1"), "KubeletConfiguration"),
            (proxy(&layout, &spec, "node-2"), "KubeProxyConfiguration"),
            (scheduler(&layout), "KubeSchedulerConfiguration"),
            (kubeconfig("https://a:1", Path::new("/ca"), Path::new("/id"), "u"), "Config"),
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
    fn oom_scores_are_restricted_only_where_they_must_be() {
        let (layout, _) = cluster();
        assert!(containerd(&layout, "node-1", false).contains("restrict_oom_score_adj = true"));
        assert!(containerd(&layout, "node-1", true).contains("restrict_oom_score_adj = false"));
    }
}
