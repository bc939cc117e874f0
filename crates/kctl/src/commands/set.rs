//! `kctl set`: changes of fields that people change often.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{WriteOptions, change, pairs};
use crate::{
    session::Session,
    target::{self, Object, Selection},
};

const MANAGER: &str = "kubectl-set";

#[derive(Args, Debug)]
pub struct Set {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Change images: CONTAINER=IMAGE…, * for all containers
    Image(Image),
    /// Change or list environment variables: NAME=VALUE…, NAME- to remove
    Env(Env),
    /// Change what containers request and may use
    Resources(Resources),
    /// Change the service account of a workload's pods
    #[command(alias = "sa")]
    Serviceaccount(ServiceAccount),
    /// Change what a service selects
    Selector(Selector),
}

/// Which objects, and how they are written.
#[derive(Args, Debug)]
struct Common {
    /// Objects named by manifests
    #[arg(long = "filename", short = 'f')]
    files: Vec<PathBuf>,
    /// Process folders recursively
    #[arg(long, short = 'R')]
    recursive: bool,
    /// All objects of the type in the namespace
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    options: WriteOptions,
}

#[derive(Args, Debug)]
struct Image {
    /// TYPE NAME or TYPE/NAME…, then CONTAINER=IMAGE…
    #[arg(required = true)]
    words: Vec<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Env {
    /// TYPE NAME or TYPE/NAME…, then NAME=VALUE or NAME-
    #[arg(required = true)]
    words: Vec<String>,
    /// Containers whose names match; * stands for anything
    #[arg(long, short, default_value = "*")]
    containers: String,
    /// Show the variables instead
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Resources {
    /// TYPE NAME or TYPE/NAME…
    #[arg(required = true)]
    words: Vec<String>,
    /// Containers whose names match; * stands for anything
    #[arg(long, short, default_value = "*")]
    containers: String,
    /// cpu=1,memory=128Mi
    #[arg(long, value_delimiter = ',')]
    limits: Vec<String>,
    /// cpu=1,memory=128Mi
    #[arg(long, value_delimiter = ',')]
    requests: Vec<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct ServiceAccount {
    /// TYPE NAME or TYPE/NAME…, then the service account
    #[arg(required = true)]
    words: Vec<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Selector {
    /// TYPE NAME or TYPE/NAME, then KEY=VALUE,…
    #[arg(required = true)]
    words: Vec<String>,
    #[command(flatten)]
    common: Common,
}

impl Set {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self.what {
            What::Image(image) => image.run(session).await,
            What::Env(env) => env.run(session).await,
            What::Resources(resources) => resources.run(session).await,
            What::Serviceaccount(account) => account.run(session).await,
            What::Selector(selector) => selector.run(session).await,
        }
    }
}

impl Common {
    async fn objects(&self, session: &Session, words: &[String]) -> anyhow::Result<Vec<Object>> {
        if !self.files.is_empty() {
            return session.live(&session.manifests(&self.files, self.recursive).await?).await;
        }
        let targets = target::parse(session, words).await?;
        let selects = self.all || self.selection.selector.is_some() || self.selection.field_selector.is_some();
        if !selects && targets.iter().any(|target| target.name.is_none()) {
            bail!("one or more resources must be specified as <resource> <name> or <resource>/<name>");
        }
        session.objects(&targets, &self.selection).await
    }

    async fn change(
        &self,
        session: &Session,
        objects: Vec<Object>,
        what: &str,
        change: impl Fn(&mut Value) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for object in objects {
            let mut after = object.value.clone();
            change(&mut after)?;
            if let Some(value) = change::send(session, &object, &after, &self.options, MANAGER).await? {
                self.options.say(&Object { resource: object.resource, value }, what)?;
            }
        }
        Ok(())
    }
}

impl Image {
    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let (words, images): (Vec<_>, Vec<_>) = self.words.into_iter().partition(|word| !word.contains('='));
        if images.is_empty() {
            bail!("at least one image update is required");
        }
        let objects = self.common.objects(session, &words).await?;
        let change = |object: &mut Value| {
            for pair in &images {
                let (name, image) = pair.split_once('=').context("CONTAINER=IMAGE")?;
                let found = each_container(object, name, |container| container["image"] = image.into())?;
                if found == 0 {
                    bail!("unable to find container named \"{name}\"");
                }
            }
            Ok(())
        };
        self.common.change(session, objects, "image updated", change).await
    }
}

impl Env {
    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let is_change = |word: &String| word.contains('=') || (word.ends_with('-') && !word.contains('/'));
        let (changes, words): (Vec<_>, Vec<_>) = self.words.iter().cloned().partition(is_change);
        let objects = self.common.objects(session, &words).await?;
        if self.list {
            objects.iter().try_for_each(|object| self.show(object.clone()))?;
        }
        if changes.is_empty() {
            return if self.list { Ok(()) } else { bail!("at least one environment variable must be provided") };
        }
        let change = |object: &mut Value| {
            each_container(object, &self.containers, |container| changes.iter().for_each(|c| set_env(container, c)))
                .map(drop)
        };
        self.common.change(session, objects, "env updated", change).await
    }

    fn show(&self, mut object: Object) -> anyhow::Result<()> {
        let title = format!("{} {}", object.resource.kind, object.name());
        let mut text = String::new();
        each_container(&mut object.value, &self.containers, |container| {
            text.push_str(&format!("# {title}, container {}\n", container["name"].as_str().unwrap_or_default()));
            for variable in container["env"].as_array().into_iter().flatten() {
                let name = variable["name"].as_str().unwrap_or_default();
                match variable["valueFrom"].as_object().and_then(|from| from.iter().next()) {
                    Some((kind, from)) => text.push_str(&format!("# {name} from {}\n", source(kind, from))),
                    None => text.push_str(&format!("{name}={}\n", variable["value"].as_str().unwrap_or_default())),
                }
            }
        })?;
        print!("{text}");
        Ok(())
    }
}

/// Where a variable's value comes from, in kubectl's words.
fn source(kind: &str, from: &Value) -> String {
    let text = |key: &str| from[key].as_str().unwrap_or_default().to_owned();
    match kind {
        "configMapKeyRef" => format!("configmap {}, key {}", text("name"), text("key")),
        "secretKeyRef" => format!("secret {}, key {}", text("name"), text("key")),
        "fieldRef" => format!("field path {}", text("fieldPath")),
        _ => format!("resource field {}", text("resource")),
    }
}

fn set_env(container: &mut Value, change: &str) {
    if !container["env"].is_array() {
        container["env"] = json!([]);
    }
    let Some(env) = container["env"].as_array_mut() else { return };
    match change.split_once('=') {
        Some((name, value)) => match env.iter_mut().find(|variable| variable["name"] == name) {
            Some(variable) => *variable = json!({"name": name, "value": value}),
            None => env.push(json!({"name": name, "value": value})),
        },
        None => env.retain(|variable| variable["name"] != change.trim_end_matches('-')),
    }
}

impl Resources {
    async fn run(self, session: &Session) -> anyhow::Result<()> {
        if self.limits.is_empty() && self.requests.is_empty() {
            bail!("you must specify an update to requests or limits (in the form of --requests/--limits)");
        }
        let objects = self.common.objects(session, &self.words).await?;
        let change = |object: &mut Value| {
            let (limits, requests) = (pairs(&self.limits)?, pairs(&self.requests)?);
            each_container(object, &self.containers, |container| {
                for (key, wanted) in [("limits", &limits), ("requests", &requests)] {
                    for (resource, amount) in wanted {
                        container["resources"][key][resource.as_str()] = amount.clone();
                    }
                }
            })
            .map(drop)
        };
        self.common.change(session, objects, "resource requirements updated", change).await
    }
}

impl ServiceAccount {
    async fn run(mut self, session: &Session) -> anyhow::Result<()> {
        let account = self.words.pop().filter(|_| !self.words.is_empty()).context("serviceaccount is required")?;
        let objects = self.common.objects(session, &self.words).await?;
        let change = |object: &mut Value| {
            pod_spec(object)?["serviceAccountName"] = account.clone().into();
            Ok(())
        };
        self.common.change(session, objects, "serviceaccount updated", change).await
    }
}

impl Selector {
    async fn run(mut self, session: &Session) -> anyhow::Result<()> {
        let selector = self.words.pop().filter(|_| !self.words.is_empty()).context("one selector is required")?;
        let wanted: Vec<String> = selector.split(',').map(str::to_owned).collect();
        let objects = self.common.objects(session, &self.words).await?;
        let change = |object: &mut Value| {
            if object["kind"] != "Service" {
                bail!("setting a selector is only supported for Services");
            }
            object["spec"]["selector"] = Value::Object(pairs(&wanted)?);
            Ok(())
        };
        self.common.change(session, objects, "selector updated", change).await
    }
}

/// The pod's spec in a pod, or in whatever makes pods.
pub fn pod_spec(object: &mut Value) -> anyhow::Result<&mut Value> {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let path = match kind.as_str() {
        "Pod" => "/spec",
        "PodTemplate" => "/template/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        _ => "/spec/template/spec",
    };
    object.pointer_mut(path).filter(|spec| spec.is_object()).with_context(|| format!("{kind} has no pods"))
}

/// Calls `change` with every container and init container whose name matches; returns how many those are.
fn each_container(object: &mut Value, name: &str, mut change: impl FnMut(&mut Value)) -> anyhow::Result<usize> {
    let spec = pod_spec(object)?;
    let mut found = 0;
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            if matches(name, container["name"].as_str().unwrap_or_default()) {
                change(container);
                found += 1;
            }
        }
    }
    Ok(found)
}

/// Whether a name matches a pattern in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(tail) = name.strip_prefix(head) else { return false };
    tail.char_indices().map(|(at, _)| at).chain([tail.len()]).any(|at| matches(rest, &tail[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*", "web", true),
            ("w*b", "web", true),
            ("w*", "nginx", false),
            ("web", "web2", false),
            ("*x", "nginx", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn variables() {
        let mut container = json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]});
        for change in ["A=x=y", "B-", "C="] {
            set_env(&mut container, change);
        }
        assert_eq!(container["env"], json!([{"name": "A", "value": "x=y"}, {"name": "C", "value": ""}]));
    }

    #[test]
    fn pods_of_every_workload() {
        for mut object in [
            json!({"kind": "Pod", "spec": {"containers": []}}),
            json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": []}}}}),
            json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": []}}}}}}),
        ] {
            assert!(pod_spec(&mut object).unwrap()["containers"].is_array());
        }
        assert_eq!(
            pod_spec(&mut json!({"kind": "Service", "spec": {}})).unwrap_err().to_string(),
            "Service has no pods"
        );
    }
}
