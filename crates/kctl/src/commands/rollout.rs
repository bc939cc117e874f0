//! `kctl rollout`: watches, inspects, undoes and restarts the rollouts of Deployments.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use futures::StreamExt;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::duration;
use crate::{
    output::{self, Columns},
    session::{PatchForm, Session, with_query},
    target::{self, Object, Selection},
};

const REVISION: &str = "deployment.kubernetes.io/revision";
const CAUSE: &str = "kubernetes.io/change-cause";
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

#[derive(Args, Debug)]
pub struct Rollout {
    #[command(subcommand)]
    action: Action,
}

#[derive(Args, Debug)]
struct Words {
    /// TYPE NAME or TYPE/NAME
    #[arg(required = true)]
    words: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show how far the rollout is, until it is done
    Status {
        #[command(flatten)]
        words: Words,
        /// Keep watching until done
        #[arg(long, short, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
        watch: bool,
        /// Give up after this long; 0s never
        #[arg(long, default_value = "0s")]
        timeout: String,
        /// Watch this revision only
        #[arg(long, default_value_t = 0)]
        revision: i64,
    },
    /// List former revisions, or show one
    History {
        #[command(flatten)]
        words: Words,
        #[arg(long, default_value_t = 0)]
        revision: i64,
    },
    /// Go back to a former revision
    Undo {
        #[command(flatten)]
        words: Words,
        /// The revision; 0 is the one before
        #[arg(long, default_value_t = 0)]
        to_revision: i64,
    },
    /// Replace all pods
    Restart {
        #[command(flatten)]
        words: Words,
    },
    /// Stop rolling out changes
    Pause {
        #[command(flatten)]
        words: Words,
    },
    /// Go on rolling out changes
    Resume {
        #[command(flatten)]
        words: Words,
    },
}

impl Rollout {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self.action {
            Action::Status { words, watch, timeout, revision } => {
                let limit = duration(&timeout)?;
                for object in deployments(session, &words).await? {
                    let done = status(session, &object, watch, revision);
                    if limit.is_zero() {
                        done.await?;
                    } else if let Ok(outcome) = tokio::time::timeout(limit, done).await {
                        outcome?;
                    } else {
                        bail!("timed out waiting for the condition");
                    }
                }
            }
            Action::History { words, revision } => {
                for object in deployments(session, &words).await? {
                    history(session, &object, revision).await?;
                }
            }
            Action::Undo { words, to_revision } => {
                for object in deployments(session, &words).await? {
                    undo(session, &object, to_revision).await?;
                }
            }
            Action::Restart { words } => {
                for object in deployments(session, &words).await? {
                    if object.value["spec"]["paused"] == true {
                        bail!("can't restart paused deployment (run rollout resume first)");
                    }
                    #[allow(clippy::disallowed_methods, reason = "the moment a person asked, told to the server once")]
                    let now = Timestamp::now().round(jiff::Unit::Second)?.to_string();
                    let patch = json!({"spec": {"template": {"metadata": {"annotations": {RESTARTED: now}}}}});
                    change(session, &object, PatchForm::Strategic, &patch, "restarted").await?;
                }
            }
            Action::Pause { words } => pause(session, &words, true).await?,
            Action::Resume { words } => pause(session, &words, false).await?,
        }
        Ok(())
    }
}

async fn deployments(session: &Session, words: &Words) -> anyhow::Result<Vec<Object>> {
    let targets = target::parse(session, &words.words).await?;
    let objects = session.objects(&targets, &Selection::default()).await?;
    if let Some(other) = objects.iter().find(|o| o.resource.kind != "Deployment") {
        bail!("no rollout commands are known for {}", other.title());
    }
    Ok(objects)
}

async fn change(session: &Session, object: &Object, form: PatchForm, patch: &Value, what: &str) -> anyhow::Result<()> {
    session.patch(&with_query(&object.path(), &[("fieldManager", "kctl-rollout")]), form, patch).await?;
    println!("{} {what}", object.title());
    Ok(())
}

async fn pause(session: &Session, words: &Words, paused: bool) -> anyhow::Result<()> {
    for object in deployments(session, words).await? {
        let now = object.value["spec"]["paused"] == true;
        if now == paused {
            bail!("deployments.apps \"{}\" is {}", object.name(), if paused { "already paused" } else { "not paused" });
        }
        let value = if paused { Value::Bool(true) } else { Value::Null };
        let patch = json!({"spec": {"paused": value}});
        change(session, &object, PatchForm::Strategic, &patch, if paused { "paused" } else { "resumed" }).await?;
    }
    Ok(())
}

