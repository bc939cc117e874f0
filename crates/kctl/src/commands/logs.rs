//! `kctl logs`: what a pod's containers printed.

use std::io::Write;

use anyhow::bail;
use clap::Args;
use futures::{StreamExt, stream::SelectAll};
use serde_json::Value;

use super::duration;
use crate::{
    session::{Session, with_query},
    target::{self, Selection},
};

#[derive(Args, Debug)]
pub struct Logs {
    /// POD or TYPE/NAME
    words: Vec<String>,
    /// The container
    #[arg(long, short)]
    container: Option<String>,
    /// Keep printing as the container writes
    #[arg(long, short)]
    follow: bool,
    /// The container's former run
    #[arg(long, short)]
    previous: bool,
    /// Lines from the end; -1 all
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    tail: i64,
    /// Only what is newer than this, such as 5m
    #[arg(long)]
    since: Option<String>,
    /// Only what is newer than this time (RFC 3339)
    #[arg(long)]
    since_time: Option<String>,
    /// Put the time before each line
    #[arg(long)]
    timestamps: bool,
    /// At most this many bytes
    #[arg(long, default_value_t = 0)]
    limit_bytes: u64,
    /// All containers of the pod
    #[arg(long)]
    all_containers: bool,
    /// Put pod and container before each line
    #[arg(long)]
    prefix: bool,
    /// Pods with these labels
    #[arg(long, short = 'l')]
    selector: Option<String>,
}

impl Logs {
    pub async fn run(mut self, session: &Session) -> anyhow::Result<()> {
        if self.container.is_none() && self.words.len() == 2 && !self.words[0].contains('/') {
            self.container = self.words.pop();
        }
        let pods = self.pods(session).await?;
        if pods.is_empty() {
            println!("No resources found in {} namespace.", session.namespace);
        }
        let mut streams = SelectAll::new();
        for pod in &pods {
            for container in self.containers(pod)? {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
                let stream = session.get_stream(&self.path(namespace, &name, &container)?).await?;
                let prefix = if self.prefix { format!("[pod/{name}/{container}] ") } else { String::new() };
                let prefixed = stream.map(move |chunk| chunk.map(|chunk| (prefix.clone(), chunk)));
                if self.follow {
                    streams.push(Box::pin(prefixed));
                } else {
                    print_all(prefixed).await?;
                }
            }
        }
        print_all(streams).await
    }

    async fn pods(&self, session: &Session) -> anyhow::Result<Vec<Value>> {
        if let Some(selector) = &self.selector {
            let path =
                with_query(&format!("/api/v1/namespaces/{}/pods", session.namespace), &[("labelSelector", selector)]);
            return Ok(session.list(&path).await?.0);
        }
        match self.words.as_slice() {
            [] => bail!("expected 'logs (POD | TYPE/NAME) [CONTAINER_NAME]'"),
            [word] => pod_of(session, word).await.map(|pod| vec![pod]),
            _ => bail!("expected 'logs (POD | TYPE/NAME) [CONTAINER_NAME]', got {} arguments", self.words.len()),
        }
    }

    fn containers(&self, pod: &Value) -> anyhow::Result<Vec<String>> {
        if self.all_containers {
            let of = |field: &str| names(&pod["spec"][field]);
            return Ok([of("initContainers"), of("containers")].concat());
        }
        Ok(vec![container_of(pod, self.container.as_deref(), true)?])
    }

