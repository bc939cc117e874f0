//! One HTTP/1.1 connection to whoever answers in our place, and the request and answer passed along it.

use std::io;

use anyhow::Context;
use api_types::{Status, status::Reason};
use bytes::Bytes;
use component::serve::Body;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, BodyStream, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    remote_command::{self, Wanted},
    upgrade, websocket,
};
use crate::answer::Answer;

/// Of an error's text no more is passed on.
const LONGEST_ERROR: usize = 16 << 10;

/// Headers that concern one connection only, and credentials, which were for us.
const NOT_PASSED: [header::HeaderName; 9] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers of a WebSocket's handshake.
const WEBSOCKET: [header::HeaderName; 4] = [
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_EXTENSIONS,
];

pub struct Connection {
    sender: http1::SendRequest<Incoming>,
    authority: String,
}

impl Connection {
    /// `authority` is what the `Host` header says.
    pub async fn start(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        authority: String,
    ) -> anyhow::Result<Self> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.context("HTTP handshake")?;
        // Lives as long as the request, its answer, and what became of it by an upgrade.
        tokio::spawn(async move {
            if let Err(why) = connection.with_upgrades().await {
                tracing::debug!("a passed on connection ended: {why}");
            }
        });
        Ok(Self { sender, authority })
    }

    pub fn authority(&self) -> &str {
        &self.authority
    }

    pub async fn send(mut self, mut request: Request<Incoming>) -> Result<Response<Incoming>, Status> {
        let host = HeaderValue::from_str(&self.authority).map_err(Status::internal)?;
        request.headers_mut().insert(header::HOST, host);
        let sent = self.sender.send_request(request).await;
        sent.map_err(|why| Status::service_unavailable(format!("error trying to reach service: {why}")))
    }

    /// Passes an upgrade request on; if it is granted, everything that follows too.
    pub async fn upgrade(self, mut request: Request<Incoming>, path: &str) -> Result<Answer, Status> {
        let ours = hyper::upgrade::on(&mut request);
        let kept: Vec<_> = [header::CONNECTION, header::UPGRADE]
            .into_iter()
            .filter_map(|name| Some((name.clone(), request.headers().get(&name)?.clone())))
            .collect();
        let mut passed = outgoing(request, path);
        passed.headers_mut().extend(kept);
        let mut response = self.send(passed).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(streamed(response));
        }
        let theirs = hyper::upgrade::on(&mut response);
        tokio::spawn(upgrade::tunnel(ours, theirs));
        let (parts, _) = response.into_parts();
        Ok(Response::from_parts(parts, Body::Empty))
    }
}

/// How a WebSocket client is served whose protocol the other side does not speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translation {
    RemoteCommand(Wanted),
    PortForward,
}

impl Translation {
    /// Ours with the client, and the one within SPDY with the kubelet.
    fn protocols(self) -> (&'static str, &'static str) {
        match self {
            Self::RemoteCommand(_) => (remote_command::V5, remote_command::V4),
            Self::PortForward => (upgrade::TUNNELED, "portforward.k8s.io"),
        }
    }
}

impl Connection {
    /// Asks for SPDY, and grants a WebSocket if it is there.
    pub async fn translated(
        self,
        mut request: Request<Incoming>,
        path: &str,
        translation: Translation,
    ) -> Result<Answer, Status> {
        let (ours, theirs) = translation.protocols();
        let granted = websocket::granted(request.headers(), ours)?;
        let client = hyper::upgrade::on(&mut request);
        let mut passed = outgoing(request, path);
        let headers = passed.headers_mut();
        for name in WEBSOCKET {
            headers.remove(name);
        }
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
        headers.insert("x-stream-protocol-version", HeaderValue::from_static(theirs));
        let mut response = self.send(passed).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refused(response).await);
        }
        let kubelet = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            let ended = async {
                let (client, kubelet) = tokio::try_join!(client, kubelet).map_err(io::Error::other)?;
                let client = websocket::serve(client).await;
                match translation {
                    Translation::RemoteCommand(wanted) => {
                        remote_command::translate(client, TokioIo::new(kubelet), wanted).await
                    }
                    Translation::PortForward => websocket::carry(client, TokioIo::new(kubelet)).await,
                }
            };
            if let Err(why) = ended.await {
                tracing::debug!("a translated stream ended: {why}");
            }
        });
        Ok(granted)
    }
}

/// The request as it leaves: for another path, without what was meant for this connection.
pub fn outgoing(request: Request<Incoming>, path: &str) -> Request<Incoming> {
    let (mut parts, body) = request.into_parts();
    strip(&mut parts.headers);
    // Compression is between each two neighbours; streams must not wait for it.
    parts.headers.remove(header::ACCEPT_ENCODING);
    parts.version = http::Version::HTTP_11;
    parts.uri = path.parse().unwrap_or_else(|_| http::Uri::from_static("/"));
    parts.extensions = http::Extensions::new();
    Request::from_parts(parts, body)
}

/// The answer, sent on as it comes.
pub fn streamed(response: Response<Incoming>) -> Answer {
    let (mut parts, body) = response.into_parts();
    strip(&mut parts.headers);
    parts.version = http::Version::default();
    parts.extensions = http::Extensions::new();
    let chunks = BodyStream::new(body).filter_map(|frame| async {
        match frame {
            Ok(frame) => frame.into_data().ok().map(Ok),
            Err(why) => Some(Err(why.into())),
        }
    });
    Response::from_parts(parts, Body::stream(chunks))
}

fn strip(headers: &mut HeaderMap) {
    for name in NOT_PASSED {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

/// A kubelet's refusal as the API says it: its text is the message.
pub async fn refused(response: Response<Incoming>) -> Status {
    let code = response.status();
    let body = Limited::new(response.into_body(), LONGEST_ERROR).collect().await;
    let text = body.map(http_body_util::Collected::to_bytes).unwrap_or_else(|_| Bytes::new());
    let message = String::from_utf8_lossy(&text).trim().to_owned();
    if let Ok(status) = serde_json::from_slice::<Status>(&text) {
        return status;
    }
    let reason = match code {
        StatusCode::BAD_REQUEST => Reason::BadRequest,
        StatusCode::UNAUTHORIZED => Reason::Unauthorized,
        StatusCode::FORBIDDEN => Reason::Forbidden,
        StatusCode::NOT_FOUND => Reason::NotFound,
        StatusCode::SERVICE_UNAVAILABLE => Reason::ServiceUnavailable,
        _ => return Status::internal(message),
    };
    Status::failure(code.as_u16(), reason, message)
}
