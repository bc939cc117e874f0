//! Everything on disk that the processes need before they start: certificates, kubeconfigs, configuration.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Context;
use component::Clock;

use crate::config::CgroupDriver;
use crate::layout::Layout;
use crate::options::Spec;
use crate::{config, machine, pki, processes};

/// Writes what is missing or differs. Returns how many certificates were made.
pub fn write(layout: &Layout, spec: &Spec) -> anyhow::Result<usize> {
    for dir in [layout.logs(), layout.etcd(), layout.cni_bin()] {
        std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    }
    // etcd refuses a data directory that others can read, and keys lie beside it.
    private(layout.dir())?;
    private(&layout.etcd())?;
    let leaves = pki::leaves(layout, spec, &machine::hostname(), &machine::addresses());
    let made = pki::ensure(layout, &leaves, component::SystemClock.now())?;
    let local = format!("https://127.0.0.1:{}", spec.api_port);
    let ca = layout.pki().join("ca.crt");
    for component in ["controller-manager", "scheduler", "prometheus"] {
        let text = config::kubeconfig(&local, &ca, &layout.pki().join(component), component);
        update(&layout.kubeconfig(component), &text, 0o600)?;
    }
    update(&layout.scheduler_config(), &config::scheduler(&layout.kubeconfig("scheduler")), 0o644)?;
    write_admin_kubeconfig(layout, &local)?;
    // containerd sets every pod's loopback device up through a plugin of that name.
    for plugin in ["kogge-cni", "loopback"] {
        link(&spec.bin_dir.join("kogge-cni"), &layout.cni_bin().join(plugin))?;
    }
    update(&layout.prometheus_nodes(), &config::prometheus_nodes(spec), 0o644)?;
    for node in &spec.nodes {
        write_node(layout, spec, node).with_context(|| format!("files of {node}"))?;
    }
    Ok(made)
}

fn write_node(layout: &Layout, spec: &Spec, node: &str) -> anyhow::Result<()> {
    let files = layout.node(node);
    for dir in [files.manifests(), files.pod_logs(), files.cni_conf(), files.kubelet_root(), files.run.clone()] {
        std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    }
    let host = spec.nodes.first().map_or(Ipv4Addr::LOCALHOST, |first| spec.address(first));
    let server = format!("https://{host}:{}", spec.api_port);
    let ca = layout.pki().join("ca.crt");
    let identities = [
        ("kubelet", files.pki().join("kubelet-client")),
        ("proxy", layout.pki().join("proxy")),
        ("cni-agent", layout.pki().join("cni-agent")),
    ];
    for (component, identity) in identities {
        update(&files.kubeconfig(component), &config::kubeconfig(&server, &ca, &identity, component), 0o600)?;
    }
    let kubelet = config::Kubelet {
        ca: &ca,
        serving: &files.pki().join("kubelet"),
        endpoint: &format!("unix://{}", files.containerd_socket().display()),
        cgroups: CgroupDriver::Cgroupfs,
        cgroup_root: &layout.cgroup(node),
        dns: spec.dns_address,
        domain: &spec.domain,
        manifests: &files.manifests(),
        pod_logs: &files.pod_logs(),
        shares_disk: true,
    };
    update(&files.kubelet_config(), &config::kubelet(&kubelet), 0o644)?;
    let proxy = config::proxy(&spec.pod_cidr, spec.address(node), &files.kubeconfig("proxy"));
    update(&files.proxy_config(), &proxy, 0o644)?;
    let containerd = config::Containerd {
        root: &files.containerd_root(),
        state: &files.containerd_state(),
        socket: &files.containerd_socket(),
        cni_bin: &layout.cni_bin(),
        cni_conf: &files.cni_conf(),
        registries: &files.registries(),
        cgroups: CgroupDriver::Cgroupfs,
        may_lower_oom_score: machine::has_sys_resource(),
    };
    update(&files.containerd_config(), &config::containerd(&containerd), 0o644)?;
    let mirror = format!("{host}:{}", processes::IMAGES_PORT);
    update(&files.registries().join("docker.io/hosts.toml"), &config::registry_hosts(&mirror, &ca), 0o644)
}

fn write_admin_kubeconfig(layout: &Layout, server: &str) -> anyhow::Result<()> {
    let read = |file: &str| {
        let path = layout.pki().join(file);
        std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
    };
    let text = config::portable_kubeconfig(
        server,
        &read("ca.crt")?,
        &read("admin.crt")?,
        &read("admin.key")?,
        "kubernetes-admin",
    );
    update(&layout.admin_kubeconfig(), &text, 0o600)
}

/// Writes only what differs, so that nothing that watches the file wakes up for nothing.
pub fn update(path: &Path, content: &str, mode: u32) -> anyhow::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|now| now == content) {
        return Ok(());
    }
    pki::write(path, content, mode)
}

fn private(dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(dir, mode).with_context(|| format!("closing {}", dir.display()))
}

pub fn link(target: &Path, path: &Path) -> anyhow::Result<()> {
    if std::fs::read_link(path).is_ok_and(|now| now == target) {
        return Ok(());
    }
    let _ = std::fs::remove_file(path);
    std::os::unix::fs::symlink(target, path).with_context(|| format!("linking {}", path.display()))
}
