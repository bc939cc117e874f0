//! `/api` and `/apis`: what is served, derived from the registry of kinds.
//!
//! In the legacy form (one document per group and version) and, where `Accept` asks for it, in the aggregated form (all at
//! once, with an ETag). The documents are written once for each registry, by the first request that comes after it changed.

mod aggregated;
mod legacy;

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use component::serve::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{answer, registry::Registry};

pub struct Discovery {
    server_address: String,
    current: ArcSwapOption<Documents>,
}

/// All documents of one registry.
struct Documents {
    registry: Arc<Registry>,
    /// By path.
    legacy: HashMap<String, Document>,
    /// By root (`/api` or `/apis`) and version of the form.
    aggregated: HashMap<(&'static str, &'static str), Document>,
}

#[derive(Clone)]
struct Document {
    json: Bytes,
    etag: HeaderValue,
    content_type: &'static str,
}

const VERSIONS: [(&str, &str); 2] = [
    ("v2", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
    ("v2beta1", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"),
];

impl Discovery {
    /// `server_address` is told to clients in `/api`.
    pub fn new(server_address: &str) -> Self {
        Self { server_address: server_address.to_owned(), current: ArcSwapOption::empty() }
    }

    /// `None` for paths that are not of discovery.
    pub fn serve(&self, registry: &Arc<Registry>, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
        let path = path.trim_end_matches('/');
        if !path.starts_with("/api") {
            return None;
        }
        let documents = self.documents(registry);
        let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let wanted = aggregated_version(accepted);
        let root = ["/api", "/apis"].into_iter().find(|root| *root == path);
        let document = match (root, wanted) {
            (Some(root), Some(version)) => documents.aggregated.get(&(root, version))?,
            _ => documents.legacy.get(path)?,
        };
        Some(document.answer(headers))
    }

    fn documents(&self, registry: &Arc<Registry>) -> Arc<Documents> {
        match &*self.current.load() {
            Some(current) if Arc::ptr_eq(&current.registry, registry) => current.clone(),
            _ => {
                let documents = Arc::new(Documents::new(registry.clone(), &self.server_address));
                self.current.store(Some(documents.clone()));
                documents
            }
        }
    }
}

impl Documents {
    fn new(registry: Arc<Registry>, server_address: &str) -> Self {
        let groups = registry.groups();
        let legacy = legacy::documents(groups, server_address);
        let legacy =
            legacy.into_iter().map(|(path, value)| (path, Document::new(&value, "application/json"))).collect();
        let mut aggregated = HashMap::new();
        for (version, content_type) in VERSIONS {
            for root in ["/api", "/apis"] {
                let value = aggregated::document(groups.iter().filter(|group| group.root() == root), version);
                aggregated.insert((root, version), Document::new(&value, content_type));
            }
        }
        Self { legacy, aggregated, registry }
    }
}

/// The first clause of `Accept` decides between the forms; plain JSON before the aggregated form is plain JSON.
fn aggregated_version(accepted: &str) -> Option<&'static str> {
    for clause in accepted.split(',') {
        let mut parts = clause.split(';').map(str::trim);
        if !matches!(parts.next(), Some("application/json" | "*/*" | "application/*")) {
            continue;
        }
        let parameters: HashMap<_, _> = parts.filter_map(|part| part.split_once('=')).collect();
        if parameters.get("as") != Some(&"APIGroupDiscoveryList") {
            return None;
        }
        if parameters.get("g") == Some(&"apidiscovery.k8s.io")
            && let Some((version, _)) = VERSIONS.iter().find(|(version, _)| parameters.get("v") == Some(version))
        {
            return Some(version);
        }
    }
    None
}

impl Document {
    fn new(value: &Value, content_type: &'static str) -> Self {
        let json = Bytes::from(value.to_string());
        let digest: String = Sha256::digest(&json).iter().map(|byte| format!("{byte:02X}")).collect();
        let etag = HeaderValue::from_str(&format!("\"{digest}\"")).expect("hexadecimal digits in quotes");
        Self { json, etag, content_type }
    }

    fn answer(&self, headers: &HeaderMap) -> Response<Body> {
        let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| *value == self.etag);
        let mut response = if known {
            answer::with_body(StatusCode::NOT_MODIFIED, Body::Empty, self.content_type)
        } else {
            answer::with_body(StatusCode::OK, Body::from(self.json.clone()), self.content_type)
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.etag.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        response
    }
}

#[cfg(test)]
mod tests;
