//! Where every file of a cluster lies. Nothing here looks at the disk.
//!
//! All state is under the state directory; sockets, process records and mounts of the running cluster are under
//! `/run/kogge/<hash of the state directory>`, because a socket's path may have 107 bytes at most.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Directory of all running clusters of this machine.
pub const RUN_ROOT: &str = "/run/kogge";

/// The paths of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    dir: PathBuf,
    id: String,
}

/// The paths of one node of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLayout {
    pub dir: PathBuf,
    pub run: PathBuf,
}

impl Layout {
    /// `dir` must be absolute: the hash, and what components write into files, depend on it.
    pub fn new(dir: &Path) -> Self {
        let digest = Sha256::digest(dir.as_os_str().as_encoded_bytes());
        let mut id = String::new();
        for byte in &digest[..4] {
            let _ = write!(id, "{byte:02x}");
        }
        Self { dir: dir.to_owned(), id }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Short name of the cluster, unique on this machine: the hash of its state directory.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn run(&self) -> PathBuf {
        Path::new(RUN_ROOT).join(&self.id)
    }

    pub fn spec(&self) -> PathBuf {
        self.dir.join("cluster.json")
    }

    pub fn pki(&self) -> PathBuf {
        self.dir.join("pki")
    }

    pub fn etcd(&self) -> PathBuf {
        self.dir.join("etcd")
    }

    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.dir.join("admin.kubeconfig")
    }

    /// Kubeconfig of a control-plane component or addon.
    pub fn kubeconfig(&self, component: &str) -> PathBuf {
        self.dir.join("kubeconfig").join(format!("{component}.kubeconfig"))
    }

    pub fn scheduler_config(&self) -> PathBuf {
        self.dir.join("scheduler.yaml")
    }

    /// The nodes in the form of Prometheus' file discovery.
    pub fn prometheus_nodes(&self) -> PathBuf {
        self.dir.join("prometheus/nodes.json")
    }

    /// Archives of the images that every node has.
    pub fn images(&self) -> PathBuf {
        self.dir.join("images")
    }

    /// Where containerd looks for CNI plugins; ours is linked into it.
    pub fn cni_bin(&self) -> PathBuf {
        self.dir.join("cni-bin")
    }

    /// Held by a command that changes the cluster.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    /// The processes wanted: written by commands, read by the supervisor.
    pub fn wanted(&self) -> PathBuf {
        self.run().join("processes.json")
    }

    pub fn supervisor_socket(&self) -> PathBuf {
        self.run().join("supervisor.sock")
    }

    /// Record of a running process.
    pub fn record(&self, process: &str) -> PathBuf {
        self.run().join("pids").join(process.replace('/', "."))
    }

    pub fn log(&self, process: &str) -> PathBuf {
        self.logs().join(format!("{}.log", process.replace('/', ".")))
    }

    /// Which network namespace the cluster lives in, for the check that there is only one in each.
    pub fn owner(&self) -> PathBuf {
        self.run().join("owner.json")
    }

    /// Former values of the sysctls that were changed.
    pub fn sysctls(&self) -> PathBuf {
        self.run().join("sysctls.json")
    }

    /// Parent of the pods' cgroups of a node, below each hierarchy's root.
    pub fn cgroup(&self, node: &str) -> String {
        format!("/kogge-{}/{node}", self.id)
    }

    pub fn cgroup_root(&self) -> String {
        format!("/kogge-{}", self.id)
    }

    pub fn node(&self, name: &str) -> NodeLayout {
        NodeLayout { dir: self.dir.join("nodes").join(name), run: self.run().join(name) }
    }
}

impl NodeLayout {
    pub fn containerd_config(&self) -> PathBuf {
        self.dir.join("containerd.toml")
    }

    pub fn containerd_root(&self) -> PathBuf {
        self.dir.join("containerd")
    }

    pub fn containerd_state(&self) -> PathBuf {
        self.run.join("containerd")
    }

    pub fn containerd_socket(&self) -> PathBuf {
        self.run.join("containerd.sock")
    }

    pub fn registries(&self) -> PathBuf {
        self.dir.join("registries")
    }

    pub fn cni_conf(&self) -> PathBuf {
        self.dir.join("cni")
    }

    pub fn cni_state(&self) -> PathBuf {
        self.run.join("cni")
    }

    /// What `image load` and `up` have imported, so that a second `up` imports nothing.
    pub fn images(&self) -> PathBuf {
        self.dir.join("images.json")
    }

    pub fn kubelet_config(&self) -> PathBuf {
        self.dir.join("kubelet.yaml")
    }

    pub fn kubelet_root(&self) -> PathBuf {
        self.dir.join("kubelet")
    }

    pub fn pod_logs(&self) -> PathBuf {
        self.dir.join("pod-logs")
    }

    pub fn manifests(&self) -> PathBuf {
        self.dir.join("manifests")
    }

    pub fn proxy_config(&self) -> PathBuf {
        self.dir.join("proxy.yaml")
    }

    pub fn kubeconfig(&self, component: &str) -> PathBuf {
        self.dir.join(format!("{component}.kubeconfig"))
    }

    pub fn pki(&self) -> PathBuf {
        self.dir.join("pki")
    }

    /// The network namespace of a node that is not this machine.
    pub fn netns(&self) -> PathBuf {
        self.run.join("netns")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_short_whatever_the_directory() {
        let layout = Layout::new(Path::new("/a/very/long/directory/name/that/would/never/fit/into/a/socket/address"));
        assert!(layout.node("node-1").containerd_socket().as_os_str().len() < 60);
        assert_eq!(layout.id().len(), 8);
    }

    #[test]
    fn clusters_in_different_directories_share_nothing() {
        let (a, b) = (Layout::new(Path::new("/a")), Layout::new(Path::new("/b")));
        assert_ne!(a.run(), b.run());
        assert_ne!(a.cgroup_root(), b.cgroup_root());
    }
}
