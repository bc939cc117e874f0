//! `kctl create`: objects from manifests, or small ones from flags.

use std::{fs, path::PathBuf};

use anyhow::{Context, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{DryRun, WriteOptions};
use crate::{
    output::{self, Format},
    session::{Session, with_query},
    target::Object,
};

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Create {
    #[command(subcommand)]
    kind: Option<Kind>,
    /// Manifests to create; - is standard input
    #[arg(long = "filename", short = 'f')]
    files: Vec<PathBuf>,
    /// Process folders recursively
    #[arg(long, short = 'R')]
    recursive: bool,
    #[command(flatten)]
    options: WriteOptions,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Create a namespace
    #[command(alias = "ns")]
    Namespace(Named),
    /// Create a service account
    #[command(alias = "sa")]
    Serviceaccount(Named),
    /// Create a ConfigMap from files or literals
    #[command(alias = "cm")]
    Configmap(Data),
    /// Create a secret
    Secret(Secret),
    /// Create a deployment
    #[command(alias = "deploy")]
    Deployment(Deployment),
    /// Create a service in front of pods labelled app=NAME
    #[command(alias = "svc")]
    Service(Service),
    /// Create a role
    Role(Role),
    /// Create a cluster role
    Clusterrole(Role),
    /// Bind a role or cluster role to users, groups and service accounts
    Rolebinding(Binding),
    /// Bind a cluster role in all namespaces
    Clusterrolebinding(Binding),
    /// Request a token of a service account
    Token(Token),
}

#[derive(Args, Debug)]
struct Named {
    name: String,
    #[command(flatten)]
    options: WriteOptions,
}

#[derive(Args, Debug)]
struct Data {
    name: String,
    /// KEY=VALUE
    #[arg(long)]
    from_literal: Vec<String>,
    /// [KEY=]FILE, or a folder
    #[arg(long)]
    from_file: Vec<String>,
    #[command(flatten)]
    options: WriteOptions,
}

#[derive(Args, Debug)]
struct Secret {
    /// generic, tls or docker-registry
    form: String,
    #[command(flatten)]
    data: Data,
    /// The secret's type
    #[arg(long = "type")]
    kind: Option<String>,
    /// Certificate file of a tls secret
    #[arg(long)]
    cert: Option<PathBuf>,
    /// Key file of a tls secret
    #[arg(long)]
    key: Option<PathBuf>,
    #[arg(long)]
    docker_server: Option<String>,
    #[arg(long)]
    docker_username: Option<String>,
    #[arg(long)]
    docker_password: Option<String>,
}

#[derive(Args, Debug)]
struct Deployment {
    name: String,
    /// Image to run
    #[arg(long, required = true)]
    image: Vec<String>,
    /// Number of replicas
    #[arg(long, short, default_value_t = 1)]
    replicas: i32,
    /// Port the containers expose
    #[arg(long)]
    port: Option<u16>,
    #[command(flatten)]
    options: WriteOptions,
    /// Command to run
    #[arg(last = true)]
    command: Vec<String>,
}

#[derive(Args, Debug)]
struct Service {
    /// clusterip, nodeport, loadbalancer or externalname
    form: String,
    name: String,
    /// PORT[:TARGETPORT]
    #[arg(long)]
    tcp: Vec<String>,
    /// The address of a clusterip service; None makes it headless
    #[arg(long)]
    clusterip: Option<String>,
    /// What an externalname service stands for
    #[arg(long)]
    external_name: Option<String>,
    /// The port on each node
    #[arg(long)]
    node_port: Option<u16>,
    #[command(flatten)]
    options: WriteOptions,
}

#[derive(Args, Debug)]
struct Role {
    name: String,
    #[arg(long, value_delimiter = ',', required = true)]
    verb: Vec<String>,
    /// RESOURCE[.GROUP][/SUBRESOURCE]
    #[arg(long, value_delimiter = ',')]
    resource: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    resource_name: Vec<String>,
    #[arg(long = "non-resource-url", value_delimiter = ',')]
    non_resource_url: Vec<String>,
    #[command(flatten)]
    options: WriteOptions,
}

#[derive(Args, Debug)]
struct Binding {
    name: String,
    #[arg(long)]
    role: Option<String>,
    #[arg(long)]
    clusterrole: Option<String>,
    #[arg(long)]
    user: Vec<String>,
    #[arg(long)]
    group: Vec<String>,
    /// NAMESPACE:NAME
    #[arg(long)]
    serviceaccount: Vec<String>,
    #[command(flatten)]
    options: WriteOptions,
}

#[derive(Args, Debug)]
struct Token {
    /// The service account
    name: String,
    /// How long the token holds, such as 1h
    #[arg(long)]
    duration: Option<String>,
    #[arg(long)]
    audience: Vec<String>,
}

impl Create {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        let Some(kind) = self.kind else {
            for object in session.manifests(&self.files, self.recursive).await? {
                create(session, object, &self.options).await?;
            }
            return Ok(());
        };
        let (value, options) = match kind {
            Kind::Token(token) => return token.run(session).await,
            Kind::Namespace(n) => (object("v1", "Namespace", &n.name, json!({})), n.options),
            Kind::Serviceaccount(n) => (object("v1", "ServiceAccount", &n.name, json!({})), n.options),
            Kind::Configmap(data) => (data.config_map()?, data.options),
            Kind::Secret(secret) => (secret.object()?, secret.data.options),
            Kind::Deployment(deployment) => (deployment.object(), deployment.options),
            Kind::Service(service) => (service.object()?, service.options),
            Kind::Role(role) => (role.object(session, "Role").await?, role.options),
            Kind::Clusterrole(role) => (role.object(session, "ClusterRole").await?, role.options),
            Kind::Rolebinding(binding) => (binding.object("RoleBinding")?, binding.options),
            Kind::Clusterrolebinding(binding) => (binding.object("ClusterRoleBinding")?, binding.options),
        };
        let resource = session.discovery().await?.of_manifest(&value)?.clone();
        let mut value = value;
        if resource.namespaced {
            value["metadata"]["namespace"] = Value::from(session.namespace.clone());
        }
        create(session, Object { resource, value }, &options).await
    }
}

