//! The configuration of a pod's sandbox.

use crate::context::Context;
use cri::v1;
use pod_lifecycle::{
    core::{Container, Pod},
    dns, hosts, names, qos, resources, security as rules,
};
use std::collections::HashMap;

use super::security;

/// The error is for the pod's `FailedCreatePodSandBox` event.
pub fn config(context: &Context, pod: &Pod, attempt: u32) -> Result<v1::PodSandboxConfig, String> {
    let host_network = names::host_network(pod);
    let hostname = hosts::hostname(pod, &context.config.file.cluster_domain).map_err(|e| e.to_string())?;
    let (resolv, _) = dns::resolv(pod, &context.cluster_dns, &context.node_resolv());
    Ok(v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: names::name(pod).to_owned(),
            uid: names::uid(pod).to_owned(),
            namespace: names::namespace(pod).to_owned(),
            attempt,
        }),
        // A name needs a UTS namespace of the pod's own.
        hostname: if host_network { String::new() } else { hostname.name },
        log_directory: context.paths.pod_logs(pod).to_string_lossy().into_owned(),
        dns_config: Some(v1::DnsConfig { servers: resolv.servers, searches: resolv.searches, options: resolv.options }),
        port_mappings: if host_network { vec![] } else { ports(pod) },
        labels: labels(pod),
        annotations: pod.metadata.annotations.clone().unwrap_or_default().into_iter().collect(),
        linux: Some(linux(context, pod)?),
        windows: None,
    })
}

fn labels(pod: &Pod) -> HashMap<String, String> {
    let mut labels: HashMap<String, String> = pod.metadata.labels.clone().unwrap_or_default().into_iter().collect();
    labels.extend(identity(pod));
    labels
}

/// The labels by which sandboxes and containers are found again.
pub(super) fn identity(pod: &Pod) -> [(String, String); 3] {
    [
        (names::POD_NAME.to_owned(), names::name(pod).to_owned()),
        (names::POD_NAMESPACE.to_owned(), names::namespace(pod).to_owned()),
        (names::POD_UID.to_owned(), names::uid(pod).to_owned()),
    ]
}

fn ports(pod: &Pod) -> Vec<v1::PortMapping> {
    let containers =
        names::containers(pod).iter().chain(names::init_containers(pod).iter().filter(|c| names::is_sidecar(c)));
    let mapping = |c: &Container| -> Vec<v1::PortMapping> {
        let ports = c.ports.as_deref().unwrap_or_default();
        ports
            .iter()
            .map(|p| v1::PortMapping {
                protocol: match p.protocol.as_deref() {
                    Some("UDP") => v1::Protocol::Udp as i32,
                    Some("SCTP") => v1::Protocol::Sctp as i32,
                    _ => v1::Protocol::Tcp as i32,
                },
                container_port: p.container_port,
                host_port: p.host_port.unwrap_or(0),
                host_ip: p.host_ip.clone().unwrap_or_default(),
            })
            .collect()
    };
    containers.flat_map(mapping).collect()
}

fn linux(context: &Context, pod: &Pod) -> Result<v1::LinuxPodSandboxConfig, String> {
    let whole = pod.spec.as_ref().and_then(|s| s.security_context.as_ref());
    let sysctls = whole.and_then(|w| w.sysctls.as_deref()).unwrap_or_default();
    let parent = context.cgroups.as_ref().map(|c| c.tree().parent(qos::class(pod), names::uid(pod)));
    let privileged = names::all_containers(pod).iter().any(|c| rules::effective(pod, c).privileged);
    let values = resources::pod(pod);
    Ok(v1::LinuxPodSandboxConfig {
        cgroup_parent: parent.unwrap_or_default(),
        security_context: Some(v1::LinuxSandboxSecurityContext {
            namespace_options: Some(security::namespaces(pod, None)),
            selinux_options: whole.and_then(|w| w.se_linux_options.as_ref()).map(security::selinux),
            run_as_user: whole.and_then(|w| w.run_as_user).map(|value| v1::Int64Value { value }),
            run_as_group: whole
                .filter(|w| w.run_as_user.is_some())
                .and_then(|w| w.run_as_group)
                .map(|value| v1::Int64Value { value }),
            supplemental_groups: rules::supplemental_groups(pod),
            privileged,
            // Nothing of the user's runs in the sandbox's own process.
            seccomp: Some(security::runtime_default()),
            ..Default::default()
        }),
        sysctls: sysctls.iter().map(|s| (s.name.replace('/', "."), s.value.clone())).collect(),
        overhead: None,
        resources: Some(v1::LinuxContainerResources {
            cpu_shares: values.cpu_shares,
            cpu_quota: values.cpu_quota,
            cpu_period: resources::CPU_PERIOD,
            memory_limit_in_bytes: values.memory,
            ..Default::default()
        }),
    })
}
