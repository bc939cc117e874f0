//! The configuration of one container.

use crate::{cgroups::Cgroups, context::Context};
use cri::v1;
use pod_lifecycle::{
    core::{Container, Pod},
    env, names, resources, termination,
};
use std::collections::HashMap;

use super::{sandbox, security};

/// Everything that had to be found out before.
pub struct Parts<'a> {
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub attempt: u32,
    /// What the runtime knows the image by.
    pub image_ref: String,
    pub env: Vec<(String, String)>,
    pub mounts: Vec<v1::Mount>,
    /// For an ephemeral container: the id of the container it looks into.
    pub target: Option<String>,
}

pub fn config(context: &Context, parts: Parts) -> v1::ContainerConfig {
    let Parts { pod, container, attempt, image_ref, env, mounts, target } = parts;
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: container.name.clone(), attempt }),
        image: Some(v1::ImageSpec {
            image: image_ref,
            user_specified_image: container.image.clone().unwrap_or_default(),
            ..Default::default()
        }),
        command: env::expand_all(container.command.as_deref(), &env),
        args: env::expand_all(container.args.as_deref(), &env),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: env.into_iter().map(|(key, value)| v1::KeyValue { key, value }).collect(),
        mounts,
        labels: labels(pod, container),
        annotations: annotations(pod, container, attempt),
        log_path: names::log_file(&container.name, attempt),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        linux: Some(v1::LinuxContainerConfig {
            resources: Some(limits(context, pod, container)),
            security_context: Some(security::container(context, pod, container, target.as_deref())),
        }),
        ..Default::default()
    }
}

pub fn limits(context: &Context, pod: &Pod, container: &Container) -> v1::LinuxContainerResources {
    let values = resources::container(container);
    let capacity = resources::value(Some(&context.machine.capacity), "memory");
    // A container that lost one of its processes rarely works.
    let one = context.config.file.single_process_oom_kill.unwrap_or(false);
    let together = !one && context.cgroups.as_ref().is_some_and(Cgroups::is_v2);
    v1::LinuxContainerResources {
        cpu_period: resources::CPU_PERIOD,
        cpu_quota: values.cpu_quota,
        cpu_shares: values.cpu_shares,
        memory_limit_in_bytes: values.memory,
        oom_score_adj: resources::oom_score_adj(pod, container, capacity),
        unified: if together {
            HashMap::from([("memory.oom.group".to_owned(), "1".to_owned())])
        } else {
            HashMap::new()
        },
        ..Default::default()
    }
}

fn labels(pod: &Pod, container: &Container) -> HashMap<String, String> {
    let mut labels = HashMap::from(sandbox::identity(pod));
    labels.insert(names::CONTAINER_NAME.to_owned(), container.name.clone());
    labels
}

fn annotations(pod: &Pod, container: &Container, attempt: u32) -> HashMap<String, String> {
    let path = container.termination_message_path.clone().unwrap_or_default();
    let policy = container.termination_message_policy.clone().unwrap_or_default();
    HashMap::from([
        (names::CONTAINER_HASH.to_owned(), names::container_hash(container)),
        (names::RESTART_COUNT.to_owned(), attempt.to_string()),
        (names::TERMINATION_MESSAGE_PATH.to_owned(), path),
        (names::TERMINATION_MESSAGE_POLICY.to_owned(), policy),
        (names::RESOURCES.to_owned(), serde_json::json!(container.resources.clone().unwrap_or_default()).to_string()),
        (names::POD_GRACE.to_owned(), termination::grace(pod).to_string()),
    ])
}
