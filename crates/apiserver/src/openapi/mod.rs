//! `/openapi/v2` and `/openapi/v3`: the documents that `api-rules` derives from the kinds, served from memory.
//!
//! They are made when first asked for, and kept compressed: nearly all clients ask for that, and a few hundred kilobytes
//! stand for several megabytes. Version 2 is also served as protobuf, which is all that client-go asks for there. When the
//! kinds change, the documents of groups that did not are kept.

use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};

use api_rules::openapi;
use api_types::Status;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use component::serve::Body;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    answer,
    registry::{GroupVersion, Registry},
};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// What older clients call the same.
const PROTOBUF_BEFORE: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

#[derive(Default)]
pub struct OpenApi {
    current: ArcSwapOption<Documents>,
}

/// All documents of one registry.
struct Documents {
    registry: Arc<Registry>,
    v2: OnceLock<Document>,
    v2_protobuf: OnceLock<Document>,
    index: OnceLock<Document>,
    groups: Vec<Arc<GroupDocument>>,
}

struct GroupDocument {
    of: Arc<GroupVersion>,
    /// Below `/openapi/v3/`: `api/v1`, `apis/apps/v1`.
    path: String,
    document: OnceLock<Document>,
}

struct Document {
    media: &'static str,
    gzip: Bytes,
    etag: HeaderValue,
    hash: String,
}

impl OpenApi {
    pub fn new() -> Self {
        Self::default()
    }

    /// `None` for other paths.
    pub fn serve(&self, registry: &Arc<Registry>, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
        let path = path.strip_prefix("/openapi/")?;
        let documents = self.documents(registry);
        let protobuf = accepts(headers, &[PROTOBUF, PROTOBUF_BEFORE]);
        let document = match path {
            "v2" if protobuf => documents.v2_protobuf(),
            "v2" => documents.v2(),
            "v3" => documents.index(),
            _ => {
                let path = path.strip_prefix("v3/")?;
                documents.groups.iter().find(|group| group.path == path)?.document()
            }
        };
        Some(if document.media != JSON || accepts_json(headers) {
            document.answer(headers)
        } else {
            answer::status(&Status::not_acceptable(&[JSON]))
        })
    }

    fn documents(&self, registry: &Arc<Registry>) -> Arc<Documents> {
        let current = self.current.load();
        match &*current {
            Some(current) if Arc::ptr_eq(&current.registry, registry) => current.clone(),
            before => {
                let documents = Arc::new(Documents::new(registry.clone(), before.as_deref()));
                self.current.store(Some(documents.clone()));
                documents
            }
        }
    }
}

impl Documents {
    fn new(registry: Arc<Registry>, before: Option<&Self>) -> Self {
        let known = |of: &Arc<GroupVersion>| {
            before.and_then(|before| before.groups.iter().find(|group| Arc::ptr_eq(&group.of, of))).cloned()
        };
        let groups = registry
            .group_versions()
            .map(|of| known(of).unwrap_or_else(|| Arc::new(GroupDocument::new(of.clone()))))
            .collect();
        Self { registry, v2: OnceLock::new(), v2_protobuf: OnceLock::new(), index: OnceLock::new(), groups }
    }

    fn v2(&self) -> &Document {
        self.v2.get_or_init(|| Document::json(|| self.v2_value()))
    }

    fn v2_protobuf(&self) -> &Document {
        self.v2_protobuf.get_or_init(|| Document::new(PROTOBUF, || openapi::v2_protobuf(&self.v2_value())))
    }

    fn v2_value(&self) -> Value {
        openapi::v2(&self.registry.group_versions().flat_map(|of| of.kinds()).collect::<Vec<_>>())
    }

    fn index(&self) -> &Document {
        self.index.get_or_init(|| {
            let paths: serde_json::Map<String, Value> = self
                .groups
                .iter()
                .map(|group| {
                    let url = format!("/openapi/v3/{}?hash={}", group.path, group.document().hash);
                    (group.path.clone(), json!({"serverRelativeURL": url}))
                })
                .collect();
            Document::json(|| json!({"paths": paths}))
        })
    }
}

impl GroupDocument {
    fn new(of: Arc<GroupVersion>) -> Self {
        let path = if of.group.is_empty() {
            format!("api/{}", of.version)
        } else {
            format!("apis/{}/{}", of.group, of.version)
        };
        Self { of, path, document: OnceLock::new() }
    }

