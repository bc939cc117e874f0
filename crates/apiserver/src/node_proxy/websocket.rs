//! WebSockets that end here: the upgrade granted to a client, and raw bytes carried in messages (KEP-4006's tunnel for
//! port-forward).

use std::io;

use api_types::Status;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::BytesMut;
use component::serve::Body;
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use crate::answer::Answer;

/// Larger messages end the connection.
const LARGEST_MESSAGE: usize = 1 << 20;
/// Bytes of one message of ours.
const CHUNK: usize = 32 << 10;

/// The subprotocols offered, in order.
pub fn offered(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|list| list.split(',')).map(|one| one.trim().to_owned()).collect()
}

/// The answer that makes a WebSocket of the connection, under the subprotocol named.
pub fn granted(headers: &HeaderMap, protocol: &'static str) -> Result<Answer, Status> {
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if STANDARD.decode(key).map(|nonce| nonce.len()) != Ok(16) {
        return Err(Status::bad_request("the Sec-WebSocket-Key header is missing or wrong"));
    }
    let accept = HeaderValue::from_str(&derive_accept_key(key)).map_err(Status::internal)?;
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answered = response.headers_mut();
    answered.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answered.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answered.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    answered.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    Ok(response)
}

/// Our end of an upgraded connection.
pub async fn serve(connection: Upgraded) -> WebSocketStream<TokioIo<Upgraded>> {
    let config =
        WebSocketConfig::default().max_message_size(Some(LARGEST_MESSAGE)).max_frame_size(Some(LARGEST_MESSAGE));
    WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, Some(config)).await
}

/// Carries the bytes within the client's messages to `other`, and what comes back in messages, until either ends.
pub async fn carry<C, O>(client: WebSocketStream<C>, other: O) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    O: AsyncRead + AsyncWrite,
{
    let (mut from, mut to) = tokio::io::split(other);
    let (mut answers, mut messages) = client.split();
    let there = async {
        while let Some(Ok(message)) = messages.next().await {
            match message {
                Message::Binary(bytes) => to.write_all(&bytes).await?,
                Message::Close(_) => break,
                _ => {}
            }
        }
        Ok(())
    };
    let back = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(CHUNK);
            if from.read_buf(&mut buffer).await? == 0 {
                answers.send(Message::Close(None)).await.ok();
                return Ok(());
            }
            answers.send(Message::Binary(buffer.split().freeze())).await.map_err(io::Error::other)?;
        }
    };
    tokio::select! { ended = there => ended, ended = back => ended }
}