/// Sends one object and says so.
pub async fn create(session: &Session, object: Object, options: &WriteOptions) -> anyhow::Result<()> {
    create_and_say(session, object, options, "kctl-create", "created").await
}

/// As [`create`], under another name and in another word.
pub async fn create_and_say(
    session: &Session,
    object: Object,
    options: &WriteOptions,
    manager: &str,
    what: &str,
) -> anyhow::Result<()> {
    if options.dry_run == DryRun::Client {
        return options.say(&object, what);
    }
    let path = with_query(
        &object.resource.path(Some(object.namespace())),
        &[
            ("fieldManager", options.manager(manager)),
            ("fieldValidation", options.validation()),
            ("dryRun", options.dry_run.parameter()),
        ],
    );
    let value = session.create(&path, &object.value).await?;
    options.say(&Object { resource: object.resource, value }, what)
}

impl WriteOptions {
    /// The line `deployment.apps/web created`, or the object in the form that `-o` asks for.
    pub fn say(&self, object: &Object, what: &str) -> anyhow::Result<()> {
        match &self.output {
            None => println!("{} {what}{}", object.title(), self.dry_run.note()),
            Some(Format::Table | Format::Wide) => bail!("-o wide is not a form for a written object"),
            Some(format) => print!("{}", output::print(format, vec![object.clone()], false, true)?),
        }
        Ok(())
    }
}

fn object(version: &str, kind: &str, name: &str, rest: Value) -> Value {
    let mut value = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
    if let (Some(value), Value::Object(rest)) = (value.as_object_mut(), rest) {
        value.extend(rest);
    }
    value
}

