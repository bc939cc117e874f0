//! `kctl apply`: makes the cluster hold what manifests say, by a three-way merge with what was applied before.
//!
//! The merge and the `last-applied-configuration` annotation are kubectl's, so that both can be used in turn.

use std::path::PathBuf;

use anyhow::{Context, bail};
use api_rules::{kinds, patch};
use clap::Args;
use serde_json::{Value, json};

use super::{DryRun, WriteOptions, server_side};
use crate::{
    discovery::Resource,
    output,
    session::{PatchForm, Refused, Session, with_query},
    target::Object,
};

pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
pub const MANAGER: &str = "kubectl-client-side-apply";
/// Conflicts with other writers are tried again this often.
const TRIES: usize = 5;

#[derive(Args, Debug)]
pub struct Apply {
    /// Manifests; - is standard input
    #[arg(long = "filename", short = 'f', required = true)]
    files: Vec<PathBuf>,
    /// Process folders recursively
    #[arg(long, short = 'R')]
    recursive: bool,
    /// Only objects with these labels
    #[arg(long, short = 'l')]
    selector: Option<String>,
    /// Delete objects that were applied before and are in no manifest now; needs -l
    #[arg(long)]
    prune: bool,
    /// Delete and create again what cannot be changed
    #[arg(long)]
    force: bool,
    /// Let the server merge, by who owns which field
    #[arg(long)]
    server_side: bool,
    /// With --server-side: take fields over from others
    #[arg(long, requires = "server_side")]
    force_conflicts: bool,
    #[command(flatten)]
    options: WriteOptions,
}

impl Apply {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        if self.prune {
            bail!("--prune is not supported");
        }
        if self.server_side && self.force {
            bail!("--force cannot be used with --server-side");
        }
        if self.server_side && self.options.dry_run == DryRun::Client {
            bail!("--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)");
        }
        let mut objects = session.manifests(&self.files, self.recursive).await?;
        if let Some(selector) = &self.selector {
            let selector = api_types::selector::Selector::parse(selector)?;
            objects.retain(|o| {
                let labels = o.value["metadata"]["labels"].as_object().into_iter().flatten();
                let labels: Vec<(&str, &str)> =
                    labels.map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default())).collect();
                selector.matches(&labels)
            });
        }
        let mut failed = None;
        for object in objects {
            let done = match self.server_side {
                true => server_side::apply(session, object, &self.options, self.force_conflicts).await,
                false => self.apply(session, object).await,
            };
            if let Err(error) = done
                && let Some(former) = failed.replace(error)
            {
                eprintln!("{former:#}");
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn apply(&self, session: &Session, object: Object) -> anyhow::Result<()> {
        if object.name().is_empty() {
            bail!("cannot use generate name with apply");
        }
        let modified = annotated(&object.value)?;
        let mut tries = 0;
        loop {
            tries += 1;
            let current = match session.get(&object.path()).await {
                Ok(current) => current,
                Err(error) if Refused::is_not_found(&error) => return self.create(session, object, modified).await,
                Err(error) => return Err(error),
            };
            match self.patch(session, &object, &modified, &current).await {
                Err(error) if Refused::is_conflict(&error) && tries < TRIES => {}
                Err(error) if self.force && matches!(Refused::code(&error), Some(409 | 422)) => {
                    let options = json!({"propagationPolicy": "Background"});
                    session.delete(&object.path(), &options).await?;
                    let live = Object { resource: object.resource.clone(), value: current };
                    let uid = live.value["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
                    super::delete::until_gone(session, &live, &uid).await?;
                    return self.create(session, object, modified).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn create(&self, session: &Session, object: Object, modified: Value) -> anyhow::Result<()> {
        if self.options.dry_run == DryRun::Client {
            return self.options.say(&object, "created");
        }
        let path = with_query(&object.resource.path(Some(object.namespace())), &self.query());
        let value = session.create(&path, &modified).await?;
        self.options.say(&Object { resource: object.resource, value }, "created")
    }

    async fn patch(&self, session: &Session, object: &Object, modified: &Value, current: &Value) -> anyhow::Result<()> {
        let (form, patch) = merge(object, modified, current)?;
        let said =
            |value: Value, what: &str| self.options.say(&Object { resource: object.resource.clone(), value }, what);
        if patch == json!({}) {
            return said(current.clone(), "unchanged");
        }
        if self.options.dry_run == DryRun::Client {
            return said(current.clone(), "configured");
        }
        let value = session.patch(&with_query(&object.path(), &self.query()), form, &patch).await?;
        said(value, "configured")
    }

    fn query(&self) -> [(&str, &str); 3] {
        [
            ("fieldManager", self.options.manager(MANAGER)),
            ("fieldValidation", self.options.validation()),
            ("dryRun", self.options.dry_run.parameter()),
        ]
    }
}

/// The object with its own text in the annotation, which kubectl ends with a newline.
fn annotated(object: &Value) -> anyhow::Result<Value> {
    let plain = without_own_text(object);
    let text = format!("{}\n", serde_json::to_string(&output::sorted(&plain))?);
    let mut out = plain;
    out["metadata"]["annotations"][LAST_APPLIED] = text.into();
    Ok(out)
}

/// The manifest as that annotation has it.
pub fn without_own_text(object: &Value) -> Value {
    let mut plain = object.clone();
    if let Some(annotations) = plain["metadata"]["annotations"].as_object_mut() {
        annotations.shift_remove(LAST_APPLIED);
    }
    if !plain["metadata"]["annotations"].is_object() {
        plain["metadata"]["annotations"] = json!({});
    }
    plain
}

/// The patch that brings what was applied before to what the manifest says now.
pub fn merge(object: &Object, modified: &Value, current: &Value) -> anyhow::Result<(PatchForm, Value)> {
    let original = match current["metadata"]["annotations"][LAST_APPLIED].as_str() {
        Some(text) => serde_json::from_str(text).context("the last-applied-configuration annotation is not JSON")?,
        None => {
            eprintln!(
                "Warning: resource {} is missing the {LAST_APPLIED} annotation which is required by kctl apply. kctl apply should only be used on resources created declaratively by either kctl create --save-config or kctl apply. The missing annotation will be patched automatically.",
                object.resource.full_name() + "/" + object.name()
            );
            json!({})
        }
    };
    let Resource { group, version, kind, .. } = &object.resource;
    Ok(match kinds::find_kind(group, version, kind).and_then(|known| known.schema()) {
        Some(schema) => (PatchForm::Strategic, patch::strategic::three_way(&original, modified, current, schema)?),
        None => (PatchForm::Merge, patch::merge::three_way(&original, modified, current)),
    })
}