/// Prints a line a step until the rollout is done.
async fn status(session: &Session, object: &Object, watch: bool, revision: i64) -> anyhow::Result<()> {
    let by_name = format!("metadata.name={}", object.name());
    let path = with_query(&object.resource.path(Some(object.namespace())), &[("fieldSelector", &by_name)]);
    let mut said = String::new();
    let mut step = |deployment: &Value| -> anyhow::Result<bool> {
        let (text, done) = progress(deployment, revision)?;
        if text != said {
            println!("{text}");
            said = text;
        }
        Ok(done)
    };
    loop {
        let listed = session.get(&path).await?;
        let now = listed["items"].get(0).with_context(|| format!("{} was deleted", object.title()))?;
        if step(now)? || !watch {
            return Ok(());
        }
        let from = listed["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let watch = with_query(&path, &[("watch", "true"), ("resourceVersion", from)]);
        let mut events = Box::pin(session.watch(&watch, "application/json").await?);
        while let Some(Ok(event)) = events.next().await {
            if event.kind == "DELETED" {
                bail!("object has been deleted");
            }
            if step(&event.object)? {
                return Ok(());
            }
        }
    }
}

/// Where a Deployment stands, in kubectl's words, and whether that is the end.
fn progress(deployment: &Value, revision: i64) -> anyhow::Result<(String, bool)> {
    let name = deployment["metadata"]["name"].as_str().unwrap_or_default();
    let (spec, status) = (&deployment["spec"], &deployment["status"]);
    if revision > 0 && revision_of(deployment) != revision {
        bail!("desired revision ({revision}) is different from the running revision ({})", revision_of(deployment));
    }
    let number = |v: &Value| v.as_i64().unwrap_or(0);
    if number(&deployment["metadata"]["generation"]) > number(&status["observedGeneration"]) {
        return Ok(("Waiting for deployment spec update to be observed...".into(), false));
    }
    let conditions = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    if conditions.iter().any(|c| c["type"] == "Progressing" && c["reason"] == "ProgressDeadlineExceeded") {
        bail!("deployment \"{name}\" exceeded its progress deadline");
    }
    let wanted = spec["replicas"].as_i64().unwrap_or(1);
    let (all, updated, available) =
        (number(&status["replicas"]), number(&status["updatedReplicas"]), number(&status["availableReplicas"]));
    let wait = |what: String| Ok((format!("Waiting for deployment \"{name}\" rollout to finish: {what}..."), false));
    if updated < wanted {
        return wait(format!("{updated} out of {wanted} new replicas have been updated"));
    }
    if all > updated {
        return wait(format!("{} old replicas are pending termination", all - updated));
    }
    if available < updated {
        return wait(format!("{available} of {updated} updated replicas are available"));
    }
    Ok((format!("deployment \"{name}\" successfully rolled out"), true))
}

fn revision_of(object: &Value) -> i64 {
    object["metadata"]["annotations"][REVISION].as_str().and_then(|r| r.parse().ok()).unwrap_or(0)
}

/// The Deployment's ReplicaSets by revision.
pub async fn revisions(session: &Session, deployment: &Object) -> anyhow::Result<Vec<Value>> {
    let path = format!("/apis/apps/v1/namespaces/{}/replicasets", deployment.namespace());
    let (mut sets, _) = session.list(&path).await?;
    let uid = &deployment.value["metadata"]["uid"];
    sets.retain(|set| {
        let owners = set["metadata"]["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
        owners.iter().any(|o| o["uid"] == *uid && o["controller"] == true)
    });
    sets.sort_by_key(revision_of);
    Ok(sets)
}

async fn history(session: &Session, object: &Object, revision: i64) -> anyhow::Result<()> {
    let sets = revisions(session, object).await?;
    if revision > 0 {
        let set = sets.iter().find(|s| revision_of(s) == revision).context("unable to find the specified revision")?;
        println!("{} with revision #{revision}", object.title());
        print!("{}", output::yaml(&json!({"Pod Template": set["spec"]["template"]}))?);
        return Ok(());
    }
    println!("{} ", object.title());
    let mut table = Columns::description();
    table.row(["REVISION", "CHANGE-CAUSE"]);
    for set in sets {
        let cause = set["metadata"]["annotations"][CAUSE].as_str().unwrap_or("<none>").to_owned();
        table.row([revision_of(&set).to_string(), cause]);
    }
    println!("{}", table.render());
    Ok(())
}

async fn undo(session: &Session, object: &Object, to: i64) -> anyhow::Result<()> {
    if object.value["spec"]["paused"] == true {
        bail!(
            "you cannot rollback a paused deployment; resume it first with 'kctl rollout resume {}' and try again",
            object.title()
        );
    }
    let sets = revisions(session, object).await?;
    let current = revision_of(&object.value);
    let former = if to > 0 {
        sets.iter()
            .find(|s| revision_of(s) == to)
            .with_context(|| format!("unable to find specified revision {to} in history"))?
    } else {
        let before: Vec<_> = sets.iter().filter(|s| revision_of(s) != current).collect();
        before
            .last()
            .copied()
            .with_context(|| format!("no rollout history found for deployment \"{}\"", object.name()))?
    };
    let mut template = former["spec"]["template"].clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.shift_remove("pod-template-hash");
    }
    if template == object.value["spec"]["template"] {
        let found = revision_of(former);
        println!("{} skipped rollback (current template already matches revision {found})", object.title());
        return Ok(());
    }
    let patch = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
    change(session, object, PatchForm::Json, &patch, "rolled back").await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: Value, text: &str, done: bool) {
        let deployment =
            json!({"metadata": {"name": "web", "generation": 2}, "spec": {"replicas": 3}, "status": status});
        assert_eq!(progress(&deployment, 0).unwrap(), (text.to_owned(), done));
    }

    #[test]
    fn steps_of_a_rollout() {
        check(json!({"observedGeneration": 1}), "Waiting for deployment spec update to be observed...", false);
        let wait = "Waiting for deployment \"web\" rollout to finish:";
        check(
            json!({"observedGeneration": 2, "updatedReplicas": 1, "replicas": 3}),
            &format!("{wait} 1 out of 3 new replicas have been updated..."),
            false,
        );
        check(
            json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 4}),
            &format!("{wait} 1 old replicas are pending termination..."),
            false,
        );
        check(
            json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 2}),
            &format!("{wait} 2 of 3 updated replicas are available..."),
            false,
        );
        check(
            json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 3}),
            "deployment \"web\" successfully rolled out",
            true,
        );
    }
}
