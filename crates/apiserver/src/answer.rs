//! From results to HTTP responses: the one place where an error becomes an answer.

use api_types::{Status, status::Reason};
use bytes::{Bytes, BytesMut};
use component::serve::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::Value;
use store::{BackendError, StoreError, WatchError};

use crate::{
    gzip,
    negotiate::{Form, Media},
    pretty::Indenter,
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
        (Media::Json, true) => indented(&json),
        (Media::Yaml, _) => yaml(&json).map_or(json, Bytes::from),
    };
    with_body(code, Body::from(body), form.media.content_type())
}

fn indented(json: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(json.len() * 2);
    Indenter::default().write(json, &mut out);
    out.freeze()
}

/// A document of JSON as YAML; `None` if it is none.
pub fn yaml(json: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(json).ok()?;
    serde_saphyr::to_string(&value).ok()
}

pub fn with_body(code: StatusCode, body: Body, content_type: &'static str) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A `Status` as the answer to a request, in JSON.
pub fn status(status: &Status) -> Answer {
    status_in(status, Form::default())
}

/// A `Status` in the media type that the client asked for.
pub fn status_in(status: &Status, form: Form) -> Answer {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = document(code, status.to_json().into(), form);
    let retry = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if retry > 0 {
        response.headers_mut().insert(header::RETRY_AFTER, retry.into());
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
    // Some documents are kept compressed.
    let is_done = parts.headers.contains_key(header::CONTENT_ENCODING);
    if is_done || bytes.len() < COMPRESS_FROM || !accepts_gzip(headers) {
        return Response::from_parts(parts, body);
    }
    match gzip::whole(bytes) {
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

/// A watch was to begin at `wanted`, and the changes up to `oldest` are gone.
pub fn too_old(wanted: i64, oldest: i64) -> Status {
    Status::expired(format!("too old resource version: {wanted} ({oldest})"))
}

pub fn watch_error(error: WatchError) -> Status {
    match error {
        WatchError::Expired => Status::expired("too old resource version"),
        WatchError::Backend(error) => backend_error(error),
    }
}
