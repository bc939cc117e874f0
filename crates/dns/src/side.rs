//! Health, readiness and metrics, each on the port where CoreDNS has it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use component::Shutdown;
use component::serve::{self, Body, Handler, Peer};
use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::net::TcpListener;

use crate::Config;
use crate::view::Caches;

const DRAIN: Duration = Duration::from_millis(100);
/// A probe that comes early is kept waiting for so long: the next one would come seconds after we are ready.
const EARLY: Duration = Duration::from_millis(900);

/// Serves the three ports until shutdown begins.
pub async fn run(config: &Config, view: Caches, shutdown: Shutdown) -> anyhow::Result<()> {
    let pages =
        [(config.health_port, Page::Health), (config.ready_port, Page::Ready), (config.metrics_port, Page::Metrics)];
    let mut serving = vec![];
    for (port, page) in pages {
        let address = SocketAddr::from((config.bind, port));
        let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
        let handler = Arc::new(Side { page, view: view.clone() });
        serving.push(tokio::spawn(serve::listen(listener, None, handler, shutdown.clone(), DRAIN)));
    }
    for task in serving {
        task.await?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Page {
    Health,
    Ready,
    Metrics,
}

struct Side {
    page: Page,
    view: Caches,
}

impl Handler for Side {
    async fn handle(&self, request: Request<Incoming>, _peer: Arc<Peer>) -> Response<Body> {
        let (status, text) = match (self.page, request.uri().path()) {
            (Page::Health, "/health") => (StatusCode::OK, "OK".to_owned()),
            (Page::Ready, "/ready") => match tokio::time::timeout(EARLY, self.view.synced()).await {
                Ok(()) => (StatusCode::OK, "OK".to_owned()),
                Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "kubernetes".to_owned()),
            },
            (Page::Metrics, "/metrics") => (StatusCode::OK, component::metrics::render()),
            _ => (StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        let plain = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        response
    }
}
