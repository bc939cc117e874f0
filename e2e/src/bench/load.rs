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
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{
        http1::{self, SendRequest},
        http2,
    },
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Where and as whom.
#[derive(Clone)]
pub struct Target {
    port: u16,
    connector: TlsConnector,
}

/// A stream of an HTTP/2 connection, which many may share.
#[derive(Clone)]
pub struct Shared(http2::SendRequest<Full<Bytes>>);

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
        let stream = dial(&self.connector, self.port).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Connection(sender))
    }

    /// A connection for many requests at a time.
    pub async fn connect_http2(&self) -> anyhow::Result<Shared> {
        let mut config = self.connector.config().as_ref().clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = dial(&TlsConnector::from(Arc::new(config)), self.port).await?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Shared(sender))
    }
}

async fn dial(connector: &TlsConnector, port: u16) -> anyhow::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.context("connecting")?;
    tcp.set_nodelay(true)?;
    connector.connect(ServerName::try_from("127.0.0.1")?, tcp).await.context("TLS")
}

impl Shared {
    /// GETs a path, for as long as the answer lasts.
    pub async fn send(&mut self, path: &str) -> anyhow::Result<http::Response<Incoming>> {
        let request = Request::get(format!("https://127.0.0.1{path}"))
            .header(header::ACCEPT, "application/json")
            .body(Full::default())?;
        self.0.ready().await?;
        let answer = self.0.send_request(request).await?;
        if !answer.status().is_success() {
            bail!("{}: {path}", answer.status());
        }
        Ok(answer)
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
        let answer = self.begin(method, path, kind, body).await?;
        if !answer.status().is_success() {
            let code = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            bail!("{code}: {}", String::from_utf8_lossy(&body));
        }
        Ok(answer)
    }

    /// Sends, and reads the answer whatever it is.
    pub async fn answer(
        &mut self,
        method: Method,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let answer = self.begin(method, path, kind, body).await?;
        Ok((answer.status(), answer.into_body().collect().await?.to_bytes()))
    }

    /// Sends, and leaves the answer to be read.
    pub async fn begin(
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
        Ok(self.0.send_request(request).await?)
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

/// Makes `count` requests from one connection, one each `pace`.
pub async fn paced(target: &Target, pace: Duration, count: usize, call: impl Fn(usize) -> Call) -> anyhow::Result<()> {
    let mut connection = target.connect().await?;
    let mut tick = tokio::time::interval(pace);
    for n in 0..count {
        tick.tick().await;
        let Call { method, path, kind, body } = call(n);
        connection.round(method, &path, kind, body).await?;
    }
    Ok(())
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
