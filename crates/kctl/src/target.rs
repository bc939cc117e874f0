//! What a command is about: `TYPE NAME…`, `TYPE/NAME…`, `TYPE -l SELECTOR`, or the objects of a manifest.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::Value;

use crate::{
    discovery::Resource,
    manifest,
    session::{Session, with_query},
};

/// Server-side pages of this size, as kubectl asks for.
pub const PAGE: &str = "500";

#[derive(Args, Clone, Debug, Default)]
pub struct Selection {
    /// Selector (label query) to filter on
    #[arg(long, short = 'l')]
    pub selector: Option<String>,
    /// Selector (field query) to filter on
    #[arg(long)]
    pub field_selector: Option<String>,
    /// In all namespaces
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
}

/// A resource and, unless all are meant, one name.
#[derive(Clone, Debug)]
pub struct Target {
    pub resource: Resource,
    pub name: Option<String>,
}

/// One object that exists.
#[derive(Clone, Debug)]
pub struct Object {
    pub resource: Resource,
    pub value: Value,
}

impl Object {
    pub fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }

    pub fn namespace(&self) -> &str {
        self.value["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    pub fn path(&self) -> String {
        self.resource.object_path(self.namespace(), self.name())
    }

    /// `pod/web`, as messages name it.
    pub fn title(&self) -> String {
        self.resource.object_name(self.name())
    }
}

/// Reads `pods`, `pods a b`, `pod/a svc/b`, `pods,services`.
pub async fn parse(session: &Session, words: &[String]) -> anyhow::Result<Vec<Target>> {
    let Some(first) = words.first() else {
        bail!("you must specify the type of resource, for instance 'pods' or 'deployment/NAME'");
    };
    let discovery = session.discovery().await?;
    if words.iter().any(|w| w.contains('/')) {
        let mut targets = vec![];
        for word in words {
            let Some((kind, name)) = word.split_once('/').filter(|(k, n)| !k.is_empty() && !n.is_empty()) else {
                bail!(
                    "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form (e.g. 'kctl get resource/<resource_name>' instead of 'kctl get resource resource/<resource_name>'"
                );
            };
            targets.push(Target { resource: discovery.find(kind)?.clone(), name: Some(name.to_owned()) });
        }
        return Ok(targets);
    }
    let resources = discovery.find_all(first)?;
    let names = &words[1..];
    if names.is_empty() {
        return Ok(resources.into_iter().map(|r| Target { resource: r.clone(), name: None }).collect());
    }
    let pair = |r: &Resource, n: &String| Target { resource: r.clone(), name: Some(n.clone()) };
    Ok(resources.iter().flat_map(|r| names.iter().map(|n| pair(r, n))).collect())
}

impl Session {
    /// The namespace a request for `resource` goes to: none with `-A` or for cluster-wide kinds.
    pub fn scope(&self, resource: &Resource, selection: &Selection) -> Option<String> {
        (resource.namespaced && !selection.all_namespaces).then(|| self.namespace.clone())
    }

    /// Every object that `targets` and `selection` mean.
    pub async fn objects(&self, targets: &[Target], selection: &Selection) -> anyhow::Result<Vec<Object>> {
        let mut found = vec![];
        for target in targets {
            let resource = &target.resource;
            match &target.name {
                Some(name) => {
                    if selection.selector.is_some() || selection.field_selector.is_some() {
                        bail!("a name and a selector cannot be given together");
                    }
                    let value = self.get(&resource.object_path(&self.namespace, name)).await?;
                    found.push(Object { resource: resource.clone(), value });
                }
                None => {
                    let scope = self.scope(resource, selection);
                    let path = with_query(
                        &resource.path(scope.as_deref()),
                        &[
                            ("labelSelector", selection.selector.as_deref().unwrap_or_default()),
                            ("fieldSelector", selection.field_selector.as_deref().unwrap_or_default()),
                        ],
                    );
                    let (items, _) = self.list(&path).await?;
                    found.extend(items.into_iter().map(|value| Object { resource: resource.clone(), value }));
                }
            }
        }
        Ok(found)
    }

    /// All pages of a list, each item with its apiVersion and kind, and the list's resourceVersion.
    pub async fn list(&self, path: &str) -> anyhow::Result<(Vec<Value>, String)> {
        let mut items = vec![];
        let mut next = String::new();
        loop {
            let mut page = self.get(&with_query(path, &[("limit", PAGE), ("continue", &next)])).await?;
            let version = page["apiVersion"].clone();
            let kind = page["kind"].as_str().unwrap_or_default().trim_end_matches("List").to_owned();
            for item in page["items"].as_array_mut().map(std::mem::take).unwrap_or_default() {
                items.push(with_type(item, &version, &kind));
            }
            next = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
            if next.is_empty() {
                let revision = page["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
                return Ok((items, revision));
            }
        }
    }

    /// The objects that manifests name, each with where it lives.
    pub async fn manifests(&self, files: &[PathBuf], recursive: bool) -> anyhow::Result<Vec<Object>> {
        let discovery = self.discovery().await?;
        let mut found = vec![];
        for manifest in manifest::read(files, recursive).await? {
            let resource = discovery
                .of_manifest(&manifest.object)
                .map_err(|e| anyhow::anyhow!("unable to recognize \"{}\": {e}", manifest.source))?;
            let mut value = manifest.object;
            if resource.namespaced {
                let wanted = value["metadata"]["namespace"].as_str().filter(|n| !n.is_empty()).map(str::to_owned);
                match wanted {
                    Some(wanted) if self.explicit_namespace && wanted != self.namespace => bail!(
                        "the namespace from the provided object \"{wanted}\" does not match the namespace \"{}\". You must pass '--namespace={wanted}' to perform this operation.",
                        self.namespace
                    ),
                    Some(_) => {}
                    None => {
                        if !value["metadata"].is_object() {
                            value["metadata"] = serde_json::json!({});
                        }
                        value["metadata"]["namespace"] = Value::from(self.namespace.clone());
                    }
                }
            }
            found.push(Object { resource: resource.clone(), value });
        }
        Ok(found)
    }
}

impl Session {
    /// What there is now of objects that manifests name.
    pub async fn live(&self, named: &[Object]) -> anyhow::Result<Vec<Object>> {
        let mut found = vec![];
        for object in named {
            let value = self.get(&object.path()).await?;
            found.push(Object { resource: object.resource.clone(), value });
        }
        Ok(found)
    }
}

/// Items of a list carry no type of their own; a reader of one of them wants it, first.
pub fn with_type(item: Value, version: &Value, kind: &str) -> Value {
    match item {
        Value::Object(members) if !members.contains_key("kind") => {
            let mut typed = serde_json::Map::new();
            typed.insert("apiVersion".into(), version.clone());
            typed.insert("kind".into(), Value::from(kind));
            typed.extend(members);
            Value::Object(typed)
        }
        other => other,
    }
}
