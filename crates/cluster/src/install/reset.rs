//! `kctl cluster down` on a machine that `init` or `join` has made part of a cluster.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;

use super::files::{CNI_BIN, KUBELET_CONFIG};
use super::record::{ETC, Installation, RECORD, Root};
use super::units;
use crate::progress::Progress;
use crate::{machine, mounts, node, proc};

/// What containers leave behind when nobody is there to stop them.
const KUBELET: &str = "/var/lib/kubelet";
const RUN: &str = "/run/kogge-containerd";
const STATE: [&str; 2] = ["/var/lib/kogge-etcd", "/var/lib/kogge-containerd"];
const POD_LOGS: &str = "/var/log/pods";

/// Whether `init` or `join` has been here.
pub fn is_installed(root: &Path) -> bool {
    Root(root.to_owned()).at(RECORD).exists()
}

/// Stops the units and removes pods and their network from the machine; with `purge` also certificates, configuration
/// and etcd's data.
pub async fn reset(root: &Path, purge: bool, progress: &dyn Progress) -> anyhow::Result<()> {
    machine::require_root()?;
    let root = Root(root.to_owned());
    let of = Installation::load(&root)?.context("this machine is in no cluster")?;
    if units::is_running() && root.is_this_machine() {
        let begun = Instant::now();
        progress.begin("units");
        units::stop(&units::of(&of)).await;
        progress.end("units", begun.elapsed(), "stopped");
    }
    let begun = Instant::now();
    progress.begin("pods and network");
    if of.node.cri_socket.is_none() {
        end_containers(&root).await;
    } else {
        progress.note("pods are left to their container runtime, which is not ours");
    }
    let programs = std::env::current_exe()?.parent().context("this program has no directory")?.to_owned();
    let services = format!("--service-cluster-ip-range={}", of.cluster.service_cidr);
    clean_up(&programs.join("kogge-proxy"), &["--cleanup", &services]).await;
    clean_up(&programs.join("kogge-cni"), &["agent", "--cleanup", "--state-dir=/run/kogge-cni"]).await;
    mounts::unmount_below(&[&root.at(KUBELET), &root.at(RUN)]);
    progress.end("pods and network", begun.elapsed(), "removed");
    if purge {
        for link in ["kogge-cni", "loopback"] {
            let path = root.at(CNI_BIN).join(link);
            if std::fs::read_link(&path).is_ok_and(|to| to.ends_with("kogge-cni")) {
                let _ = std::fs::remove_file(path);
            }
        }
        for directory in [ETC, KUBELET, RUN, POD_LOGS].into_iter().chain(STATE) {
            remove(&root.at(directory))?;
        }
    }
    Ok(())
}

/// A directory that is a disk of its own is emptied.
fn remove(directory: &Path) -> anyhow::Result<()> {
    match crate::down::remove(directory) {
        Err(error) if std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) => Err(error),
        _ => Ok(()),
    }
}

/// Shims and what they run, with their cgroups.
async fn end_containers(root: &Root) {
    let run = root.at(RUN);
    let mut left = proc::components_under(&[&run]);
    for process in &left {
        process.signal(nix::sys::signal::Signal::SIGKILL);
    }
    let above = cgroup_root(root);
    let pods = ["kubepods", "kubepods.slice"].map(|name| format!("{}/{name}", above.trim_end_matches('/')));
    futures::future::join_all(pods.iter().map(|cgroup| crate::cgroups::destroy(cgroup))).await;
    left.retain(|process| process.is_alive());
    for process in left {
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), process.ended()).await;
    }
    node::remove_shim_sockets(&run.join("state"));
}

/// Where the pods' cgroups are: somebody may have moved them.
fn cgroup_root(root: &Root) -> String {
    let text = std::fs::read_to_string(root.at(KUBELET_CONFIG)).unwrap_or_default();
    let config: serde_json::Value = serde_saphyr::from_str(&text).unwrap_or_default();
    config["cgroupRoot"].as_str().unwrap_or("/").to_owned()
}

/// Components know best what they have made; one that fails is told of, and the rest goes on.
async fn clean_up(program: &Path, arguments: &[&str]) {
    match tokio::process::Command::new(program).args(arguments).output().await {
        Ok(output) if output.status.success() => {}
        Ok(output) => tracing::warn!("{}: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => tracing::warn!("{}: {error}", program.display()),
    }
}
