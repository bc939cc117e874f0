//! Server-side apply and managedFields, as clients see them.

use serde_json::{Value, json};

use crate::harness::{Answer, Api, request};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MAP: &str = "/api/v1/namespaces/default/configmaps/a";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/d";

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

fn deployment(replicas: u32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

impl Api {
    async fn write_as(&self, agent: &str, method: &str, path: &str, content_type: &str, body: &Value) -> Answer {
        let headers = [("user-agent", agent), ("content-type", content_type)];
        self.send(request(method, path, &headers, body.to_string().into())).await
    }

    async fn apply(&self, path: &str, manager: &str, body: &Value) -> Answer {
        let path = format!("{path}{}fieldManager={manager}", if path.contains('?') { "&" } else { "?" });
        self.write_as("test", "PATCH", &path, "application/apply-patch+yaml", body).await
    }
}

/// `manager operation apiVersion subresource fields` of each entry.
fn owners(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let shown = |entry: &Value| {
        let names = ["manager", "operation", "apiVersion", "subresource"].map(|name| text(entry, name));
        format!("{} {}", names.join(" ").trim_end(), entry["fieldsV1"])
    };
    entries.iter().map(shown).collect()
}

#[tokio::test(start_paused = true)]
async fn every_write_is_somebodys() {
    let api = Api::start().await;
    let created = api.write_as("kubectl-create/v1", "POST", MAPS, "application/json", &map(json!({"x": "1"}))).await;
    let created = created.expect(201);
    assert_eq!(owners(&created), [r#"kubectl-create Update v1 {"f:data":{".":{},"f:x":{}}}"#]);
    let entry = &created["metadata"]["managedFields"][0];
    assert_eq!((&entry["fieldsType"], &entry["time"]), (&json!("FieldsV1"), &created["metadata"]["creationTimestamp"]));
    let patch = json!({"data": {"y": "1"}});
    let named = format!("{MAP}?fieldManager=me");
    let patched = api.write_as("x", "PATCH", &named, "application/merge-patch+json", &patch).await.expect(200);
    assert_eq!(owners(&patched)[1], r#"me Update v1 {"f:data":{"f:y":{}}}"#);
    assert_eq!(api.get(MAP).await.expect(200), patched);
    // Sent back as it was read, it stays; the writer gets what it changed.
    let mut read = patched.clone();
    read["data"]["x"] = json!("2");
    let put = api.write_as("editor/1", "PUT", MAP, "application/json", &read).await.expect(200);
    assert_eq!(
        owners(&put),
        [
            r#"editor Update v1 {"f:data":{"f:x":{}}}"#,
            r#"kubectl-create Update v1 {"f:data":{}}"#,
            r#"me Update v1 {"f:data":{"f:y":{}}}"#
        ]
    );
    // Clients that know nothing of managedFields lose nothing.
    read["metadata"] = json!({"name": "a"});
    let put = api.write_as("old/1", "PUT", MAP, "application/json", &read).await.expect(200);
    assert_eq!(owners(&put).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_changes_nothing_keeps_its_owners() {
    let api = Api::start().await;
    let created = api.apply(MAP, "me", &map(json!({"x": "1"}))).await.expect(201);
    assert_eq!(api.apply(MAP, "me", &map(json!({"x": "1"}))).await.expect(200), created);
    let same = api.write_as("other", "PUT", MAP, "application/json", &map(json!({"x": "1"}))).await.expect(200);
    assert_eq!(same, created);
    // Sharing a value is a change of owners.
    let shared = api.apply(MAP, "you", &map(json!({"x": "1"}))).await.expect(200);
    assert_ne!(shared["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"]);
    assert_eq!(owners(&shared).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn owners_can_be_reset() {
    let api = Api::start().await;
    api.post(MAPS, map(json!({"x": "1"}))).await.expect(201);
    let mut object = map(json!({"x": "1"}));
    object["metadata"]["managedFields"] = json!([]);
    let reset = api.put(MAP, &object).await.expect(200);
    assert!(reset["metadata"]["managedFields"].is_null(), "{reset}");
    api.patch(MAP, "merge", json!({"data": {"y": "1"}})).await.expect(200);
    let applied = api.apply(MAP, "me", &map(json!({"x": "1"}))).await.expect(200);
    assert_eq!(
        owners(&applied),
        [
            r#"me Apply v1 {"f:data":{"f:x":{}}}"#,
            r#"before-first-apply Update v1 {"f:data":{".":{},"f:x":{},"f:y":{}}}"#
        ]
    );
    let patch = json!([{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]);
    let reset = api.patch(MAP, "json", patch).await.expect(200);
    assert!(reset["metadata"]["managedFields"].is_null(), "{reset}");
}

#[tokio::test(start_paused = true)]
async fn applies_create_conflict_and_force() {
    let api = Api::start().await;
    let created = api.apply(DEPLOYMENT, "a", &deployment(1)).await.expect(201);
    assert_eq!(created["spec"]["strategy"]["type"], "RollingUpdate");
    let conflict = api.apply(DEPLOYMENT, "b", &deployment(2)).await.expect(409);
    assert_eq!(conflict["message"], "Apply failed with 1 conflict: conflict with \"a\": .spec.replicas");
    assert_eq!(
        (&conflict["reason"], &conflict["details"]["causes"][0]),
        (
            &json!("Conflict"),
            &json!({"reason": "FieldManagerConflict", "message": "conflict with \"a\"", "field": ".spec.replicas"})
        )
    );
    let forced = api.apply(&format!("{DEPLOYMENT}?force=true"), "b", &deployment(2)).await.expect(200);
    assert_eq!((&forced["spec"]["replicas"], &forced["metadata"]["generation"]), (&json!(2), &json!(2)));
    let dry = api.apply(&format!("{DEPLOYMENT}?force=true&dryRun=All"), "a", &deployment(5)).await.expect(200);
    assert_eq!(dry["spec"]["replicas"], 5);
    assert_eq!(api.get(DEPLOYMENT).await.expect(200), forced);
}

#[tokio::test(start_paused = true)]
async fn dropped_fields_go() {
    let api = Api::start().await;
    api.apply(MAP, "me", &map(json!({"x": "1", "y": "1"}))).await.expect(201);
    api.patch(MAP, "merge", json!({"data": {"z": "1"}})).await.expect(200);
    let applied = api.apply(MAP, "me", &map(json!({"y": "1"}))).await.expect(200);
    assert_eq!(applied["data"], json!({"y": "1", "z": "1"}));
    // A default takes the place of a value that is given up.
    api.apply(DEPLOYMENT, "me", &deployment(3)).await.expect(201);
    let mut less = deployment(3);
    less["spec"].as_object_mut().unwrap().remove("replicas");
    assert_eq!(api.apply(DEPLOYMENT, "me", &less).await.expect(200)["spec"]["replicas"], 1);
}

#[tokio::test(start_paused = true)]
async fn status_and_scale_have_owners_of_their_own() {
    let api = Api::start().await;
    api.apply(DEPLOYMENT, "me", &deployment(1)).await.expect(201);
    let status = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "status": {"observedGeneration": 1, "replicas": 1}, "spec": {"replicas": 9}});
    let applied = api.apply(&format!("{DEPLOYMENT}/status"), "ctl", &status).await.expect(200);
    assert_eq!((&applied["spec"]["replicas"], &applied["status"]["replicas"]), (&json!(1), &json!(1)));
    assert!(
        owners(&applied).contains(
            &r#"ctl Apply apps/v1 status {"f:status":{"f:observedGeneration":{},"f:replicas":{}}}"#.to_owned()
        ),
        "{:?}",
        owners(&applied)
    );
    let scale = json!({"spec": {"replicas": 4}});
    api.write_as("hpa/1", "PATCH", &format!("{DEPLOYMENT}/scale"), "application/merge-patch+json", &scale)
        .await
        .expect(200);
    let read = api.get(DEPLOYMENT).await.expect(200);
    assert!(
        owners(&read).contains(&r#"hpa Update apps/v1 scale {"f:spec":{"f:replicas":{}}}"#.to_owned()),
        "{:?}",
        owners(&read)
    );
    let conflict = api.apply(DEPLOYMENT, "me", &deployment(1)).await.expect(409);
    assert_eq!(
        conflict["message"],
        "Apply failed with 1 conflict: conflict with \"hpa\" with subresource \"scale\" using apps/v1: .spec.replicas"
    );
    let scale = |n: u32| json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": n}});
    let conflict = api.apply(&format!("{DEPLOYMENT}/scale"), "me", &scale(7)).await.expect(409);
    let owner = "\"hpa\" with subresource \"scale\" using autoscaling/v1";
    assert_eq!(conflict["message"], format!("Apply failed with 1 conflict: conflict with {owner}: .spec.replicas"));
    let forced = api.apply(&format!("{DEPLOYMENT}/scale?force=true"), "me", &scale(7)).await.expect(200);
    assert_eq!(forced["spec"]["replicas"], 7);
    let read = api.get(DEPLOYMENT).await.expect(200);
    assert!(
        owners(&read).contains(&r#"me Apply apps/v1 scale {"f:spec":{"f:replicas":{}}}"#.to_owned()),
        "{:?}",
        owners(&read)
    );
    api.apply(
        &format!("{DEPLOYMENTS}/none/status"),
        "me",
        &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "none"}}),
    )
    .await
    .expect(404);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_applied_is_told() {
    let api = Api::start().await;
    let check = async |path: &str, body: Value, code: u16, message: &str| {
        let answer = api.write_as("x", "PATCH", path, "application/apply-patch+yaml", &body).await.expect(code);
        assert_eq!(answer["message"], message);
    };
    check(
        MAP,
        map(json!({})),
        422,
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
    )
    .await;
    let named = format!("{MAP}?fieldManager=me");
    check(&named, json!({"metadata": {"name": "a"}}), 400, "invalid object type: /, Kind=").await;
    let mut owned = map(json!({}));
    owned["metadata"]["managedFields"] = json!([]);
    check(&named, owned, 400, "metadata.managedFields must be nil").await;
    let mut other = map(json!({}));
    other["metadata"]["name"] = json!("b");
    check(&named, other, 400, "the name of the object (b) does not match the name on the URL (a)").await;
    let mut odd = map(json!({}));
    odd["odd"] = json!(1);
    check(
        &named,
        odd,
        500,
        "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .odd: field not declared in schema",
    )
    .await;
    let mut uid = map(json!({}));
    uid["metadata"]["uid"] = json!("u");
    check(&named, uid, 409, "Operation cannot be fulfilled on configmaps \"a\": uid mismatch: the provided object specified uid u, and no existing object was found").await;
    let forced = api.patch(&format!("{MAP}?force=true"), "merge", json!({})).await.expect(422);
    assert_eq!(
        forced["message"],
        "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"
    );
}

#[tokio::test(start_paused = true)]
async fn versions_share_their_owners() {
    let api = Api::start().await;
    let path = |version: &str| format!("/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers");
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
    let spec = json!({"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3});
    let body = json!({"metadata": {"name": "h"}, "spec": spec});
    api.write_as("two", "POST", &path("v2"), "application/json", &body).await.expect(201);
    let patch = json!({"spec": {"maxReplicas": 5}});
    let one = format!("{}/h", path("v1"));
    let patched = api.write_as("one", "PATCH", &one, "application/merge-patch+json", &patch).await.expect(200);
    assert_eq!(owners(&patched)[0], r#"one Update autoscaling/v1 {"f:spec":{"f:maxReplicas":{}}}"#);
    let read = api.get(&format!("{}/h", path("v2"))).await.expect(200);
    assert_eq!(owners(&read), owners(&patched));
    assert!(
        owners(&read)[1].starts_with("two Update autoscaling/v2") && !owners(&read)[1].contains("f:maxReplicas"),
        "{:?}",
        owners(&read)
    );
    let config = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 7}});
    let conflict = api.apply(&format!("{}/h", path("v2")), "me", &config).await.expect(409);
    assert_eq!(
        conflict["message"],
        "Apply failed with 1 conflict: conflict with \"one\" using autoscaling/v1: .spec.maxReplicas"
    );
}

#[tokio::test(start_paused = true)]
async fn the_server_owns_what_it_writes() {
    let api = Api::start().await;
    let namespace = api.get("/api/v1/namespaces/default").await.expect(200);
    assert!(owners(&namespace)[0].starts_with("kogge-apiserver Update v1 "), "{:?}", owners(&namespace));
    let role = api.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/view").await.expect(200);
    assert!(owners(&role)[0].contains("f:labels"), "{:?}", owners(&role));
}
