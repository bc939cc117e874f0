//! `/healthz` and `/livez` for load balancers and supervisors, `/metrics` and `/proxyMode` for this machine; plain HTTP
//! on upstream's ports and in upstream's form.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use component::{
    Clock, Shutdown, metrics,
    serve::{self, Body, Handler, Peer},
};
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpListener;

use crate::config::KubeProxyConfiguration;

/// A change that has waited longer than this to reach the kernel makes the proxy unhealthy.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);
const DRAIN: Duration = Duration::from_secs(1);

pub struct Health {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    updated: Option<Timestamp>,
    /// Since when something has waited to be applied.
    waiting_since: Option<Timestamp>,
    node_deleted: bool,
}

impl Health {
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, state: Mutex::default() })
    }

    pub fn queued(&self) {
        let now = self.clock.now();
        self.state.lock().waiting_since.get_or_insert(now);
    }

    pub fn applied(&self) {
        let mut state = self.state.lock();
        state.updated = Some(self.clock.now());
        state.waiting_since = None;
    }

    pub fn node_deleted(&self, deleted: bool) {
        self.state.lock().node_deleted = deleted;
    }

    fn answer(&self, path: &str) -> Option<Response<Body>> {
        let now = self.clock.now();
        let state = self.state.lock();
        let current =
            state.updated.is_some() && state.waiting_since.is_none_or(|since| now.duration_since(since) < PATIENCE);
        let (healthy, mut body) = match path {
            "/healthz" => (current && !state.node_deleted, json!({"nodeEligible": !state.node_deleted})),
            "/livez" => (current, json!({})),
            _ => return None,
        };
        body["lastUpdated"] = json!(state.updated.unwrap_or(Timestamp::UNIX_EPOCH).to_string());
        body["currentTime"] = json!(now.to_string());
        let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Some(respond(status, "application/json", body.to_string()))
    }
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// The port for everyone.
struct Public(Arc<Health>);

impl Handler for Public {
    async fn handle(&self, request: Request<Incoming>, _peer: Arc<Peer>) -> Response<Body> {
        self.0.answer(request.uri().path()).unwrap_or_else(not_found)
    }
}

/// The port for this machine.
struct Private;

impl Handler for Private {
    async fn handle(&self, request: Request<Incoming>, _peer: Arc<Peer>) -> Response<Body> {
        match request.uri().path() {
            "/metrics" => respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics::render()),
            "/proxyMode" => respond(StatusCode::OK, "text/plain; charset=utf-8", "nftables".into()),
            "/healthz" => respond(StatusCode::OK, "text/plain; charset=utf-8", "ok".into()),
            _ => not_found(),
        }
    }
}

fn not_found() -> Response<Body> {
    respond(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n".into())
}

/// Serves both ports until shutdown; an empty address serves nothing.
pub async fn serve(health: Arc<Health>, file: &KubeProxyConfiguration, shutdown: Shutdown) -> anyhow::Result<()> {
    let public = open(file.healthz_address()).await?;
    let private = open(file.metrics_address()).await?;
    let public = async {
        if let Some(listener) = public {
            serve::listen(listener, None, Arc::new(Public(health)), shutdown.clone(), DRAIN).await;
        }
    };
    let private = async {
        if let Some(listener) = private {
            serve::listen(listener, None, Arc::new(Private), shutdown.clone(), DRAIN).await;
        }
    };
    tokio::join!(public, private);
    Ok(())
}

async fn open(address: &str) -> anyhow::Result<Option<TcpListener>> {
    if address.is_empty() {
        return Ok(None);
    }
    let address: SocketAddr = address.parse().with_context(|| format!("{address:?} is not an address and port"))?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    Ok(Some(listener))
}
