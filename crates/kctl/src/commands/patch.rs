//! `kctl patch`: sends a patch of one of the three forms.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use super::WriteOptions;
use crate::{
    discovery::Resource,
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
            let mut resource = object.resource;
            // A scale is an object of its own kind.
            if self.subresource.is_some()
                && let Some(kind) = value["kind"].as_str()
            {
                let (group, _) = value["apiVersion"].as_str().and_then(|text| text.split_once('/')).unwrap_or_default();
                resource = Resource { kind: kind.to_owned(), group: group.to_owned(), ..resource };
            }
            self.options.say(&Object { resource, value }, what)?;
        }
        Ok(())
    }
}
