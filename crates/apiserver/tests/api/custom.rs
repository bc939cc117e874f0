//! Custom resources, from the definition to the last instance.

use serde_json::{Value, json};

use crate::harness::{Api, request};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const CRONTABS: &str = "/apis/stable.example.com/v1/namespaces/default/crontabs";

fn crontabs() -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "cronSpec": {"type": "string", "description": "when"},
            "color": {"type": "string"},
            "replicas": {"type": "integer", "minimum": 1, "default": 1}}},
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}}}}});
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage, "schema": schema,
            "selectableFields": [{"jsonPath": ".spec.color"}],
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}},
            "additionalPrinterColumns": [{"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"}]})
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "crontabs.stable.example.com"},
        "spec": {"group": "stable.example.com", "scope": "Namespaced",
            "names": {"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"], "categories": ["all"]},
            "versions": [version("v1", true), version("v1beta1", false)]},
    })
}

fn crontab(name: &str) -> Value {
    json!({"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": name},
        "spec": {"cronSpec": "* * * * */5", "color": "red"}})
}

/// Reads until `holds`; the tests' own bound ends what never comes.
async fn until(api: &Api, path: &str, holds: impl Fn(u16, &Value) -> bool) -> Value {
    for _ in 0..20_000 {
        let answer = api.get(path).await;
        if holds(answer.code.as_u16(), &answer.body) {
            return answer.body;
        }
        tokio::task::yield_now().await;
    }
    panic!("{path}: {}", api.get(path).await.body)
}

fn has(object: &Value, condition: &str, status: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|c| c["type"] == condition && c["status"] == status)
}

async fn define(api: &Api, definition: Value) -> Value {
    let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
    api.post(DEFINITIONS, definition).await.expect(201);
    until(api, &format!("{DEFINITIONS}/{name}"), |_, body| has(body, "Established", "True")).await
}

#[tokio::test]
async fn a_definition_brings_a_kind() {
    let api = Api::start().await;
    api.get(CRONTABS).await.expect(404);
    let definition = define(&api, crontabs()).await;
    assert_eq!(definition["status"]["acceptedNames"]["listKind"], "CronTabList");
    assert_eq!(definition["status"]["storedVersions"], json!(["v1"]));
    assert!(has(&definition, "NamesAccepted", "True"));

    let created = api.post(CRONTABS, crontab("a")).await.expect(201);
    assert_eq!((&created["spec"]["replicas"], &created["metadata"]["generation"]), (&json!(1), &json!(1)));
    let got = api.get(&format!("{CRONTABS}/a")).await.expect(200);
    assert_eq!(got, created);
    let wrong = json!({"metadata": {"name": "b"}, "spec": {"replicas": "x"}});
    let refused = api.post(CRONTABS, wrong).await.expect(422);
    assert_eq!(
        refused["message"],
        "CronTab.stable.example.com \"b\" is invalid: [spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\", .spec.replicas: Invalid value: 0: .spec.replicas accessor error: x is of the type string, expected int64]"
    );
    let merged = api.patch(&format!("{CRONTABS}/a"), "merge", json!({"spec": {"color": "blue"}})).await.expect(200);
    assert_eq!((&merged["spec"]["color"], &merged["metadata"]["generation"]), (&json!("blue"), &json!(2)));
    api.patch(&format!("{CRONTABS}/a"), "strategic-merge", json!({"spec": {}})).await.expect(415);
    let add = json!([{"op": "replace", "path": "/spec/replicas", "value": 3}]);
    let patched = api.patch(&format!("{CRONTABS}/a"), "json", add).await.expect(200);
    assert_eq!(patched["spec"]["replicas"], 3);

    let selected = api.get(&format!("{CRONTABS}?fieldSelector=spec.color%3Dblue")).await.expect(200);
    assert_eq!((selected["kind"].as_str(), selected["items"].as_array().unwrap().len()), (Some("CronTabList"), 1));
    let none = api.get(&format!("{CRONTABS}?fieldSelector=spec.color%3Dred")).await.expect(200);
    assert_eq!(none["items"], json!([]));
    api.get(&format!("{CRONTABS}?fieldSelector=spec.replicas%3D3")).await.expect(400);

    let table = api.get_as(CRONTABS, "application/json;as=Table;v=v1;g=meta.k8s.io").await.expect(200);
    assert_eq!(table["rows"][0]["cells"], json!(["a", "* * * * */5"]));
    let scale = api.patch(&format!("{CRONTABS}/a/scale"), "merge", json!({"spec": {"replicas": 5}})).await.expect(200);
    assert_eq!(scale["spec"]["replicas"], 5);
    let status = json!({"status": {"replicas": 5, "selector": "app=x"}, "spec": {"color": "gone"}});
    let status = api.patch(&format!("{CRONTABS}/a/status"), "merge", status).await.expect(200);
    assert_eq!((&status["status"]["replicas"], &status["spec"]["color"]), (&json!(5), &json!("blue")));
    let scale = api.get(&format!("{CRONTABS}/a/scale")).await.expect(200);
    assert_eq!(scale["status"], json!({"replicas": 5, "selector": "app=x"}));
}

