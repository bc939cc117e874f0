//! Requests to the API in the terms of this crate: resources known by value, bodies as JSON, errors as `Status`.

use api_types::{
    Status,
    object::{Object, Resource, Watched},
    plan::{PatchStyle, Propagation, Target},
    status::Reason,
};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use kube::client::Body;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused it; nothing was changed.
    #[error("{0}")]
    Refused(Box<Status>),
    /// The connection failed or the time was over: it may have happened or not.
    #[error("the API server did not answer")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer is not what the API promises.
    #[error("the API server's answer cannot be read")]
    Unreadable(#[source] serde_json::Error),
}

impl Error {
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused(status) => Some(status),
            _ => None,
        }
    }

    /// HTTP status; 0 when there was no answer.
    pub fn code(&self) -> u16 {
        self.status().map_or(0, |status| status.code)
    }

    pub fn is_not_found(&self) -> bool {
        self.code() == 404
    }

    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(|status| status.reason == Some(Reason::Conflict))
    }

    pub fn already_exists(&self) -> bool {
        self.status().is_some_and(|status| status.reason == Some(Reason::AlreadyExists))
    }
}

/// Requests with one identity.
#[derive(Clone)]
pub struct Api(kube::Client);

impl From<kube::Client> for Api {
    fn from(client: kube::Client) -> Self {
        Self(client)
    }
}

impl Api {
    pub fn client(&self) -> &kube::Client {
        &self.0
    }

    /// The newest state; `None` when there is no such object.
    pub async fn get<K: Watched>(&self, namespace: &str, name: &str) -> Result<Option<K>, Error> {
        self.get_as(&K::RESOURCE, namespace, name).await
    }

    pub async fn get_as<K: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<K>, Error> {
        match self.json(Method::GET, &resource.object_path(namespace, name), None).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Only the metadata, whatever the kind.
    pub async fn get_metadata<K: Object>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<K>, Error> {
        let request = Request::get(resource.object_path(namespace, name)).header(header::ACCEPT, METADATA);
        match self.send(request, Bytes::new()).await.and_then(|body| parse(&body)) {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The metadata of up to `limit` objects, and how many there are beyond them.
    pub async fn list_metadata<K: Object>(
        &self,
        resource: &Resource,
        namespace: &str,
        limit: u32,
    ) -> Result<(Vec<K>, u64), Error> {
        #[derive(serde::Deserialize)]
        #[serde(bound(deserialize = "K: DeserializeOwned"))]
        struct List<K> {
            #[serde(default)]
            metadata: ListMeta,
            items: Vec<K>,
        }
        #[derive(Default, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct ListMeta {
            remaining_item_count: u64,
        }
        let path = format!("{}?limit={limit}", resource.collection_path(namespace));
        let request = Request::get(path).header(header::ACCEPT, METADATA_LIST);
        let list: List<K> = parse(&self.send(request, Bytes::new()).await?)?;
        Ok((list.items, list.metadata.remaining_item_count))
    }

    /// Deletes all objects of a kind in a namespace.
    pub async fn delete_all(&self, resource: &Resource, namespace: &str) -> Result<(), Error> {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        self.json::<Value>(Method::DELETE, &resource.collection_path(namespace), Some(&options)).await.map(drop)
    }

    pub async fn create<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        object: &Value,
    ) -> Result<T, Error> {
        self.json(Method::POST, &resource.collection_path(namespace), Some(object)).await
    }

    /// POST to a subresource of an object, or to a review.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, object: &Value) -> Result<T, Error> {
        self.json(Method::POST, path, Some(object)).await
    }

    pub async fn replace<T: DeserializeOwned>(
        &self,
        target: &Target,
        subresource: Option<&str>,
        object: &Value,
    ) -> Result<T, Error> {
        self.json(Method::PUT, &path(target, subresource), Some(object)).await
    }

