//! `kctl describe`: an object in words, with what happened to it.
//!
//! Pods, nodes, Deployments and Services have their own form; everything else is shown field by field.

mod deployment;
mod generic;
mod node;
mod pod;
mod service;
mod text;

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::Value;

use self::text::Text;
use super::events;
use crate::{
    output::tabs,
    session::{Refused, Session, with_query},
    target::{self, Object, Selection},
};

#[derive(Args, Debug)]
pub struct Describe {
    /// TYPE [NAME or prefix…] or TYPE/NAME…
    words: Vec<String>,
    /// Objects named by manifests
    #[arg(long = "filename", short = 'f')]
    files: Vec<PathBuf>,
    /// Also what happened to the object
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    show_events: bool,
    #[command(flatten)]
    selection: Selection,
}

impl Describe {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        let mut objects = vec![];
        if self.files.is_empty() {
            for target in target::parse(session, &self.words).await? {
                match session.objects(std::slice::from_ref(&target), &self.selection).await {
                    Ok(found) => objects.extend(found),
                    Err(error) if Refused::is_not_found(&error) => {
                        // As kubectl: a name that nothing has may be the beginning of names.
                        let prefix = target.name.clone().unwrap_or_default();
                        let all = target::Target { name: None, ..target };
                        let mut found = session.objects(&[all], &self.selection).await?;
                        found.retain(|o| o.name().starts_with(&prefix));
                        if found.is_empty() {
                            return Err(error);
                        }
                        objects.extend(found);
                    }
                    Err(error) => return Err(error),
                }
            }
        } else {
            for object in session.manifests(&self.files, false).await? {
                let value = session.get(&object.path()).await?;
                objects.push(Object { resource: object.resource, value });
            }
        }
        if objects.is_empty() {
            bail!("No resources found in {} namespace.", session.namespace);
        }
        for (n, object) in objects.iter().enumerate() {
            if n > 0 {
                println!("\n");
            }
            print!("{}", self.describe(session, object).await?);
        }
        Ok(())
    }

    async fn describe(&self, session: &Session, object: &Object) -> anyhow::Result<String> {
        let mut text = Text::default();
        match (object.resource.group.as_str(), object.resource.kind.as_str()) {
            ("", "Pod") => pod::describe(&mut text, &object.value),
            ("", "Node") => node::describe(&mut text, session, &object.value).await?,
            ("", "Service") => service::describe(&mut text, session, &object.value).await?,
            ("apps", "Deployment") => deployment::describe(&mut text, session, object).await?,
            _ => generic::describe(&mut text, &object.value),
        }
        if self.show_events {
            happened(&mut text, session, object).await?;
        }
        Ok(tabs::align(&text.finish(), 2))
    }
}

/// The events about an object, oldest first.
async fn happened(text: &mut Text, session: &Session, object: &Object) -> anyhow::Result<()> {
    let uid = object.value["metadata"]["uid"].as_str().unwrap_or_default();
    let mut fields = format!("involvedObject.name={},involvedObject.kind={}", object.name(), object.resource.kind);
    // A node's events carry its name as uid when the kubelet writes them before it knows better.
    if object.resource.kind != "Node" {
        fields.push_str(&format!(",involvedObject.uid={uid}"));
    }
    let root = match object.namespace() {
        "" => "/api/v1/events".to_owned(),
        namespace => format!("/api/v1/namespaces/{namespace}/events"),
    };
    let (mut found, _) = session.list(&with_query(&root, &[("fieldSelector", &fields)])).await?;
    if found.is_empty() {
        text.field("Events", "<none>");
        return Ok(());
    }
    found.sort_by_key(events::last_seen);
    text.line("Events:");
    text.indented(|text| {
        text.line("Type\tReason\tAge\tFrom\tMessage");
        text.line("----\t------\t----\t----\t-------");
        for event in &found {
            let field = |v: &Value| v.as_str().unwrap_or_default().trim().to_owned();
            let from = match &event["source"]["component"] {
                Value::String(component) if !component.is_empty() => component.clone(),
                _ => field(&event["reportingComponent"]),
            };
            let (kind, reason, message) = (field(&event["type"]), field(&event["reason"]), field(&event["message"]));
            text.line(&format!("{kind}\t{reason}\t{}\t{from}\t{message}", events::since(event)));
        }
    });
    Ok(())
}
