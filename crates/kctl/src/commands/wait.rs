//! `kctl wait`: returns when objects are as asked, or when time is up.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use futures::StreamExt;
use serde_json::Value;
use tokio::time::timeout;

use super::{delete, duration};
use crate::{
    output::jsonpath::{self, Template},
    session::{Refused, Session, with_query},
    target::{self, Object, Selection, Target},
};

#[derive(Args, Debug)]
pub struct Wait {
    /// TYPE NAME… or TYPE/NAME…
    words: Vec<String>,
    /// condition=NAME[=VALUE], delete, create or jsonpath=PATH[=VALUE]
    #[arg(long = "for")]
    what: String,
    /// Give up after this long
    #[arg(long, default_value = "30s")]
    timeout: String,
    /// All objects of the type in the namespace
    #[arg(long)]
    all: bool,
    /// Objects named by manifests
    #[arg(long = "filename", short = 'f')]
    files: Vec<PathBuf>,
    #[command(flatten)]
    selection: Selection,
}

enum Goal {
    Condition(String, String),
    JsonPath(Template, Option<String>),
    Delete,
    Create,
}

impl Wait {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        let goal = parse(&self.what)?;
        let limit = duration(&self.timeout)?;
        let targets = if self.files.is_empty() {
            target::parse(session, &self.words).await?
        } else {
            let named = session.manifests(&self.files, false).await?;
            named.into_iter().map(|o| Target { name: Some(o.name().to_owned()), resource: o.resource }).collect()
        };
        let deadline = tokio::time::Instant::now() + limit;
        let mut objects = vec![];
        for target in &targets {
            loop {
                match session.objects(std::slice::from_ref(target), &self.selection).await {
                    Ok(found) if !found.is_empty() || !matches!(goal, Goal::Create) => {
                        objects.extend(found);
                        break;
                    }
                    Ok(_) => {}
                    Err(error) if Refused::is_not_found(&error) && matches!(goal, Goal::Delete) => break,
                    Err(error) if Refused::is_not_found(&error) && matches!(goal, Goal::Create) => {}
                    Err(error) => return Err(error),
                }
                let appears = appears(session, target, &self.selection);
                if tokio::time::timeout_at(deadline, appears).await.is_err() {
                    bail!("timed out waiting for the condition");
                }
            }
        }
        if objects.is_empty() {
            if matches!(goal, Goal::Delete) {
                return Ok(());
            }
            bail!("no matching resources found");
        }
        let mut late = vec![];
        for object in objects {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            match timeout(left, reach(session, &object, &goal)).await {
                Ok(outcome) => {
                    outcome?;
                    let how = match goal {
                        Goal::Delete => "deleted",
                        Goal::Create => "created",
                        _ => "met",
                    };
                    println!(
                        "{}{}",
                        object.title(),
                        if how == "met" { " condition met".into() } else { format!(" {how}") }
                    );
                }
                Err(_) => late.push(object),
            }
        }
        if let Some(object) = late.pop() {
            for other in late {
                eprintln!("error: timed out waiting for the condition on {}", plural_name(&other));
            }
            bail!("timed out waiting for the condition on {}", plural_name(&object));
        }
        Ok(())
    }
}

fn plural_name(object: &Object) -> String {
    format!("{}/{}", object.resource.plural, object.name())
}

fn parse(text: &str) -> anyhow::Result<Goal> {
    if let Some(condition) = text.strip_prefix("condition=") {
        let (name, value) = condition.split_once('=').unwrap_or((condition, "True"));
        return Ok(Goal::Condition(name.to_owned(), value.to_owned()));
    }
    if let Some(spec) = text.strip_prefix("jsonpath=") {
        let spec = spec.trim_matches('\'');
        let close = spec.rfind('}').map_or(0, |at| at + 1);
        let (path, value) = match spec[close..].split_once('=') {
            Some((rest, value)) => {
                (format!("{}{rest}", &spec[..close]), Some(value.trim_matches(['"', '\'']).to_owned()))
            }
            None => (spec.to_owned(), None),
        };
        return Ok(Goal::JsonPath(Template::parse(&path).context("--for=jsonpath")?, value));
    }
    match text {
        "delete" => Ok(Goal::Delete),
        "create" => Ok(Goal::Create),
        other => bail!("unrecognized condition: \"{other}\""),
    }
}

/// Until something that `target` means is added.
async fn appears(session: &Session, target: &Target, selection: &Selection) -> anyhow::Result<()> {
    let scope = session.scope(&target.resource, selection);
    let by_name = target.name.as_ref().map(|n| format!("metadata.name={n}")).unwrap_or_default();
    let labels = selection.selector.clone().unwrap_or_default();
    let query = [("watch", "true"), ("fieldSelector", by_name.as_str()), ("labelSelector", labels.as_str())];
    let path = with_query(&target.resource.path(scope.as_deref()), &query);
    let mut events = Box::pin(session.watch(&path, "application/json").await?);
    events.next().await.transpose()?;
    Ok(())
}

async fn reach(session: &Session, object: &Object, goal: &Goal) -> anyhow::Result<()> {
    let uid = object.value["metadata"]["uid"].as_str().unwrap_or_default();
    match goal {
        Goal::Create => return Ok(()),
        Goal::Delete => return delete::until_gone(session, object, uid).await,
        _ if met(&object.value, goal) => return Ok(()),
        _ => {}
    }
    let scope = object.resource.namespaced.then(|| object.namespace());
    let by_name = format!("metadata.name={}", object.name());
    let path = with_query(&object.resource.path(scope), &[("fieldSelector", &by_name)]);
    loop {
        let listed = session.get(&path).await?;
        let now = listed["items"].get(0);
        match now {
            None => bail!("{} was deleted", plural_name(object)),
            Some(now) if met(now, goal) => return Ok(()),
            Some(_) => {}
        }
        let from = listed["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let watch = with_query(&path, &[("watch", "true"), ("resourceVersion", from)]);
        let mut events = Box::pin(session.watch(&watch, "application/json").await?);
        while let Some(Ok(event)) = events.next().await {
            if event.kind == "DELETED" {
                bail!("{} was deleted", plural_name(object));
            }
            if met(&event.object, goal) {
                return Ok(());
            }
        }
    }
}

fn met(object: &Value, goal: &Goal) -> bool {
    match goal {
        Goal::Condition(name, value) => {
            let conditions = object["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
            let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
            conditions.iter().any(|c| {
                let current = c["observedGeneration"].as_i64().is_none_or(|seen| seen >= generation);
                let is = |field: &str, want: &str| c[field].as_str().is_some_and(|v| v.eq_ignore_ascii_case(want));
                is("type", name) && is("status", value) && current
            })
        }
        Goal::JsonPath(path, wanted) => {
            let found = path.find(object);
            match wanted {
                Some(wanted) => found.iter().any(|v| jsonpath::shown(v) == *wanted),
                None => !found.is_empty(),
            }
        }
        Goal::Delete | Goal::Create => false,
    }
}
