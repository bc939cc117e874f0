//! A connection to the API server, as the kubeconfig and the command line ask for it.
//!
//! Objects are JSON values here: kctl shows and changes whatever the server serves, so it knows no kind's type.

use std::{fmt, path::PathBuf};

use anyhow::{Context, anyhow, bail};
use api_types::{Status, status::Reason};
use bytes::Bytes;
use clap::Args;
use futures::{Stream, StreamExt, TryStreamExt};
use http::{Method, Request, Response, header};
use http_body_util::BodyExt;
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_util::{
    codec::{FramedRead, LinesCodec},
    io::StreamReader,
};

use crate::discovery::Discovery;

/// Where `kctl cluster up`, and `init`, leave the administrator's credentials.
const LOCAL_CLUSTERS: [&str; 2] = ["/var/lib/kogge/admin.kubeconfig", "/etc/kogge/admin.kubeconfig"];

/// Which cluster, as whom, and in which namespace.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct GlobalOptions {
    /// Path to the kubeconfig file
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig context to use
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The kubeconfig cluster to use
    #[arg(long = "cluster", global = true, value_name = "NAME")]
    pub kubeconfig_cluster: Option<String>,
    /// The kubeconfig user to use
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// The namespace scope of this request
    #[arg(long, short = 'n', global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// The address and port of the API server
    #[arg(long, short = 's', global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Bearer token for authentication to the API server
    #[arg(long, global = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Do not check the server's certificate
    #[arg(long, global = true)]
    pub insecure_skip_tls_verify: bool,
    /// Username to impersonate
    #[arg(long = "as", global = true, value_name = "USER")]
    pub impersonate: Option<String>,
}

impl GlobalOptions {
    /// The merged kubeconfig: `--kubeconfig`, `KUBECONFIG`, `~/.kube/config`, or the cluster of this machine.
    pub fn kubeconfig(&self) -> anyhow::Result<Kubeconfig> {
        let local = LOCAL_CLUSTERS.iter().map(PathBuf::from).find(|path| path.exists());
        let home = std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".kube/config"));
        let nothing_else = std::env::var_os("KUBECONFIG").is_none() && !home.is_some_and(|h| h.exists());
        match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path).with_context(|| format!("cannot read {}", path.display())),
            None if nothing_else => match local {
                Some(local) => Ok(Kubeconfig::read_from(local)?),
                None => bail!(
                    "no configuration: set --kubeconfig or KUBECONFIG, write ~/.kube/config, or type 'kctl cluster up'"
                ),
            },
            None => Ok(Kubeconfig::read()?),
        }
    }

    async fn config(&self) -> anyhow::Result<(Config, bool)> {
        let kubeconfig = self.kubeconfig()?;
        let options = KubeConfigOptions {
            context: self.context.clone(),
            cluster: self.kubeconfig_cluster.clone(),
            user: self.user.clone(),
        };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        if let Some(server) = &self.server {
            config.cluster_url = server.parse().with_context(|| format!("--server {server:?} is not a URL"))?;
        }
        if let Some(token) = &self.token {
            config.auth_info = kube::config::AuthInfo { token: Some(token.clone().into()), ..Default::default() };
        }
        if let Some(user) = &self.impersonate {
            config.auth_info.impersonate = Some(user.clone());
        }
        config.accept_invalid_certs |= self.insecure_skip_tls_verify;
        if let Some(namespace) = &self.namespace {
            config.default_namespace = namespace.clone();
        }
        let agent = component::version::user_agent("kctl");
        config.headers.push((header::USER_AGENT, agent.parse().context("user agent")?));
        Ok((config, self.namespace.is_some()))
    }

    pub async fn connect(&self) -> anyhow::Result<Session> {
        component::tls::install_provider();
        let (config, explicit_namespace) = self.config().await?;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config)?;
        Ok(Session { client, server, namespace, explicit_namespace, discovery: OnceCell::new() })
    }
}

pub struct Session {
    pub client: Client,
    pub server: String,
    /// What commands without `-A` work in.
    pub namespace: String,
    /// Whether `-n` was given.
    pub explicit_namespace: bool,
    discovery: OnceCell<Discovery>,
}

/// What the server refused, worded as kubectl does.
#[derive(Debug)]
pub struct Refused(pub Status);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match &self.0.reason {
            Some(Reason::Invalid) => return f.write_str(&invalid(&self.0)),
            Some(Reason::Unauthorized) => {
                return f.write_str("error: You must be logged in to the server (Unauthorized)");
            }
            Some(reason) => serde_json::to_value(reason).ok().and_then(|v| v.as_str().map(str::to_owned)),
            None => None,
        };
        match reason {
            Some(reason) => write!(f, "Error from server ({reason}): {}", self.0.message),
            None => write!(f, "Error from server: {}", self.0.message),
        }
    }
}

