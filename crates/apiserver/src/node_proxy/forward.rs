//! One HTTP/1.1 connection to whoever answers in our place, and the request and answer passed along it.

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

use super::upgrade;
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
