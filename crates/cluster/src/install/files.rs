//! Which files the units of a machine read, and what is in them. Pure: nothing here touches the disk.

use std::path::{Path, PathBuf};

use super::record::{Etcd, Installation, RECORD, Role};
use crate::config;

/// What `kogge-containerd.service` makes.
pub const CONTAINERD_SOCKET: &str = "/run/kogge-containerd/containerd.sock";
pub const ADMIN: &str = "/etc/kogge/admin.kubeconfig";
pub const KUBELET_KUBECONFIG: &str = "/etc/kogge/kubelet.kubeconfig";
pub const KUBELET_CONFIG: &str = "/etc/kogge/kubelet.yaml";
pub const PKI: &str = "/etc/kogge/pki";
/// Certificate and key of the kubelet, which renews them itself.
pub const KUBELET_IDENTITY: &str = "/etc/kogge/pki/kubelet-client-current.pem";
/// Where containerd finds CNI plugins, ours and everybody's.
pub const CNI_BIN: &str = "/opt/cni/bin";
const CNI_CONF: &str = "/etc/cni/net.d";
const CONTAINERD_CONFIG: &str = "/etc/kogge/containerd.toml";
const MANIFESTS: &str = "/etc/kogge/manifests";
const POD_LOGS: &str = "/var/log/pods";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub path: PathBuf,
    pub content: String,
    pub mode: u32,
}

impl File {
    fn open(path: &str, content: String) -> Self {
        Self { path: path.into(), content, mode: 0o644 }
    }

    fn secret(path: &str, content: String) -> Self {
        Self { mode: 0o600, ..Self::open(path, content) }
    }
}

/// Directories that must be there before a unit starts: most of these may write nowhere else.
pub fn directories() -> [&'static str; 5] {
    [MANIFESTS, CNI_CONF, CNI_BIN, POD_LOGS, PKI]
}

/// Every file but certificates, and what is made of them.
///
/// # Errors
/// When the record names no proper ranges.
pub fn files(of: &Installation, may_lower_oom_score: bool) -> anyhow::Result<Vec<File>> {
    let mut files = vec![
        File::open(RECORD, serde_json::to_string_pretty(of)?),
        File::open("/etc/kogge/kogge.env", environment(of)),
        File::open(KUBELET_CONFIG, kubelet(of)?),
        File::open("/etc/kogge/proxy.yaml", proxy(of)),
    ];
    let server = &of.cluster.server;
    let ca = Path::new(PKI).join("ca.crt");
    let node = config::kubeconfig_of_node(server, &ca, Path::new(KUBELET_IDENTITY));
    files.push(File::secret(KUBELET_KUBECONFIG, node));
    for component in ["proxy", "cni-agent"] {
        files.push(kubeconfig(component, server));
    }
    if of.node.cri_socket.is_none() {
        files.push(File::open(CONTAINERD_CONFIG, containerd(of, may_lower_oom_score)));
    }
    if of.is_control_plane() {
        let scheduler = config::scheduler(Path::new("/etc/kogge/scheduler.kubeconfig"));
        files.push(File::open("/etc/kogge/scheduler.yaml", scheduler));
        for component in ["scheduler", "controller-manager"] {
            files.push(kubeconfig(component, &local_server()));
        }
    }
    Ok(files)
}

/// The control plane's own machine asks its own API server.
pub fn local_server() -> String {
    format!("https://127.0.0.1:{}", super::record::PORT)
}

fn kubeconfig(component: &str, server: &str) -> File {
    let pki = Path::new(PKI);
    let text = config::kubeconfig(server, &pki.join("ca.crt"), &pki.join(component), component);
    File::secret(&format!("/etc/kogge/{component}.kubeconfig"), text)
}

/// The socket at which containers are run.
pub fn endpoint(of: &Installation) -> String {
    of.node.cri_socket.clone().unwrap_or_else(|| format!("unix://{CONTAINERD_SOCKET}"))
}

fn kubelet(of: &Installation) -> anyhow::Result<String> {
    let pki = Path::new(PKI);
    Ok(config::kubelet(&config::Kubelet {
        ca: &pki.join("ca.crt"),
        serving: &pki.join("kubelet"),
        endpoint: &endpoint(of),
        cgroups: of.node.cgroup_driver,
        cgroup_root: "/",
        dns: of.cluster.dns_address()?,
        domain: &of.cluster.domain,
        manifests: Path::new(MANIFESTS),
        pod_logs: Path::new(POD_LOGS),
        shares_disk: false,
    }))
}

fn proxy(of: &Installation) -> String {
    config::proxy(&of.cluster.pod_cidr, std::net::Ipv4Addr::LOCALHOST, Path::new("/etc/kogge/proxy.kubeconfig"))
}

fn containerd(of: &Installation, may_lower_oom_score: bool) -> String {
    config::containerd(&config::Containerd {
        root: Path::new("/var/lib/kogge-containerd"),
        state: Path::new("/run/kogge-containerd/state"),
        socket: Path::new(CONTAINERD_SOCKET),
        cni_bin: Path::new(CNI_BIN),
        cni_conf: Path::new(CNI_CONF),
        registries: Path::new("/etc/containerd/certs.d"),
        cgroups: of.node.cgroup_driver,
        may_lower_oom_score,
    })
}

