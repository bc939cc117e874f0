//! `kctl port-forward`: local ports that lead to a pod's.

use std::net::IpAddr;

use anyhow::{Context, bail};
use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use super::logs::pod_of;
use crate::{session::Session, target};

#[derive(Args, Debug)]
pub struct PortForward {
    /// POD or TYPE/NAME
    pod: String,
    /// [LOCAL_PORT:]REMOTE_PORT; :PORT picks a free local one
    #[arg(required = true)]
    ports: Vec<String>,
    /// Addresses to listen on
    #[arg(long, value_delimiter = ',', default_value = "localhost")]
    address: Vec<String>,
}

impl PortForward {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pod = pod_of(session, &self.pod).await?;
        let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if pod["status"]["phase"] != "Running" {
            let phase = pod["status"]["phase"].as_str().unwrap_or("Unknown");
            bail!("unable to forward port because pod is not running. Current status={phase}");
        }
        let service = match self.pod.split_once('/') {
            Some((kind, service)) => {
                let found = target::parse(session, &[format!("{kind}/{service}")]).await?.remove(0);
                if found.resource.kind == "Service" {
                    Some(session.get(&found.resource.object_path(&session.namespace, service)).await?)
                } else {
                    None
                }
            }
            None => None,
        };
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or(&session.namespace);
        let pods: Api<Pod> = Api::namespaced(session.client.clone(), namespace);
        let mut tasks = tokio::task::JoinSet::new();
        for spec in &self.ports {
            let (local, remote) = parse(spec)?;
            let remote = resolve(&remote, &pod, service.as_ref())?;
            for address in self.addresses()? {
                let listener = TcpListener::bind((address, local.unwrap_or(remote)))
                    .await
                    .with_context(|| format!("unable to listen on port {}", local.unwrap_or(remote)))?;
                println!("Forwarding from {} -> {remote}", listener.local_addr()?);
                tasks.spawn(serve(listener, pods.clone(), name.clone(), remote));
            }
        }
        tokio::select! {
            Some(ended) = tasks.join_next() => ended?,
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        }
    }

    fn addresses(&self) -> anyhow::Result<Vec<IpAddr>> {
        let mut out = vec![];
        for address in &self.address {
            match address.as_str() {
                "localhost" => out.push(IpAddr::from([127, 0, 0, 1])),
                other => out.push(other.parse().with_context(|| format!("--address {other:?} is not an address"))?),
            }
        }
        Ok(out)
    }
}

fn parse(spec: &str) -> anyhow::Result<(Option<u16>, String)> {
    match spec.split_once(':') {
        None => Ok((None, spec.to_owned())),
        Some(("", remote)) => Ok((Some(0), remote.to_owned())),
        Some((local, remote)) => {
            let local = local.parse().with_context(|| format!("error parsing local port {local:?}"))?;
            Ok((Some(local), remote.to_owned()))
        }
    }
}

/// The pod's port: a number, a named container port, or behind a service its target port.
fn resolve(wanted: &str, pod: &Value, service: Option<&Value>) -> anyhow::Result<u16> {
    let mut wanted = wanted.to_owned();
    if let Some(service) = service {
        let ports = service["spec"]["ports"].as_array().map_or(&[][..], Vec::as_slice);
        let port = ports
            .iter()
            .find(|p| p["name"] == wanted.as_str() || p["port"].as_u64().is_some_and(|n| wanted.parse() == Ok(n)))
            .with_context(|| {
                format!("Service {} does not have a service port {wanted}", service["metadata"]["name"])
            })?;
        wanted = match &port["targetPort"] {
            Value::String(name) => name.clone(),
            Value::Null => port["port"].to_string(),
            number => number.to_string(),
        };
    }
    if let Ok(number) = wanted.parse() {
        return Ok(number);
    }
    let containers = pod["spec"]["containers"].as_array().map_or(&[][..], Vec::as_slice);
    containers
        .iter()
        .flat_map(|c| c["ports"].as_array().map_or(&[][..], Vec::as_slice))
        .find(|p| p["name"] == wanted.as_str())
        .and_then(|p| p["containerPort"].as_u64()?.try_into().ok())
        .with_context(|| format!("Pod does not have a named port '{wanted}'"))
}

async fn serve(listener: TcpListener, pods: Api<Pod>, pod: String, port: u16) -> anyhow::Result<()> {
    loop {
        let (connection, _) = listener.accept().await?;
        println!("Handling connection for {}", listener.local_addr()?.port());
        let (pods, pod) = (pods.clone(), pod.clone());
        tokio::spawn(async move {
            if let Err(error) = forward(connection, &pods, &pod, port).await {
                eprintln!("an error occurred forwarding to port {port}: {error:#}");
            }
        });
    }
}

async fn forward(mut connection: TcpStream, pods: &Api<Pod>, pod: &str, port: u16) -> anyhow::Result<()> {
    let mut forwarder = pods.portforward(pod, &[port]).await?;
    let failure = forwarder.take_error(port);
    let mut stream = forwarder.take_stream(port).context("the server opened no stream")?;
    let copied = tokio::io::copy_bidirectional(&mut connection, &mut stream).await;
    drop(stream);
    forwarder.abort();
    if let (Err(_), Some(failure)) = (&copied, failure)
        && let Some(why) = failure.await
    {
        bail!("{why}");
    }
    copied.map(|_| ()).context("the connection broke")
}
