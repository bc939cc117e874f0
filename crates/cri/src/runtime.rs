//! The [`Runtime`] trait and the few values that CRI has no message for.

use std::path::Path;
use std::time::Duration;

use futures::stream::BoxStream;

use crate::error::Result;
use crate::v1;

/// A boxed future: [`Runtime`] is used as `Arc<dyn Runtime>`.
pub type BoxFuture<'a, T> = futures::future::BoxFuture<'a, Result<T>>;

/// The runtime's events. It never ends while the runtime object lives: it reconnects by itself.
pub type EventStream = BoxStream<'static, Event>;

/// A hint that something changed. Truth is what a status call says afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A container or a sandbox changed. A sandbox is a container of its own id.
    Changed {
        /// The container's or the sandbox's id.
        id: String,
        /// What happened.
        change: Change,
    },
    /// Events may have been missed (first message of every stream, and after each reconnect): list everything.
    Resync,
}

/// What an [`Event`] says of its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It exists.
    Created,
    /// Its process runs.
    Started,
    /// Its process ended.
    Exited,
    /// The kernel killed a process in it for want of memory.
    OutOfMemory,
    /// It is gone.
    Removed,
}

/// Who the runtime is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeVersion {
    /// `containerd`.
    pub name: String,
    /// `1.6.20`.
    pub version: String,
    /// `v1`.
    pub api_version: String,
}

impl RuntimeVersion {
    /// The form of a node's `containerRuntimeVersion`: `containerd://1.6.20`.
    pub fn node_info(&self) -> String {
        format!("{}://{}", self.name, self.version)
    }
}

/// Who makes a container's cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupDriver {
    /// Directories in the cgroup tree.
    Cgroupfs,
    /// Units of systemd.
    Systemd,
}

/// What a command in a container answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Standard output, cut by the runtime at 16 MiB.
    pub stdout: Vec<u8>,
    /// Standard error, cut by the runtime at 16 MiB.
    pub stderr: Vec<u8>,
    /// The command's exit code.
    pub exit_code: i32,
}

