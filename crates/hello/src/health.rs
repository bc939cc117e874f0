//! `grpc.health.v1.Health/Check`, one message each way, spoken by hand: what a kubelet's gRPC probe asks.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{HeaderMap, Response, header::HeaderValue};

/// Where it is asked.
pub const PATH: &str = "/grpc.health.v1.Health/Check";
/// The only service with a name; the empty name is the server as a whole.
const SERVICE: &str = "hello";

const OK: &str = "0";
const NOT_FOUND: &str = "5";

/// The answer to a request message with gRPC's prefix of five bytes.
pub fn answer(request: &[u8], healthy: bool) -> Response<BoxBody<Bytes, Infallible>> {
    let known = matches!(service(request), Some("" | SERVICE));
    // HealthCheckResponse { status: SERVING = 1 or NOT_SERVING = 2 }
    let message = if known { vec![0, 0, 0, 0, 2, 8, if healthy { 1 } else { 2 }] } else { vec![] };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(if known { OK } else { NOT_FOUND }));
    let body = Full::new(Bytes::from(message)).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// HealthCheckRequest { service = 1 }: nothing else may be in it.
fn service(request: &[u8]) -> Option<&str> {
    match request.get(5..)? {
        [] => Some(""),
        [0x0a, length, name @ ..] if usize::from(*length) == name.len() => std::str::from_utf8(name).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers() {
        let check = async |request: &[u8], healthy: bool, message: &[u8], status: &str| {
            let body = answer(request, healthy).into_body().collect().await.unwrap();
            assert_eq!(body.trailers().unwrap()["grpc-status"], status);
            assert_eq!(body.to_bytes(), message);
        };
        check(&[0; 5], true, &[0, 0, 0, 0, 2, 8, 1], OK).await;
        check(&[0; 5], false, &[0, 0, 0, 0, 2, 8, 2], OK).await;
        check(b"\0\0\0\0\x07\x0a\x05hello", true, &[0, 0, 0, 0, 2, 8, 1], OK).await;
        check(b"\0\0\0\0\x07\x0a\x05other", true, &[], NOT_FOUND).await;
    }
}
