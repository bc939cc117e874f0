//! Putting a machine's files in place.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::Context;
use component::Clock;
use jiff::{Timestamp, ToSpan};

use super::files::{self, ADMIN, CNI_BIN, KUBELET_IDENTITY, PKI};
use super::record::{ETC, Etcd, Installation, Role, Root};
use crate::bootstrap::{link, update};
use crate::layout::Layout;
use crate::pki::{self, Authority, Leaf};
use crate::{config, machine};

/// Everything but certificates. Writes only what differs.
pub fn configuration(root: &Root, of: &Installation) -> anyhow::Result<()> {
    for directory in files::directories() {
        let path = root.at(directory);
        std::fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
    }
    for file in files::files(of, machine::has_sys_resource())? {
        update(&root.at(&file.path), &file.content, file.mode)?;
    }
    let programs = std::env::current_exe()?.parent().context("this program has no directory")?.to_owned();
    let plugin = programs.join("kogge-cni");
    link(&plugin, &root.at(CNI_BIN).join("kogge-cni"))?;
    // containerd sets every pod's loopback device up through a plugin of that name; another one does as well.
    let loopback = root.at(CNI_BIN).join("loopback");
    if loopback.exists() { Ok(()) } else { link(&plugin, &loopback) }
}

/// The certificates of a control plane's machine, signed here. Returns how many were made.
pub fn control_plane_certificates(root: &Root, of: &Installation, now: Timestamp) -> anyhow::Result<usize> {
    let layout = Layout::new(&root.at(ETC));
    let made = pki::ensure(&layout, &leaves(&layout, of)?, now)?;
    let renewed = kubelet_identity(root, &layout, of, now)?;
    let read = |file: &str| {
        let path = layout.pki().join(file);
        std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
    };
    let (ca, certificate, key) = (read("ca.crt")?, read("admin.crt")?, read("admin.key")?);
    let text = config::portable_kubeconfig(&of.cluster.server, &ca, &certificate, &key, "kubernetes-admin");
    update(&root.at(ADMIN), &text, 0o600)?;
    Ok(made + usize::from(renewed))
}

/// As [`control_plane_certificates`], now.
pub fn control_plane_certificates_now(root: &Root, of: &Installation) -> anyhow::Result<usize> {
    control_plane_certificates(root, of, component::SystemClock.now())
}

fn leaves(layout: &Layout, of: &Installation) -> anyhow::Result<Vec<Leaf>> {
    let Role::ControlPlane { etcd, cert_extra_sans } = &of.role else { return Ok(vec![]) };
    let pki = layout.pki();
    let (name, address) = (of.node.name.as_str(), IpAddr::from(of.node.address));
    let serving = |stem: &str, user: &str| Leaf::server(pki.join(stem), user, &[name], [address]);
    let client = |stem: &str, user: &str| Leaf::client(pki.join(stem), user, None);
    let mut leaves = vec![
        apiserver(layout, of, cert_extra_sans)?,
        client("apiserver-kubelet-client", "kube-apiserver-kubelet-client"),
        client("controller-manager", "system:kube-controller-manager"),
        serving("controller-manager-serving", "kube-controller-manager"),
        client("scheduler", "system:kube-scheduler"),
        serving("scheduler-serving", "kube-scheduler"),
        client("proxy", "system:kube-proxy"),
        client("cni-agent", "system:kogge:cni-agent"),
        Leaf::client(pki.join("prometheus"), "system:kogge:prometheus", Some("system:monitoring")),
        Leaf::client(pki.join("admin"), "kubernetes-admin", Some("system:masters")),
        serving("kubelet", &format!("system:node:{name}")),
    ];
    if *etcd == Etcd::Local {
        leaves.push(client("apiserver-etcd-client", "kube-apiserver-etcd-client").of(Authority::Etcd));
        leaves.push(Leaf { client: true, ..serving("etcd", "etcd").of(Authority::Etcd) });
    }
    Ok(leaves)
}

/// Names and addresses under which anybody may know the API server.
fn apiserver(layout: &Layout, of: &Installation, more: &[String]) -> anyhow::Result<Leaf> {
    let in_cluster = format!("kubernetes.default.svc.{}", of.cluster.domain);
    let hostname = machine::hostname();
    let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", &in_cluster, &hostname, &of.node.name];
    let service = of.cluster.service_address(1)?;
    let mut addresses: BTreeSet<IpAddr> = [of.node.address, service].map(Ipv4Addr::into).into();
    addresses.extend(machine::addresses());
    let mut leaf = Leaf::server(layout.pki().join("apiserver"), "kube-apiserver", &names, addresses);
    let endpoint = of.cluster.server.trim_start_matches("https://");
    let endpoint = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host).to_owned();
    for name in more.iter().chain([&endpoint]) {
        match name.parse() {
            Ok(address) => drop(leaf.addresses.insert(address)),
            Err(_) => drop(leaf.dns_names.insert(name.clone())),
        }
    }
    Ok(leaf)
}