/// The flags that differ between clusters and machines; the units have all others.
fn environment(of: &Installation) -> String {
    let mut lines = vec!["# Flags of this machine's units. `kctl cluster init` and `join` write it anew.".to_owned()];
    let mut flags =
        |component: &str, flags: &[String]| lines.push(format!("{component}_FLAGS=\"{}\"", flags.join(" ")));
    let (cluster, node) = (&of.cluster, &of.node);
    let services = format!("--service-cluster-ip-range={}", cluster.service_cidr);
    if let Role::ControlPlane { etcd, .. } = &of.role {
        let mut apiserver = etcd_flags(etcd);
        apiserver.push(format!("--advertise-address={}", node.address));
        apiserver.push(services.clone());
        apiserver.push(format!("--service-account-issuer=https://kubernetes.default.svc.{}", cluster.domain));
        flags("APISERVER", &apiserver);
        flags("CONTROLLER_MANAGER", &[format!("--cluster-cidr={}", cluster.pod_cidr), services.clone()]);
    }
    let name = format!("--hostname-override={}", node.name);
    flags("IMAGES", &[format!("--endpoint={}", endpoint(of))]);
    flags("KUBELET", &[name.clone(), format!("--node-ip={}", node.address)]);
    flags("PROXY", &[name, services]);
    flags("CNI", &[format!("--node-name={}", node.name)]);
    lines.push(String::new());
    lines.join("\n")
}

fn etcd_flags(etcd: &Etcd) -> Vec<String> {
    let servers = match etcd {
        Etcd::Local => "https://127.0.0.1:2379".to_owned(),
        Etcd::External { servers } => servers.join(","),
    };
    let mut flags = vec![format!("--etcd-servers={servers}")];
    if etcd.has_tls() {
        flags.extend([
            format!("--etcd-cafile={PKI}/etcd-ca.crt"),
            format!("--etcd-certfile={PKI}/apiserver-etcd-client.crt"),
            format!("--etcd-keyfile={PKI}/apiserver-etcd-client.key"),
        ]);
    }
    flags
}

impl Etcd {
    pub fn has_tls(&self) -> bool {
        match self {
            Self::Local => true,
            Self::External { servers } => servers.iter().all(|server| server.starts_with("https://")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::installation;
    use super::*;

    fn control_plane(etcd: Etcd) -> Installation {
        installation(Role::ControlPlane { etcd, cert_extra_sans: vec![] })
    }

    fn content(of: &Installation, path: &str) -> String {
        files(of, true).unwrap().into_iter().find(|file| file.path == Path::new(path)).unwrap().content
    }

    /// Every file under /etc/kogge that a unit names is made here, or is a certificate.
    #[test]
    fn units_find_their_files() {
        let made = files(&control_plane(Etcd::Local), true).unwrap();
        let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd");
        let mut seen = 0;
        for unit in std::fs::read_dir(units).unwrap() {
            let text = std::fs::read_to_string(unit.unwrap().path()).unwrap();
            for word in text.split(['=', ' ', '\n']).filter(|word| word.starts_with("/etc/kogge/")) {
                let path = Path::new(word);
                let bootstrap = word.ends_with("bootstrap-kubelet.kubeconfig");
                let known = path.starts_with(PKI) || made.iter().any(|file| file.path == path) || bootstrap;
                assert!(known, "nothing makes {word}");
                seen += 1;
            }
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn a_worker_has_nothing_of_the_control_plane() {
        let all: Vec<_> = files(&installation(Role::Worker), true).unwrap();
        let of_control_plane = |file: &&File| {
            let name = file.path.to_string_lossy();
            ["scheduler", "controller-manager", "admin"].iter().any(|part| name.contains(part))
                || file.content.contains("etcd")
        };
        assert_eq!(all.iter().find(of_control_plane), None);
    }

    #[test]
    fn flags_of_the_environment() {
        let own = content(&control_plane(Etcd::Local), "/etc/kogge/kogge.env");
        assert!(own.contains("APISERVER_FLAGS=\"--etcd-servers=https://127.0.0.1:2379 --etcd-cafile="), "{own}");
        assert!(own.contains("KUBELET_FLAGS=\"--hostname-override=hulk --node-ip=192.0.2.1\""), "{own}");
        let plain = Etcd::External { servers: vec!["http://192.0.2.8:2379".into(), "http://192.0.2.9:2379".into()] };
        let other = content(&control_plane(plain), "/etc/kogge/kogge.env");
        assert!(other.contains("--etcd-servers=http://192.0.2.8:2379,http://192.0.2.9:2379 --advertise"), "{other}");
    }

    #[test]
    fn another_runtime_is_left_alone() {
        let mut worker = installation(Role::Worker);
        worker.node.cri_socket = Some("unix:///run/crio/crio.sock".into());
        assert!(content(&worker, "/etc/kogge/kubelet.yaml").contains("unix:///run/crio/crio.sock"));
        let made = files(&worker, true).unwrap();
        assert!(made.iter().all(|file| file.path != Path::new(CONTAINERD_CONFIG)));
    }
}
