//! Getting a container's image onto the node: pull policy, credentials, back-off, and as many pulls
//! at once as the configuration allows; one pull per image, whoever asks for it.

use crate::{context::Context, note};
use cri::v1;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use pod_lifecycle::{
    backoff::{Backoffs, go_duration},
    core::{Container, Pod, Secret},
    image::{self, Credentials, Decision},
    names,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use tokio::sync::Semaphore;

/// How long a failed pull shows as such before it shows as backing off.
const SHOW_FAILURE: SignedDuration = SignedDuration::from_secs(2);

/// Why a container has no image: a waiting reason and its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub reason: &'static str,
    pub message: String,
    /// When to try again.
    pub until: Option<Timestamp>,
}

type Pull = Shared<BoxFuture<'static, Result<String, cri::Error>>>;

pub struct Images {
    slots: Arc<Semaphore>,
    pulling: Mutex<HashMap<String, Pull>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    backoffs: Backoffs,
    failures: BTreeMap<String, (Timestamp, String)>,
    last_used: BTreeMap<String, Timestamp>,
}

impl Images {
    pub fn new(parallel: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(parallel.max(1))), pulling: Mutex::default(), state: Mutex::default() }
    }

    /// Returns what to give to the runtime as the container's image.
    pub async fn ensure(
        &self,
        context: &Context,
        pod: &Pod,
        container: &Container,
        secrets: &[Arc<Secret>],
    ) -> Result<String, Missing> {
        let name = container.image.as_deref().unwrap_or_default();
        let regarding = note::container(pod, &container.name);
        if !image::is_valid(name) {
            let message = format!(
                "Failed to apply default image tag {name:?}: couldn't parse image name {name:?}: invalid reference format"
            );
            context.warn(regarding, "InspectFailed", &message);
            return Err(Missing { reason: "InvalidImageName", message, until: None });
        }
        let full = cri::normalize(name);
        let present = context.runtime.image_status(&full).await.map_err(|error| {
            let message = format!("Failed to inspect image {name:?}: {error}");
            context.warn(regarding.clone(), "InspectFailed", &message);
            Missing { reason: "ImageInspectError", message, until: None }
        })?;
        match image::decide(image::policy(container), present.is_some()) {
            Decision::UsePresent => {
                let id = present.map(|i| i.id).unwrap_or(full);
                self.state.lock().last_used.insert(id.clone(), context.clock.now());
                let text =
                    format!("Container image {name:?} already present on machine and can be accessed by the pod");
                context.event(regarding, "Pulled", &text);
                Ok(id)
            }
            Decision::Refuse => {
                let message = format!("Container image {name:?} is not present with pull policy of Never");
                context.warn(regarding, "ErrImageNeverPull", &message);
                Err(Missing { reason: "ErrImageNeverPull", message, until: None })
            }
            Decision::Pull => self.pull(context, pod, container, name, &full, secrets).await,
        }
    }

    async fn pull(
        &self,
        context: &Context,
        pod: &Pod,
        container: &Container,
        name: &str,
        full: &str,
        secrets: &[Arc<Secret>],
    ) -> Result<String, Missing> {
        let key = format!("{}_{name}", names::uid(pod));
        let regarding = note::container(pod, &container.name);
        if let Some(missing) = self.backing_off(context, &key, name) {
            context.event(regarding, "BackOff", &missing.message);
            return Err(missing);
        }
        context.event(regarding.clone(), "Pulling", &format!("Pulling image {name:?}"));
        let begun = tokio::time::Instant::now();
        let outcome = match credentials(full, secrets) {
            Ok(candidates) => self.pull_with(context, full, candidates).await.map_err(|error| error.to_string()),
            Err(error) => Err(format!("cannot read the pull secrets: {error}")),
        };
        let now = context.clock.now();
        match outcome {
            Ok(reference) => {
                let size = context.runtime.image_status(&reference).await.ok().flatten().map_or(0, |i| i.size);
                let took = go_duration(round(begun.elapsed()));
                let text = format!(
                    "Successfully pulled image {name:?} in {took} ({took} including waiting). Image size: {size} bytes."
                );
                context.event(regarding, "Pulled", &text);
                let mut state = self.state.lock();
                state.backoffs.reset(&key);
                state.failures.remove(&key);
                state.last_used.insert(reference.clone(), now);
                Ok(reference)
            }
            Err(error) => {
                let message = format!("failed to pull image {name:?}: {error}");
                context.warn(regarding, "Failed", &format!("Failed to pull image {name:?}: {error}"));
                let mut state = self.state.lock();
                state.backoffs.tried(&key, now, now);
                state.failures.insert(key, (now, message.clone()));
                // Looked at again soon, to show that it is backing off.
                let until = now.saturating_add(SHOW_FAILURE).ok();
                Err(Missing { reason: "ErrImagePull", message, until })
            }
        }
    }

    fn backing_off(&self, context: &Context, key: &str, name: &str) -> Option<Missing> {
        let state = self.state.lock();
        let (failed, error) = state.failures.get(key)?;
        let (until, _) = state.backoffs.wait(key, *failed, context.clock.now())?;
        let message = format!("Back-off pulling image {name:?}: ErrImagePull: {error}");
        Some(Missing { reason: "ImagePullBackOff", message, until: Some(until) })
    }

    /// With the first credentials that work; without any when there are none.
    async fn pull_with(
        &self,
        context: &Context,
        full: &str,
        candidates: Vec<Credentials>,
    ) -> Result<String, cri::Error> {
        let mut attempts: Vec<Option<v1::AuthConfig>> = candidates.into_iter().map(|c| Some(auth(c))).collect();
        if attempts.is_empty() {
            attempts.push(None);
        }
        let mut last = None;
        for attempt in attempts {
            match self.shared(context, full, attempt).await {
                Ok(reference) => return Ok(reference),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| cri::Error::Failed("nothing was tried".into())))
    }

    /// Joins a pull of the same image with the same credentials, or starts one.
    async fn shared(&self, context: &Context, full: &str, auth: Option<v1::AuthConfig>) -> Result<String, cri::Error> {
        let key = format!("{full} {auth:?}");
        let pull = {
            let mut pulling = self.pulling.lock();
            match pulling.get(&key) {
                Some(pull) => pull.clone(),
                None => {
                    let (runtime, slots, image) = (context.runtime.clone(), self.slots.clone(), full.to_owned());
                    // A task of its own: it goes on when the pod that asked first is deleted.
                    let task = tokio::spawn(async move {
                        let Ok(_slot) = slots.acquire().await else {
                            return Err(cri::Error::Unavailable("shutting down".into()));
                        };
                        runtime.pull_image(&image, auth, None).await
                    });
                    let pull =
                        async move { task.await.unwrap_or_else(|error| Err(cri::Error::Failed(error.to_string()))) }
                            .boxed()
                            .shared();
                    pulling.insert(key.clone(), pull.clone());
                    pull
                }
            }
        };
        let outcome = pull.await;
        self.pulling.lock().remove(&key);
        outcome
    }

    /// When an image was last given to a container by this process.
    pub fn last_used(&self, id: &str) -> Option<Timestamp> {
        self.state.lock().last_used.get(id).copied()
    }

    pub fn forget_pod(&self, uid: &str) {
        let mut state = self.state.lock();
        let prefix = format!("{uid}_");
        let keys: Vec<String> = state.failures.keys().filter(|k| k.starts_with(&prefix)).cloned().collect();
        for key in keys {
            state.failures.remove(&key);
            state.backoffs.reset(&key);
        }
    }
}

/// Milliseconds are enough for a reader.
fn round(duration: std::time::Duration) -> std::time::Duration {
    std::time::Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn credentials(full: &str, secrets: &[Arc<Secret>]) -> Result<Vec<Credentials>, serde_json::Error> {
    let mut files = vec![];
    for secret in secrets {
        let data = secret.data.as_ref();
        let get = |key: &str| data.and_then(|d| d.get(key)).map(|v| v.0.clone());
        match secret.type_.as_deref() {
            Some("kubernetes.io/dockerconfigjson") => files.extend(get(".dockerconfigjson").map(|c| (c, false))),
            Some("kubernetes.io/dockercfg") => files.extend(get(".dockercfg").map(|c| (c, true))),
            _ => {}
        }
    }
    image::credentials(full, &files)
}

fn auth(credentials: Credentials) -> v1::AuthConfig {
    v1::AuthConfig {
        username: credentials.username,
        password: credentials.password,
        auth: credentials.auth,
        server_address: credentials.server,
        identity_token: credentials.identity_token,
        registry_token: credentials.registry_token,
    }
}
