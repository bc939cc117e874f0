//! `kctl run`: one pod from an image.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{WriteOptions, create, pairs};
use crate::{session::Session, target::Object};

#[derive(Args, Debug)]
pub struct Run {
    name: String,
    /// The image
    #[arg(long)]
    image: String,
    /// Labels: KEY=VALUE,…
    #[arg(long, short = 'l', value_delimiter = ',')]
    labels: Vec<String>,
    /// Annotations: KEY=VALUE
    #[arg(long)]
    annotations: Vec<String>,
    /// Environment: NAME=VALUE
    #[arg(long)]
    env: Vec<String>,
    /// Port the container exposes
    #[arg(long)]
    port: Option<u16>,
    /// Always, IfNotPresent or Never
    #[arg(long)]
    image_pull_policy: Option<String>,
    /// What to do when the container has ended
    #[arg(long, value_enum, default_value_t = Restart::Always, ignore_case = true)]
    restart: Restart,
    /// The words after -- are the command, not its arguments
    #[arg(long)]
    command: bool,
    /// Keep standard input open in the container
    #[arg(long, short = 'i')]
    stdin: bool,
    /// Give the container a terminal
    #[arg(long, short = 't')]
    tty: bool,
    /// May do what the host's root may
    #[arg(long)]
    privileged: bool,
    #[command(flatten)]
    options: WriteOptions,
    /// Arguments, or with --command the command
    #[arg(last = true)]
    words: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum Restart {
    Always,
    OnFailure,
    Never,
}

impl Run {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        let resource = session.discovery().await?.find("pods")?.clone();
        let mut value = self.object()?;
        value["metadata"]["namespace"] = session.namespace.clone().into();
        create::create_and_say(session, Object { resource, value }, &self.options, "kubectl-run", "created").await
    }

    fn object(&self) -> anyhow::Result<Value> {
        let labels = match self.labels.as_slice() {
            [] => json!({"run": self.name}),
            given => Value::Object(pairs(given)?),
        };
        let mut container = json!({"name": self.name, "image": self.image, "resources": {}});
        let mut put = |key: &str, wanted: bool, value: Value| {
            if wanted {
                container[key] = value;
            }
        };
        let words = json!(self.words);
        put("command", self.command && !self.words.is_empty(), words.clone());
        put("args", !self.command && !self.words.is_empty(), words);
        put("stdin", self.stdin, true.into());
        put("stdinOnce", self.stdin, true.into());
        put("tty", self.tty, true.into());
        put("securityContext", self.privileged, json!({"privileged": true}));
        put("imagePullPolicy", self.image_pull_policy.is_some(), json!(self.image_pull_policy));
        put("ports", self.port.is_some(), json!([{"containerPort": self.port}]));
        let env = pairs(&self.env)?;
        let env: Vec<Value> = env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        put("env", !env.is_empty(), json!(env));
        let restart = match self.restart {
            Restart::Always => "Always",
            Restart::OnFailure => "OnFailure",
            Restart::Never => "Never",
        };
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "labels": labels},
            "spec": {"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": restart},
        });
        if !self.annotations.is_empty() {
            object["metadata"]["annotations"] = Value::Object(pairs(&self.annotations)?);
        }
        Ok(object)
    }
}