/// What is wrong with an object, a line for each field if there are several.
fn invalid(status: &Status) -> String {
    let Some(details) = &status.details else { return "The request is invalid".to_owned() };
    let head = match (details.kind.as_str(), details.name.as_str()) {
        ("", "") if details.causes.is_empty() && !status.message.is_empty() => {
            return format!("The request is invalid: {}", status.message);
        }
        ("", "") => "The request is invalid".to_owned(),
        (kind, name) => format!("The {kind} \"{name}\" is invalid"),
    };
    let of = |cause: &api_types::status::Cause| match cause.field.as_str() {
        "" => cause.message.clone(),
        field => format!("{field}: {}", cause.message),
    };
    let mut causes: Vec<String> = vec![];
    for cause in details.causes.iter().map(of) {
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    match causes.as_slice() {
        [] => head,
        [one] => format!("{head}: {one}"),
        many => many.iter().fold(format!("{head}:"), |text, cause| format!("{text}\n* {cause}")),
    }
}

impl std::error::Error for Refused {}

impl Refused {
    /// Whether `error` is the server saying that something does not exist.
    pub fn is_not_found(error: &anyhow::Error) -> bool {
        Self::code(error) == Some(404)
    }

    pub fn is_conflict(error: &anyhow::Error) -> bool {
        Self::code(error) == Some(409)
    }

    pub fn code(error: &anyhow::Error) -> Option<u16> {
        error.downcast_ref::<Self>().map(|refused| refused.0.code)
    }
}

/// One event of a watch.
pub struct WatchEvent {
    /// `ADDED`, `MODIFIED`, `DELETED` or `BOOKMARK`.
    pub kind: String,
    pub object: Value,
}

impl Session {
    /// What the server serves, asked once.
    pub async fn discovery(&self) -> anyhow::Result<&Discovery> {
        self.discovery.get_or_try_init(|| Discovery::load(self)).await
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.get_as(path, "application/json").await
    }

    /// GET with this `Accept`.
    pub async fn get_as(&self, path: &str, accept: &str) -> anyhow::Result<Value> {
        let request = Request::get(path).header(header::ACCEPT, accept).body(Body::from(Vec::new()))?;
        json(self.send(request).await?).await
    }

    /// The answer as text, whatever its form.
    pub async fn get_text(&self, path: &str) -> anyhow::Result<String> {
        let response = self.send(Request::get(path).body(Body::from(Vec::new()))?).await?;
        Ok(String::from_utf8_lossy(&response.into_body().collect().await?.to_bytes()).into_owned())
    }

    /// The body as it arrives.
    pub async fn get_stream(&self, path: &str) -> anyhow::Result<impl Stream<Item = anyhow::Result<Bytes>> + use<>> {
        let response = self.send(Request::get(path).body(Body::from(Vec::new()))?).await?;
        Ok(response.into_body().into_data_stream().map_err(|e| anyhow!(e)))
    }

    pub async fn create(&self, path: &str, object: &Value) -> anyhow::Result<Value> {
        self.write(Method::POST, path, "application/json", object).await
    }

    pub async fn replace(&self, path: &str, object: &Value) -> anyhow::Result<Value> {
        self.write(Method::PUT, path, "application/json", object).await
    }

    pub async fn patch(&self, path: &str, form: PatchForm, patch: &Value) -> anyhow::Result<Value> {
        self.write(Method::PATCH, path, form.media_type(), patch).await
    }

    pub async fn delete(&self, path: &str, options: &Value) -> anyhow::Result<Value> {
        self.write(Method::DELETE, path, "application/json", options).await
    }

    async fn write(&self, method: Method, path: &str, form: &str, body: &Value) -> anyhow::Result<Value> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, form)
            .body(Body::from(serde_json::to_vec(body)?))?;
        json(self.send(request).await?).await
    }

    /// Watches `path` (which carries `watch=1` and the rest) until the server ends it.
    pub async fn watch(
        &self,
        path: &str,
        accept: &str,
    ) -> anyhow::Result<impl Stream<Item = anyhow::Result<WatchEvent>> + use<>> {
        let request = Request::get(path).header(header::ACCEPT, accept).body(Body::from(Vec::new()))?;
        let response = self.send(request).await?;
        let body = StreamReader::new(response.into_body().into_data_stream().map_err(std::io::Error::other));
        Ok(FramedRead::new(body, LinesCodec::new()).map(|line| {
            let mut event: Value = serde_json::from_str(&line?)?;
            let object = event["object"].take();
            match event["type"].as_str() {
                Some("ERROR") => Err(Refused(serde_json::from_value(object)?).into()),
                Some(kind) => Ok(WatchEvent { kind: kind.to_owned(), object }),
                None => bail!("the server sent a watch event without a type"),
            }
        }))
    }

    async fn send(&self, request: Request<Body>) -> anyhow::Result<Response<Body>> {
        let response = self.client.send(request).await.map_err(|e| self.unreachable(e))?;
        for warning in response.headers().get_all(header::WARNING) {
            if let Some(text) = warning.to_str().ok().and_then(|w| w.split('"').nth(1)) {
                eprintln!("Warning: {text}");
            }
        }
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let status = serde_json::from_slice(&body).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(&body).trim().to_owned();
            Status::failure(code.as_u16(), Reason::Other(code.canonical_reason().unwrap_or("Unknown").into()), text)
        });
        Err(Refused(status).into())
    }

    fn unreachable(&self, error: kube::Error) -> anyhow::Error {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(inner) = cause {
            if inner
                .downcast_ref::<std::io::Error>()
                .is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused)
            {
                let host = self.server.trim_start_matches("https://").trim_start_matches("http://");
                return anyhow!(
                    "the connection to the server {host} was refused - did you specify the right host or port?"
                );
            }
            cause = inner.source();
        }
        anyhow!(error).context(format!("cannot reach the server {}", self.server))
    }
}

async fn json(response: Response<Body>) -> anyhow::Result<Value> {
    let body = response.into_body().collect().await?.to_bytes();
    serde_json::from_slice(&body).context("the server's answer is not JSON")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchForm {
    Json,
    Merge,
    Strategic,
    /// Server-side apply.
    Apply,
}

impl PatchForm {
    fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

/// A path with query parameters; empty values are left out.
pub fn with_query(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut out = path.to_owned();
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        out.push(if out.contains('?') { '&' } else { '?' });
        out.push_str(name);
        out.push('=');
        percent_encode(value, &mut out);
    }
    out
}

fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}
