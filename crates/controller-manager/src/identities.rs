//! A client for each controller, with the token of its own service account in `kube-system`.
//!
//! Tokens are asked for with the process's own credential, kept in memory, and renewed before they end. The account is
//! made when it is missing, as upstream does.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use api_types::{
    k8s_openapi::api::{authentication::v1::TokenRequest, core::v1::ServiceAccount},
    object::Watched,
};
use client::{Api, Connector, TokenSource};
use futures::future::BoxFuture;
use serde_json::json;
use tokio::{sync::Mutex, time::Instant};

const NAMESPACE: &str = "kube-system";
const WANTED_SECONDS: u64 = 3600;
/// The part of a token's life after which it is renewed.
const RENEW_AFTER: f64 = 0.8;
/// A token that cannot be had is asked for again after this time at the earliest.
const RETRY: Duration = Duration::from_secs(1);

pub struct Identities {
    connector: Connector,
    root: Api,
}

impl Identities {
    pub fn new(connector: Connector) -> Arc<Self> {
        Arc::new(Self { root: connector.client().into(), connector })
    }

    /// A client with the process's own credential, for what no account can be given before it exists: tokens.
    pub fn own(&self) -> kube::Client {
        self.connector.client()
    }

    /// A client that acts as the service account `name`.
    pub fn client(&self, name: &'static str) -> kube::Client {
        let tokens = Tokens { root: self.root.clone(), name, state: Mutex::new(State::default()) };
        self.connector.client_with_token(Arc::new(tokens))
    }
}

struct Tokens {
    root: Api,
    name: &'static str,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<(Arc<str>, Instant)>,
    /// Not before then, after a failure.
    retry: Option<Instant>,
}

impl TokenSource for Tokens {
    fn token(&self) -> BoxFuture<'_, anyhow::Result<Arc<str>>> {
        Box::pin(async move {
            let mut state = self.state.lock().await;
            let now = Instant::now();
            if let Some((token, renew)) = &state.token
                && *renew > now
            {
                return Ok(token.clone());
            }
            if let Some(retry) = state.retry {
                tokio::time::sleep_until(retry).await;
            }
            match self.request().await {
                Ok((token, life)) => {
                    state.token = Some((token.clone(), Instant::now() + life.mul_f64(RENEW_AFTER)));
                    state.retry = None;
                    Ok(token)
                }
                Err(error) => {
                    state.retry = Some(Instant::now() + RETRY);
                    Err(error)
                }
            }
        })
    }

    /// The account was made anew, or the server has other keys.
    fn rejected(&self) {
        // Held by somebody: then a new one is being asked for already.
        if let Ok(mut state) = self.state.try_lock()
            && state.token.take().is_some()
        {
            state.retry = Some(Instant::now() + RETRY);
        }
    }
}

impl Tokens {
    async fn request(&self) -> anyhow::Result<(Arc<str>, Duration)> {
        let account = ServiceAccount::RESOURCE;
        let path = format!("{}/token", account.object_path(NAMESPACE, self.name));
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": WANTED_SECONDS},
        });
        let answer = match self.root.post::<TokenRequest>(&path, &body).await {
            Err(error) if error.is_not_found() => {
                let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": self.name}});
                match self.root.create::<ServiceAccount>(&account, NAMESPACE, &object).await {
                    Err(error) if !error.already_exists() => return Err(self.context(error)),
                    _ => self.root.post(&path, &body).await,
                }
            }
            answer => answer,
        };
        let answer: TokenRequest = answer.map_err(|error| self.context(error))?;
        let seconds = answer.spec.and_then(|spec| u64::try_from(spec.expiration_seconds?).ok());
        let token = answer.status.and_then(|status| status.token).context("the answer has no token")?;
        Ok((token.into(), Duration::from_secs(seconds.unwrap_or(WANTED_SECONDS))))
    }

    fn context(&self, error: client::Error) -> anyhow::Error {
        anyhow::Error::new(error).context(format!("cannot get a token of service account {NAMESPACE}/{}", self.name))
    }
}