/// The kubelet renews its certificate itself, early enough; one that is about to end was not renewed.
fn kubelet_identity(root: &Root, layout: &Layout, of: &Installation, now: Timestamp) -> anyhow::Result<bool> {
    let path = root.at(KUBELET_IDENTITY);
    if is_good(&path, now)? {
        return Ok(false);
    }
    let user = format!("system:node:{}", of.node.name);
    let leaf = Leaf::client(layout.pki().join("kubelet-client"), &user, Some("system:nodes"));
    let [certificate, key] = ["crt", "key"].map(|suffix| pki::with_suffix(&leaf.stem, suffix));
    let _ = std::fs::remove_file(&certificate);
    pki::ensure(layout, &[leaf], now)?;
    identity(root, &std::fs::read_to_string(&certificate)?, &std::fs::read_to_string(&key)?)?;
    std::fs::remove_file(&certificate)?;
    std::fs::remove_file(&key)?;
    Ok(true)
}

/// Puts the kubelet's certificate and key where it looks for them.
pub fn identity(root: &Root, certificate: &str, key: &str) -> anyhow::Result<()> {
    pki::write(&root.at(KUBELET_IDENTITY), &format!("{certificate}{key}"), 0o600)
}

/// A certificate and its key among the others.
pub fn certificate(root: &Root, name: &str, certificate: &str, key: &str) -> anyhow::Result<()> {
    let stem = root.at(PKI).join(name);
    pki::write(&pki::with_suffix(&stem, "key"), key, 0o600)?;
    pki::write(&pki::with_suffix(&stem, "crt"), certificate, 0o644)
}

/// Whether the first certificate in the file is there and does not end soon.
pub fn is_good(path: &Path, now: Timestamp) -> anyhow::Result<bool> {
    let ends = pki::ends(path)?;
    Ok(ends.is_some_and(|ends| ends > now + (pki::RENEW_DAYS * 24).hours()))
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::installation;
    use super::*;

    fn control_plane(etcd: Etcd) -> Installation {
        installation(Role::ControlPlane { etcd, cert_extra_sans: vec!["api.example".into(), "192.0.2.77".into()] })
    }

    fn now() -> Timestamp {
        "2026-11-20T20:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_second_init_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (root, of) = (Root(dir.path().to_owned()), control_plane(Etcd::Local));
        assert!(control_plane_certificates(&root, &of, now()).unwrap() > 10);
        configuration(&root, &of).unwrap();
        assert_eq!(control_plane_certificates(&root, &of, now()).unwrap(), 0);
        let before = std::fs::metadata(root.at("/etc/kogge/kogge.env")).unwrap().modified().unwrap();
        configuration(&root, &of).unwrap();
        assert_eq!(std::fs::metadata(root.at("/etc/kogge/kogge.env")).unwrap().modified().unwrap(), before);
        // After a year without the kubelet's own renewal all leaves are made anew, and no authority is.
        let later = now() + (360 * 24).hours();
        let ca = std::fs::read(root.at("/etc/kogge/pki/ca.crt")).unwrap();
        assert!(control_plane_certificates(&root, &of, later).unwrap() > 10);
        assert_eq!(std::fs::read(root.at("/etc/kogge/pki/ca.crt")).unwrap(), ca);
    }

    /// How further control planes are made: they begin with the authority and the key of the first.
    #[test]
    fn an_authority_that_is_there_signs() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let of = control_plane(Etcd::External { servers: vec!["https://192.0.2.9:2379".into()] });
        control_plane_certificates(&Root(first.path().to_owned()), &of, now()).unwrap();
        let pki = "etc/kogge/pki";
        std::fs::create_dir_all(second.path().join(pki)).unwrap();
        for file in ["ca.crt", "ca.key", "sa.key", "sa.pub"] {
            std::fs::copy(first.path().join(pki).join(file), second.path().join(pki).join(file)).unwrap();
        }
        control_plane_certificates(&Root(second.path().to_owned()), &of, now()).unwrap();
        let read = |dir: &Path, file: &str| std::fs::read(dir.join(pki).join(file)).unwrap();
        for file in ["ca.crt", "sa.key"] {
            assert_eq!(read(first.path(), file), read(second.path(), file), "{file}");
        }
        assert_ne!(read(first.path(), "apiserver.crt"), read(second.path(), "apiserver.crt"));
        assert!(!second.path().join(pki).join("etcd-ca.crt").exists(), "somebody else's etcd has another authority");
    }

    #[test]
    fn the_api_server_is_known_by_all_its_names() {
        let leaf =
            apiserver(&Layout::new(Path::new("/c")), &control_plane(Etcd::Local), &["api.example".into()]).unwrap();
        for name in ["kubernetes.default.svc.cluster.local", "api.example", "hulk", "localhost"] {
            assert!(leaf.dns_names.contains(name), "{name}");
        }
        for address in ["10.96.0.1", "192.0.2.1", "127.0.0.1"] {
            assert!(leaf.addresses.contains(&address.parse().unwrap()), "{address}");
        }
    }
}
