//! A containerd of one's own, for tests: private root, state, socket and network, and nothing left afterwards.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::process::{Child, Command};

use crate::containerd::Containerd;
use crate::runtime::Runtime as _;

/// A network plugin that gives every pod the same address and touches nothing.
const PLUGIN: &str = r#"#!/bin/sh
cat >/dev/null
case $CNI_COMMAND in
VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["0.3.1","0.4.0","1.0.0"]}' ;;
ADD) echo '{"cniVersion":"0.4.0","interfaces":[{"name":"'$CNI_IFNAME'","sandbox":"'$CNI_NETNS'"}],"ips":[{"version":"4","address":"192.0.2.10/24","interface":0}]}' ;;
esac
"#;

const CONFLIST: &str = r#"{"cniVersion":"0.4.0","name":"test","plugins":[{"type":"test"}]}"#;

/// How long containerd may take to answer first, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running containerd. Call [`PrivateContainerd::stop`] when done; dropping it (a test failed) kills everything.
pub struct PrivateContainerd {
    child: Child,
    dir: PathBuf,
    /// A client of it.
    pub runtime: Containerd,
    /// Parent of all cgroups that pods should get.
    pub cgroup_parent: String,
}

impl PrivateContainerd {
    /// Starts containerd with everything below a new directory `dir`, and `sandbox_image` for sandboxes.
    ///
    /// Needs root, and `containerd` and `runc` on the path.
    pub async fn start(dir: &Path, sandbox_image: &str) -> anyhow::Result<PrivateContainerd> {
        let (bin, conf) = (dir.join("cni/bin"), dir.join("cni/conf"));
        for made in [&bin, &conf] {
            std::fs::create_dir_all(made).with_context(|| format!("making {}", made.display()))?;
        }
        for plugin in ["test", "loopback"] {
            let path = bin.join(plugin);
            std::fs::write(&path, PLUGIN)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        }
        std::fs::write(conf.join("10-test.conflist"), CONFLIST)?;
        let config = dir.join("config.toml");
        std::fs::File::create(&config)?.write_all(configuration(dir, sandbox_image)?.as_bytes())?;

        let log = std::fs::File::create(dir.join("containerd.log"))?;
        let child = Command::new("containerd")
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("starting containerd")?;
        let runtime = Containerd::new(dir.join("containerd.sock"));
        let name = dir.file_name().and_then(|name| name.to_str()).context("the directory has no name")?;
        let mut started = PrivateContainerd { child, cgroup_parent: format!("/{name}"), dir: dir.to_owned(), runtime };
        started.ready().await?;
        Ok(started)
    }

    /// Waits until CRI answers.
    async fn ready(&mut self) -> anyhow::Result<()> {
        let answers = async {
            loop {
                if let Some(status) = self.child.try_wait()? {
                    bail!("containerd ended: {status}; see {}", self.dir.join("containerd.log").display());
                }
                if self.runtime.version().await.is_ok() {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answers).await.context("containerd does not answer")?
    }

    /// Removes all pods, ends containerd, and removes its directory, mounts and cgroups.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        for sandbox in self.runtime.list_pod_sandboxes(None).await? {
            self.runtime.stop_pod_sandbox(&sandbox.id).await?;
            self.runtime.remove_pod_sandbox(&sandbox.id).await?;
        }
        if let Some(pid) = self.child.id() {
            let status = Command::new("kill").arg(pid.to_string()).status().await?;
            ensure!(status.success(), "kill {pid}: {status}");
        }
        tokio::time::timeout(PATIENCE, self.child.wait()).await.context("containerd does not end")??;
        self.wipe().with_context(|| format!("removing {}", self.dir.display()))
    }

    /// Removes what outlives the processes.
    fn wipe(&self) -> std::io::Result<()> {
        for mount in mounts_below(&self.dir)? {
            std::process::Command::new("umount").arg(&mount).status()?;
        }
        for cgroup in self.cgroups() {
            remove_cgroup(&cgroup);
        }
        match self.dir.exists() {
            true => std::fs::remove_dir_all(&self.dir),
            false => Ok(()),
        }
    }

    /// The parent cgroup in every hierarchy.
    fn cgroups(&self) -> Vec<PathBuf> {
        let name = self.cgroup_parent.trim_start_matches('/');
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let roots = hierarchies.map(|entry| entry.path()).chain([PathBuf::from("/sys/fs/cgroup")]);
        roots.map(|root| root.join(name)).filter(|cgroup| cgroup.is_dir()).collect()
    }

    /// The shims of this containerd, which name its socket, and the processes in its cgroups.
    fn leftovers(&self) -> Vec<String> {
        let socket = self.runtime.socket().display().to_string();
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().into_string().ok());
        let shims = pids.filter(|pid| {
            let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.contains("containerd-shim") && command.split('\0').any(|argument| argument == socket)
        });
        let mut found: Vec<_> = shims.collect();
        let mut cgroups = self.cgroups();
        while let Some(cgroup) = cgroups.pop() {
            let procs = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
            found.extend(procs.lines().map(str::to_owned));
            let children = std::fs::read_dir(&cgroup).into_iter().flatten().flatten();
            cgroups.extend(children.map(|child| child.path()).filter(|path| path.is_dir()));
        }
        found
    }

    /// Everything of this containerd lies below it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for PrivateContainerd {
    fn drop(&mut self) {
        if !self.dir.exists() {
            return;
        }
        self.child.start_kill().ok();
        for pid in self.leftovers() {
            std::process::Command::new("kill").args(["-9", &pid]).status().ok();
        }
        self.wipe().ok();
    }
}

fn configuration(dir: &Path, sandbox_image: &str) -> anyhow::Result<String> {
    let dir = dir.to_str().context("the directory's name is not UTF-8")?;
    // Without the capability runc may not lower a score, and every sandbox would fail.
    let restrict_oom_score_adj = !may_lower_oom_scores()?;
    Ok(format!(
        r#"version = 2
root = "{dir}/root"
state = "{dir}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
  address = "{dir}/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox_image}"
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = {restrict_oom_score_adj}
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{dir}/cni/bin"
    conf_dir = "{dir}/cni/conf"
"#
    ))
}

/// Whether this process has CAP_SYS_RESOURCE.
fn may_lower_oom_scores() -> anyhow::Result<bool> {
    const CAP_SYS_RESOURCE: u32 = 24;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).context("no CapEff")?;
    Ok(u64::from_str_radix(effective.trim(), 16)? >> CAP_SYS_RESOURCE & 1 == 1)
}

/// Mount points below a directory, the deepest first.
fn mounts_below(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    let mut below: Vec<_> = points.filter(|point| point.starts_with(dir)).collect();
    below.sort();
    below.reverse();
    Ok(below)
}

fn remove_cgroup(path: &Path) {
    for child in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if child.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&child.path());
        }
    }
    std::fs::remove_dir(path).ok();
}
