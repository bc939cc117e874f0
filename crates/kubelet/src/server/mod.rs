//! The kubelet's API on its own port: logs, exec, attach and port-forward for the API server, metrics for monitoring.
//!
//! Everybody but for health checks is authenticated (client certificate, or bearer token by TokenReview) and authorized
//! (SubjectAccessReview on `nodes/<subresource>`). Nothing here decides anything about pods: it looks at the directory
//! and asks the runtime.

mod containers;
mod logs;
mod metrics;
mod pods;
mod query;
mod route;
mod stats;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use client::DelegatedAccess;
use component::access::{Access, Target};
use component::health::Checks;
use component::serve::{self, Body, Handler, Peer};
use component::side_port::permit;
use component::tls::{ServerTls, TlsFiles};
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::net::TcpListener;

use crate::context::Context;
use route::Route;

/// Followed logs and open shells get no longer than this when the kubelet ends.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves on the configured port until shutdown.
pub async fn run(context: &Arc<Context>, client: &kube::Client, checks: Arc<Checks>) -> anyhow::Result<()> {
    let file = &context.config.file;
    let cert = file.tls_cert_file.clone().context("no serving certificate")?;
    let key = file.tls_private_key_file.clone().context("no key of the serving certificate")?;
    let client_ca = file.authentication.x509.client_ca_file.clone();
    let tls = ServerTls::new(TlsFiles { cert, key, client_ca })?;
    let address = (file.address, file.port);
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {}:{}", address.0, address.1))?;
    let server = Server { context: context.clone(), access: Box::new(DelegatedAccess::new(client.clone())), checks };
    serve::listen(listener, Some(tls), Arc::new(server), context.shutdown.clone(), DRAIN).await;
    Ok(())
}

struct Server {
    context: Arc<Context>,
    access: Box<dyn Access>,
    checks: Arc<Checks>,
}

impl Handler for Server {
    async fn handle(&self, request: Request<Incoming>, peer: Arc<Peer>) -> Response<Body> {
        if let Some(answer) = self.checks.answer(request.uri().path(), request.uri().query()) {
            return answer;
        }
        let Some(route) = Route::parse(request.uri().path()) else {
            return text(StatusCode::NOT_FOUND, "404 page not found\n");
        };
        let target = |subresource: &str| Target::Node {
            name: self.context.config.node_name.clone(),
            subresource: subresource.to_owned(),
        };
        let verb = route::verb(request.method());
        let mut permitted = permit(&*self.access, &request, &peer, verb, &target(route.subresource())).await;
        // Who may do everything through the proxy may do the parts of it, too.
        if matches!(&permitted, Err(refused) if refused.status() == StatusCode::FORBIDDEN)
            && route.subresource() != "proxy"
        {
            permitted = permit(&*self.access, &request, &peer, verb, &target("proxy")).await;
        }
        match permitted {
            Ok(_) => self.answer(route, request).await,
            Err(refusal) => refusal,
        }
    }
}

impl Server {
    async fn answer(&self, route: Route, request: Request<Incoming>) -> Response<Body> {
        let query = query::Query::parse(request.uri().query().unwrap_or_default());
        let context = &self.context;
        let answer = match route {
            Route::ContainerLogs(container) => logs::serve(context, &container, &query).await,
            Route::Exec(container) => stream::exec(context, &container, &query, request).await,
            Route::Attach(container) => stream::attach(context, &container, &query, request).await,
            Route::PortForward(pod) => stream::port_forward(context, &pod, request).await,
            Route::Run(container) => stream::run(context, &container, &query).await,
            Route::Pods => Ok(pods::all(context)),
            Route::RunningPods => pods::running(context).await,
            Route::Metrics => Ok(exposition(component::metrics::render())),
            Route::MetricsProbes => Ok(exposition(metrics::probes())),
            Route::MetricsResource => metrics::resource(context).await.map(exposition),
            Route::MetricsCadvisor => metrics::cadvisor(context).await.map(exposition),
            Route::StatsSummary => stats::summary(context).await,
            Route::Configz => json(&serde_json::json!({"kubeletconfig": context.config.file})),
        };
        answer.unwrap_or_else(|refusal| text(refusal.status, refusal.message))
    }
}

/// An answer that says no. The API server passes its text on as the message of a Status.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    message: String,
}

type Answer = Result<Response<Body>, Refusal>;

fn refuse(status: StatusCode, message: impl Into<String>) -> Refusal {
    Refusal { status, message: message.into() }
}

/// What the runtime says when it fails.
fn runtime_failed(error: &cri::Error) -> Refusal {
    match error {
        cri::Error::NotFound(message) => refuse(StatusCode::NOT_FOUND, message),
        other => refuse(StatusCode::INTERNAL_SERVER_ERROR, other.to_string()),
    }
}

fn typed(body: impl Into<Body>, kind: &'static str) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn text(status: StatusCode, message: impl Into<String>) -> Response<Body> {
    let mut response = typed(message.into(), "text/plain; charset=utf-8");
    *response.status_mut() = status;
    response
}

fn json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => Ok(typed(bytes, "application/json")),
        Err(error) => Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

fn exposition(text: String) -> Response<Body> {
    typed(text, "text/plain; version=0.0.4; charset=utf-8")
}
