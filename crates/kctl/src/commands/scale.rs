//! `kctl scale`: sets how many replicas a workload should have.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::WriteOptions;
use crate::{
    session::{PatchForm, Session, with_query},
    target::{self, Selection},
};

#[derive(Args, Debug)]
pub struct Scale {
    /// TYPE NAME… or TYPE/NAME…
    words: Vec<String>,
    /// The new number
    #[arg(long)]
    replicas: i32,
    /// Only if this is the number now
    #[arg(long)]
    current_replicas: Option<i32>,
    /// Objects named by manifests
    #[arg(long = "filename", short = 'f')]
    files: Vec<PathBuf>,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    options: WriteOptions,
}

impl Scale {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        if self.replicas < 0 {
            bail!("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0");
        }
        let objects = if self.files.is_empty() {
            let targets = target::parse(session, &self.words).await?;
            session.objects(&targets, &self.selection).await?
        } else {
            session.manifests(&self.files, false).await?
        };
        for object in objects {
            if !object.resource.subresources.iter().any(|s| s == "scale") {
                bail!("{} cannot be scaled", object.title());
            }
            let path = format!("{}/scale", object.path());
            let mut patch = json!({"spec": {"replicas": self.replicas}});
            if let Some(expected) = self.current_replicas {
                let scale = session.get(&path).await?;
                let current = scale["spec"]["replicas"].as_i64().unwrap_or(0);
                if current != i64::from(expected) {
                    bail!("Expected replicas to be {expected}, was {current}");
                }
                patch["metadata"] = json!({"resourceVersion": scale["metadata"]["resourceVersion"]});
            }
            let path = with_query(
                &path,
                &[("fieldManager", self.options.manager("kctl-scale")), ("dryRun", self.options.dry_run.parameter())],
            );
            let _: Value = session.patch(&path, PatchForm::Merge, &patch).await?;
            println!("{} scaled{}", object.title(), self.options.dry_run.note());
        }
        Ok(())
    }
}
