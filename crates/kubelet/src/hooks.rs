//! Lifecycle hooks: what a container wants done after its start and before its end.

use crate::{context::Context, probes::http};
use api_types::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use pod_lifecycle::{
    ContainerSeen,
    core::{Container, LifecycleHandler, Pod},
    names,
};
use std::time::Duration;

/// The error is for the event. Bounded by the caller. `ips` are the pod's, if they are news to the directory.
pub async fn run(
    context: &Context,
    pod: &Pod,
    seen: &ContainerSeen,
    spec: Option<&Container>,
    hook: &LifecycleHandler,
    ips: &[String],
) -> Result<(), String> {
    if let Some(exec) = &hook.exec {
        let command = exec.command.clone().unwrap_or_default();
        let output =
            context.runtime.exec_sync(&seen.id, command.clone(), Duration::ZERO).await.map_err(|e| e.to_string())?;
        if output.exit_code != 0 {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            return Err(format!(
                "command '{}' exited with {}: {}",
                command.join(" "),
                output.exit_code,
                text.trim_end()
            ));
        }
        return Ok(());
    }
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    if let Some(get) = &hook.http_get {
        let host = match ips.first() {
            Some(ip) => ip.clone(),
            None => address(context, pod).ok_or("failed to find networking container")?,
        };
        let port = port(&get.port, spec).ok_or("the port has no number")?;
        return http::get(get, &host, port, "kube-lifecycle/1.36").await.map(drop);
    }
    Err("this kind of hook is not supported by this node".into())
}

/// Where the pod is reached from its node: the node's own address only for a pod in the node's network.
pub fn address(context: &Context, pod: &Pod) -> Option<String> {
    if names::host_network(pod) {
        return context.host_ips.first().cloned();
    }
    let entry = context.directory.get(names::uid(pod))?;
    entry.seen.ready_sandbox()?.ips.first().cloned()
}

/// A port by number, or by the name the container gave it.
pub fn port(port: &IntOrString, spec: Option<&Container>) -> Option<u16> {
    match port {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(name) => {
            let named = spec
                .and_then(|s| s.ports.as_deref())
                .unwrap_or_default()
                .iter()
                .find(|p| p.name.as_deref() == Some(name));
            named.and_then(|p| u16::try_from(p.container_port).ok()).or_else(|| name.parse().ok())
        }
    }
}
