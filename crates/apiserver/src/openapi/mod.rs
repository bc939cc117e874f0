//! `/openapi/v2` and `/openapi/v3`: the documents that `api-rules` derives from the types, served from memory.
//!
//! They are made when first asked for, and kept compressed: nearly all clients ask for that, and a few hundred kilobytes
//! stand for several megabytes. Only JSON is served; clients that want protobuf get 406 and do without.

mod documents;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::OnceLock;

use api_rules::kinds;
use api_types::Status;
use bytes::Bytes;
use component::serve::Body;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::answer;

#[derive(Default)]
pub struct OpenApi {
    v2: OnceLock<Document>,
    v3: OnceLock<V3>,
}

struct V3 {
    index: Document,
    /// By path below `/openapi/v3/`: `api/v1`, `apis/apps/v1`.
    groups: BTreeMap<String, Document>,
}

struct Document {
    gzip: Bytes,
    etag: HeaderValue,
    hash: String,
}

impl OpenApi {
    pub fn new() -> Self {
        Self::default()
    }

    /// `None` for other paths.
    pub fn serve(&self, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
        let document = match path {
            "/openapi/v2" => self.v2.get_or_init(|| Document::new(&documents::v2())),
            "/openapi/v3" => &self.v3().index,
            _ => self.v3().groups.get(path.strip_prefix("/openapi/v3/")?)?,
        };
        Some(if accepts_json(headers) {
            document.answer(headers)
        } else {
            answer::status(&Status::not_acceptable(&["application/json"]))
        })
    }

    fn v3(&self) -> &V3 {
        self.v3.get_or_init(|| {
            let groups: BTreeMap<String, Document> = group_versions()
                .map(|(group, version)| {
                    let path = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
                    (path, Document::new(&documents::v3_group(group, version)))
                })
                .collect();
            let paths: serde_json::Map<String, Value> = groups
                .iter()
                .map(|(path, document)| {
                    let url = format!("/openapi/v3/{path}?hash={}", document.hash);
                    (path.clone(), json!({"serverRelativeURL": url}))
                })
                .collect();
            V3 { index: Document::new(&json!({"paths": paths})), groups }
        })
    }
}

fn group_versions() -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut seen = std::collections::HashSet::new();
    let served = kinds::all().iter().map(|kind| kind.names()).filter(|names| !names.plural.is_empty());
    served.map(|names| (names.group, names.version)).filter(move |pair| seen.insert(*pair))
}

/// Protobuf is named together with a fallback by clients that can do without it.
fn accepts_json(headers: &HeaderMap) -> bool {
    let Some(accepted) = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()) else { return true };
    let mut clauses = accepted.split(',').map(|clause| clause.split(';').next().unwrap_or_default().trim());
    clauses.any(|media| matches!(media, "" | "application/json" | "application/*" | "*/*"))
}

impl Document {
    fn new(value: &Value) -> Self {
        let json = value.to_string().into_bytes();
        let hash: String = Sha256::digest(&json).iter().map(|byte| format!("{byte:02X}")).collect();
        let etag = HeaderValue::from_str(&format!("\"{hash}\"")).expect("hexadecimal digits in quotes");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let gzip = encoder.write_all(&json).and_then(|()| encoder.finish()).expect("writing to memory does not fail");
        Self { gzip: gzip.into(), etag, hash }
    }

    fn answer(&self, headers: &HeaderMap) -> Response<Body> {
        let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| *value == self.etag);
        let compressed = answer::accepts_gzip(headers);
        let (code, body) = match (known, compressed) {
            (true, _) => (StatusCode::NOT_MODIFIED, Body::Empty),
            (false, true) => (StatusCode::OK, Body::from(self.gzip.clone())),
            (false, false) => (StatusCode::OK, Body::from(self.json())),
        };
        let mut response = answer::with_body(code, body, "application/json");
        response.headers_mut().insert(header::ETAG, self.etag.clone());
        if compressed && !known {
            answer::mark_compressed(response.headers_mut());
        }
        response
    }

    fn json(&self) -> Vec<u8> {
        let mut json = Vec::new();
        GzDecoder::new(&self.gzip[..]).read_to_end(&mut json).expect("we compressed it ourselves");
        json
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn get(path: &str, name: header::HeaderName, value: &str) -> Option<Response<Body>> {
        let headers = HeaderMap::from_iter([(name, value.parse().unwrap())]);
        OpenApi::new().serve(path, &headers)
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
    fn protobuf_alone_is_refused() {
        let response = get("/openapi/v2", header::ACCEPT, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf");
        assert_eq!(response.unwrap().status(), StatusCode::NOT_ACCEPTABLE);
    }
}
