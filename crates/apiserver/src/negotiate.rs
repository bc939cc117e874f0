//! Which form of an answer a client accepts, and in which encoding its body came.

use api_rules::Encoding;
use api_types::Status;
use bytes::Bytes;
use http::{HeaderMap, header};

use crate::{protobuf, query::Query};

/// What `Accept` may name.
const ACCEPTED: [&str; 3] = ["application/json", "application/yaml", PROTOBUF];
/// What a body may be.
const BODIES: [&str; 3] = ["application/json", "application/yaml", PROTOBUF];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Media {
    #[default]
    Json,
    Yaml,
    Protobuf,
}

impl Media {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => PROTOBUF,
        }
    }
}

/// What of the objects a `Table` carries beside the cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    None,
    #[default]
    Metadata,
    Object,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// The object or list itself.
    #[default]
    Whole,
    Table(IncludeObject),
    /// `PartialObjectMetadata` and its list.
    Metadata,
}

/// How to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    pub media: Media,
    pub shape: Shape,
    pub pretty: bool,
}

impl Form {
    /// The first clause of `Accept` that can be served; 406 if there is none. `has_protobuf`: whether the kind has a
    /// message; custom resources have none.
    pub fn of(headers: &HeaderMap, query: &Query, has_protobuf: bool) -> Result<Self, Status> {
        let pretty = query.flag("pretty");
        let Some(accept) = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).filter(|a| !a.is_empty())
        else {
            return Ok(Self { pretty, ..Self::default() });
        };
        for clause in accept.split(',') {
            match clause_form(clause, query)? {
                Some((Media::Protobuf, Shape::Table(_))) => {}
                Some((Media::Protobuf, Shape::Whole)) if !has_protobuf => {}
                Some((media, shape)) => return Ok(Self { media, shape, pretty }),
                None => {}
            }
        }
        Err(Status::not_acceptable(&ACCEPTED))
    }

    pub fn is_whole_json(self) -> bool {
        self == Self::default()
    }
}

fn clause_form(clause: &str, query: &Query) -> Result<Option<(Media, Shape)>, Status> {
    let mut parts = clause.split(';').map(str::trim);
    let media = match parts.next() {
        Some("application/json" | "*/*" | "application/*") => Media::Json,
        Some("application/yaml") => Media::Yaml,
        Some(PROTOBUF) => Media::Protobuf,
        _ => return Ok(None),
    };
    let (mut as_, mut group, mut version) = ("", "", "");
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name {
            "as" => as_ = value,
            "g" => group = value,
            "v" => version = value,
            _ => {}
        }
    }
    if as_.is_empty() {
        return Ok(Some((media, Shape::Whole)));
    }
    if group != "meta.k8s.io" || !matches!(version, "v1" | "v1beta1") {
        return Ok(None);
    }
    match as_ {
        "Table" => Ok(Some((media, Shape::Table(include_object(query)?)))),
        "PartialObjectMetadata" | "PartialObjectMetadataList" => Ok(Some((media, Shape::Metadata))),
        _ => Ok(None),
    }
}

fn include_object(query: &Query) -> Result<IncludeObject, Status> {
    match query.get("includeObject") {
        None | Some("Metadata") => Ok(IncludeObject::Metadata),
        Some("None") => Ok(IncludeObject::None),
        Some("Object") => Ok(IncludeObject::Object),
        Some(other) => Err(Status::bad_request(format!("unrecognized includeObject value {other:?}"))),
    }
}

pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Whether an error is to be told in protobuf: the client accepts that before anything else.
pub fn prefers_protobuf(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|value| value.as_bytes().starts_with(PROTOBUF.as_bytes()))
}

fn content_type(headers: &HeaderMap) -> &str {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    given.split(';').next().unwrap_or("").trim()
}

/// The encoding of a request's body once it is [`readable`]; 415 for what cannot be read.
pub fn body_encoding(headers: &HeaderMap) -> Result<Encoding, Status> {
    match content_type(headers) {
        "" | "application/json" | PROTOBUF => Ok(Encoding::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Encoding::Yaml),
        _ => Err(Status::unsupported_media_type(&BODIES)),
    }
}

/// A body in JSON or YAML: what came as protobuf is turned into JSON.
pub fn readable(headers: &HeaderMap, body: Bytes) -> Result<Bytes, Status> {
    if body.is_empty() || content_type(headers) != PROTOBUF {
        return Ok(body);
    }
    let object = protobuf::to_json(&body);
    let object = object.map_err(|error| Status::bad_request(format!("the body could not be decoded: {error}")))?;
    Ok(api_rules::encode(&object).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, expected: Option<(Media, Shape)>) {
        let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
        let form = Form::of(&headers, &Query::default(), true).ok().map(|form| (form.media, form.shape));
        assert_eq!(form, expected, "{accept}");
    }

    #[test]
    fn first_served_clause_counts() {
        let table = Shape::Table(IncludeObject::Metadata);
        check("application/json", Some((Media::Json, Shape::Whole)));
        check("*/*", Some((Media::Json, Shape::Whole)));
        check("application/vnd.kubernetes.protobuf, application/json", Some((Media::Protobuf, Shape::Whole)));
        check(
            "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1;g=meta.k8s.io",
            Some((Media::Json, table)),
        );
        check(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            Some((Media::Json, table)),
        );
        check("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Some((Media::Json, Shape::Metadata)));
        check("application/json;as=Odd;g=meta.k8s.io;v=v1,application/yaml", Some((Media::Yaml, Shape::Whole)));
        check("application/json;stream=watch", Some((Media::Json, Shape::Whole)));
        check("application/vnd.kubernetes.protobuf;stream=watch", Some((Media::Protobuf, Shape::Whole)));
        check("text/html", None);
    }

    #[test]
    fn what_has_no_message_is_json() {
        let check = |accept: &str, expected| {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            let form = Form::of(&headers, &Query::default(), false).ok();
            assert_eq!(form.map(|form| form.media), expected, "{accept}");
        };
        check("application/vnd.kubernetes.protobuf,application/json", Some(Media::Json));
        check("application/vnd.kubernetes.protobuf", None);
        let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        check(metadata, Some(Media::Protobuf));
    }
}
