//! What the container runtime shows of one pod, in the few fields that decisions need.

use crate::core::ResourceRequirements;
use jiff::Timestamp;
use std::cmp::Reverse;

/// All sandboxes and containers of one pod; both lists newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodSeen {
    pub sandboxes: Vec<SandboxSeen>,
    pub containers: Vec<ContainerSeen>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SandboxSeen {
    pub id: String,
    pub attempt: u32,
    pub ready: bool,
    pub created_at: Timestamp,
    /// Empty for a pod in the host's network.
    pub ips: Vec<String>,
    pub host_network: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ContainerSeen {
    pub id: String,
    pub name: String,
    /// How often this container was started before: upstream's restart count.
    pub attempt: u32,
    pub sandbox_id: String,
    pub phase: ContainerPhase,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub exit_code: i32,
    pub reason: String,
    pub message: String,
    pub image: String,
    pub image_id: String,
    /// Of the spec it was made from, see [`crate::names::container_hash`].
    pub hash: String,
    pub log_path: String,
    /// What it was made with; unknown of containers that others made.
    pub made_with: Option<ResourceRequirements>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerPhase {
    Created,
    Running,
    Exited,
    Unknown,
}

impl PodSeen {
    /// Puts the newest sandbox and container first, as every reader expects.
    pub fn sorted(mut self) -> Self {
        self.sandboxes.sort_by_key(|s| Reverse((s.created_at, s.attempt)));
        self.containers.sort_by_key(|c| Reverse((c.attempt, c.created_at)));
        self
    }

    /// The newest container of that name.
    pub fn container(&self, name: &str) -> Option<&ContainerSeen> {
        self.containers.iter().find(|c| c.name == name)
    }

    /// The newest sandbox, if it is ready.
    pub fn ready_sandbox(&self) -> Option<&SandboxSeen> {
        self.sandboxes.first().filter(|s| s.ready)
    }

    pub fn running(&self) -> impl Iterator<Item = &ContainerSeen> {
        self.containers.iter().filter(|c| c.is_running())
    }

    /// Containers and sandboxes that still have to be stopped.
    pub fn alive(&self) -> usize {
        self.containers.iter().filter(|c| c.may_run()).count() + self.sandboxes.iter().filter(|s| s.ready).count()
    }
}

impl ContainerSeen {
    pub fn is_running(&self) -> bool {
        self.phase == ContainerPhase::Running
    }

    /// Not known to have ended.
    pub fn may_run(&self) -> bool {
        matches!(self.phase, ContainerPhase::Running | ContainerPhase::Unknown)
    }

    pub fn has_exited(&self) -> bool {
        self.phase == ContainerPhase::Exited
    }
}
