use component::Shutdown;

use super::*;
use crate::{bootstrap, core::Core, service_alloc::ServiceAllocator, test_core};

async fn reviews() -> (Reviews, Arc<Core>) {
    let core = test_core::core(test_core::config()).await;
    bootstrap::run(&core, &ServiceAllocator::new(Arc::clone(&core)).unwrap()).await.unwrap();
    let authorizer = Authorizer::start(&core, &Shutdown::new());
    authorizer.ready().await;
    let tokens = Arc::new(Tokens::new(Arc::clone(&core)).unwrap());
    (Reviews::new(core.clone(), tokens, authorizer), core)
}

async fn ask(reviews: &Reviews, user: &User, group: &str, resource: &str, spec: Value) -> Result<Value, Status> {
    let info = RequestInfo { group, resource, is_resource: true, verb: "create", ..RequestInfo::default() };
    Ok(reviews.answer(user, info, json!({ "spec": spec })).await?["status"].take())
}

const AUTHORIZATION: &str = "authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";

#[tokio::test(start_paused = true)]
async fn access() {
    let (reviews, _core) = reviews().await;
    let root = User::new("root", ["system:masters"]);
    let list_pods = json!({"verb": "list", "resource": "pods", "namespace": "default"});
    let own =
        ask(&reviews, &root, AUTHORIZATION, "selfsubjectaccessreviews", json!({"resourceAttributes": list_pods})).await;
    assert_eq!(own.unwrap(), json!({"allowed": true}));
    let of = |user: &str, group: &str| json!({"user": user, "groups": [group], "resourceAttributes": list_pods});
    let ann = ask(&reviews, &root, AUTHORIZATION, "subjectaccessreviews", of("ann", "devs")).await.unwrap();
    assert_eq!(ann, json!({"allowed": false}));
    let scheduler =
        ask(&reviews, &root, AUTHORIZATION, "subjectaccessreviews", of("system:kube-scheduler", "x")).await.unwrap();
    assert_eq!(
        scheduler["reason"],
        r#"RBAC: allowed by ClusterRoleBinding "system:kube-scheduler" of ClusterRole "system:kube-scheduler" to User "system:kube-scheduler""#
    );
    assert!(ask(&reviews, &root, AUTHORIZATION, "subjectaccessreviews", json!({"user": "ann"})).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn rules_and_self() {
    let (reviews, _core) = reviews().await;
    let ann = User::new("ann", ["system:authenticated"]);
    let rules =
        ask(&reviews, &ann, AUTHORIZATION, "selfsubjectrulesreviews", json!({"namespace": "default"})).await.unwrap();
    let texts = rules["nonResourceRules"].to_string();
    assert!(texts.contains("/healthz") && rules["incomplete"] == false, "{rules}");
    let who = ask(&reviews, &ann, AUTHENTICATION, "selfsubjectreviews", json!({})).await.unwrap();
    assert_eq!(who, json!({"userInfo": {"username": "ann", "groups": ["system:authenticated"]}}));
}

#[tokio::test(start_paused = true)]
async fn tokens_end_with_what_they_are_bound_to() {
    let (reviews, core) = reviews().await;
    let root = User::new("root", ["system:masters"]);
    let put = |resource: &'static str, name: &'static str, object: Value| {
        let key = core.store.key(&core.resource("", resource).unwrap(), "default", name);
        store::Write::put(key, api_rules::encode(&object))
    };
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "till", "namespace": "default", "uid": "s1"}});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default", "uid": "p1"},
        "spec": {"serviceAccountName": "till", "nodeName": "a"},
    });
    let writes = vec![put("serviceaccounts", "till", account), put("pods", "p", pod)];
    core.store.commit(store::Transaction { checks: Vec::new(), writes }).await.unwrap();
    let request = json!({"spec": {"expirationSeconds": 3607, "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p1"}}});
    let issued = reviews.tokens.issue("default", "till", request).await.unwrap();
    assert_eq!(issued["status"]["expirationTimestamp"], "2026-01-02T04:04:12Z");
    let token = issued["status"]["token"].clone();
    let check = async |spec: Value| ask(&reviews, &root, AUTHENTICATION, "tokenreviews", spec).await.unwrap();
    let good = check(json!({"token": token})).await;
    assert_eq!(good["authenticated"], true);
    assert_eq!(good["user"]["username"], "system:serviceaccount:default:till");
    assert_eq!(good["user"]["extra"]["authentication.kubernetes.io/pod-name"], json!(["p"]));
    assert_eq!(good["audiences"], json!(["https://kubernetes.default.svc.cluster.local"]));
    assert!(check(json!({"token": token, "audiences": ["vault"]})).await.get("authenticated").is_none());
    assert!(check(json!({"token": "junk"})).await.get("authenticated").is_none());

    let wrong = json!({"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p2"}}});
    assert_eq!(reviews.tokens.issue("default", "till", wrong).await.unwrap_err().code, 409);
    assert_eq!(reviews.tokens.issue("default", "nobody", json!({"spec": {}})).await.unwrap_err().code, 404);

    let key = core.store.key(&core.resource("", "pods").unwrap(), "default", "p");
    core.store
        .commit(store::Transaction { checks: Vec::new(), writes: vec![store::Write::delete(key)] })
        .await
        .unwrap();
    core.store.get(&core.resource("", "pods").unwrap(), "default", "p", store::Freshness::Latest).await.unwrap();
    let gone = check(json!({"token": token})).await;
    assert!(gone["error"].as_str().unwrap().contains("pod p has been deleted"), "{gone}");
}

#[tokio::test(start_paused = true)]
async fn a_bootstrap_token_ends_with_its_secret() {
    let (reviews, core) = reviews().await;
    let root = User::new("root", ["system:masters"]);
    let secrets = core.resource("", "secrets").unwrap();
    let key = || core.store.key(&secrets, "kube-system", "bootstrap-token-abcdef");
    let commit = async |write| {
        core.store.commit(store::Transaction { checks: Vec::new(), writes: vec![write] }).await.unwrap();
        let latest = store::Freshness::Latest;
        core.store.get(&secrets, "kube-system", "bootstrap-token-abcdef", latest).await.unwrap();
    };
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system", "uid": "b1"},
        "data": {"token-id": "YWJjZGVm", "token-secret": "MDEyMzQ1Njc4OWFiY2RlZg==", "usage-bootstrap-authentication": "dHJ1ZQ=="},
    });
    let token = json!({"token": "abcdef.0123456789abcdef"});
    let check = async || ask(&reviews, &root, AUTHENTICATION, "tokenreviews", token.clone()).await.unwrap();
    assert!(check().await.get("authenticated").is_none());
    commit(store::Write::put(key(), api_rules::encode(&secret))).await;
    assert_eq!(check().await["user"]["username"], "system:bootstrap:abcdef");
    commit(store::Write::delete(key())).await;
    assert!(check().await.get("authenticated").is_none());
}
