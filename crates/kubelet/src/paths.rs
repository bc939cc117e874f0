//! Where the kubelet's files lie: upstream's layout below the root directory, and pod logs.

use pod_lifecycle::{core::Pod, names};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub struct Paths {
    pub root: PathBuf,
    pub logs: PathBuf,
}

impl Paths {
    pub fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }

    pub fn pod(&self, uid: &str) -> PathBuf {
        self.pods().join(uid)
    }

    /// `plugin` as in `kubernetes.io~empty-dir`.
    pub fn volume(&self, uid: &str, plugin: &str, name: &str) -> PathBuf {
        self.pod(uid).join("volumes").join(plugin).join(name)
    }

    pub fn subpath(&self, uid: &str, volume: &str, container: &str, index: usize) -> PathBuf {
        self.pod(uid).join("volume-subpaths").join(volume).join(container).join(index.to_string())
    }

    pub fn etc_hosts(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("etc-hosts")
    }

    pub fn container(&self, uid: &str, name: &str) -> PathBuf {
        self.pod(uid).join("containers").join(name)
    }

    pub fn seccomp(&self) -> PathBuf {
        self.root.join("seccomp")
    }

    pub fn pod_logs(&self, pod: &Pod) -> PathBuf {
        self.logs.join(names::log_directory(pod))
    }

    /// Where log collectors look for one link per container, named by pod, namespace and id.
    pub fn container_links(&self) -> PathBuf {
        self.logs.parent().unwrap_or(Path::new("/")).join("containers")
    }

    pub fn container_link(&self, pod: &Pod, container: &str, id: &str) -> PathBuf {
        self.container_links().join(format!("{}_{}_{container}-{id}.log", names::name(pod), names::namespace(pod)))
    }
}
