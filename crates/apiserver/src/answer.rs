//! From results to HTTP responses: the one place where an error becomes an answer.

use std::io::Write;

use api_types::{Status, status::Reason};
use bytes::Bytes;
use component::serve::Body;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::Value;
use store::{BackendError, StoreError, WatchError};

use crate::{
    negotiate::{Form, Media, PROTOBUF},
    protobuf,
};

pub type Answer = Response<Body>;

/// Smaller answers are not worth compressing (upstream's limit).
pub const COMPRESS_FROM: usize = 128 << 10;

/// A whole document of JSON, in the media type asked for.
pub fn document(code: StatusCode, json: Bytes, form: Form) -> Answer {
    let body = match (form.media, form.pretty) {
        (Media::Protobuf, _) => match protobuf::document(&json) {
            Ok(bytes) => bytes.into(),
            Err(why) => {
                tracing::debug!(%why, "an answer has no protobuf form");
                return status(&Status::not_acceptable(&["application/json", "application/yaml"]));
            }
        },
        (Media::Json, false) => json,
        (Media::Json, true) => reformatted(&json, |value| serde_json::to_string_pretty(value).ok()),
        (Media::Yaml, _) => reformatted(&json, |value| serde_saphyr::to_string(value).ok()),
    };
    with_body(code, Body::from(body), form.media.content_type())
}

fn reformatted(json: &Bytes, write: impl Fn(&Value) -> Option<String>) -> Bytes {
    serde_json::from_slice(json).ok().and_then(|value| write(&value)).map_or_else(|| json.clone(), Bytes::from)
}

pub fn with_body(code: StatusCode, body: Body, content_type: &'static str) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A `Status` as the answer to a request.
pub fn status(status: &Status) -> Answer {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = with_body(code, Body::from(status.to_json()), "application/json");
    let retry = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if retry > 0 {
        response.headers_mut().insert(header::RETRY_AFTER, retry.into());
    }
    response
}

/// A `Status` in protobuf, for clients that prefer it.
pub fn protobuf_status(of: &Status) -> Answer {
    let mut response = status(of);
    if let Ok(body) = protobuf::object("v1", "Status", &of.to_json()) {
        *response.body_mut() = Body::from(Bytes::from(body));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
    }
    response
}

/// `Warning: 299 - "text"`, one header for each.
pub fn add_warnings(response: &mut Answer, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    accepted.split(',').any(|coding| coding.split(';').next().map(str::trim) == Some("gzip"))
}

/// Compresses an answer that is known as a whole, if it is large and the client can read it.
pub fn compress(response: Answer, headers: &HeaderMap) -> Answer {
    let (mut parts, body) = response.into_parts();
    let Body::Full(bytes) = &body else { return Response::from_parts(parts, body) };
    if bytes.len() < COMPRESS_FROM || !accepts_gzip(headers) {
        return Response::from_parts(parts, body);
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    match encoder.write_all(bytes).and_then(|()| encoder.finish()) {
        Ok(compressed) => {
            mark_compressed(&mut parts.headers);
            Response::from_parts(parts, Body::from(compressed))
        }
        Err(_) => Response::from_parts(parts, body),
    }
}

pub fn mark_compressed(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
}

pub const TOO_OLD: &str = "too old resource version";

/// What the store could not do, in the words of the API.
pub fn store_error(error: StoreError) -> Status {
    match error {
        StoreError::Expired => Status::expired("The resourceVersion for the provided list is too old."),
        StoreError::Future { wanted, current } => {
            Status::too_large_resource_version(wanted.max(0) as u64, current.max(0) as u64)
        }
        StoreError::Decode(why) => Status::internal(format!("a stored object cannot be read: {why}")),
        StoreError::Backend(error) => backend_error(error),
    }
}

pub fn backend_error(error: BackendError) -> Status {
    match error {
        BackendError::Compacted { .. } => Status::expired("The provided resource version is no longer available."),
        BackendError::FutureRevision => Status::bad_request("the resource version is in the future"),
        BackendError::TooLarge => Status::request_entity_too_large("the object does not fit into the storage"),
        BackendError::Unavailable(why) => {
            tracing::warn!(error = why, "the storage did not answer");
            Status::service_unavailable("the storage is not available at the moment").with_retry_after(1)
        }
        BackendError::Unknown(why) => {
            tracing::warn!(error = why, "the outcome of a write is unknown");
            Status::failure(
                504,
                Reason::Timeout,
                "Timeout: the storage did not confirm the write; it may have happened",
            )
        }
    }
}

pub fn watch_error(error: WatchError) -> Status {
    match error {
        WatchError::Expired => Status::expired(TOO_OLD),
        WatchError::Backend(error) => backend_error(error),
    }
}