impl Data {
    /// Keys with their bytes.
    fn entries(&self) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        let mut out = vec![];
        for literal in &self.from_literal {
            let (key, value) = literal
                .split_once('=')
                .with_context(|| format!("invalid literal source {literal}, expected key=value"))?;
            out.push((key.to_owned(), value.as_bytes().to_vec()));
        }
        for source in &self.from_file {
            let (key, path) = source.split_once('=').map_or((None, source.as_str()), |(k, p)| (Some(k.to_owned()), p));
            let path = PathBuf::from(path);
            let mut files = vec![];
            if path.is_dir() {
                if key.is_some() {
                    bail!("cannot give a key name for a directory path");
                }
                let entries = fs::read_dir(&path)?.collect::<Result<Vec<_>, _>>()?;
                files.extend(entries.into_iter().map(|e| e.path()).filter(|p| p.is_file()).map(|p| (None, p)));
                files.sort();
            } else {
                files.push((key, path));
            }
            for (key, path) in files {
                let name =
                    key.or_else(|| path.file_name().map(|n| n.to_string_lossy().into_owned())).unwrap_or_default();
                out.push((name, fs::read(&path).with_context(|| format!("error reading {}", path.display()))?));
            }
        }
        Ok(out)
    }

    fn config_map(&self) -> anyhow::Result<Value> {
        let (mut data, mut binary) = (Map::new(), Map::new());
        for (key, bytes) in self.entries()? {
            match String::from_utf8(bytes) {
                Ok(text) => data.insert(key, Value::from(text)),
                Err(error) => binary.insert(key, Value::from(BASE64_STANDARD.encode(error.into_bytes()))),
            };
        }
        let mut rest = Map::new();
        if !data.is_empty() {
            rest.insert("data".into(), Value::Object(data));
        }
        if !binary.is_empty() {
            rest.insert("binaryData".into(), Value::Object(binary));
        }
        Ok(object("v1", "ConfigMap", &self.name, Value::Object(rest)))
    }
}

