//! The gRPC health check (`grpc.health.v1.Health/Check`), small enough to be spoken by hand: one
//! message each way over HTTP/2 without TLS.

use super::check::{authority, words};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

const SERVING: u64 = 1;

pub async fn check(host: &str, port: u16, service: &str) -> Result<(), String> {
    let place = authority(host, port);
    let tcp = TcpStream::connect((host, port)).await;
    let tcp = tcp
        .map_err(|e| format!("error: failed to connect service {place:?}: dial tcp {place}: connect: {}", words(&e)))?;
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await.map_err(|e| e.to_string())?;
    let driver = tokio::spawn(connection);
    let request = Request::post(format!("http://{place}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.36")
        .body(Full::new(message(service)))
        .map_err(|e| e.to_string())?;
    let answer = sender.send_request(request).await.map_err(|e| e.to_string())?;
    let head = answer.headers().clone();
    let body = answer.into_body().collect().await.map_err(|e| e.to_string())?;
    let status =
        |headers: &http::HeaderMap| headers.get("grpc-status").and_then(|s| s.to_str().ok()).map(str::to_owned);
    let code = body.trailers().and_then(status).or_else(|| status(&head)).unwrap_or_else(|| "2".into());
    driver.abort();
    match code.as_str() {
        "0" => {}
        "12" => {
            return Err(format!(
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {place}"
            ));
        }
        other => return Err(format!("error: health rpc probe failed: rpc error: code = {other}")),
    }
    match serving(&body.to_bytes()) {
        Some(SERVING) => Ok(()),
        other => Err(format!("service unhealthy (responded with {:?})", name(other.unwrap_or(0)))),
    }
}

fn name(status: u64) -> &'static str {
    match status {
        1 => "SERVING",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "UNKNOWN",
    }
}

/// `HealthCheckRequest { service = 1 }` with gRPC's five-byte prefix.
fn message(service: &str) -> Bytes {
    let mut proto = BytesMut::new();
    if !service.is_empty() {
        proto.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            proto.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        proto.put_u8(length as u8);
        proto.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(proto.len()).unwrap_or(u32::MAX));
    framed.put(proto);
    framed.freeze()
}

/// `HealthCheckResponse { status = 1 }`.
fn serving(body: &[u8]) -> Option<u64> {
    let proto = body.get(5..)?;
    match proto {
        [] => Some(0),
        [0x08, status, ..] => Some(u64::from(*status)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        assert_eq!(&message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&message("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 1]), Some(SERVING));
        assert_eq!(serving(&[0, 0, 0, 0, 0]), Some(0));
    }
}
