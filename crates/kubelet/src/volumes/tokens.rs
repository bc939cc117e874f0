//! Service account tokens for projected volumes: asked for through TokenRequest, bound to the pod,
//! and renewed when four fifths of their life have passed, or a day.

use crate::context::Context;
use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use pod_lifecycle::{core::Pod, names, volumes::payload::TokenWanted};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub struct Token {
    pub token: String,
    pub renew_at: Timestamp,
}

#[derive(Default)]
pub struct Tokens(Mutex<BTreeMap<(String, TokenWanted), Token>>);

#[derive(Deserialize)]
struct Answer {
    status: AnswerStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerStatus {
    token: String,
    expiration_timestamp: Timestamp,
}

impl Tokens {
    pub async fn get(&self, context: &Context, pod: &Pod, wanted: &TokenWanted) -> anyhow::Result<Token> {
        let key = (names::uid(pod).to_owned(), wanted.clone());
        let now = context.clock.now();
        if let Some(token) = self.0.lock().get(&key)
            && now < token.renew_at
        {
            return Ok(token.clone());
        }
        let account = pod.spec.as_ref().and_then(|s| s.service_account_name.as_deref()).unwrap_or("default");
        let audiences: Vec<&str> = [wanted.audience.as_str()].into_iter().filter(|a| !a.is_empty()).collect();
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {
            "audiences": audiences,
            "expirationSeconds": wanted.seconds,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": names::name(pod), "uid": names::uid(pod)},
        }});
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}/token", names::namespace(pod));
        let answer: Answer = context
            .api
            .post(&path, &request)
            .await
            .with_context(|| format!("failed to fetch token for service account {account:?}"))?;
        let life = answer.status.expiration_timestamp.duration_since(now);
        let until_renewal = (life * 4 / 5).min(SignedDuration::from_hours(24));
        let token =
            Token { token: answer.status.token, renew_at: now.saturating_add(until_renewal).unwrap_or(Timestamp::MAX) };
        self.0.lock().insert(key, token.clone());
        Ok(token)
    }

    pub fn forget_pod(&self, uid: &str) {
        self.0.lock().retain(|(of, _), _| of != uid);
    }
}
