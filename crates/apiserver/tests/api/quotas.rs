//! ResourceQuota and LimitRange: what they refuse and fill in, and that a quota is exact whoever writes when.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::harness::Api;

const PODS: &str = "/api/v1/namespaces/default/pods";
const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const QUOTA: &str = "/api/v1/namespaces/default/resourcequotas/q";

fn pod(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i"}], "automountServiceAccountToken": false},
    })
}

/// A quota that its controller has counted once.
async fn start(hard: Value, used: Value) -> Api {
    let api = Api::start().await;
    api.post(QUOTAS, json!({"metadata": {"name": "q"}, "spec": {"hard": hard}})).await.expect(201);
    api.patch(&format!("{QUOTA}/status"), "merge", json!({"status": {"hard": hard, "used": used}})).await.expect(200);
    api
}

async fn used(api: &Api) -> Value {
    api.get(QUOTA).await.expect(200)["status"]["used"].clone()
}

#[tokio::test(start_paused = true)]
async fn the_eleventh_pod_is_refused() {
    let api = start(json!({"pods": "10"}), json!({"pods": "0"})).await;
    for number in 0..10 {
        api.post(PODS, pod(&format!("p{number}"))).await.expect(201);
    }
    let refused = api.post(PODS, pod("p10")).await.expect(403);
    assert_eq!(
        refused["message"],
        r#"pods "p10" is forbidden: exceeded quota: q, requested: pods=1, used: pods=10, limited: pods=10"#
    );
    api.post(&format!("{PODS}?dryRun=All"), pod("p10")).await.expect(403);
    // What ends or goes gives back at once.
    api.patch(&format!("{PODS}/p0/status"), "merge", json!({"status": {"phase": "Succeeded"}})).await.expect(200);
    assert_eq!(used(&api).await, json!({"pods": "9"}));
    api.delete(&format!("{PODS}/p1"), json!({"gracePeriodSeconds": 0})).await.expect(200);
    assert_eq!(used(&api).await, json!({"pods": "8"}));
    api.post(PODS, pod("p10")).await.expect(201);
    assert_eq!(used(&api).await, json!({"pods": "9"}));
}

#[tokio::test(start_paused = true)]
async fn is_never_exceeded_by_many_at_once() {
    let api = start(json!({"pods": "20", "count/pods": "50"}), json!({"pods": "0", "count/pods": "0"})).await;
    let answers = join_all((0..100).map(|number| {
        let api = &api;
        async move { api.post(PODS, pod(&format!("p{number}"))).await.code.as_u16() }
    }))
    .await;
    let made = answers.iter().filter(|code| **code == 201).count();
    assert_eq!((made, answers.iter().filter(|code| **code == 403).count()), (20, 80));
    assert_eq!(used(&api).await, json!({"pods": "20", "count/pods": "20"}));
    let pods = api.get(PODS).await.expect(200);
    assert_eq!(pods["items"].as_array().unwrap().len(), 20);
    api.delete(PODS, json!({"gracePeriodSeconds": 0})).await.expect(200);
    assert_eq!(used(&api).await, json!({"pods": "0", "count/pods": "0"}));
}

#[tokio::test(start_paused = true)]
async fn counts_objects_of_any_kind_and_never_itself() {
    let hard = json!({"count/configmaps": "1", "resourcequotas": "2"});
    let api = start(hard, json!({"count/configmaps": "0", "resourcequotas": "1"})).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    api.post(maps, json!({"metadata": {"name": "a"}})).await.expect(201);
    let refused = api.post(maps, json!({"metadata": {"name": "b"}})).await.expect(403);
    let text = refused["message"].as_str().unwrap();
    assert!(
        text.ends_with("requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1"),
        "{text}"
    );
    api.post(QUOTAS, json!({"metadata": {"name": "r"}, "spec": {"hard": {}}})).await.expect(201);
    assert_eq!(used(&api).await["resourcequotas"], "2");
    api.delete(QUOTA, Value::Null).await.expect(200);
}

#[tokio::test(start_paused = true)]
async fn limit_ranges_fill_in_and_refuse() {
    let api = start(json!({"requests.cpu": "1"}), json!({"requests.cpu": "0"})).await;
    let refused = api.post(PODS, pod("a")).await.expect(403);
    assert_eq!(refused["message"], r#"pods "a" is forbidden: failed quota: q: must specify requests.cpu for: c"#);
    let limit =
        json!({"type": "Container", "defaultRequest": {"cpu": "300m"}, "max": {"cpu": "2"}, "default": {"cpu": "2"}});
    let range = json!({"metadata": {"name": "l"}, "spec": {"limits": [limit]}});
    api.post("/api/v1/namespaces/default/limitranges", range).await.expect(201);
    let made = api.post(PODS, pod("a")).await.expect(201);
    assert_eq!(
        made["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "2"}, "requests": {"cpu": "300m"}})
    );
    assert_eq!(used(&api).await, json!({"requests.cpu": "300m"}));
    let mut large = pod("b");
    large["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "3"}});
    let refused = api.post(PODS, large).await.expect(403);
    let text = refused["message"].as_str().unwrap();
    assert!(text.contains("maximum cpu usage per Container is 2, but limit is 3"), "{text}");
}
