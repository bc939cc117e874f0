//! The cgroups that hold a node's pods: made before the kubelet needs them, emptied and removed with the node.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    root: PathBuf,
    unified: bool,
}

fn hierarchies() -> Vec<Hierarchy> {
    parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = vec![];
    for line in mountinfo.lines() {
        let Some((mount, filesystem)) = line.split_once(" - ") else { continue };
        let kind = filesystem.split(' ').next().unwrap_or_default();
        let Some(root) = mount.split(' ').nth(4) else { continue };
        if matches!(kind, "cgroup" | "cgroup2") && !found.iter().any(|one| one.root == Path::new(root)) {
            found.push(Hierarchy { root: root.into(), unified: kind == "cgroup2" });
        }
    }
    found
}

/// Makes the cgroup in every hierarchy, usable for pods: with processors and memory nodes (v1), with controllers (v2).
pub fn create(cgroup: &str) -> anyhow::Result<()> {
    for hierarchy in hierarchies() {
        let mut dir = hierarchy.root.clone();
        for part in cgroup.split('/').filter(|part| !part.is_empty()) {
            if hierarchy.unified {
                delegate(&dir);
            }
            let parent = dir.clone();
            dir.push(part);
            if !dir.exists() {
                fs::create_dir(&dir).with_context(|| format!("creating cgroup {}", dir.display()))?;
            }
            inherit_cpuset(&parent, &dir)?;
        }
        if hierarchy.unified {
            delegate(&dir);
        }
    }
    Ok(())
}

/// Passes every controller on to children. One that cannot be passed on is one that v1 has.
fn delegate(dir: &Path) {
    let controllers = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        let _ = fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// In v1 a new cpuset is empty, and nothing can run in it.
fn inherit_cpuset(parent: &Path, child: &Path) -> anyhow::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let Ok(now) = fs::read_to_string(child.join(file)) else { continue };
        if now.trim().is_empty() {
            let value = fs::read_to_string(parent.join(file)).unwrap_or_default();
            if !value.trim().is_empty() {
                fs::write(child.join(file), value.trim()).with_context(|| format!("setting {file}"))?;
            }
        }
    }
    Ok(())
}

/// Kills every process at or below the cgroup and removes it, in every hierarchy.
pub async fn destroy(cgroup: &str) {
    let roots: Vec<PathBuf> =
        hierarchies().into_iter().map(|one| one.root.join(cgroup.trim_start_matches('/'))).collect();
    // A killed process leaves its cgroup only when it has died, which nothing announces in v1.
    for _ in 0..200 {
        let mut left = false;
        for root in roots.iter().filter(|root| root.exists()) {
            left |= !remove(root);
        }
        if !left {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tracing::warn!(cgroup, "cannot be removed");
}

fn remove(dir: &Path) -> bool {
    let children = fs::read_dir(dir).map(|entries| {
        entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
    });
    let mut empty = true;
    for child in children.into_iter().flatten() {
        empty &= remove(&child);
    }
    let processes = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    for pid in processes.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 1) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        empty = false;
    }
    empty && fs::remove_dir(dir).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found() {
        let info = "1 0 0:1 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                    2 1 0:2 / /sys/fs/cgroup/cpu rw shared:3 - cgroup cgroup rw,cpu\n\
                    3 1 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let found: Vec<_> = parse(info).into_iter().map(|one| (one.root, one.unified)).collect();
        assert_eq!(found, [("/sys/fs/cgroup/cpu".into(), false), ("/sys/fs/cgroup/unified".into(), true)]);
    }
}
