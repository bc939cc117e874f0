//! What the fake remembers, and the changes that CRI allows to it. No time passes here.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::Life;
use crate::error::{Error, Result};
use crate::reference::normalize;
use crate::v1;

pub(super) struct State {
    sandboxes: BTreeMap<String, Sandbox>,
    containers: BTreeMap<String, Container>,
    /// Image id → names.
    images: BTreeMap<String, Vec<String>>,
    made: u64,
    next_ip: Ipv4Addr,
}

struct Sandbox {
    config: v1::PodSandboxConfig,
    handler: String,
    ready: bool,
    created_at: i64,
    ip: Option<Ipv4Addr>,
}

struct Container {
    sandbox: String,
    config: v1::ContainerConfig,
    image_id: String,
    state: v1::ContainerState,
    created_at: i64,
    started_at: i64,
    finished_at: i64,
    exit_code: i32,
    reason: String,
    life: Life,
}

fn not_found(what: &str, id: &str) -> Error {
    Error::NotFound(format!("an error occurred when try to find {what} {id:?}: not found"))
}

/// Whether every wanted label is there.
fn selected(
    labels: &std::collections::HashMap<String, String>,
    wanted: &std::collections::HashMap<String, String>,
) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

impl State {
    pub fn new(first_ip: Ipv4Addr) -> State {
        State {
            sandboxes: BTreeMap::new(),
            containers: BTreeMap::new(),
            images: BTreeMap::new(),
            made: 0,
            next_ip: first_ip,
        }
    }

    /// Sixty-four hexadecimal digits, in the order of creation.
    fn id(&mut self) -> String {
        self.made += 1;
        format!("{:064x}", self.made)
    }

    // ---- images ----

    pub fn add_image(&mut self, name: &str) -> String {
        if let Some(id) = self.image_id(name) {
            return id;
        }
        let id = format!("sha256:{}", self.id());
        self.images.insert(id.clone(), vec![name.to_owned()]);
        id
    }

    /// The id of an image by its id or by one of its names.
    pub fn image_id(&self, image: &str) -> Option<String> {
        let name = normalize(image);
        let found = self.images.iter().find(|(id, names)| id.as_str() == image || names.contains(&name));
        found.map(|(id, _)| id.clone())
    }

    pub fn image(&self, image: &str) -> Option<v1::Image> {
        let id = self.image_id(image)?;
        let repo_tags = self.images.get(&id).cloned().unwrap_or_default();
        Some(v1::Image { id, repo_tags, size: 1 << 20, ..Default::default() })
    }

    pub fn image_list(&self) -> Vec<v1::Image> {
        self.images.keys().filter_map(|id| self.image(id)).collect()
    }

    pub fn remove_image(&mut self, image: &str) {
        if let Some(id) = self.image_id(image) {
            self.images.remove(&id);
        }
    }

    // ---- sandboxes ----

    pub fn run_sandbox(&mut self, config: v1::PodSandboxConfig, handler: &str, now: i64) -> Result<String> {
        let taken = self.sandboxes.iter().find(|(_, other)| other.config.metadata == config.metadata);
        if let Some((id, _)) = taken {
            return Err(Error::AlreadyExists(format!("the sandbox's name is reserved for {id:?}")));
        }
        let linux = config.linux.clone().unwrap_or_default();
        let namespaces = linux.security_context.unwrap_or_default().namespace_options.unwrap_or_default();
        let ip = (namespaces.network() != v1::NamespaceMode::Node).then(|| {
            self.next_ip = Ipv4Addr::from_bits(self.next_ip.to_bits().wrapping_add(1));
            self.next_ip
        });
        let id = self.id();
        let sandbox = Sandbox { config, handler: handler.to_owned(), ready: true, created_at: now, ip };
        self.sandboxes.insert(id.clone(), sandbox);
        Ok(id)
    }

    /// Marks a sandbox stopped. False if it was already, or does not exist.
    pub fn stop_sandbox(&mut self, id: &str) -> bool {
        self.sandboxes.get_mut(id).is_some_and(|sandbox| std::mem::replace(&mut sandbox.ready, false))
    }

    /// Forgets a sandbox. False if it does not exist.
    pub fn remove_sandbox(&mut self, id: &str) -> bool {
        self.sandboxes.remove(id).is_some()
    }

