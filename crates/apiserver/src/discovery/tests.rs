use http_body_util::BodyExt;

use super::*;
use crate::test_core;

async fn get(path: &str, accept: &str) -> Option<(HeaderMap, Value)> {
    let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
    let (parts, body) =
        Discovery::new("192.0.2.1:6443").serve(&Arc::new(test_core::registry()), path, &headers)?.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Some((parts.headers, serde_json::from_slice(&bytes).unwrap()))
}

#[tokio::test]
async fn legacy() {
    let (_, api) = get("/api", "application/json").await.unwrap();
    assert_eq!((&api["kind"], &api["versions"][0]), (&"APIVersions".into(), &"v1".into()));
    let (_, v1) = get("/api/v1", "application/json").await.unwrap();
    let resources = v1["resources"].as_array().unwrap();
    let names: Vec<_> = resources.iter().map(|resource| resource["name"].as_str().unwrap()).collect();
    assert!(names.is_sorted(), "{names:?}");
    let namespaces = resources.iter().find(|resource| resource["name"] == "namespaces").unwrap();
    assert_eq!((&namespaces["shortNames"][0], &namespaces["namespaced"]), (&"ns".into(), &false.into()));
    assert!(get("/api/v2", "application/json").await.is_none());
    assert!(get("/apis/none/v1", "application/json").await.is_none());
}

/// What `kubectl` of several versions sends.
#[tokio::test]
async fn aggregated() {
    let both = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
    let old = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
    for (accept, version) in [(both, "v2"), (old, "v2beta1")] {
        let (headers, list) = get("/api", accept).await.unwrap();
        assert_eq!(list["apiVersion"], format!("apidiscovery.k8s.io/{version}"));
        let expected = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        assert_eq!(headers[header::CONTENT_TYPE], expected);
        assert_eq!(list["items"][0]["versions"][0]["version"], "v1");
    }
    let (_, plain) =
        get("/api", "application/json, application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
            .await
            .unwrap();
    assert_eq!(plain["kind"], "APIVersions");
}

#[test]
fn an_unchanged_document_is_not_sent_again() {
    let (discovery, registry) = (Discovery::new("x"), Arc::new(test_core::registry()));
    let etag = discovery.serve(&registry, "/apis", &HeaderMap::new()).unwrap().headers()[header::ETAG].clone();
    let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, etag)]);
    assert_eq!(discovery.serve(&registry, "/apis", &headers).unwrap().status(), StatusCode::NOT_MODIFIED);
}