/// A container runtime.
///
/// Stopping and removing what does not exist succeeds, as CRI demands; asking for its status is
/// [`Error::NotFound`](crate::Error::NotFound). Times in statuses are nanoseconds since 1970.
pub trait Runtime: Send + Sync + 'static {
    /// Who the runtime is. Also the cheapest way to see whether it answers.
    fn version(&self) -> BoxFuture<'_, RuntimeVersion>;

    /// The conditions `RuntimeReady` and `NetworkReady`.
    fn status(&self) -> BoxFuture<'_, v1::RuntimeStatus>;

    /// Who makes cgroups. containerd before 2.0 cannot say (`Unimplemented`): take it from the configuration then.
    fn cgroup_driver(&self) -> BoxFuture<'_, CgroupDriver>;

    /// Makes a pod's sandbox with its network, and starts it. Returns its id. `handler` is the RuntimeClass's, or empty.
    fn run_pod_sandbox<'a>(&'a self, config: v1::PodSandboxConfig, handler: &'a str) -> BoxFuture<'a, String>;

    /// Stops a sandbox and everything in it, and takes its network down. May be repeated.
    fn stop_pod_sandbox<'a>(&'a self, sandbox: &'a str) -> BoxFuture<'a, ()>;

    /// Removes a sandbox and its containers, running or not. May be repeated.
    fn remove_pod_sandbox<'a>(&'a self, sandbox: &'a str) -> BoxFuture<'a, ()>;

    /// A sandbox's state and addresses.
    fn pod_sandbox_status<'a>(&'a self, sandbox: &'a str) -> BoxFuture<'a, v1::PodSandboxStatus>;

    /// All sandboxes, or those the filter names.
    fn list_pod_sandboxes(&self, filter: Option<v1::PodSandboxFilter>) -> BoxFuture<'_, Vec<v1::PodSandbox>>;

    /// Makes a container in a sandbox from an image that is present. Returns its id.
    fn create_container<'a>(
        &'a self,
        sandbox: &'a str,
        config: v1::ContainerConfig,
        sandbox_config: v1::PodSandboxConfig,
    ) -> BoxFuture<'a, String>;

    /// Starts a created container.
    fn start_container<'a>(&'a self, container: &'a str) -> BoxFuture<'a, ()>;

    /// Sends the image's stop signal, and SIGKILL after `grace` (whole seconds). Returns when the container has ended.
    fn stop_container<'a>(&'a self, container: &'a str, grace: Duration) -> BoxFuture<'a, ()>;

    /// Removes a container, killing it if it runs. May be repeated.
    fn remove_container<'a>(&'a self, container: &'a str) -> BoxFuture<'a, ()>;

    /// All containers, or those the filter names.
    fn list_containers(&self, filter: Option<v1::ContainerFilter>) -> BoxFuture<'_, Vec<v1::Container>>;

    /// A container's state, exit code, times and mounts.
    fn container_status<'a>(&'a self, container: &'a str) -> BoxFuture<'a, v1::ContainerStatus>;

    /// Changes a container's cgroup limits.
    fn update_container_resources<'a>(
        &'a self,
        container: &'a str,
        resources: v1::LinuxContainerResources,
    ) -> BoxFuture<'a, ()>;

    /// Makes the runtime open the container's log file anew, after it was renamed.
    fn reopen_container_log<'a>(&'a self, container: &'a str) -> BoxFuture<'a, ()>;

    /// Runs a command in a container and waits for it; [`Error::Timeout`](crate::Error::Timeout) when `timeout`
    /// (whole seconds; none when zero) passes first.
    fn exec_sync<'a>(
        &'a self,
        container: &'a str,
        command: Vec<String>,
        timeout: Duration,
    ) -> BoxFuture<'a, ExecOutput>;

    /// Where a client may connect (SPDY or WebSocket v4) to run a command interactively.
    fn exec(&self, request: v1::ExecRequest) -> BoxFuture<'_, String>;

    /// Where a client may connect to a container's own streams.
    fn attach(&self, request: v1::AttachRequest) -> BoxFuture<'_, String>;

    /// Where a client may connect to forward ports of a sandbox.
    fn port_forward(&self, request: v1::PortForwardRequest) -> BoxFuture<'_, String>;

    /// One container's use of processor, memory and disk.
    fn container_stats<'a>(&'a self, container: &'a str) -> BoxFuture<'a, v1::ContainerStats>;

    /// The use of all running containers.
    fn list_container_stats(&self, filter: Option<v1::ContainerStatsFilter>) -> BoxFuture<'_, Vec<v1::ContainerStats>>;

    /// The use of all sandboxes with their containers and network.
    fn list_pod_sandbox_stats(
        &self,
        filter: Option<v1::PodSandboxStatsFilter>,
    ) -> BoxFuture<'_, Vec<v1::PodSandboxStats>>;

    /// All images present.
    fn list_images(&self) -> BoxFuture<'_, Vec<v1::Image>>;

    /// The image of that name, if it is present.
    fn image_status<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Option<v1::Image>>;

    /// Pulls an image from its registry, and returns the reference to give to `create_container`.
    /// Fails with [`Error::ImagePull`](crate::Error::ImagePull). Has no time-out of its own.
    fn pull_image<'a>(
        &'a self,
        image: &'a str,
        auth: Option<v1::AuthConfig>,
        sandbox_config: Option<v1::PodSandboxConfig>,
    ) -> BoxFuture<'a, String>;

    /// Removes an image with all its names. May be repeated.
    fn remove_image<'a>(&'a self, image: &'a str) -> BoxFuture<'a, ()>;

    /// What images take of their file system.
    fn image_fs_info(&self) -> BoxFuture<'_, v1::ImageFsInfoResponse>;

    /// Takes the images of an OCI archive (a tar file) into the runtime, and returns their names.
    fn import_image<'a>(&'a self, archive: &'a Path) -> BoxFuture<'a, Vec<String>>;

    /// Containers' lives as they happen, beginning with [`Event::Resync`]. Each call is a stream of its own.
    fn events(&self) -> EventStream;
}
