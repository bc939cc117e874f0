//! A look at everything the runtime has of one pod, in the terms of decisions.
//!
//! What can no longer change (an ended container, a sandbox's addresses) is asked for once.

use cri::{Runtime, v1};
use jiff::Timestamp;
use pod_lifecycle::{ContainerPhase, ContainerSeen, PodSeen, SandboxSeen, names};
use std::collections::{BTreeMap, HashMap};

/// Remembers what was asked about one pod.
#[derive(Default)]
pub struct Observer {
    sandboxes: HashMap<String, SandboxSeen>,
    containers: HashMap<String, ContainerSeen>,
}

impl Observer {
    pub async fn look(&mut self, runtime: &dyn Runtime, uid: &str) -> cri::Result<PodSeen> {
        let labels = HashMap::from([(names::POD_UID.to_owned(), uid.to_owned())]);
        let sandbox_filter = v1::PodSandboxFilter { label_selector: labels.clone(), ..Default::default() };
        let container_filter = v1::ContainerFilter { label_selector: labels, ..Default::default() };
        let (sandboxes, containers) = futures::try_join!(
            runtime.list_pod_sandboxes(Some(sandbox_filter)),
            runtime.list_containers(Some(container_filter))
        )?;
        let mut seen = PodSeen::default();
        for listed in sandboxes {
            if let Some(sandbox) = self.sandbox(runtime, &listed).await? {
                seen.sandboxes.push(sandbox);
            }
        }
        for listed in containers {
            if let Some(container) = self.container(runtime, &listed).await? {
                seen.containers.push(container);
            }
        }
        self.sandboxes = seen.sandboxes.iter().map(|s| (s.id.clone(), s.clone())).collect();
        self.containers = seen.containers.iter().map(|c| (c.id.clone(), c.clone())).collect();
        Ok(seen.sorted())
    }

    async fn sandbox(&self, runtime: &dyn Runtime, listed: &v1::PodSandbox) -> cri::Result<Option<SandboxSeen>> {
        let ready = listed.state == v1::PodSandboxState::SandboxReady as i32;
        if let Some(known) = self.sandboxes.get(&listed.id)
            && known.ready == ready
            && (known.host_network || !known.ips.is_empty() || !ready)
        {
            return Ok(Some(known.clone()));
        }
        let status = match runtime.pod_sandbox_status(&listed.id).await {
            Err(error) if error.is_not_found() => return Ok(None),
            status => status?,
        };
        let options = status.linux.and_then(|l| l.namespaces).and_then(|n| n.options);
        let host_network = options.is_some_and(|o| o.network == v1::NamespaceMode::Node as i32);
        let network = status.network.unwrap_or_default();
        let mut ips = vec![];
        if !host_network && !network.ip.is_empty() {
            ips.push(network.ip);
            ips.extend(network.additional_ips.into_iter().map(|a| a.ip));
        }
        Ok(Some(SandboxSeen {
            id: listed.id.clone(),
            attempt: status.metadata.map(|m| m.attempt).unwrap_or_default(),
            ready: status.state == v1::PodSandboxState::SandboxReady as i32,
            created_at: time(status.created_at).unwrap_or(Timestamp::UNIX_EPOCH),
            ips,
            host_network,
        }))
    }

    async fn container(&self, runtime: &dyn Runtime, listed: &v1::Container) -> cri::Result<Option<ContainerSeen>> {
        let phase = phase(listed.state);
        if let Some(known) = self.containers.get(&listed.id)
            && known.phase == phase
            && phase != ContainerPhase::Created
        {
            return Ok(Some(known.clone()));
        }
        let status = match runtime.container_status(&listed.id).await {
            Err(error) if error.is_not_found() => return Ok(None),
            status => status?,
        };
        Ok(Some(container(listed, status)))
    }
}

fn container(listed: &v1::Container, status: v1::ContainerStatus) -> ContainerSeen {
    let annotation = |key: &str| status.annotations.get(key).or_else(|| listed.annotations.get(key)).cloned();
    let metadata = status.metadata.clone().unwrap_or_default();
    let restarts = annotation(names::RESTART_COUNT).and_then(|r| r.parse().ok());
    let phase = phase(status.state);
    // A container that could not be started has ended without ever running.
    let started = time(status.started_at);
    let reason = if status.reason == "ContainerCannotRun" { "StartError".to_owned() } else { status.reason.clone() };
    ContainerSeen {
        id: status.id.clone(),
        name: listed.labels.get(names::CONTAINER_NAME).cloned().unwrap_or(metadata.name),
        attempt: restarts.unwrap_or(metadata.attempt),
        sandbox_id: listed.pod_sandbox_id.clone(),
        phase,
        created_at: time(status.created_at).unwrap_or(Timestamp::UNIX_EPOCH),
        started_at: started,
        finished_at: if phase == ContainerPhase::Exited {
            time(status.finished_at).or(time(status.created_at))
        } else {
            None
        },
        exit_code: status.exit_code,
        reason,
        message: if phase == ContainerPhase::Exited {
            super::last_words::message(&status)
        } else {
            status.message.clone()
        },
        image: status.image.map(|i| i.image).unwrap_or_default(),
        image_id: status.image_ref,
        hash: status
            .annotations
            .get(names::CONTAINER_HASH)
            .or_else(|| listed.annotations.get(names::CONTAINER_HASH))
            .cloned()
            .unwrap_or_default(),
        log_path: status.log_path.clone(),
        made_with: annotation(names::RESOURCES).and_then(|text| serde_json::from_str(&text).ok()),
    }
}

fn phase(state: i32) -> ContainerPhase {
    match v1::ContainerState::try_from(state) {
        Ok(v1::ContainerState::ContainerCreated) => ContainerPhase::Created,
        Ok(v1::ContainerState::ContainerRunning) => ContainerPhase::Running,
        Ok(v1::ContainerState::ContainerExited) => ContainerPhase::Exited,
        _ => ContainerPhase::Unknown,
    }
}

fn time(nanoseconds: i64) -> Option<Timestamp> {
    (nanoseconds > 0).then(|| Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()).flatten()
}

/// Everything alive or dead in the runtime, by pod: for adoption and for what has no owner any more.
pub async fn everything(runtime: &dyn Runtime) -> cri::Result<BTreeMap<String, Leftover>> {
    let (sandboxes, containers) = futures::try_join!(runtime.list_pod_sandboxes(None), runtime.list_containers(None))?;
    let mut all: BTreeMap<String, Leftover> = BTreeMap::new();
    for sandbox in sandboxes {
        let Some(uid) = sandbox.labels.get(names::POD_UID) else { continue };
        all.entry(uid.clone()).or_default().sandboxes.push(sandbox.id);
    }
    for container in containers {
        let Some(uid) = container.labels.get(names::POD_UID) else { continue };
        let leftover = all.entry(uid.clone()).or_default();
        leftover.running |= phase(container.state) == ContainerPhase::Running;
        leftover.containers.push(container.id);
    }
    Ok(all)
}

/// What the runtime has of one pod, by id.
#[derive(Debug, Default)]
pub struct Leftover {
    pub sandboxes: Vec<String>,
    pub containers: Vec<String>,
    pub running: bool,
}
