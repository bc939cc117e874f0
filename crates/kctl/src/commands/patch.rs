//! `kctl patch`: sends a patch of one of the three forms.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use super::WriteOptions;
use crate::{
    session::{PatchForm, Session, with_query},
    target::{self, Object, Selection},
};

#[derive(Args, Debug)]
pub struct Patch {
    /// TYPE NAME or TYPE/NAME
    words: Vec<String>,
    /// The patch, as JSON or YAML
    #[arg(long, short)]
    patch: Option<String>,
    /// A file with the patch
    #[arg(long)]
    patch_file: Option<PathBuf>,
    #[arg(long = "type", value_enum, default_value_t = Form::Strategic)]
    form: Form,
    /// Patch a subresource, such as status or scale
    #[arg(long)]
    subresource: Option<String>,
    #[command(flatten)]
    options: WriteOptions,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Json,
    Merge,
    Strategic,
}

impl Patch {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        let text = match (&self.patch, &self.patch_file) {
            (Some(text), None) => text.clone(),
            (None, Some(file)) => {
                std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
            }
            _ => bail!("must specify --patch or --patch-file containing the contents of the patch"),
        };
        let patch = component::config::yaml(&text).context("unable to parse the patch")?;
        let form = match self.form {
            Form::Json => PatchForm::Json,
            Form::Merge => PatchForm::Merge,
            Form::Strategic => PatchForm::Strategic,
        };
        let targets = target::parse(session, &self.words).await?;
        for object in session.objects(&targets, &Selection::default()).await? {
            let mut path = object.path();
            if let Some(subresource) = &self.subresource {
                path = format!("{path}/{subresource}");
            }
            let query =
                [("fieldManager", self.options.manager("kctl-patch")), ("dryRun", self.options.dry_run.parameter())];
            let value = session.patch(&with_query(&path, &query), form, &patch).await?;
            let same = value["metadata"]["resourceVersion"] == object.value["metadata"]["resourceVersion"];
            let what = if same && self.subresource.is_none() { "patched (no change)" } else { "patched" };
            self.options.say(&Object { resource: object.resource, value }, what)?;
        }
        Ok(())
    }
}