    fn path(&self, namespace: &str, pod: &str, container: &str) -> anyhow::Result<String> {
        let yes = |on: bool| if on { "true" } else { "" };
        let since = self.since.as_deref().map(duration).transpose()?.map(|d| d.as_secs().max(1).to_string());
        // Following several pods starts with the last lines of each, as kubectl does.
        let tail = if self.tail < 0 && self.selector.is_some() { 10 } else { self.tail };
        let tail = if tail >= 0 { tail.to_string() } else { String::new() };
        let limit = if self.limit_bytes > 0 { self.limit_bytes.to_string() } else { String::new() };
        Ok(with_query(
            &format!("/api/v1/namespaces/{namespace}/pods/{pod}/log"),
            &[
                ("container", container),
                ("follow", yes(self.follow)),
                ("previous", yes(self.previous)),
                ("timestamps", yes(self.timestamps)),
                ("tailLines", &tail),
                ("sinceSeconds", since.as_deref().unwrap_or_default()),
                ("sinceTime", self.since_time.as_deref().unwrap_or_default()),
                ("limitBytes", &limit),
            ],
        ))
    }
}

async fn print_all(stream: impl futures::Stream<Item = anyhow::Result<(String, bytes::Bytes)>>) -> anyhow::Result<()> {
    let mut stream = Box::pin(stream);
    let mut out = std::io::stdout().lock();
    while let Some(chunk) = stream.next().await {
        let (prefix, chunk) = chunk?;
        if prefix.is_empty() {
            out.write_all(&chunk)?;
        } else {
            for line in chunk.split_inclusive(|b| *b == b'\n') {
                out.write_all(prefix.as_bytes())?;
                out.write_all(line)?;
            }
        }
        out.flush()?;
    }
    Ok(())
}

fn names(containers: &Value) -> Vec<String> {
    let containers = containers.as_array().map_or(&[][..], Vec::as_slice);
    containers.iter().filter_map(|c| c["name"].as_str()).map(str::to_owned).collect()
}

/// The container that is meant: the given one, the annotated default, or the first.
pub fn container_of(pod: &Value, wanted: Option<&str>, say_default: bool) -> anyhow::Result<String> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let all: Vec<String> =
        ["containers", "initContainers", "ephemeralContainers"].iter().flat_map(|f| names(&pod["spec"][*f])).collect();
    if let Some(wanted) = wanted {
        if !all.iter().any(|c| c == wanted) {
            bail!("container {wanted} not found in pod {name}");
        }
        return Ok(wanted.to_owned());
    }
    let annotated = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
    let running = names(&pod["spec"]["containers"]);
    match (annotated, running.as_slice()) {
        (Some(annotated), _) => Ok(annotated.to_owned()),
        (None, [only]) => Ok(only.clone()),
        (None, [first, ..]) => {
            if say_default {
                eprintln!("Defaulted container \"{first}\" out of: {}", running.join(", "));
            }
            Ok(first.clone())
        }
        (None, []) => bail!("pod {name} has no containers"),
    }
}

/// The pod that a word means: its own name, or a pod behind `deployment/NAME`, `service/NAME`, ….
pub async fn pod_of(session: &Session, word: &str) -> anyhow::Result<Value> {
    let Some((kind, name)) = word.split_once('/') else {
        return session.get(&format!("/api/v1/namespaces/{}/pods/{word}", session.namespace)).await;
    };
    let targets = target::parse(session, &[format!("{kind}/{name}")]).await?;
    let owner = session.objects(&targets, &Selection::default()).await?.remove(0).value;
    if owner["kind"] == "Pod" {
        return Ok(owner);
    }
    let selector = &owner["spec"]["selector"];
    let labels = if selector["matchLabels"].is_object() { &selector["matchLabels"] } else { selector };
    let Some(labels) = labels.as_object().filter(|l| !l.is_empty()) else {
        bail!("{word} does not select any pods");
    };
    let query: Vec<_> = labels.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    let path =
        with_query(&format!("/api/v1/namespaces/{}/pods", session.namespace), &[("labelSelector", &query.join(","))]);
    let (mut pods, _) = session.list(&path).await?;
    let ready = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
        conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
    };
    pods.sort_by_key(|pod| (!ready(pod), pod["status"]["phase"] != "Running"));
    if pods.is_empty() {
        bail!("no pods found behind {word}");
    }
    Ok(pods.remove(0))
}