    pub fn sandbox_status(&self, id: &str) -> Result<v1::PodSandboxStatus> {
        let sandbox = self.sandboxes.get(id).ok_or_else(|| not_found("sandbox", id))?;
        let ip = if sandbox.ready { sandbox.ip } else { None };
        Ok(v1::PodSandboxStatus {
            id: id.to_owned(),
            metadata: sandbox.config.metadata.clone(),
            state: sandbox.state().into(),
            created_at: sandbox.created_at,
            network: Some(v1::PodSandboxNetworkStatus {
                ip: ip.map(|ip| ip.to_string()).unwrap_or_default(),
                additional_ips: Vec::new(),
            }),
            labels: sandbox.config.labels.clone(),
            annotations: sandbox.config.annotations.clone(),
            runtime_handler: sandbox.handler.clone(),
            ..Default::default()
        })
    }

    pub fn sandbox_list(&self, filter: &v1::PodSandboxFilter) -> Vec<v1::PodSandbox> {
        let wanted = |id: &String, sandbox: &Sandbox| {
            (filter.id.is_empty() || *id == filter.id)
                && filter.state.is_none_or(|state| state.state() == sandbox.state())
                && selected(&sandbox.config.labels, &filter.label_selector)
        };
        let found = self.sandboxes.iter().filter(|(id, sandbox)| wanted(id, sandbox));
        found
            .map(|(id, sandbox)| v1::PodSandbox {
                id: id.clone(),
                metadata: sandbox.config.metadata.clone(),
                state: sandbox.state().into(),
                created_at: sandbox.created_at,
                labels: sandbox.config.labels.clone(),
                annotations: sandbox.config.annotations.clone(),
                runtime_handler: sandbox.handler.clone(),
            })
            .collect()
    }

    // ---- containers ----

    pub fn create_container(&mut self, sandbox: &str, config: v1::ContainerConfig, now: i64) -> Result<String> {
        let owner = self.sandboxes.get(sandbox).ok_or_else(|| not_found("sandbox", sandbox))?;
        if !owner.ready {
            return Err(Error::Failed(format!("sandbox container {sandbox:?} is not running")));
        }
        let image = config.image.as_ref().map_or("", |spec| spec.image.as_str());
        let Some(image_id) = self.image_id(image) else {
            return Err(Error::NotFound(format!("failed to resolve image {image:?}: not found")));
        };
        let same = |other: &&Container| other.sandbox == sandbox && other.config.metadata == config.metadata;
        if self.containers.values().any(|other| same(&other)) {
            return Err(Error::AlreadyExists("the container's name is reserved".to_owned()));
        }
        let id = self.id();
        let container = Container {
            sandbox: sandbox.to_owned(),
            config,
            image_id,
            state: v1::ContainerState::ContainerCreated,
            created_at: now,
            started_at: 0,
            finished_at: 0,
            exit_code: 0,
            reason: String::new(),
            life: Life::default(),
        };
        self.containers.insert(id.clone(), container);
        Ok(id)
    }

    /// The configuration of a container that could be started now.
    pub fn startable(&self, id: &str) -> Result<v1::ContainerConfig> {
        let container = self.containers.get(id).ok_or_else(|| not_found("container", id))?;
        if container.state != v1::ContainerState::ContainerCreated {
            let state = container.state.as_str_name();
            return Err(Error::Failed(format!("container {id:?} is in {state} state, it cannot be started")));
        }
        Ok(container.config.clone())
    }

    pub fn start(&mut self, id: &str, life: Life, now: i64) -> Result<()> {
        self.startable(id)?;
        let container = self.containers.get_mut(id).ok_or_else(|| not_found("container", id))?;
        container.state = v1::ContainerState::ContainerRunning;
        container.started_at = now;
        container.life = life;
        Ok(())
    }

    /// Marks a running container exited. False if it did not run.
    pub fn end(&mut self, id: &str, code: i32, reason: &str, now: i64) -> bool {
        let Some(container) = self.containers.get_mut(id) else { return false };
        if container.state != v1::ContainerState::ContainerRunning {
            return false;
        }
        container.state = v1::ContainerState::ContainerExited;
        container.finished_at = now;
        container.exit_code = code;
        container.reason = match (reason, code) {
            ("", 0) => "Completed",
            ("", _) => "Error",
            (reason, _) => reason,
        }
        .to_owned();
        true
    }

    /// How a container answers SIGTERM, if it runs.
    pub fn life_if_running(&self, id: &str) -> Option<Life> {
        let container = self.containers.get(id)?;
        (container.state == v1::ContainerState::ContainerRunning).then(|| container.life.clone())
    }

