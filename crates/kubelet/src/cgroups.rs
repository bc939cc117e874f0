//! The kubelet's own part of the cgroup tree: one group per quality-of-service class and pod. What
//! is below a pod's group is the runtime's.

use crate::config::KubeletConfiguration;
use anyhow::Context as _;
use pod_lifecycle::{
    cgroup::{Driver, Tree},
    core::Pod,
    names,
    qos::{self, Class},
    resources::{self, CgroupValues},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

const MOUNT: &str = "/sys/fs/cgroup";

pub struct Cgroups {
    tree: Tree,
    hierarchy: Hierarchy,
    pids_limit: i64,
}

enum Hierarchy {
    /// Mount points of the controllers we use, and of every hierarchy the runtime may use.
    V1 {
        cpu: Option<PathBuf>,
        memory: Option<PathBuf>,
        pids: Option<PathBuf>,
        all: Vec<PathBuf>,
    },
    V2 {
        root: PathBuf,
    },
}

impl Cgroups {
    pub fn open(config: &KubeletConfiguration) -> anyhow::Result<Self> {
        Self::at(Path::new(MOUNT), config)
    }

    fn at(root: &Path, config: &KubeletConfiguration) -> anyhow::Result<Self> {
        let driver = match config.cgroup_driver {
            crate::config::CgroupDriver::Cgroupfs => Driver::Cgroupfs,
            crate::config::CgroupDriver::Systemd => Driver::Systemd,
        };
        let hierarchy = if root.join("cgroup.controllers").exists() {
            Hierarchy::V2 { root: root.to_path_buf() }
        } else {
            let controller = |name: &str| Some(root.join(name)).filter(|p| p.is_dir());
            let all = fs::read_dir(root).context("cannot list the cgroup hierarchies")?;
            Hierarchy::V1 {
                cpu: controller("cpu"),
                memory: controller("memory"),
                pids: controller("pids"),
                all: all.flatten().map(|e| e.path()).filter(|p| p.is_dir() && !p.is_symlink()).collect(),
            }
        };
        let cgroups = Self {
            tree: Tree { driver, root: config.cgroup_root.clone() },
            hierarchy,
            pids_limit: config.pod_pids_limit,
        };
        if driver == Driver::Cgroupfs {
            for class in [None, Some(Class::Burstable), Some(Class::BestEffort)] {
                cgroups.make(&cgroups.tree.path(class, None)).context("cannot make the cgroups of pods")?;
            }
            let least = CgroupValues { cpu_shares: 2, ..CgroupValues::default() };
            cgroups.set(&cgroups.tree.path(Some(Class::BestEffort), None), least)?;
        }
        Ok(cgroups)
    }

    pub fn is_v2(&self) -> bool {
        matches!(self.hierarchy, Hierarchy::V2 { .. })
    }

    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// With the systemd driver the runtime makes the pod's slice, from the sandbox's resources.
    pub fn ensure_pod(&self, pod: &Pod) -> anyhow::Result<()> {
        if self.tree.driver == Driver::Systemd {
            return Ok(());
        }
        let path = self.tree.path(Some(qos::class(pod)), Some(names::uid(pod)));
        self.make(&path)?;
        self.set(&path, resources::pod(pod))
    }

    /// Limits wide enough for the pod as it is now and as it was.
    pub fn resize_pod(&self, pod: &Pod, former: &Pod) -> anyhow::Result<()> {
        if self.tree.driver == Driver::Systemd {
            return Ok(());
        }
        let path = self.tree.path(Some(qos::class(pod)), Some(names::uid(pod)));
        self.set(&path, resources::pod(pod).or_wider(resources::pod(former)))
    }

    pub fn remove_pod(&self, uid: &str) {
        for class in [Class::Guaranteed, Class::Burstable, Class::BestEffort] {
            let path = self.tree.path(Some(class), Some(uid));
            for directory in self.directories(&path) {
                remove_tree(&directory);
            }
        }
    }

    /// How many processes and threads a pod has.
    pub fn processes(&self, pod: &Pod) -> u64 {
        let path = self.tree.path(Some(qos::class(pod)), Some(names::uid(pod)));
        let root = match &self.hierarchy {
            Hierarchy::V1 { pids, .. } => pids.as_deref(),
            Hierarchy::V2 { root } => Some(root.as_path()),
        };
        let count = root.map(|root| root.join(path.trim_start_matches('/')).join("pids.current"));
        count.and_then(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).unwrap_or(0)
    }

    fn directories(&self, path: &str) -> Vec<PathBuf> {
        let path = path.trim_start_matches('/');
        match &self.hierarchy {
            Hierarchy::V2 { root } => vec![root.join(path)],
            Hierarchy::V1 { all, .. } => all.iter().map(|h| h.join(path)).collect(),
        }
    }

    fn make(&self, path: &str) -> anyhow::Result<()> {
        match &self.hierarchy {
            Hierarchy::V1 { cpu, memory, pids, .. } => {
                for controller in [cpu, memory, pids].into_iter().flatten() {
                    let directory = controller.join(path.trim_start_matches('/'));
                    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
                }
            }
            Hierarchy::V2 { root } => {
                let mut here = root.clone();
                for part in path.split('/').filter(|p| !p.is_empty()) {
                    enable_controllers(&here);
                    here.push(part);
                    if !here.is_dir() {
                        fs::create_dir(&here).with_context(|| format!("cannot make {}", here.display()))?;
                    }
                }
                enable_controllers(&here);
            }
        }
        Ok(())
    }

    fn set(&self, path: &str, values: CgroupValues) -> anyhow::Result<()> {
        let path = path.trim_start_matches('/');
        let quota = if values.cpu_quota > 0 { values.cpu_quota } else { -1 };
        match &self.hierarchy {
            Hierarchy::V1 { cpu, memory, pids, .. } => {
                if let Some(cpu) = cpu {
                    put(&cpu.join(path).join("cpu.shares"), values.cpu_shares)?;
                    put(&cpu.join(path).join("cpu.cfs_period_us"), resources::CPU_PERIOD)?;
                    put(&cpu.join(path).join("cpu.cfs_quota_us"), quota)?;
                }
                if let Some(memory) = memory.as_ref().filter(|_| values.memory > 0) {
                    put(&memory.join(path).join("memory.limit_in_bytes"), values.memory)?;
                }
                if let Some(pids) = pids.as_ref().filter(|_| self.pids_limit > 0) {
                    put(&pids.join(path).join("pids.max"), self.pids_limit)?;
                }
            }
            Hierarchy::V2 { root } => {
                let group = root.join(path);
                put(&group.join("cpu.weight"), resources::weight(values.cpu_shares))?;
                let max = if quota > 0 { quota.to_string() } else { "max".into() };
                put(&group.join("cpu.max"), format!("{max} {}", resources::CPU_PERIOD))?;
                if values.memory > 0 {
                    put(&group.join("memory.max"), values.memory)?;
                }
                if self.pids_limit > 0 {
                    put(&group.join("pids.max"), self.pids_limit)?;
                }
            }
        }
        Ok(())
    }
}

/// A controller that the parent does not delegate cannot be enabled; limits are then not enforced,
/// which the write of the limit itself reports.
fn enable_controllers(group: &Path) {
    let available = fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
    for controller in ["cpu", "memory", "pids", "cpuset", "io", "hugetlb"] {
        if available.split_whitespace().any(|c| c == controller) {
            let outcome = fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
            if let Err(error) = outcome {
                tracing::debug!(group = %group.display(), controller, %error, "cannot enable a cgroup controller");
            }
        }
    }
}

fn put(file: &Path, value: impl ToString) -> anyhow::Result<()> {
    match fs::write(file, value.to_string()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.with_context(|| format!("cannot write {}", file.display())),
    }
}

/// A cgroup's files cannot be removed, only its directories, the innermost first.
fn remove_tree(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        remove_tree(&entry.path());
    }
    if let Err(error) = fs::remove_dir(directory) {
        tracing::debug!(cgroup = %directory.display(), %error, "cannot remove a cgroup");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Pod {
        serde_json::from_value(json!({"metadata": {"uid": "a-b"}, "spec": {"containers": [{"name": "c", "resources":
            {"requests": {"cpu": "250m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "32Mi"}}}]}}))
        .unwrap()
    }

    /// A folder that looks like a mount point of cgroups; the kernel would make the files, here writing them does.
    fn check(name: &str, prepare: impl Fn(&Path), path: &str, want: &[(&str, &str)]) {
        let root = std::env::temp_dir().join(format!("kubelet-cgroups-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        prepare(&root);
        let config = KubeletConfiguration { cgroup_root: "/kogge".into(), pod_pids_limit: 99, ..Default::default() };
        let cgroups = Cgroups::at(&root, &config).unwrap();
        cgroups.ensure_pod(&pod()).unwrap();
        for (file, content) in want {
            assert_eq!(fs::read_to_string(root.join(file)).ok().as_deref(), Some(*content), "{file}");
        }
        for directory in cgroups.directories(path) {
            for file in fs::read_dir(&directory).into_iter().flatten().flatten() {
                fs::remove_file(file.path()).unwrap();
            }
        }
        cgroups.remove_pod("a-b");
        assert!(cgroups.directories(path).iter().all(|d| !d.exists()));
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn the_files_of_v2() {
        let pod = "kogge/kubepods/burstable/poda-b";
        check(
            "v2",
            |root| fs::write(root.join("cgroup.controllers"), "cpu memory pids").unwrap(),
            pod,
            &[
                ("cgroup.subtree_control", "+pids"),
                ("kogge/kubepods/besteffort/cpu.weight", "1"),
                (&format!("{pod}/cpu.weight"), "10"),
                (&format!("{pod}/cpu.max"), "50000 100000"),
                (&format!("{pod}/memory.max"), "33554432"),
                (&format!("{pod}/pids.max"), "99"),
            ],
        );
    }

    #[test]
    fn the_files_of_v1() {
        let pod = "kogge/kubepods/burstable/poda-b";
        check(
            "v1",
            |root| ["cpu", "memory", "pids"].iter().for_each(|c| fs::create_dir_all(root.join(c)).unwrap()),
            pod,
            &[
                ("cpu/kogge/kubepods/besteffort/cpu.shares", "2"),
                (&format!("cpu/{pod}/cpu.shares"), "256"),
                (&format!("cpu/{pod}/cpu.cfs_quota_us"), "50000"),
                (&format!("memory/{pod}/memory.limit_in_bytes"), "33554432"),
                (&format!("pids/{pod}/pids.max"), "99"),
            ],
        );
    }
}