impl Secret {
    fn object(&self) -> anyhow::Result<Value> {
        let file = |path: &Option<PathBuf>, flag: &str| -> anyhow::Result<Vec<u8>> {
            let path = path.as_ref().with_context(|| format!("--{flag} is required"))?;
            fs::read(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let (kind, entries) = match self.form.as_str() {
            "generic" => (self.kind.clone().unwrap_or_else(|| "Opaque".into()), self.data.entries()?),
            "tls" => (
                "kubernetes.io/tls".into(),
                vec![
                    ("tls.crt".to_owned(), file(&self.cert, "cert")?),
                    ("tls.key".to_owned(), file(&self.key, "key")?),
                ],
            ),
            "docker-registry" => {
                let (Some(user), Some(password)) = (&self.docker_username, &self.docker_password) else {
                    bail!("--docker-username and --docker-password are required");
                };
                let server = self.docker_server.as_deref().unwrap_or("https://index.docker.io/v1/");
                let auth = BASE64_STANDARD.encode(format!("{user}:{password}"));
                let config = json!({"auths": {server: {"username": user, "password": password, "auth": auth}}});
                (
                    "kubernetes.io/dockerconfigjson".into(),
                    vec![(".dockerconfigjson".to_owned(), config.to_string().into_bytes())],
                )
            }
            other => bail!("unknown form of secret {other:?}: generic, tls or docker-registry"),
        };
        let data: Map<_, _> = entries.into_iter().map(|(k, v)| (k, Value::from(BASE64_STANDARD.encode(v)))).collect();
        Ok(object("v1", "Secret", &self.data.name, json!({"type": kind, "data": data})))
    }
}

impl Deployment {
    fn object(&self) -> Value {
        let container = |image: &String| {
            let name = image.rsplit('/').next().unwrap_or(image);
            let name = name.split(['@', ':']).next().unwrap_or(name);
            let mut container = json!({"name": name, "image": image});
            if let Some(port) = self.port {
                container["ports"] = json!([{"containerPort": port}]);
            }
            if !self.command.is_empty() {
                container["command"] = json!(self.command);
            }
            container
        };
        let containers: Vec<_> = self.image.iter().map(container).collect();
        let labels = json!({"app": self.name});
        let mut value = object(
            "apps/v1",
            "Deployment",
            &self.name,
            json!({"spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
            }}),
        );
        value["metadata"]["labels"] = labels;
        value
    }
}

impl Service {
    fn object(&self) -> anyhow::Result<Value> {
        let mut ports = vec![];
        for spec in &self.tcp {
            let (port, target) = spec.split_once(':').unwrap_or((spec, spec));
            let port: u16 = port.parse().with_context(|| format!("--tcp {spec:?} is not PORT[:TARGETPORT]"))?;
            let target = target.parse::<u16>().map_or(Value::from(target), Value::from);
            let mut entry =
                json!({"name": spec.replace(':', "-"), "port": port, "protocol": "TCP", "targetPort": target});
            if let Some(node_port) = self.node_port {
                entry["nodePort"] = node_port.into();
            }
            ports.push(entry);
        }
        let labels = json!({"app": self.name});
        let mut spec = json!({"ports": ports, "selector": labels});
        match self.form.as_str() {
            "clusterip" => {
                spec["type"] = "ClusterIP".into();
                if let Some(ip) = &self.clusterip {
                    spec["clusterIP"] = ip.clone().into();
                }
            }
            "nodeport" => spec["type"] = "NodePort".into(),
            "loadbalancer" => spec["type"] = "LoadBalancer".into(),
            "externalname" => {
                let name = self.external_name.clone().context("--external-name is required")?;
                spec = json!({"type": "ExternalName", "externalName": name});
            }
            other => bail!("unknown form of service {other:?}: clusterip, nodeport, loadbalancer or externalname"),
        }
        if self.tcp.is_empty()
            && !matches!(self.form.as_str(), "externalname")
            && self.clusterip.as_deref() != Some("None")
        {
            bail!("at least one tcp port specifier must be provided");
        }
        let mut value = object("v1", "Service", &self.name, json!({"spec": spec}));
        value["metadata"]["labels"] = labels;
        Ok(value)
    }
}

impl Role {
    async fn object(&self, session: &Session, kind: &str) -> anyhow::Result<Value> {
        let mut rules: Vec<Value> = vec![];
        let discovery = session.discovery().await?;
        for word in &self.resource {
            let (word, sub) = word.split_once('/').map_or((word.as_str(), None), |(w, s)| (w, Some(s)));
            let (group, plural) = if word == "*" {
                ("*".to_owned(), "*".to_owned())
            } else {
                let resource = discovery.find(word)?;
                (resource.group.clone(), resource.plural.clone())
            };
            let name = sub.map_or(plural.clone(), |sub| format!("{plural}/{sub}"));
            match rules.iter_mut().find(|r| r["apiGroups"][0] == group.as_str()) {
                Some(rule) => {
                    if let Some(all) = rule["resources"].as_array_mut() {
                        all.push(name.into());
                    }
                }
                None => {
                    let mut rule = json!({"apiGroups": [group], "resources": [name], "verbs": self.verb});
                    if !self.resource_name.is_empty() {
                        rule["resourceNames"] = json!(self.resource_name);
                    }
                    rules.push(rule);
                }
            }
        }
        if !self.non_resource_url.is_empty() {
            rules.push(json!({"nonResourceURLs": self.non_resource_url, "verbs": self.verb}));
        }
        if rules.is_empty() {
            bail!("at least one resource must be specified");
        }
        Ok(object("rbac.authorization.k8s.io/v1", kind, &self.name, json!({"rules": rules})))
    }
}

impl Binding {
    fn object(&self, kind: &str) -> anyhow::Result<Value> {
        let group = "rbac.authorization.k8s.io";
        let (role_kind, role) = match (&self.role, &self.clusterrole) {
            (Some(role), None) if kind == "RoleBinding" => ("Role", role),
            (None, Some(role)) => ("ClusterRole", role),
            _ => bail!("exactly one of --clusterrole or --role must be specified"),
        };
        let mut subjects = vec![];
        subjects.extend(self.user.iter().map(|n| json!({"apiGroup": group, "kind": "User", "name": n})));
        subjects.extend(self.group.iter().map(|n| json!({"apiGroup": group, "kind": "Group", "name": n})));
        for account in &self.serviceaccount {
            let (namespace, name) = account.split_once(':').context("serviceaccount must be <namespace>:<name>")?;
            subjects.push(json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}));
        }
        let reference = json!({"apiGroup": group, "kind": role_kind, "name": role});
        Ok(object(&format!("{group}/v1"), kind, &self.name, json!({"roleRef": reference, "subjects": subjects})))
    }
}

impl Token {
    async fn run(self, session: &Session) -> anyhow::Result<()> {
        let mut spec = json!({"audiences": self.audience});
        if let Some(duration) = &self.duration {
            spec["expirationSeconds"] = super::duration(duration)?.as_secs().into();
        }
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{}/token", session.namespace, self.name);
        let answer = session.create(&path, &body).await?;
        println!("{}", answer["status"]["token"].as_str().context("the server did not answer with a token")?);
        Ok(())
    }
}
