//! The port of a component that is not a server by trade: health for everyone, metrics for who may see them.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use clap::Args;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::net::TcpListener;

use crate::{
    access::{Access, Identity, Target},
    health::Checks,
    metrics,
    serve::{self, Body, Handler, Peer},
    shutdown::Shutdown,
    tls::{ServerTls, TlsFiles},
};

const DRAIN: Duration = Duration::from_secs(2);

#[derive(Args, Clone, Debug)]
pub struct SideOptions {
    /// Address to serve health and metrics on
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// Port to serve health and metrics on; 0 serves nothing
    #[arg(long, default_value_t = 0)]
    pub secure_port: u16,
    /// Serving certificate (PEM)
    #[arg(long)]
    pub tls_cert_file: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long)]
    pub tls_private_key_file: Option<PathBuf>,
    /// Authorities of client certificates (PEM)
    #[arg(long)]
    pub client_ca_file: Option<PathBuf>,
}

/// Serves `/livez`, `/readyz`, `/healthz` to all and `/metrics` to those whom `access` allows it, until shutdown.
///
/// # Errors
/// When the port cannot be opened or the certificate cannot be used.
pub async fn run(
    options: &SideOptions,
    checks: Arc<Checks>,
    access: Arc<dyn Access>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    if options.secure_port == 0 {
        return Ok(());
    }
    let (Some(cert), Some(key)) = (options.tls_cert_file.clone(), options.tls_private_key_file.clone()) else {
        anyhow::bail!("--secure-port needs --tls-cert-file and --tls-private-key-file; --secure-port=0 serves nothing");
    };
    let tls = ServerTls::new(TlsFiles { cert, key, client_ca: options.client_ca_file.clone() })?;
    let address = (options.bind_address, options.secure_port);
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {}:{}", address.0, address.1))?;
    let port = Arc::new(SidePort { checks, access });
    serve::listen(listener, Some(tls), port, shutdown, DRAIN).await;
    Ok(())
}

struct SidePort {
    checks: Arc<Checks>,
    access: Arc<dyn Access>,
}

impl Handler for SidePort {
    async fn handle(&self, request: Request<Incoming>, peer: Arc<Peer>) -> Response<Body> {
        let path = request.uri().path();
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
        }
        if let Some(answer) = self.checks.answer(path, request.uri().query()) {
            return answer;
        }
        let target = Target::Path(path.to_owned());
        match permit(&*self.access, &request, &peer, "get", &target).await {
            Err(refusal) => refusal,
            Ok(_) if path == "/metrics" => {
                let mut response = Response::new(Body::from(metrics::render()));
                let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                response
            }
            Ok(_) => plain(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }
}

/// Who sent `request`, if they may do `verb` to `target`; otherwise the answer that says no.
pub async fn permit<B>(
    access: &dyn Access,
    request: &Request<B>,
    peer: &Peer,
    verb: &str,
    target: &Target,
) -> Result<Identity, Response<Body>> {
    let identity = match (&peer.identity, bearer(request)) {
        (Some(identity), _) => identity.clone(),
        (None, None) => Identity::anonymous(),
        (None, Some(token)) => match access.authenticate(token).await {
            Ok(Some(identity)) => identity,
            Ok(None) => return Err(plain(StatusCode::UNAUTHORIZED, "Unauthorized\n")),
            Err(error) => {
                tracing::warn!("cannot authenticate a request: {error:#}");
                return Err(plain(StatusCode::UNAUTHORIZED, "Unauthorized\n"));
            }
        },
    };
    if identity == Identity::anonymous() {
        return Err(plain(StatusCode::UNAUTHORIZED, "Unauthorized\n"));
    }
    match access.authorize(&identity, verb, target).await {
        Ok(true) => Ok(identity),
        Ok(false) => {
            let what = match target {
                Target::Path(path) => format!("path={path}"),
                Target::Node { subresource, .. } => format!("resource=nodes, subresource={subresource}"),
            };
            Err(plain(StatusCode::FORBIDDEN, format!("Forbidden (user={}, verb={verb}, {what})\n", identity.user)))
        }
        Err(error) => {
            tracing::warn!("cannot authorize a request: {error:#}");
            let text = format!("Authorization error (user={}, verb={verb})\n", identity.user);
            Err(plain(StatusCode::INTERNAL_SERVER_ERROR, text))
        }
    }
}

fn bearer<B>(request: &Request<B>) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|t| !t.is_empty())
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
