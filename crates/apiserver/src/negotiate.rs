//! Which form of an answer a client accepts, and in which encoding its body came.

use std::cmp::Reverse;

use api_rules::Encoding;
use api_types::{Status, status::Reason};
use bytes::Bytes;
use http::{HeaderMap, header};

use crate::{protobuf, query::Query};

/// What `Accept` may name.
const ACCEPTED: [&str; 3] = ["application/json", "application/yaml", PROTOBUF];
/// What it may name for a watch.
const STREAMED: [&str; 2] = ["application/json;stream=watch", PROTOBUF_STREAM];
/// What a body may be.
const BODIES: [&str; 3] = ["application/json", "application/yaml", PROTOBUF];
/// Programs in front of which people sit: they get indented JSON.
const FOR_PEOPLE: [&str; 3] = ["curl", "Wget", "Mozilla/5.0"];

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

    /// The same for a watch.
    pub fn stream_content_type(self) -> &'static str {
        if self == Self::Protobuf { PROTOBUF_STREAM } else { self.content_type() }
    }

    /// Whether events can follow one another in it.
    fn streams(self) -> bool {
        self != Self::Yaml
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
    /// `PartialObjectMetadata`.
    Metadata,
    /// `PartialObjectMetadataList`.
    MetadataList,
}

/// The version of `meta.k8s.io` that a table or metadata is in; they differ in nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetaVersion {
    #[default]
    V1,
    V1Beta1,
}

impl MetaVersion {
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// How to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    pub media: Media,
    pub shape: Shape,
    pub meta: MetaVersion,
    pub pretty: bool,
}

impl Form {
    /// The best clause of `Accept` that can be served; 406 if there is none. `has_protobuf`: whether the kind has a
    /// message; custom resources have none.
    pub fn of(headers: &HeaderMap, query: &Query, has_protobuf: bool) -> Result<Self, Status> {
        Self::negotiate(headers, query, has_protobuf, |_| true)
            .unwrap_or_else(|| Err(Status::not_acceptable(&ACCEPTED)))
    }

    /// The same for a watch.
    pub fn of_watch(headers: &HeaderMap, query: &Query, has_protobuf: bool) -> Result<Self, Status> {
        Self::negotiate(headers, query, has_protobuf, Media::streams)
            .unwrap_or_else(|| Err(Status::not_acceptable(&STREAMED)))
    }

    fn negotiate(
        headers: &HeaderMap,
        query: &Query,
        has_protobuf: bool,
        can: fn(Media) -> bool,
    ) -> Option<Result<Self, Status>> {
        let pretty = is_for_people(headers, query);
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
        if accept.is_empty() || accept == "application/json" {
            return Some(Ok(Self { pretty, ..Self::default() }));
        }
        let mut clauses: Vec<Clause> = accept.split(',').map(Clause::parse).collect();
        clauses.sort_by_key(|clause| (Reverse(clause.thousandths), clause.wildcards));
        let served = |form: &Self| match (form.media, form.shape) {
            (Media::Protobuf, Shape::Table(_)) => false,
            (Media::Protobuf, Shape::Whole) => has_protobuf,
            (media, _) => can(media),
        };
        let form = clauses.iter().filter_map(Clause::form).find(served)?;
        let pretty = pretty || form.pretty;
        let shape = match form.shape {
            Shape::Table(_) => match include_object(query) {
                Ok(include) => Shape::Table(include),
                Err(status) => return Some(Err(status)),
            },
            shape => shape,
        };
        Some(Ok(Self { pretty, shape, ..form }))
    }

    pub fn is_whole_json(self) -> bool {
        self == Self::default()
    }

    /// 406 where a list was asked to be one object's metadata, or one object a list's. `kind` is what there is.
    pub fn check_metadata(self, is_list: bool, kind: &str) -> Result<(), Status> {
        let (wanted, is) = match (self.shape, is_list) {
            (Shape::Metadata, true) => ("PartialObjectMetadata", "is a list"),
            (Shape::MetadataList, false) => ("PartialObjectMetadataList", "is not a list"),
            _ => return Ok(()),
        };
        let message = format!("you requested {wanted}, but the requested object {is} ({kind})");
        Err(Status::failure(406, Reason::NotAcceptable, message))
    }
}

