//! Servers other than the API server that are asked over plain HTTP/1.1 or HTTPS: scheduler extenders.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{client::legacy, rt::TokioExecutor};
use serde_json::Value;

use crate::{
    credentials::user_of,
    dial::{Dial, Dialer, Protocol},
    kubeconfig::{self, Kubeconfig, NamedCluster, NamedContext, NamedUser},
};

/// Longer answers are refused.
const LONGEST: usize = 64 << 20;

pub struct Outside {
    base: String,
    timeout: Duration,
    client: legacy::Client<Dialer, Full<Bytes>>,
}

impl Outside {
    /// `cluster.server` is the URL under which everything is asked; certificates are given as in a kubeconfig.
    ///
    /// # Errors
    /// When the URL or a certificate cannot be used.
    pub fn new(cluster: kubeconfig::Cluster, user: kubeconfig::User, timeout: Duration) -> anyhow::Result<Self> {
        let base = cluster.server.trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().with_context(|| format!("{base} is not a URL"))?;
        let host = uri.host().with_context(|| format!("{base} names no host"))?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let name = String::new();
        let context = kubeconfig::Context { user: "user".into(), ..kubeconfig::Context::default() };
        let config = Kubeconfig {
            current_context: name.clone(),
            contexts: vec![NamedContext { name: name.clone(), context }],
            clusters: vec![NamedCluster { name, cluster }],
            users: vec![NamedUser { name: "user".into(), user }],
        };
        let tls = user_of(&config, Path::new("."))?.tls;
        let dialer = Dial::network(host, port, tls).speaking(Protocol::Http1);
        Ok(Self { base, timeout, client: legacy::Client::builder(TokioExecutor::new()).build(dialer) })
    }

    /// Posts a JSON document to the path below the base, and reads one.
    ///
    /// # Errors
    /// When there is no answer in time, or one that is not 200 and JSON.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}/{path}", self.base);
        match tokio::time::timeout(self.timeout, self.exchange(&url, body)).await {
            Ok(answer) => answer,
            Err(_) => bail!("no answer from {url} within {:?}", self.timeout),
        }
    }

    async fn exchange(&self, url: &str, body: &Value) -> anyhow::Result<Value> {
        let request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(serde_json::to_vec(body)?))?;
        let answer = self.client.request(request).await.with_context(|| format!("cannot reach {url}"))?;
        let status = answer.status();
        ensure!(status == StatusCode::OK, "{url} answers {status}");
        let read = Limited::new(answer.into_body(), LONGEST).collect().await;
        let bytes = read.map_err(|error| anyhow::anyhow!("cannot read what {url} answers: {error}"))?.to_bytes();
        serde_json::from_slice(&bytes).with_context(|| format!("what {url} answers is not JSON"))
    }
}
