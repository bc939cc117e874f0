//! Who may use a component's own port: asked of the API server, and remembered for a short while.

use std::{collections::HashMap, hash::Hash, time::Duration};

use api_types::k8s_openapi::api::{
    authentication::v1::{TokenReview, UserInfo},
    authorization::v1::SubjectAccessReview,
};
use component::access::{Access, Identity, Target};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use crate::api::Api;

const TOKENS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
/// Upstream's defaults for delegated authentication and authorization.
const TOKEN_KNOWN_FOR: Duration = Duration::from_secs(10);
const ALLOWED_FOR: Duration = Duration::from_secs(10);
const DENIED_FOR: Duration = Duration::from_secs(10);
const REMEMBERED: usize = 1024;

/// [`Access`] by TokenReview and SubjectAccessReview.
pub struct DelegatedAccess {
    api: Api,
    tokens: Mutex<Recent<String, Option<Identity>>>,
    answers: Mutex<Recent<(Identity, String, Target), bool>>,
}

impl DelegatedAccess {
    pub fn new(client: kube::Client) -> Self {
        Self { api: client.into(), tokens: Mutex::default(), answers: Mutex::default() }
    }

    async fn review(&self, token: &str) -> anyhow::Result<Option<Identity>> {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token},
        });
        let review: TokenReview = self.api.post(TOKENS, &review).await?;
        let status = review.status.unwrap_or_default();
        Ok(status.user.filter(|_| status.authenticated == Some(true)).map(identity))
    }

    async fn ask(&self, identity: &Identity, verb: &str, target: &Target) -> anyhow::Result<bool> {
        let extra: serde_json::Map<_, _> =
            identity.extra.iter().map(|(key, values)| (key.clone(), json!(values))).collect();
        let mut spec = json!({
            "user": identity.user, "groups": identity.groups, "uid": identity.uid, "extra": extra,
        });
        match target {
            Target::Path(path) => spec["nonResourceAttributes"] = json!({"path": path, "verb": verb}),
            Target::Node { name, subresource } => {
                spec["resourceAttributes"] = json!({
                    "verb": verb, "version": "v1", "resource": "nodes", "subresource": subresource, "name": name,
                });
            }
        }
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec});
        let review: SubjectAccessReview = self.api.post(ACCESS, &review).await?;
        Ok(review.status.is_some_and(|status| status.allowed))
    }
}

impl Access for DelegatedAccess {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Identity>>> {
        Box::pin(async move {
            if let Some(known) = self.tokens.lock().get(&token.to_owned()) {
                return Ok(known);
            }
            let identity = self.review(token).await?;
            self.tokens.lock().insert(token.to_owned(), identity.clone(), TOKEN_KNOWN_FOR);
            Ok(identity)
        })
    }

    fn authorize<'a>(
        &'a self,
        identity: &'a Identity,
        verb: &'a str,
        target: &'a Target,
    ) -> BoxFuture<'a, anyhow::Result<bool>> {
        Box::pin(async move {
            if identity.groups.iter().any(|group| group == "system:masters") {
                return Ok(true);
            }
            let question = (identity.clone(), verb.to_owned(), target.clone());
            if let Some(answer) = self.answers.lock().get(&question) {
                return Ok(answer);
            }
            let allowed = self.ask(identity, verb, target).await?;
            self.answers.lock().insert(question, allowed, if allowed { ALLOWED_FOR } else { DENIED_FOR });
            Ok(allowed)
        })
    }
}

fn identity(user: UserInfo) -> Identity {
    Identity {
        user: user.username.unwrap_or_default(),
        uid: user.uid.unwrap_or_default(),
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default().into_iter().collect(),
    }
}

/// Answers that are good for a while. When full, what is over is dropped, and then everything.
struct Recent<Q, A>(HashMap<Q, (Instant, A)>);

impl<Q, A> Default for Recent<Q, A> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<Q: Eq + Hash, A: Clone> Recent<Q, A> {
    fn get(&self, question: &Q) -> Option<A> {
        self.0.get(question).filter(|(until, _)| *until > Instant::now()).map(|(_, answer)| answer.clone())
    }

    fn insert(&mut self, question: Q, answer: A, good_for: Duration) {
        let now = Instant::now();
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, (until, _)| *until > now);
        }
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert(question, (now + good_for, answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_are_forgotten() {
        let mut recent = Recent::default();
        recent.insert("a", true, Duration::from_secs(10));
        assert_eq!(recent.get(&"a"), Some(true));
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(recent.get(&"a"), None);
        for number in 0..2 * REMEMBERED {
            recent.insert(Box::leak(number.to_string().into_boxed_str()), true, Duration::from_secs(10));
        }
        assert!(recent.0.len() <= REMEMBERED);
    }
}