#[tokio::test]
async fn versions_share_their_objects() {
    let api = Api::start().await;
    define(&api, crontabs()).await;
    api.post(CRONTABS, crontab("a")).await.expect(201);
    let older = CRONTABS.replace("/v1/", "/v1beta1/");
    let mut other = api.get(&format!("{older}/a")).await.expect(200);
    assert_eq!(other["apiVersion"], "stable.example.com/v1beta1");
    other["spec"]["color"] = "green".into();
    let updated = api.put(&format!("{older}/a"), &other).await.expect(200);
    assert_eq!(updated["apiVersion"], "stable.example.com/v1beta1");
    let stored = api.get(&format!("{CRONTABS}/a")).await.expect(200);
    assert_eq!((&stored["apiVersion"], &stored["spec"]["color"]), (&json!("stable.example.com/v1"), &json!("green")));
    let list = api.get(&older).await.expect(200);
    assert_eq!(list["items"][0]["apiVersion"], "stable.example.com/v1beta1");
}

#[tokio::test]
async fn published_and_taken_back() {
    let api = Api::start().await;
    let before = api.get("/apis").await;
    define(&api, crontabs()).await;
    let after = api.get("/apis").await;
    assert_ne!(before.headers["etag"], after.headers["etag"]);
    let groups = after.body["groups"].as_array().unwrap();
    let group = groups.iter().find(|group| group["name"] == "stable.example.com").unwrap();
    assert_eq!(group["preferredVersion"]["version"], "v1");
    let resources = api.get("/apis/stable.example.com/v1").await.expect(200);
    let names: Vec<_> = resources["resources"].as_array().unwrap().iter().map(|r| r["name"].clone()).collect();
    assert_eq!(names, [json!("crontabs"), json!("crontabs/scale"), json!("crontabs/status")]);
    assert_eq!(resources["resources"][0]["shortNames"], json!(["ct"]));

    let document = api.get("/openapi/v3/apis/stable.example.com/v1").await.expect(200);
    let schema = &document["components"]["schemas"]["com.example.stable.v1.CronTab"];
    assert_eq!(schema["properties"]["spec"]["properties"]["cronSpec"]["description"], "when");
    assert_eq!(
        schema["x-kubernetes-group-version-kind"],
        json!([{"group": "stable.example.com", "kind": "CronTab", "version": "v1"}])
    );
    let path = "/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}/status";
    assert!(document["paths"][path]["patch"].is_object());

    api.post(CRONTABS, crontab("a")).await.expect(201);
    let mut held = crontab("held");
    held["metadata"]["finalizers"] = json!(["example.com/wait"]);
    api.post(CRONTABS, held).await.expect(201);
    let path = format!("{DEFINITIONS}/crontabs.stable.example.com");
    let marked = api.delete(&path, Value::Null).await.expect(200);
    assert!(has(&marked, "Terminating", "True"));
    until(&api, &format!("{CRONTABS}/a"), |code, _| code == 404).await;
    until(&api, &path, |_, body| has(body, "Terminating", "True")).await;
    until(&api, &format!("{CRONTABS}/held"), |_, body| body["metadata"]["deletionTimestamp"].is_string()).await;
    api.post(CRONTABS, crontab("late")).await.expect(405);
    until(&api, &path, |_, body| body["status"]["conditions"].to_string().contains("InstanceDeletionInProgress")).await;
    let free = json!({"metadata": {"finalizers": []}});
    api.patch(&format!("{CRONTABS}/held"), "merge", free).await.expect(200);
    until(&api, &path, |code, _| code == 404).await;
    until(&api, "/apis/stable.example.com/v1", |code, _| code == 404).await;
    api.get(CRONTABS).await.expect(404);
    // The same once more, from nothing.
    define(&api, crontabs()).await;
    assert_eq!(api.get(CRONTABS).await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn a_schema_that_changes_ends_watches() {
    let api = Api::start().await;
    define(&api, crontabs()).await;
    api.post(CRONTABS, crontab("a")).await.expect(201);
    let mut watch = api.watch(&format!("{CRONTABS}?watch=1")).await;
    assert_eq!(watch.next().await.unwrap()["type"], "ADDED");
    let path = format!("{DEFINITIONS}/crontabs.stable.example.com");
    let columns = json!([{"op": "replace", "path": "/spec/versions/0/additionalPrinterColumns", "value": []}]);
    api.patch(&path, "json", columns).await.expect(200);
    api.post(CRONTABS, crontab("b")).await.expect(201);
    assert_eq!(watch.next().await.unwrap()["object"]["metadata"]["name"], "b");

    let property = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/image";
    let add = json!([{"op": "add", "path": property, "value": {"type": "string", "default": "none"}}]);
    api.patch(&path, "json", add).await.expect(200);
    let last = watch.next().await.unwrap();
    assert_eq!((&last["type"], &last["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert!(watch.next().await.is_none());
    let got = api.get(&format!("{CRONTABS}/a")).await.expect(200);
    assert_eq!(got["spec"]["image"], "none");
}

#[tokio::test]
async fn names_in_use_are_not_accepted() {
    let api = Api::start().await;
    define(&api, crontabs()).await;
    let mut rival = crontabs();
    rival["metadata"]["name"] = "others.stable.example.com".into();
    rival["spec"]["names"] = json!({"plural": "others", "kind": "CronTab"});
    api.post(DEFINITIONS, rival).await.expect(201);
    let path = format!("{DEFINITIONS}/others.stable.example.com");
    let refused = until(&api, &path, |_, body| has(body, "NamesAccepted", "False")).await;
    assert!(has(&refused, "Established", "False"));
    api.get("/apis/stable.example.com/v1/others").await.expect(404);
    // Free at last.
    api.delete(&format!("{DEFINITIONS}/crontabs.stable.example.com"), Value::Null).await.expect(200);
    until(&api, &path, |_, body| has(body, "Established", "True")).await;
    api.get("/apis/stable.example.com/v1/others").await.expect(200);
}

#[tokio::test]
async fn applied_by_their_schema() {
    let api = Api::start().await;
    let mut definition = crontabs();
    for version in 0..2 {
        let spec = &mut definition["spec"]["versions"][version]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        spec["properties"]["jobs"] = json!({"type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object", "required": ["name"],
                "properties": {"name": {"type": "string"}, "image": {"type": "string"}}}});
    }
    define(&api, definition).await;
    let apply = async |manager: &str, jobs: Value| {
        let object = json!({"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": "a"},
            "spec": {"jobs": jobs}});
        let path = format!("{CRONTABS}/a?fieldManager={manager}");
        let headers = [("content-type", "application/apply-patch+yaml")];
        api.send(request("PATCH", &path, &headers, object.to_string().into())).await
    };
    apply("one", json!([{"name": "x", "image": "1"}])).await.expect(201);
    let both = apply("two", json!([{"name": "y", "image": "1"}])).await.expect(200);
    assert_eq!(both["spec"]["jobs"].as_array().unwrap().len(), 2);
    let managers = both["metadata"]["managedFields"].as_array().unwrap();
    assert!(managers.iter().any(|m| m["fieldsV1"]["f:spec"]["f:jobs"]["k:{\"name\":\"y\"}"]["f:image"].is_object()));
    let conflict = apply("two", json!([{"name": "x", "image": "2"}])).await.expect(409);
    assert!(conflict["message"].as_str().unwrap().contains(".spec.jobs[name=\"x\"].image"), "{conflict}");
    let alone = apply("one", json!([])).await.expect(200);
    assert_eq!(alone["spec"]["jobs"], json!([{"name": "y", "image": "1"}]));
}

/// A definition that names a kind of the server's own changes nothing about it, also when it goes.
#[tokio::test]
async fn built_in_kinds_are_not_defined_away() {
    let api = Api::start().await;
    define(&api, crontabs()).await;
    let mut rival = crontabs();
    rival["metadata"] = json!({"name": "customresourcedefinitions.apiextensions.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, a test"}});
    rival["spec"]["group"] = "apiextensions.k8s.io".into();
    rival["spec"]["scope"] = "Cluster".into();
    rival["spec"]["names"] = json!({"plural": "customresourcedefinitions", "kind": "Rival"});
    define(&api, rival).await;
    let path = format!("{DEFINITIONS}/customresourcedefinitions.apiextensions.k8s.io");
    api.delete(&path, Value::Null).await.expect(200);
    until(&api, &path, |code, _| code == 404).await;
    api.get(&format!("{DEFINITIONS}/crontabs.stable.example.com")).await.expect(200);
    api.get(CRONTABS).await.expect(200);
}
