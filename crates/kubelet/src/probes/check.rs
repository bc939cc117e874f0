//! One run of a probe: exec, HTTP, TCP or gRPC. The error is what the event says.

use super::{grpc, http};
use crate::{context::Context, hooks};
use pod_lifecycle::{
    ContainerSeen,
    core::{Container, Pod, Probe},
};
use std::time::Duration;
use tokio::net::TcpStream;

/// Bytes of a command's output or an answer that an event shows.
pub(super) const SHOWN: usize = 1024;

pub async fn run(
    context: &Context,
    pod: &Pod,
    spec: &Container,
    container: &ContainerSeen,
    probe: &Probe,
    timeout: Duration,
) -> Result<(), String> {
    if let Some(exec) = &probe.exec {
        return command(context, container, exec.command.clone().unwrap_or_default(), timeout).await;
    }
    let own = hooks::address(context, pod).unwrap_or_default();
    if let Some(get) = &probe.http_get {
        let port = hooks::port(&get.port, Some(spec)).ok_or("the port has no number")?;
        let answer = tokio::time::timeout(timeout, http::get(get, &own, port, "kube-probe/1.36")).await;
        return answer.unwrap_or_else(|_| {
            let url = http::url(get, &own, port);
            Err(format!("Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"))
        });
    }
    if let Some(socket) = &probe.tcp_socket {
        let port = hooks::port(&socket.port, Some(spec)).ok_or("the port has no number")?;
        let host = socket.host.as_deref().filter(|h| !h.is_empty()).unwrap_or(&own);
        let place = authority(host, port);
        return match tokio::time::timeout(timeout, TcpStream::connect((host, port))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("dial tcp {place}: connect: {}", words(&error))),
            Err(_) => Err(format!("dial tcp {place}: i/o timeout")),
        };
    }
    if let Some(grpc) = &probe.grpc {
        let port = u16::try_from(grpc.port).map_err(|_| "the port has no number".to_owned())?;
        let answer =
            tokio::time::timeout(timeout, grpc::check(&own, port, grpc.service.as_deref().unwrap_or_default())).await;
        return answer.unwrap_or_else(|_| {
            Err(format!(
                "timeout: failed to connect service {:?} within {timeout:?}: context deadline exceeded",
                authority(&own, port)
            ))
        });
    }
    Err("this kind of probe is not supported by this node".into())
}

async fn command(
    context: &Context,
    container: &ContainerSeen,
    command: Vec<String>,
    timeout: Duration,
) -> Result<(), String> {
    match context.runtime.exec_sync(&container.id, command.clone(), timeout).await {
        Ok(output) if output.exit_code == 0 => Ok(()),
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            Err(String::from_utf8_lossy(&text[..text.len().min(SHOWN)]).into_owned())
        }
        Err(cri::Error::Timeout(_)) => {
            Err(format!("command timed out: {:?} timed out after {timeout:?}", command.join(" ")))
        }
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// An I/O error in the words that readers of probe events know.
pub(super) fn words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".into(),
        std::io::ErrorKind::HostUnreachable => "no route to host".into(),
        std::io::ErrorKind::NetworkUnreachable => "network is unreachable".into(),
        std::io::ErrorKind::ConnectionReset => "connection reset by peer".into(),
        _ => error.to_string(),
    }
}
