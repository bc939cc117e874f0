//! A load generator for the API: many workers, each with a connection of its own, as fast as answers come.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bytes::Bytes;
use component::tls;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where and as whom.
#[derive(Clone)]
pub struct Target {
    port: u16,
    connector: TlsConnector,
}

/// One HTTP/1.1 connection over TLS.
pub struct Connection(SendRequest<Full<Bytes>>);

impl Target {
    /// An API server on loopback; certificate and key are `NAME.crt` and `NAME.key` in `pki`.
    pub fn new(port: u16, pki: &Path, name: &str) -> anyhow::Result<Self> {
        tls::install_provider();
        let chain = tls::certificates(&pki.join(format!("{name}.crt")))?;
        let key = tls::private_key(&pki.join(format!("{name}.key")))?;
        let roots = tls::roots(&pki.join("ca.crt"))?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key)?;
        Ok(Self { port, connector: TlsConnector::from(Arc::new(config)) })
    }

    pub async fn connect(&self) -> anyhow::Result<Connection> {
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await.context("connecting")?;
        tcp.set_nodelay(true)?;
        let stream = self.connector.connect(ServerName::try_from("127.0.0.1")?, tcp).await.context("TLS")?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Connection(sender))
    }
}

impl Connection {
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> anyhow::Result<http::Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "127.0.0.1")
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, kind)
            .body(Full::new(body))?;
        let answer = self.0.send_request(request).await?;
        if !answer.status().is_success() {
            let code = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            bail!("{code}: {}", String::from_utf8_lossy(&body));
        }
        Ok(answer)
    }

    /// Sends and reads the answer to its end; its length in bytes.
    pub async fn round(&mut self, method: Method, path: &str, kind: &str, body: Bytes) -> anyhow::Result<usize> {
        let mut body = self.send(method, path, kind, body).await?.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(length)
    }
}

/// What a phase of requests came to.
pub struct Outcome {
    pub requests: usize,
    pub elapsed: Duration,
    pub bytes: usize,
    pub latencies: Vec<Duration>,
}

/// One request of a phase.
pub struct Call {
    pub method: Method,
    pub path: String,
    pub kind: &'static str,
    pub body: Bytes,
}

/// Makes `count` requests from `workers` connections; `call` says what the n-th is.
pub async fn phase(
    target: &Target,
    workers: usize,
    count: usize,
    call: impl Fn(usize) -> Call + Send + Sync + 'static,
) -> anyhow::Result<Outcome> {
    let (next, call) = (Arc::new(AtomicUsize::new(0)), Arc::new(call));
    let mut connections = vec![];
    for _ in 0..workers {
        connections.push(target.connect().await?);
    }
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for mut connection in connections {
        let (next, call) = (next.clone(), call.clone());
        tasks.spawn(async move {
            let (mut latencies, mut bytes) = (vec![], 0);
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return anyhow::Ok((latencies, bytes));
                }
                let Call { method, path, kind, body } = call(n);
                let begun = Instant::now();
                bytes += connection.round(method, &path, kind, body).await.with_context(|| path.clone())?;
                latencies.push(begun.elapsed());
            }
        });
    }
    let (mut latencies, mut bytes) = (vec![], 0);
    while let Some(done) = tasks.join_next().await {
        let (some, length) = done??;
        latencies.extend(some);
        bytes += length;
    }
    Ok(Outcome { requests: latencies.len(), elapsed: start.elapsed(), bytes, latencies })
}
