//! `kctl expose`: a Service in front of a workload, a pod or another service.

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::{WriteOptions, create, pairs};
use crate::{
    session::Session,
    target::{self, Object, Selection},
};

#[derive(Args, Debug)]
pub struct Expose {
    /// TYPE NAME or TYPE/NAME
    #[arg(required = true)]
    words: Vec<String>,
    /// The service's port [default: those of the object]
    #[arg(long)]
    port: Option<u16>,
    /// Number or name of the containers' port [default: the service's]
    #[arg(long)]
    target_port: Option<String>,
    /// TCP, UDP or SCTP
    #[arg(long)]
    protocol: Option<String>,
    /// The service's name [default: the object's]
    #[arg(long)]
    name: Option<String>,
    /// ClusterIP, NodePort, LoadBalancer or ExternalName
    #[arg(long = "type")]
    form: Option<String>,
    /// The service's address; None makes it headless
    #[arg(long)]
    cluster_ip: Option<String>,
    /// What the service selects: KEY=VALUE,… [default: what the object does]
    #[arg(long, value_delimiter = ',')]
    selector: Vec<String>,
    /// Labels of the service: KEY=VALUE,… [default: the object's]
    #[arg(long, short = 'l', value_delimiter = ',')]
    labels: Vec<String>,
    /// None or ClientIP
    #[arg(long)]
    session_affinity: Option<String>,
    #[command(flatten)]
    options: WriteOptions,
}

impl Expose {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        let targets = target::parse(session, &self.words).await?;
        ensure!(
            targets.iter().all(|target| target.name.is_some()),
            "resource(s) were provided, but no name was specified"
        );
        let resource = session.discovery().await?.find("services")?.clone();
        for exposed in session.objects(&targets, &Selection::default()).await? {
            let mut value = self.service(&exposed.value).with_context(|| exposed.title())?;
            value["metadata"]["namespace"] = session.namespace.clone().into();
            let service = Object { resource: resource.clone(), value };
            create::create_and_say(session, service, &self.options, "kubectl-expose", "exposed").await?;
        }
        Ok(())
    }

    fn service(&self, of: &Value) -> anyhow::Result<Value> {
        let selector = match self.selector.as_slice() {
            [] => selector(of)?,
            given => Value::Object(pairs(given)?),
        };
        let labels = match self.labels.as_slice() {
            [] => of["metadata"]["labels"].clone(),
            given => Value::Object(pairs(given)?),
        };
        let mut spec = json!({"selector": selector, "ports": self.ports(of)?});
        for (key, value) in
            [("type", &self.form), ("clusterIP", &self.cluster_ip), ("sessionAffinity", &self.session_affinity)]
        {
            if let Some(value) = value {
                spec[key] = value.clone().into();
            }
        }
        let name = self.name.as_deref().or(of["metadata"]["name"].as_str()).unwrap_or_default();
        let mut service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec});
        if labels.is_object() {
            service["metadata"]["labels"] = labels;
        }
        Ok(service)
    }

    fn ports(&self, of: &Value) -> anyhow::Result<Vec<Value>> {
        let declared = declared(of);
        let ports: Vec<(u16, String)> = match self.port {
            Some(port) => {
                let known = declared.iter().find(|(number, _)| *number == port).map(|(_, protocol)| protocol.clone());
                vec![(port, known.unwrap_or_else(|| "TCP".into()))]
            }
            None => declared,
        };
        if ports.is_empty() {
            bail!("couldn't find port via --port flag or introspection");
        }
        let many = ports.len() > 1;
        let target = |port: u16| match &self.target_port {
            Some(text) => text.parse::<u16>().map_or(Value::from(text.clone()), Value::from),
            None => port.into(),
        };
        let one = |(number, (port, protocol)): (usize, (u16, String))| {
            let protocol = self.protocol.clone().unwrap_or(protocol);
            let mut one = json!({"port": port, "protocol": protocol, "targetPort": target(port)});
            if many {
                one["name"] = format!("port-{}", number + 1).into();
            }
            one
        };
        Ok(ports.into_iter().enumerate().map(one).collect())
    }
}

/// What the object selects, or is selected by.
fn selector(of: &Value) -> anyhow::Result<Value> {
    let kind = of["kind"].as_str().unwrap_or_default();
    let found = match kind {
        "Pod" => &of["metadata"]["labels"],
        "Service" | "ReplicationController" => &of["spec"]["selector"],
        "Deployment" | "ReplicaSet" => {
            ensure!(
                of["spec"]["selector"]["matchExpressions"].as_array().is_none_or(Vec::is_empty),
                "couldn't convert expressions - \"{}\" to map-based selector format",
                of["spec"]["selector"]["matchExpressions"]
            );
            &of["spec"]["selector"]["matchLabels"]
        }
        other => bail!("cannot expose a {other}"),
    };
    ensure!(found.as_object().is_some_and(|labels| !labels.is_empty()), "it has no labels and cannot be exposed");
    Ok(found.clone())
}

/// Ports and protocols that the object names.
fn declared(of: &Value) -> Vec<(u16, String)> {
    let containers = match of["kind"].as_str() {
        Some("Service") => None,
        Some("Pod") => of["spec"]["containers"].as_array(),
        _ => of["spec"]["template"]["spec"]["containers"].as_array(),
    };
    let of_containers = containers.into_iter().flatten().flat_map(|c| c["ports"].as_array().into_iter().flatten());
    let of_service = of["spec"]["ports"].as_array().into_iter().flatten();
    let number =
        |port: &Value| port["containerPort"].as_u64().or(port["port"].as_u64()).and_then(|n| u16::try_from(n).ok());
    let protocol = |port: &Value| port["protocol"].as_str().unwrap_or("TCP").to_owned();
    of_containers.chain(of_service).filter_map(|port| Some((number(port)?, protocol(port)))).collect()
}
