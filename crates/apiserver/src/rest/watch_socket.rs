//! WATCH over a WebSocket: each event a text message, as upstream. What the client says is read and ignored.

use api_types::Status;
use base64::{Engine, engine::general_purpose::STANDARD};
use component::serve::Body;
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message, Utf8Bytes,
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use super::watch_events::Events;
use crate::answer::Answer;

/// Subprotocols of this form are credentials.
const CREDENTIALS: &str = "base64url.bearer.authorization.k8s.io.";
/// Clients have nothing to say that is longer.
const MAX_HEARD: usize = 4 << 10;
/// Bytes written ahead of a client that does not read.
const MAX_AHEAD: usize = 256 << 10;

pub fn is_wanted(headers: &HeaderMap) -> bool {
    let asks = |name, wanted: &str| {
        let values = headers.get_all(name).iter().filter_map(|value: &HeaderValue| value.to_str().ok());
        values.flat_map(|list| list.split(',')).any(|one| one.trim().eq_ignore_ascii_case(wanted))
    };
    asks(header::CONNECTION, "upgrade") && asks(header::UPGRADE, "websocket")
}

/// Answers the handshake; the events follow once the connection is handed over.
pub fn serve(headers: &HeaderMap, upgrade: OnUpgrade, events: Events) -> Result<Answer, Status> {
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| STANDARD.decode(key).is_ok_and(|k| k.len() == 16));
    let key = key.ok_or_else(|| Status::bad_request("missing or bad Sec-WebSocket-Key"))?;
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
    let accept = accept.map_err(|error| Status::internal(error.to_string()))?;
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answered = response.headers_mut();
    answered.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answered.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answered.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(protocol) = protocol(headers) {
        answered.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    tokio::spawn(async move {
        match upgrade.await {
            Ok(connection) => send(connection, events).await,
            Err(why) => tracing::debug!("an upgrade came to nothing: {why}"),
        }
    });
    Ok(response)
}

/// The first subprotocol offered that is no credential: a browser wants one of its own back.
fn protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let mut named = offered.flat_map(|list| list.split(',')).map(str::trim);
    named.find(|one| !one.starts_with(CREDENTIALS)).and_then(|one| HeaderValue::from_str(one).ok())
}

async fn send(connection: Upgraded, mut events: Events) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_HEARD))
        .max_frame_size(Some(MAX_HEARD))
        .max_write_buffer_size(MAX_AHEAD);
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, Some(config)).await;
    let (mut say, mut hear) = socket.split();
    loop {
        tokio::select! {
            biased;
            heard = hear.next() => match heard {
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
            lines = events.next() => {
                let Some(Ok(lines)) = lines else { break };
                for line in lines.split_inclusive(|byte| *byte == b'\n') {
                    let Ok(text) = Utf8Bytes::try_from(lines.slice_ref(line)) else { continue };
                    if say.send(Message::Text(text)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
    if let Err(why) = say.close().await {
        tracing::debug!("a WebSocket ended: {why}");
    }
}
