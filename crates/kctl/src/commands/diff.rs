//! `kctl diff`: what `apply` would change, as the program `diff` (or `KUBECTL_EXTERNAL_DIFF`) shows it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

use super::{DryRun, WriteOptions, apply, server_side};
use crate::{
    output,
    session::{Refused, Session, with_query},
    target::Object,
};

#[derive(Args, Debug)]
pub struct Diff {
    /// Manifests; - is standard input
    #[arg(long = "filename", short = 'f', required = true)]
    files: Vec<PathBuf>,
    /// Process folders recursively
    #[arg(long, short = 'R')]
    recursive: bool,
    /// As apply --server-side would
    #[arg(long)]
    server_side: bool,
    /// With --server-side: take fields over from others
    #[arg(long, requires = "server_side")]
    force_conflicts: bool,
    /// The name under which changes are recorded
    #[arg(long)]
    field_manager: Option<String>,
    /// Show who manages which field as well
    #[arg(long)]
    show_managed_fields: bool,
}

impl Diff {
    /// 0 without differences, 1 with some; more is a failure.
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let folder = std::env::temp_dir().join(format!("kctl-diff-{}", std::process::id()));
        let outcome = self.compare(session, &folder).await;
        // What is left there is a copy.
        fs::remove_dir_all(&folder).ok();
        match outcome {
            Ok(code) => Ok(ExitCode::from(code)),
            Err(error) => {
                match error.downcast_ref::<Refused>() {
                    Some(refused) => eprintln!("{refused}"),
                    None => eprintln!("error: {error:#}"),
                }
                Ok(ExitCode::from(2))
            }
        }
    }

    async fn compare(&self, session: &Session, folder: &Path) -> anyhow::Result<u8> {
        let (live, merged) = (folder.join("LIVE"), folder.join("MERGED"));
        for folder in [&live, &merged] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        for object in session.manifests(&self.files, self.recursive).await? {
            let (before, after) = self.both(session, &object).await?;
            let resource = &object.resource;
            let parts = [&resource.group, &resource.version, &resource.kind, object.namespace(), object.name()];
            let name = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
            for (folder, value) in [(&live, before), (&merged, Some(after))] {
                let text = value.map(|value| self.shown(value)).transpose()?.unwrap_or_default();
                fs::write(folder.join(&name), text).context("cannot write a copy")?;
            }
        }
        self.show(&live, &merged)
    }

    /// The object as it is and as it would be.
    async fn both(&self, session: &Session, object: &Object) -> anyhow::Result<(Option<Value>, Value)> {
        let current = match session.get(&object.path()).await {
            Ok(current) => Some(current),
            Err(error) if Refused::is_not_found(&error) => None,
            Err(error) => return Err(error),
        };
        let options = WriteOptions {
            dry_run: DryRun::Server,
            field_manager: self.field_manager.clone(),
            validate: "strict".into(),
            output: None,
        };
        if self.server_side {
            let after = server_side::send(session, object, &options, self.force_conflicts).await?;
            return Ok((current, after));
        }
        // What apply would write down of the manifest itself is no difference.
        let modified = apply::without_own_text(&object.value);
        let query = [("fieldManager", options.manager(apply::MANAGER)), ("dryRun", "All")];
        let after = match &current {
            None => {
                session.create(&with_query(&object.resource.path(Some(object.namespace())), &query), &modified).await?
            }
            Some(current) => {
                let (form, patch) = apply::merge(object, &modified, current)?;
                session.patch(&with_query(&object.path(), &query), form, &patch).await?
            }
        };
        Ok((current, after))
    }

    fn shown(&self, mut value: Value) -> anyhow::Result<String> {
        if !self.show_managed_fields
            && let Some(meta) = value["metadata"].as_object_mut()
        {
            meta.shift_remove("managedFields");
        }
        output::yaml(&value)
    }

    fn show(&self, live: &Path, merged: &Path) -> anyhow::Result<u8> {
        let wanted = std::env::var("KUBECTL_EXTERNAL_DIFF").ok().filter(|program| !program.is_empty());
        let mut words = wanted.as_deref().unwrap_or("diff -u -N").split_whitespace();
        let program = words.next().unwrap_or("diff");
        let status = Command::new(program).args(words).arg(live).arg(merged).status();
        match status.with_context(|| format!("failed to run {program:?}"))?.code() {
            Some(code @ (0 | 1)) => Ok(code as u8),
            Some(code) => bail!("{program} ended with exit code {code}"),
            None => bail!("{program} was killed"),
        }
    }
}
