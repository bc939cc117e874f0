//! Small pods and observations for the tests of this crate.

use crate::{
    core::{Container, Pod, PodSpec},
    names,
    observed::{ContainerPhase, ContainerSeen, PodSeen, SandboxSeen},
};
use jiff::Timestamp;

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub fn container(name: &str) -> Container {
    Container { name: name.into(), image: Some("busybox".into()), ..Container::default() }
}

pub fn pod(policy: &str, init: &[&str], regular: &[&str]) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.name = Some("web".into());
    pod.metadata.namespace = Some("default".into());
    pod.metadata.uid = Some("u1".into());
    pod.metadata.generation = Some(1);
    pod.spec = Some(PodSpec {
        restart_policy: Some(policy.into()),
        containers: regular.iter().map(|n| container(n)).collect(),
        init_containers: (!init.is_empty()).then(|| init.iter().map(|n| container(n)).collect()),
        ..PodSpec::default()
    });
    pod
}

pub fn sandbox(id: &str, attempt: u32, ready: bool) -> SandboxSeen {
    SandboxSeen {
        id: id.into(),
        attempt,
        ready,
        created_at: at(i64::from(attempt)),
        ips: vec!["10.0.0.5".into()],
        host_network: false,
    }
}

pub fn running(name: &str, attempt: u32) -> ContainerSeen {
    ContainerSeen {
        id: format!("{name}-{attempt}"),
        name: name.into(),
        attempt,
        sandbox_id: "s0".into(),
        phase: ContainerPhase::Running,
        created_at: at(1),
        started_at: Some(at(1)),
        finished_at: None,
        exit_code: 0,
        reason: String::new(),
        message: String::new(),
        image: "busybox:latest".into(),
        image_id: "sha256:1".into(),
        hash: names::container_hash(&container(name)),
        log_path: String::new(),
        made_with: None,
    }
}

pub fn exited(name: &str, attempt: u32, code: i32) -> ContainerSeen {
    let reason = if code == 0 { "Completed" } else { "Error" };
    ContainerSeen {
        phase: ContainerPhase::Exited,
        exit_code: code,
        finished_at: Some(at(100)),
        reason: reason.into(),
        ..running(name, attempt)
    }
}

pub fn seen(containers: Vec<ContainerSeen>) -> PodSeen {
    PodSeen { sandboxes: vec![sandbox("s0", 0, true)], containers }.sorted()
}
