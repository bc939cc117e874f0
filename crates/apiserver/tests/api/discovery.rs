//! Discovery says what a v1.36 API server says: every resource and subresource, with all that clients learn of it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::Api;

const UPSTREAM: &str = include_str!("../../../api-rules/testdata/resources.tsv");

/// By group, version and name: kind, singular, scope, verbs, short names, categories.
type Resources = BTreeMap<(String, String, String), [String; 6]>;

#[tokio::test(start_paused = true)]
async fn resources_are_upstreams() {
    let api = Api::start().await;
    let mut served = read(&api, "/api/v1", "", "v1").await;
    let groups = api.get("/apis").await.expect(200);
    for group in groups["groups"].as_array().unwrap() {
        for version in group["versions"].as_array().unwrap() {
            let path = format!("/apis/{}", text(&version["groupVersion"]));
            served.extend(read(&api, &path, text(&group["name"]), text(&version["version"])).await);
        }
    }
    let upstream: Resources = UPSTREAM.lines().filter(|line| !line.starts_with('#')).skip(1).map(row).collect();
    let missing: Vec<_> = upstream.keys().filter(|key| !served.contains_key(*key)).collect();
    let surplus: Vec<_> = served.keys().filter(|key| !upstream.contains_key(key)).collect();
    let different: Vec<_> =
        upstream.iter().filter(|(key, value)| served.get(key).is_some_and(|s| s != *value)).collect();
    assert!(
        missing.is_empty() && surplus.is_empty() && different.is_empty(),
        "missing: {missing:#?}\nsurplus: {surplus:#?}\ndifferent: {different:#?}"
    );
}

async fn read(api: &Api, path: &str, group: &str, version: &str) -> Resources {
    let list = api.get(path).await.expect(200);
    let joined = |value: &Value| {
        let mut words: Vec<_> = value.as_array().into_iter().flatten().map(text).collect();
        words.sort_unstable();
        words.join(",")
    };
    let resource = |r: &Value| {
        let key = (group.to_owned(), version.to_owned(), text(&r["name"]).to_owned());
        let [verbs, short, categories] = ["verbs", "shortNames", "categories"].map(|member| joined(&r[member]));
        let scope = r["namespaced"].to_string();
        (key, [text(&r["kind"]).to_owned(), text(&r["singularName"]).to_owned(), scope, verbs, short, categories])
    };
    list["resources"].as_array().unwrap().iter().map(resource).collect()
}

fn row(line: &str) -> ((String, String, String), [String; 6]) {
    let cells: Vec<_> = line.split('\t').map(str::to_owned).collect();
    let [group, version, name, singular, kind, namespaced, verbs, short, categories, ..] = &cells[..] else {
        panic!("{line}")
    };
    let value = [kind, singular, namespaced, verbs, short, categories].map(Clone::clone);
    ((group.clone(), version.clone(), name.clone()), value)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
