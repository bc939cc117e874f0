//! `kctl delete`: by name, selector or manifest; waits until the objects are gone.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use futures::StreamExt;
use serde_json::{Value, json};

use super::{DryRun, duration};
use crate::{
    session::{Refused, Session, with_query},
    target::{self, Object, Selection},
};

#[derive(Args, Debug)]
pub struct Delete {
    /// TYPE NAME… or TYPE/NAME…
    words: Vec<String>,
    #[command(flatten)]
    selection: Selection,
    /// Objects named by manifests
    #[arg(long = "filename", short = 'f')]
    files: Vec<PathBuf>,
    /// Process folders recursively
    #[arg(long, short = 'R')]
    recursive: bool,
    /// Delete all objects of the type in the namespace
    #[arg(long)]
    all: bool,
    /// What happens to dependents
    #[arg(long, value_enum, default_value_t = Cascade::Background, num_args = 0..=1, default_missing_value = "background", require_equals = true)]
    cascade: Cascade,
    /// Seconds the object gets to end; -1 leaves it to the object
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// With --grace-period=0: do not wait for the kubelet
    #[arg(long)]
    force: bool,
    /// Like --grace-period=1
    #[arg(long)]
    now: bool,
    /// Do not fail when an object does not exist
    #[arg(long)]
    ignore_not_found: bool,
    /// Wait until the objects are gone
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    wait: bool,
    /// Give up waiting after this long; 0s never
    #[arg(long, default_value = "0s")]
    timeout: String,
    /// Only try
    #[arg(long, value_enum, default_value_t = DryRun::None)]
    dry_run: DryRun,
    /// name prints only names
    #[arg(long, short)]
    output: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Cascade {
    #[value(alias = "true")]
    Background,
    Foreground,
    #[value(alias = "false")]
    Orphan,
}

impl Delete {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        let ignore_absent = self.ignore_not_found || self.all;
        let mut objects = vec![];
        let mut failed = None;
        if self.files.is_empty() {
            let targets = target::parse(session, &self.words).await?;
            let selects = self.selection.selector.is_some() || self.selection.field_selector.is_some() || self.all;
            for target in &targets {
                if target.name.is_none() && !selects {
                    bail!("resource(s) were provided, but no name was specified");
                }
                match session.objects(std::slice::from_ref(target), &self.selection).await {
                    Ok(found) => objects.extend(found),
                    Err(error) if ignore_absent && Refused::is_not_found(&error) => {}
                    Err(error) => {
                        if let Some(former) = failed.replace(error) {
                            eprintln!("{former:#}");
                        }
                    }
                }
            }
        } else {
            objects = session.manifests(&self.files, self.recursive).await?;
        }
        if objects.is_empty() && failed.is_none() && !ignore_absent {
            println!("No resources found");
        }
        let mut waiting = vec![];
        for object in objects {
            match self.delete(session, &object).await {
                Ok(Some(uid)) => waiting.push((object, uid)),
                Ok(None) => {}
                Err(error) if ignore_absent && Refused::is_not_found(&error) => {}
                Err(error) => {
                    if let Some(former) = failed.replace(error) {
                        eprintln!("{former:#}");
                    }
                }
            }
        }
        if self.wait && self.dry_run == DryRun::None {
            let limit = duration(&self.timeout)?;
            let gone = async {
                for (object, uid) in &waiting {
                    until_gone(session, object, uid).await?;
                }
                anyhow::Ok(())
            };
            if limit.is_zero() {
                gone.await?;
            } else if tokio::time::timeout(limit, gone).await.is_err() {
                bail!("timed out waiting for the condition");
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// The uid to wait for, unless nothing was deleted.
    async fn delete(&self, session: &Session, object: &Object) -> anyhow::Result<Option<String>> {
        let policy = match self.cascade {
            Cascade::Background => "Background",
            Cascade::Foreground => "Foreground",
            Cascade::Orphan => "Orphan",
        };
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
        let grace = if self.now { 1 } else { self.grace_period };
        if self.force && grace < 0 {
            options["gracePeriodSeconds"] = 0.into();
        } else if grace >= 0 {
            if grace == 0 && !self.force {
                // As kubectl: without --force, immediate means one second.
                options["gracePeriodSeconds"] = 1.into();
            } else {
                options["gracePeriodSeconds"] = grace.into();
            }
        }
        if self.force {
            eprintln!(
                "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely."
            );
        }
        let mut uid = object.value["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        if self.dry_run != DryRun::Client {
            let path = with_query(&object.path(), &[("dryRun", self.dry_run.parameter())]);
            let answer = session.delete(&path, &options).await?;
            if let Some(known) = answer["details"]["uid"].as_str().or(answer["metadata"]["uid"].as_str()) {
                uid = known.to_owned();
            }
        }
        let kind = object.resource.kind.to_lowercase();
        let kind = if object.resource.group.is_empty() { kind } else { format!("{kind}.{}", object.resource.group) };
        let how = if self.force && grace <= 0 { "force deleted" } else { "deleted" };
        match self.output.as_deref() {
            Some("name") => println!("{}", object.title()),
            _ if object.resource.namespaced => {
                println!(
                    "{kind} \"{}\" {how} from {} namespace{}",
                    object.name(),
                    object.namespace(),
                    self.dry_run.note()
                );
            }
            _ => println!("{kind} \"{}\" {how}{}", object.name(), self.dry_run.note()),
        }
        Ok(Some(uid))
    }
}

/// Returns when the object with this uid is no more.
pub async fn until_gone(session: &Session, object: &Object, uid: &str) -> anyhow::Result<()> {
    let scope = object.resource.namespaced.then(|| object.namespace());
    let by_name = format!("metadata.name={}", object.name());
    let path = with_query(&object.resource.path(scope), &[("fieldSelector", &by_name)]);
    loop {
        let listed = session.get(&path).await?;
        let there = |item: &Value| uid.is_empty() || item["metadata"]["uid"] == uid;
        if !listed["items"].as_array().is_some_and(|items| items.iter().any(there)) {
            return Ok(());
        }
        let from = listed["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let watch = with_query(&path, &[("watch", "true"), ("resourceVersion", from)]);
        let mut events = Box::pin(session.watch(&watch, "application/json").await?);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) if event.kind == "DELETED" && there(&event.object) => return Ok(()),
                Ok(_) => {}
                Err(_) => break, // the list above tells the truth again
            }
        }
    }
}
