//! `kctl replace`: puts a manifest in the place of what is there, or with `--force` deletes that first.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{DryRun, WriteOptions, delete};
use crate::{
    session::{Refused, Session, with_query},
    target::Object,
};

#[derive(Args, Debug)]
pub struct Replace {
    /// Manifests; - is standard input
    #[arg(long = "filename", short = 'f', required = true)]
    files: Vec<PathBuf>,
    /// Process folders recursively
    #[arg(long, short = 'R')]
    recursive: bool,
    /// Delete and create again
    #[arg(long)]
    force: bool,
    /// With --force: seconds the object gets to end; -1 leaves it to the object
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// Replace a subresource, such as status or scale
    #[arg(long)]
    subresource: Option<String>,
    #[command(flatten)]
    options: WriteOptions,
}

impl Replace {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        let objects = session.manifests(&self.files, self.recursive).await?;
        if self.force {
            return self.anew(session, objects).await;
        }
        for object in objects {
            let value = if self.options.dry_run == DryRun::Client {
                object.value
            } else {
                let subresource = self.subresource.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
                let query = [
                    ("fieldManager", self.options.manager("kubectl-replace")),
                    ("fieldValidation", self.options.validation()),
                    ("dryRun", self.options.dry_run.parameter()),
                ];
                session.replace(&with_query(&format!("{}{subresource}", object.path()), &query), &object.value).await?
            };
            self.options.say(&Object { resource: object.resource, value }, "replaced")?;
        }
        Ok(())
    }

    /// All are gone before the first is made again, so that they may depend on each other.
    async fn anew(&self, session: &Session, objects: Vec<Object>) -> anyhow::Result<()> {
        let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        if self.grace_period >= 0 {
            body["gracePeriodSeconds"] = self.grace_period.into();
        }
        let mut going = vec![];
        for object in &objects {
            match session.delete(&object.path(), &body).await {
                Ok(answer) => {
                    let uid = answer["details"]["uid"].as_str().or(answer["metadata"]["uid"].as_str());
                    println!("{} deleted", object.title());
                    going.push((object, uid.unwrap_or_default().to_owned()));
                }
                Err(error) if Refused::is_not_found(&error) => {}
                Err(error) => return Err(error),
            }
        }
        for (object, uid) in going {
            delete::until_gone(session, object, &uid).await?;
        }
        for object in objects {
            let path = with_query(
                &object.resource.path(Some(object.namespace())),
                &[
                    ("fieldManager", self.options.manager("kubectl-replace")),
                    ("fieldValidation", self.options.validation()),
                ],
            );
            let mut fresh = object.value;
            if let Some(meta) = fresh["metadata"].as_object_mut() {
                meta.retain(|field, _| field != "resourceVersion" && field != "uid");
            }
            let value = session.create(&path, &fresh).await?;
            self.options.say(&Object { resource: object.resource, value }, "replaced")?;
        }
        Ok(())
    }
}