    /// The uid and resourceVersion of `target` are put into the patch, so that it meets the very object or fails.
    pub async fn patch<T: DeserializeOwned>(
        &self,
        target: &Target,
        subresource: Option<&str>,
        style: PatchStyle,
        body: &Value,
    ) -> Result<T, Error> {
        let mut body = body.clone();
        if style != PatchStyle::Json
            && let Some(body) = body.as_object_mut()
        {
            require(body, "uid", target.uid.as_deref());
            require(body, "resourceVersion", target.resource_version.as_deref());
        }
        let (kind, query) = match style {
            PatchStyle::Merge => ("application/merge-patch+json", String::new()),
            PatchStyle::Strategic => ("application/strategic-merge-patch+json", String::new()),
            PatchStyle::Json => ("application/json-patch+json", String::new()),
            PatchStyle::Apply(manager) => {
                ("application/apply-patch+yaml", format!("?fieldManager={manager}&force=true"))
            }
        };
        let request = Request::patch(path(target, subresource) + &query).header(header::CONTENT_TYPE, kind);
        parse(&self.send(request, encode(&body)?).await?)
    }

    /// The answer: the object when it goes on existing for a while, or a `Status` when it is gone.
    pub async fn delete(
        &self,
        target: &Target,
        propagation: Option<Propagation>,
        grace_seconds: Option<u32>,
    ) -> Result<Value, Error> {
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        if let Some(propagation) = propagation {
            options["propagationPolicy"] = json!(match propagation {
                Propagation::Background => "Background",
                Propagation::Foreground => "Foreground",
                Propagation::Orphan => "Orphan",
            });
        }
        if let Some(seconds) = grace_seconds {
            options["gracePeriodSeconds"] = json!(seconds);
        }
        if let Some(uid) = &target.uid {
            options["preconditions"]["uid"] = json!(uid);
        }
        if let Some(version) = &target.resource_version {
            options["preconditions"]["resourceVersion"] = json!(version);
        }
        self.json(Method::DELETE, &path(target, None), Some(&options)).await
    }

    /// Any request with a JSON answer.
    pub async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Error> {
        let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, "application/json");
        let body = match body {
            None => Bytes::new(),
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                encode(body)?
            }
        };
        parse(&self.send(request, body).await?)
    }

    async fn send(&self, request: http::request::Builder, body: Bytes) -> Result<Bytes, Error> {
        let answer = self.open(request, body).await?;
        Ok(answer.into_body().collect().await.map_err(|error| Error::Unknown(error.into()))?.to_bytes())
    }

    /// Sends a request and returns the answer once its head is known to be a success.
    pub(crate) async fn open(
        &self,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<http::Response<Body>, Error> {
        let request = request.body(Body::from(body)).map_err(|error| Error::Unknown(error.into()))?;
        let answer = self.0.send(request).await.map_err(|error| Error::Unknown(error.into()))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let code = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| Error::Unknown(error.into()))?.to_bytes();
        Err(Error::Refused(Box::new(refusal(code, &body))))
    }
}

pub(crate) const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
pub(crate) const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

fn path(target: &Target, subresource: Option<&str>) -> String {
    let path = target.resource.object_path(&target.namespace, &target.name);
    match subresource {
        None => path,
        Some(subresource) => format!("{path}/{subresource}"),
    }
}

fn require(body: &mut serde_json::Map<String, Value>, field: &str, value: Option<&str>) {
    if let Some(value) = value
        && let Some(metadata) = body.entry("metadata").or_insert_with(|| json!({})).as_object_mut()
    {
        metadata.insert(field.to_owned(), json!(value));
    }
}

fn encode(body: &Value) -> Result<Bytes, Error> {
    serde_json::to_vec(body).map(Bytes::from).map_err(Error::Unreadable)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(Error::Unreadable)
}

/// The `Status` of a refusal, made up from the HTTP status when the body is none (a proxy in between).
fn refusal(code: StatusCode, body: &[u8]) -> Status {
    serde_json::from_slice::<Status>(body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(&body[..body.len().min(256)]);
        let mut status = Status::internal(text.trim());
        status.code = code.as_u16();
        status
    })
}
