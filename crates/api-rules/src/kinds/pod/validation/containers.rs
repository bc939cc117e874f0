//! The three lists of containers: names, images, ports, and what each list may not say.

use std::collections::{BTreeMap, BTreeSet};

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1::{Container, ContainerPort, EphemeralContainer, PodSpec, Volume},
};
use serde_json::json;

use super::{Errors, env, handlers, mounts, resources, security_context};
use crate::names::{self, one_of, report};

/// The volumes of a pod by name.
pub type Volumes<'a> = BTreeMap<&'a str, &'a Volume>;

pub fn validate(spec: &PodSpec, volumes: &Volumes, path: &Path, errors: &mut Errors) {
    let host_network = spec.host_network.unwrap_or(false);
    let mut names = BTreeSet::new();
    let at = path.child("containers");
    if spec.containers.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    for (i, container) in spec.containers.iter().enumerate() {
        let at = at.index(i);
        unique(&mut names, &container.name, &at, errors);
        one(container, volumes, host_network, &at, errors);
        handlers::of_container(container, grace(spec), &at, errors);
        restart_rules(container, &at, errors);
        resize_rules(container, spec, &at, errors);
    }
    host_ports(spec.containers.iter(), &at, errors);
    let at = path.child("initContainers");
    for (i, container) in spec.init_containers.iter().flatten().enumerate() {
        let at = at.index(i);
        unique(&mut names, &container.name, &at, errors);
        one(container, volumes, host_network, &at, errors);
        init(container, grace(spec), &at, errors);
    }
    let at = path.child("ephemeralContainers");
    for (i, container) in spec.ephemeral_containers.iter().flatten().enumerate() {
        let at = at.index(i);
        unique(&mut names, &container.name, &at, errors);
        ephemeral(container, spec, volumes, &at, errors);
    }
}

fn grace(spec: &PodSpec) -> i64 {
    spec.termination_grace_period_seconds.unwrap_or(30)
}

fn unique<'a>(names: &mut BTreeSet<&'a str>, name: &'a str, path: &Path, errors: &mut Errors) {
    let at = path.child("name");
    if name.is_empty() {
        errors.push(FieldError::required(&at, ""));
        return;
    }
    report(names::dns_label(name), &at, name, errors);
    if !names.insert(name) {
        errors.push(FieldError::duplicate(&at, name));
    }
}

/// What holds for containers and init containers alike.
fn one(container: &Container, volumes: &Volumes, host_network: bool, path: &Path, errors: &mut Errors) {
    let at = path.child("image");
    match container.image.as_deref().unwrap_or_default() {
        "" => errors.push(FieldError::required(&at, "")),
        image if image.trim() != image => {
            errors.push(FieldError::invalid(&at, image, "must not have leading or trailing whitespace"));
        }
        _ => {}
    }
    policies(container.image_pull_policy.as_deref(), container.termination_message_policy.as_deref(), path, errors);
    ports(container.ports.as_deref().unwrap_or_default(), host_network, &path.child("ports"), errors);
    env::validate(container.env.as_deref().unwrap_or_default(), &path.child("env"), errors);
    env::from(container.env_from.as_deref().unwrap_or_default(), &path.child("envFrom"), errors);
    mounts::validate(
        container.volume_mounts.as_deref().unwrap_or_default(),
        volumes,
        &path.child("volumeMounts"),
        errors,
    );
    mounts::devices(
        container.volume_devices.as_deref().unwrap_or_default(),
        volumes,
        &path.child("volumeDevices"),
        errors,
    );
    if let Some(all) = &container.resources {
        resources::validate(all, &path.child("resources"), errors);
    }
    let mut resized = BTreeSet::new();
    for (i, policy) in container.resize_policy.iter().flatten().enumerate() {
        let at = path.child("resizePolicy").index(i);
        if !resized.insert(&policy.resource_name) {
            errors.push(FieldError::duplicate(&at, policy.resource_name.as_str()));
        }
        one_of(&policy.resource_name, &["cpu", "memory"], &at.child("resourceName"), errors);
        one_of(&policy.restart_policy, &["NotRequired", "RestartContainer"], &at.child("restartPolicy"), errors);
    }
    if let Some(context) = &container.security_context {
        security_context::container(context, &path.child("securityContext"), errors);
    }
}

fn policies(pull: Option<&str>, message: Option<&str>, path: &Path, errors: &mut Errors) {
    match pull.unwrap_or_default() {
        "" => errors.push(FieldError::required(&path.child("imagePullPolicy"), "")),
        policy => one_of(policy, &["Always", "IfNotPresent", "Never"], &path.child("imagePullPolicy"), errors),
    }
    match message.unwrap_or_default() {
        "" => errors.push(FieldError::required(&path.child("terminationMessagePolicy"), "")),
        policy => one_of(policy, &["File", "FallbackToLogsOnError"], &path.child("terminationMessagePolicy"), errors),
    }
}