    /// Forgets a container. False if it does not exist.
    pub fn remove_container(&mut self, id: &str) -> bool {
        self.containers.remove(id).is_some()
    }

    pub fn containers_of(&self, sandbox: &str) -> Vec<String> {
        let of = self.containers.iter().filter(|(_, container)| container.sandbox == sandbox);
        of.map(|(id, _)| id.clone()).collect()
    }

    /// The configuration of a container that runs, to execute something in it.
    pub fn executable(&self, id: &str) -> Result<v1::ContainerConfig> {
        let container = self.containers.get(id).ok_or_else(|| not_found("container", id))?;
        match container.state {
            v1::ContainerState::ContainerRunning => Ok(container.config.clone()),
            state => Err(Error::Failed(format!("container is in {} state", state.as_str_name()))),
        }
    }

    pub fn container_status(&self, id: &str) -> Result<v1::ContainerStatus> {
        let container = self.containers.get(id).ok_or_else(|| not_found("container", id))?;
        let directory = self.sandboxes.get(&container.sandbox).map(|sandbox| sandbox.config.log_directory.as_str());
        let log_path = match directory {
            Some(directory) if !container.config.log_path.is_empty() => {
                format!("{directory}/{}", container.config.log_path)
            }
            _ => String::new(),
        };
        Ok(v1::ContainerStatus {
            id: id.to_owned(),
            metadata: container.config.metadata.clone(),
            state: container.state.into(),
            created_at: container.created_at,
            started_at: container.started_at,
            finished_at: container.finished_at,
            exit_code: container.exit_code,
            // As containerd tells it: the image's first name, however the image was asked for.
            image: Some(v1::ImageSpec { image: self.image_name(container), ..Default::default() }),
            image_ref: container.image_id.clone(),
            image_id: container.image_id.clone(),
            reason: container.reason.clone(),
            labels: container.config.labels.clone(),
            annotations: container.config.annotations.clone(),
            mounts: container.config.mounts.clone(),
            log_path,
            resources: container
                .config
                .linux
                .as_ref()
                .map(|linux| v1::ContainerResources { linux: linux.resources.clone(), windows: None }),
            ..Default::default()
        })
    }

    fn image_name(&self, container: &Container) -> String {
        let names = self.images.get(&container.image_id);
        names.and_then(|names| names.first()).unwrap_or(&container.image_id).clone()
    }

    pub fn container_list(&self, filter: &v1::ContainerFilter) -> Vec<v1::Container> {
        let wanted = |id: &String, container: &Container| {
            (filter.id.is_empty() || *id == filter.id)
                && (filter.pod_sandbox_id.is_empty() || container.sandbox == filter.pod_sandbox_id)
                && filter.state.is_none_or(|state| state.state() == container.state)
                && selected(&container.config.labels, &filter.label_selector)
        };
        let found = self.containers.iter().filter(|(id, container)| wanted(id, container));
        found
            .map(|(id, container)| v1::Container {
                id: id.clone(),
                pod_sandbox_id: container.sandbox.clone(),
                metadata: container.config.metadata.clone(),
                image: container.config.image.clone(),
                image_ref: container.image_id.clone(),
                state: container.state.into(),
                created_at: container.created_at,
                labels: container.config.labels.clone(),
                annotations: container.config.annotations.clone(),
                image_id: container.image_id.clone(),
            })
            .collect()
    }

    pub fn update_resources(&mut self, id: &str, resources: v1::LinuxContainerResources) -> Result<()> {
        let container = self.containers.get_mut(id).ok_or_else(|| not_found("container", id))?;
        container.config.linux.get_or_insert_default().resources = Some(resources);
        Ok(())
    }

    // ---- all of them ----

    /// The ids of running containers and of ready sandboxes.
    pub fn running(&self) -> (Vec<String>, Vec<String>) {
        let ready = self.sandboxes.iter().filter(|(_, sandbox)| sandbox.ready).map(|(id, _)| id.clone()).collect();
        (self.running_containers().into_keys().collect(), ready)
    }

    pub fn running_containers(&self) -> BTreeMap<String, v1::ContainerConfig> {
        let running = self.containers.iter().filter(|(_, c)| c.state == v1::ContainerState::ContainerRunning);
        running.map(|(id, container)| (id.clone(), container.config.clone())).collect()
    }
}

impl Sandbox {
    fn state(&self) -> v1::PodSandboxState {
        match self.ready {
            true => v1::PodSandboxState::SandboxReady,
            false => v1::PodSandboxState::SandboxNotready,
        }
    }
}