    fn document(&self) -> &Document {
        self.document.get_or_init(|| Document::json(|| openapi::v3(&self.of.kinds())))
    }
}

/// Protobuf is named together with a fallback by clients that can do without it.
fn accepts_json(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::ACCEPT) || accepts(headers, &["", JSON, "application/*", "*/*"])
}

fn accepts(headers: &HeaderMap, wanted: &[&str]) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|clause| wanted.contains(&clause.split(';').next().unwrap_or_default().trim()))
}

impl Document {
    fn json(make: impl FnOnce() -> Value + Send) -> Self {
        Self::new(JSON, || make().to_string().into_bytes())
    }

    /// Making a document takes many times the memory of the result. A thread of its own gives all of that back to the
    /// system when it ends; the heaps of threads that go on would keep it.
    fn new(media: &'static str, make: impl FnOnce() -> Vec<u8> + Send) -> Self {
        std::thread::scope(|scope| {
            let document = scope.spawn(|| Self::compress(media, &make()));
            document.join().expect("making a document does not panic")
        })
    }

    fn compress(media: &'static str, content: &[u8]) -> Self {
        let hash: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02X}")).collect();
        let etag = HeaderValue::from_str(&format!("\"{hash}\"")).expect("hexadecimal digits in quotes");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let gzip = encoder.write_all(content).and_then(|()| encoder.finish()).expect("writing to memory does not fail");
        Self { media, gzip: gzip.into(), etag, hash }
    }

    fn answer(&self, headers: &HeaderMap) -> Response<Body> {
        let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| *value == self.etag);
        let compressed = answer::accepts_gzip(headers);
        let (code, body) = match (known, compressed) {
            (true, _) => (StatusCode::NOT_MODIFIED, Body::Empty),
            (false, true) => (StatusCode::OK, Body::from(self.gzip.clone())),
            (false, false) => (StatusCode::OK, Body::from(self.content())),
        };
        let mut response = answer::with_body(code, body, self.media);
        response.headers_mut().insert(header::ETAG, self.etag.clone());
        if compressed && !known {
            answer::mark_compressed(response.headers_mut());
        }
        response
    }

    fn content(&self) -> Vec<u8> {
        let mut content = Vec::new();
        GzDecoder::new(&self.gzip[..]).read_to_end(&mut content).expect("we compressed it ourselves");
        content
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn get(path: &str, name: header::HeaderName, value: &str) -> Option<Response<Body>> {
        let headers = HeaderMap::from_iter([(name, value.parse().unwrap())]);
        OpenApi::new().serve(&Arc::new(crate::test_core::registry()), path, &headers)
    }

    async fn json(response: Response<Body>) -> Value {
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    #[tokio::test]
    async fn the_index_leads_to_every_group() {
        let index = json(get("/openapi/v3", header::ACCEPT, "application/json").unwrap()).await;
        let paths = index["paths"].as_object().unwrap();
        assert!(paths.contains_key("api/v1") && paths.contains_key("apis/apps/v1"), "{paths:?}");
        let core = json(get("/openapi/v3/api/v1", header::ACCEPT, "*/*").unwrap()).await;
        assert!(core["components"]["schemas"]["io.k8s.api.core.v1.Pod"].is_object());
        assert!(get("/openapi/v3/apis/none/v1", header::ACCEPT, "*/*").is_none());
    }

    #[tokio::test]
    async fn compressed_if_wanted() {
        let response = get("/openapi/v3/apis/apps/v1", header::ACCEPT_ENCODING, "gzip").unwrap();
        assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
        let etag = response.headers()[header::ETAG].to_str().unwrap().to_owned();
        let again = get("/openapi/v3/apis/apps/v1", header::IF_NONE_MATCH, &etag).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn version_2_speaks_protobuf() {
        for media in [PROTOBUF, PROTOBUF_BEFORE] {
            let response = get("/openapi/v2", header::ACCEPT, media).unwrap();
            assert_eq!(response.headers()[header::CONTENT_TYPE], PROTOBUF);
        }
        let response = get("/openapi/v3/api/v1", header::ACCEPT, PROTOBUF).unwrap();
        assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE);
    }
}