fn restart_rules(container: &Container, path: &Path, errors: &mut Errors) {
    let at = path.child("restartPolicy");
    if let Some(policy) = container.restart_policy.as_deref() {
        one_of(policy, &["Always", "OnFailure", "Never"], &at, errors);
    } else if container.restart_policy_rules.as_ref().is_some_and(|r| !r.is_empty()) {
        errors.push(FieldError::required(&at, "must specify restartPolicy when restart rules are used"));
    }
}

/// What never restarts does not restart to be resized either.
fn resize_rules(container: &Container, spec: &PodSpec, path: &Path, errors: &mut Errors) {
    let never = spec.restart_policy.as_deref() == Some("Never") && container.restart_policy.is_none();
    for (i, policy) in container.resize_policy.iter().flatten().enumerate() {
        if never && policy.restart_policy == "RestartContainer" {
            errors.push(FieldError::invalid(
                &path.child("resizePolicy").index(i).child("restartPolicy"),
                policy.restart_policy.as_str(),
                "must be 'NotRequired' when `restartPolicy` is 'Never'",
            ));
        }
    }
}

/// An init container that restarts always is a sidecar and may be probed; others run to their end.
fn init(container: &Container, grace: i64, path: &Path, errors: &mut Errors) {
    if container.restart_policy.as_deref() == Some("Always") {
        handlers::of_container(container, grace, path, errors);
        return;
    }
    restart_rules(container, path, errors);
    let given = [
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
    ];
    for (member, _) in given.into_iter().filter(|(_, given)| *given) {
        errors.push(FieldError::forbidden(
            &path.child(member),
            "may not be set for init containers without restartPolicy=Always",
        ));
    }
}

fn ephemeral(container: &EphemeralContainer, spec: &PodSpec, volumes: &Volumes, path: &Path, errors: &mut Errors) {
    let common = Container {
        name: container.name.clone(),
        image: container.image.clone(),
        image_pull_policy: container.image_pull_policy.clone(),
        termination_message_policy: container.termination_message_policy.clone(),
        env: container.env.clone(),
        env_from: container.env_from.clone(),
        volume_mounts: container.volume_mounts.clone(),
        volume_devices: container.volume_devices.clone(),
        security_context: container.security_context.clone(),
        ..Container::default()
    };
    one(&common, volumes, false, path, errors);
    if let Some(target) = container.target_container_name.as_deref().filter(|t| !t.is_empty()) {
        let known = spec.containers.iter().chain(spec.init_containers.iter().flatten()).any(|c| c.name == target);
        if !known {
            errors.push(FieldError::not_found(&path.child("targetContainerName"), target));
        }
    }
    let has_resources =
        container.resources.as_ref().is_some_and(|r| r.limits.is_some() || r.requests.is_some() || r.claims.is_some());
    let given = [
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
        ("ports", container.ports.as_ref().is_some_and(|p| !p.is_empty())),
        ("resources", has_resources),
    ];
    for (member, _) in given.into_iter().filter(|(_, given)| *given) {
        errors.push(FieldError::forbidden(&path.child(member), "cannot be set for an Ephemeral Container"));
    }
}

fn ports(ports: &[ContainerPort], host_network: bool, path: &Path, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let at = path.index(i);
        if let Some(name) = port.name.as_deref().filter(|n| !n.is_empty()) {
            let wrong = names::port_name(name);
            if wrong.is_empty() && !seen.insert(name) {
                errors.push(FieldError::duplicate(&at.child("name"), name));
            }
            report(wrong, &at.child("name"), name, errors);
        }
        if port.container_port == 0 {
            errors.push(FieldError::required(&at.child("containerPort"), ""));
        } else {
            number(port.container_port, &at.child("containerPort"), errors);
        }
        if let Some(host) = port.host_port.filter(|p| *p != 0) {
            number(host, &at.child("hostPort"), errors);
            if host_network && host != port.container_port {
                errors.push(FieldError::invalid(
                    &at.child("hostPort"),
                    host,
                    "must match `containerPort` when `hostNetwork` is true",
                ));
            }
        }
        crate::kinds::validate_protocol(port.protocol.as_deref(), &at.child("protocol"), errors);
        if let Some(ip) = port.host_ip.as_deref().filter(|ip| !ip.is_empty()) {
            report(names::ip(ip), &at.child("hostIP"), ip, errors);
        }
    }
}

fn number(port: i32, path: &Path, errors: &mut Errors) {
    errors.extend(names::port_number(port.into()).into_iter().map(|why| FieldError::invalid(path, port, why)));
}

/// No two containers may claim the same port of the host.
fn host_ports<'a>(containers: impl Iterator<Item = &'a Container>, path: &Path, errors: &mut Errors) {
    let mut taken = BTreeSet::new();
    for (i, container) in containers.enumerate() {
        for (j, port) in container.ports.iter().flatten().enumerate() {
            let Some(number) = port.host_port.filter(|p| *p != 0) else { continue };
            let protocol = port.protocol.as_deref().unwrap_or_default();
            let claim = format!("{protocol}/{}/{number}", port.host_ip.as_deref().unwrap_or_default());
            if !taken.insert(claim.clone()) {
                errors.push(FieldError::duplicate(
                    &path.index(i).child("ports").index(j).child("hostPort"),
                    json!(claim),
                ));
            }
        }
    }
}
