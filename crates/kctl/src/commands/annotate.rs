//! `kctl annotate`: adds, changes and removes annotations. (`label` is the same for labels.)

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::{Map, Value, json};

use super::WriteOptions;
use crate::{
    session::{PatchForm, Session, with_query},
    target::{self, Object, Selection},
};

#[derive(Args, Debug)]
pub struct Annotate {
    #[command(flatten)]
    tag: Tag,
}

impl Annotate {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        self.tag.run(session, Marks::Annotations).await
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    Labels,
    Annotations,
}

#[derive(Args, Debug)]
pub struct Tag {
    /// TYPE NAME… or TYPE/NAME…, then KEY=VALUE… or KEY-…
    words: Vec<String>,
    /// Objects named by manifests
    #[arg(long = "filename", short = 'f')]
    files: Vec<PathBuf>,
    /// All objects of the type in the namespace
    #[arg(long)]
    all: bool,
    /// Change values that are set already
    #[arg(long)]
    overwrite: bool,
    /// Show what is set
    #[arg(long)]
    list: bool,
    /// Only if the object has this resourceVersion
    #[arg(long)]
    resource_version: Option<String>,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    options: WriteOptions,
}

impl Tag {
    pub async fn run(self, session: &Session, marks: Marks) -> anyhow::Result<()> {
        let is_change = |w: &String| w.contains('=') || (w.ends_with('-') && w.len() > 1);
        let start = self.words.iter().position(is_change).unwrap_or(self.words.len());
        let (words, changes) = self.words.split_at(start);
        let changes = changes.iter().map(|c| parse(c)).collect::<anyhow::Result<Vec<_>>>()?;
        if changes.is_empty() && !self.list {
            bail!("at least one {} update is required", marks.singular());
        }
        let objects = if self.files.is_empty() {
            let targets = target::parse(session, words).await?;
            let selects = self.all || self.selection.selector.is_some() || self.selection.field_selector.is_some();
            if targets.iter().any(|t| t.name.is_none()) && !selects {
                bail!("resource(s) were provided, but no name was specified");
            }
            session.objects(&targets, &self.selection).await?
        } else {
            let mut live = vec![];
            for object in session.manifests(&self.files, false).await? {
                let value = session.get(&object.path()).await?;
                live.push(Object { resource: object.resource, value });
            }
            live
        };
        for object in objects {
            self.change(session, marks, &object, &changes).await?;
        }
        Ok(())
    }

    async fn change(
        &self,
        session: &Session,
        marks: Marks,
        object: &Object,
        changes: &[(String, Option<String>)],
    ) -> anyhow::Result<()> {
        let present = &object.value["metadata"][marks.field()];
        let mut patch = Map::new();
        for (key, value) in changes {
            let now = present[key.as_str()].as_str();
            match value {
                Some(value) if now.is_some_and(|now| now != value) && !self.overwrite => {
                    bail!("'{key}' already has a value ({}), and --overwrite is false", now.unwrap_or_default());
                }
                None if now.is_none() => println!("{} \"{key}\" not found.", marks.singular()),
                Some(value) if now == Some(value) => {}
                change => {
                    patch.insert(key.clone(), change.clone().map_or(Value::Null, Value::from));
                }
            }
        }
        if self.list {
            for (key, value) in present.as_object().into_iter().flatten() {
                println!("{key}={}", value.as_str().unwrap_or_default());
            }
        }
        let what = match (marks, patch.is_empty(), changes.iter().all(|(_, v)| v.is_none())) {
            (Marks::Labels, true, _) => "not labeled",
            (Marks::Labels, false, true) => "unlabeled",
            (Marks::Labels, false, false) => "labeled",
            (Marks::Annotations, ..) => "annotated",
        };
        let mut changed = object.clone();
        if !patch.is_empty() {
            let mut meta = json!({marks.field(): patch});
            if let Some(version) = &self.resource_version {
                meta["resourceVersion"] = version.clone().into();
            }
            let query =
                [("fieldManager", self.options.manager("kctl-label")), ("dryRun", self.options.dry_run.parameter())];
            let path = with_query(&object.path(), &query);
            changed.value = session.patch(&path, PatchForm::Merge, &json!({"metadata": meta})).await?;
        }
        if changes.is_empty() { Ok(()) } else { self.options.say(&changed, what) }
    }
}

impl Marks {
    fn field(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Annotations => "annotations",
        }
    }

    fn singular(self) -> &'static str {
        match self {
            Self::Labels => "label",
            Self::Annotations => "annotation",
        }
    }
}

/// `KEY=VALUE` sets, `KEY-` removes.
fn parse(change: &str) -> anyhow::Result<(String, Option<String>)> {
    match change.split_once('=') {
        Some(("", _)) => bail!("invalid spec: {change}"),
        Some((key, value)) => Ok((key.to_owned(), Some(value.to_owned()))),
        None => Ok((change.trim_end_matches('-').to_owned(), None)),
    }
}
