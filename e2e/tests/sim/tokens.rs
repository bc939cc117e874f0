//! A token without end in a Secret: it comes, it holds while the Secret exists, and both go with the service account.

use std::time::Duration;

use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, Part},
    for_one_seed,
};

const NAMESPACE: &str = "/api/v1/namespaces/default";
const ACCOUNTS: Part = Part {
    bodies: &["apiserver", "controller-manager"],
    controllers: "serviceaccount-controller,serviceaccount-token-controller",
};
/// Simulated time within which what is wanted must be.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn tokens_in_secrets() {
    for_one_seed(1, holds_while_its_secret_exists);
}

async fn holds_while_its_secret_exists(seed: u64) -> anyhow::Result<()> {
    let mut cluster = Cluster::start_part(seed, ACCOUNTS).await?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    cluster.admin.create(&format!("{NAMESPACE}/serviceaccounts"), &account).await?;
    let token = token_of(&cluster, "first").await?;
    let other = token_of(&cluster, "second").await?;
    for token in [&token, &other] {
        ensure!(who(&cluster, token).await? == "system:serviceaccount:default:robot");
    }

    cluster.admin.delete(&format!("{NAMESPACE}/secrets/first"), None).await?;
    let error = who(&cluster, &token).await.err().context("the token outlives its secret")?;
    ensure!(error.to_string().contains("401"), "{error:#}");
    ensure!(who(&cluster, &other).await.is_ok(), "the other one holds on");

    cluster.admin.delete(&format!("{NAMESPACE}/serviceaccounts/robot"), None).await?;
    ensure!(who(&cluster, &other).await.is_err(), "the token outlives its account");
    eventually(async || cluster.admin.get(&format!("{NAMESPACE}/secrets/second")).await.err()).await?;
    cluster.stop().await;
    Ok(())
}

async fn token_of(cluster: &Cluster, name: &str) -> anyhow::Result<String> {
    let metadata = json!({"name": name, "annotations": {"kubernetes.io/service-account.name": "robot"}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata,
        "type": "kubernetes.io/service-account-token"});
    cluster.admin.create(&format!("{NAMESPACE}/secrets"), &secret).await?;
    let filled = eventually(async || {
        let secret = cluster.admin.get(&format!("{NAMESPACE}/secrets/{name}")).await.ok()?;
        secret["data"]["token"].is_string().then_some(secret)
    })
    .await?;
    let text = |value: &Value| -> anyhow::Result<String> {
        Ok(String::from_utf8(STANDARD.decode(value.as_str().unwrap_or_default())?)?)
    };
    ensure!(text(&filled["data"]["namespace"])? == "default");
    ensure!(text(&filled["data"]["ca.crt"])? == "the authority");
    text(&filled["data"]["token"])
}

async fn who(cluster: &Cluster, token: &str) -> anyhow::Result<Value> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = cluster.holder(token)?.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await?;
    Ok(answer["status"]["userInfo"]["username"].clone())
}

async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> anyhow::Result<T> {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(LIMIT, looking).await.context("not in time")
}