/// One alternative of an `Accept` header.
struct Clause<'a> {
    media: &'a str,
    parameters: &'a str,
    /// The client's preference, of 1000.
    thousandths: u32,
    wildcards: usize,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Self {
        let (media, parameters) = text.split_once(';').unwrap_or((text, ""));
        let media = media.trim();
        let weight = pairs(parameters).find(|(name, _)| *name == "q").and_then(|(_, value)| value.parse::<f32>().ok());
        let thousandths = (weight.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u32;
        Self { media, parameters, thousandths, wildcards: media.matches('*').count() }
    }

    fn form(&self) -> Option<Form> {
        let media = match self.media {
            "application/json" | "*/*" | "application/*" => Media::Json,
            "application/yaml" => Media::Yaml,
            PROTOBUF => Media::Protobuf,
            _ => return None,
        };
        let (mut as_, mut group, mut version, mut pretty) = ("", "", "", false);
        for (name, value) in pairs(self.parameters) {
            match name {
                "as" => as_ = value,
                "g" => group = value,
                "v" => version = value,
                "pretty" => pretty = value == "1",
                "stream" if !value.is_empty() && value != "watch" => return None,
                _ => {}
            }
        }
        let form = Form { media, pretty, ..Form::default() };
        if as_.is_empty() {
            return Some(form);
        } else if group != "meta.k8s.io" {
            return None;
        }
        let meta = match version {
            "v1" => MetaVersion::V1,
            "v1beta1" => MetaVersion::V1Beta1,
            _ => return None,
        };
        let shape = match as_ {
            "Table" => Shape::Table(IncludeObject::default()),
            "PartialObjectMetadata" => Shape::Metadata,
            "PartialObjectMetadataList" => Shape::MetadataList,
            _ => return None,
        };
        Some(Form { shape, meta, ..form })
    }
}

fn pairs(parameters: &str) -> impl Iterator<Item = (&str, &str)> {
    parameters.split(';').filter_map(|pair| pair.trim().split_once('='))
}

/// `pretty` if it is given, else by the program that asks, as upstream.
fn is_for_people(headers: &HeaderMap, query: &Query) -> bool {
    if let Some(given) = query.get("pretty") {
        return matches!(given, "1" | "t" | "T" | "true" | "TRUE" | "True");
    }
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("");
    FOR_PEOPLE.iter().any(|program| agent.starts_with(program))
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
const PROTOBUF_STREAM: &str = "application/vnd.kubernetes.protobuf;stream=watch";

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
        check(
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Some((Media::Json, Shape::MetadataList)),
        );
        check("application/json;as=Odd;g=meta.k8s.io;v=v1,application/yaml", Some((Media::Yaml, Shape::Whole)));
        check("application/json;stream=watch", Some((Media::Json, Shape::Whole)));
        check("application/vnd.kubernetes.protobuf;stream=watch", Some((Media::Protobuf, Shape::Whole)));
        check("text/html", None);
        check("application/json;q=0.5, application/yaml", Some((Media::Yaml, Shape::Whole)));
        check("*/*, application/yaml", Some((Media::Yaml, Shape::Whole)));
        check("application/json;stream=odd", None);
        check("application/json;as=Table;g=meta.k8s.io;v=v2", None);
    }

    #[test]
    fn watches_need_a_form_that_streams() {
        let headers = |accept: &str| HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
        let form = Form::of_watch(&headers("application/yaml, application/json;stream=watch"), &Query::default(), true);
        assert_eq!(form.unwrap().media, Media::Json);
        let refused = Form::of_watch(&headers("application/yaml"), &Query::default(), true).unwrap_err();
        assert_eq!(refused.code, 406);
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

    #[test]
    fn people_get_it_indented() {
        let check = |agent: &str, query: &str, expected: bool| {
            let headers = HeaderMap::from_iter([(header::USER_AGENT, agent.parse().unwrap())]);
            assert_eq!(Form::of(&headers, &Query::parse(query), true).unwrap().pretty, expected, "{agent} {query}");
        };
        check("curl/8", "", true);
        check("Mozilla/5.0 (X11)", "", true);
        check("curl/8", "pretty=false", false);
        check("kubectl/v1.36", "", false);
        check("kubectl/v1.36", "pretty=true", true);
        check("kubectl/v1.36", "pretty=odd", false);
    }
}
