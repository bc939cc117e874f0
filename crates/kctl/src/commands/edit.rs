//! `kctl edit`: an object in the editor that `KUBE_EDITOR` or `EDITOR` names; what was changed is sent as a patch.

use std::{
    fs,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::Value;

use super::{WriteOptions, change};
use crate::{
    output,
    session::{Refused, Session},
    target::{self, Object, Selection},
};

const HEADER: &str = "\
# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
";

#[derive(Args, Debug)]
pub struct Edit {
    /// TYPE NAME or TYPE/NAME…
    words: Vec<String>,
    /// Objects named by manifests
    #[arg(long = "filename", short = 'f')]
    files: Vec<PathBuf>,
    /// Process folders recursively
    #[arg(long, short = 'R')]
    recursive: bool,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    options: WriteOptions,
}

impl Edit {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        let objects = if self.files.is_empty() {
            let targets = target::parse(session, &self.words).await?;
            session.objects(&targets, &self.selection).await?
        } else {
            session.live(&session.manifests(&self.files, self.recursive).await?).await?
        };
        for object in objects {
            self.edit(session, object).await?;
        }
        Ok(())
    }

    async fn edit(&self, session: &Session, mut object: Object) -> anyhow::Result<()> {
        if let Some(meta) = object.value["metadata"].as_object_mut() {
            meta.shift_remove("managedFields");
        }
        let original = output::yaml(&object.value)?;
        let file = Draft::new(&format!("{HEADER}{original}"))?;
        let mut seen = original;
        loop {
            let text = file.edit()?;
            if text.is_empty() {
                println!("Edit cancelled, saved file was empty.");
                return Ok(());
            }
            // Also after a failure: whoever changes nothing has given up.
            if text == seen {
                println!("Edit cancelled, no changes made.");
                return Ok(());
            }
            match self.save(session, &object, &text).await {
                Ok(Some(value)) => return self.options.say(&Object { resource: object.resource, value }, "edited"),
                Ok(None) => {
                    println!("Edit cancelled, no changes made.");
                    return Ok(());
                }
                Err(error) => {
                    let why = match error.downcast_ref::<Refused>() {
                        Some(Refused(status)) => format!(
                            "{} \"{}\" could not be patched: {}",
                            object.resource.full_name(),
                            object.name(),
                            status.message
                        ),
                        None => format!("{error:#}"),
                    };
                    eprintln!("error: {why}");
                    let told: String = why.lines().map(|line| format!("# {line}\n")).collect();
                    file.write(&format!("{HEADER}{told}#\n{text}"))?;
                    seen = text;
                }
            }
        }
    }

    async fn save(&self, session: &Session, object: &Object, text: &str) -> anyhow::Result<Option<Value>> {
        let after = component::config::yaml(text).context("the edited file had a syntax error")?;
        ensure!(
            after["kind"] == object.value["kind"] && after["metadata"]["name"] == object.value["metadata"]["name"],
            "At least one of apiVersion, kind and name was changed"
        );
        change::send(session, object, &after, &self.options, "kubectl-edit").await
    }
}

/// The file that the editor is given, removed in the end.
struct Draft(PathBuf);

impl Draft {
    fn new(text: &str) -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("kctl-edit-{}.yaml", std::process::id()));
        // Nobody else may have put something in its place: an object can hold secrets.
        let open = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        open.with_context(|| format!("cannot make {}", path.display()))?;
        let draft = Self(path);
        draft.write(text)?;
        Ok(draft)
    }

    fn write(&self, text: &str) -> anyhow::Result<()> {
        fs::write(&self.0, text).with_context(|| format!("cannot write {}", self.0.display()))
    }

    /// What is in it when the editor has ended, without remarks.
    fn edit(&self) -> anyhow::Result<String> {
        let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let editor = named("KUBE_EDITOR").or_else(|| named("EDITOR")).unwrap_or_else(|| "vi".into());
        let status =
            launch(&editor, &self.0).with_context(|| format!("there was a problem with the editor {editor:?}"))?;
        ensure!(status.success(), "there was a problem with the editor {editor:?}");
        let text = fs::read_to_string(&self.0).with_context(|| format!("cannot read {}", self.0.display()))?;
        Ok(text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect())
    }
}

/// An editor's name may carry arguments.
fn launch(editor: &str, file: &Path) -> std::io::Result<std::process::ExitStatus> {
    Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(file).status()
}

impl Drop for Draft {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}
