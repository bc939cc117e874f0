//! Manifests as people keep them: files, folders, standard input; YAML or JSON; several documents and Lists.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::download;

/// Every object in `files`, in order, with the place it comes from. `-` is standard input; `https://…` is downloaded.
pub async fn read(files: &[PathBuf], recursive: bool) -> anyhow::Result<Vec<Manifest>> {
    if files.is_empty() {
        bail!("must specify one of -f");
    }
    let mut found = vec![];
    for file in files {
        if file.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
            parse(&text, "STDIN", &mut found)?;
        } else if file.to_string_lossy().contains("://") {
            let url = file.to_string_lossy();
            parse(&download::text(&url).await?, &url, &mut found)?;
        } else {
            read_path(file, recursive, true, &mut found)?;
        }
    }
    if found.is_empty() {
        bail!("no objects passed to {}", "apply, create or delete");
    }
    Ok(found)
}

#[derive(Clone, Debug)]
pub struct Manifest {
    pub object: Value,
    /// The file, for messages.
    pub source: String,
}

impl Manifest {
    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    pub fn namespace(&self) -> Option<&str> {
        self.object["metadata"]["namespace"].as_str().filter(|n| !n.is_empty())
    }
}

fn read_path(path: &Path, recursive: bool, named: bool, found: &mut Vec<Manifest>) -> anyhow::Result<()> {
    let source = path.display().to_string();
    let meta = fs::metadata(path).map_err(|_| anyhow::anyhow!("the path \"{source}\" does not exist"))?;
    if meta.is_dir() {
        if !named && !recursive {
            return Ok(());
        }
        let mut entries: Vec<_> = fs::read_dir(path)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
        entries.sort();
        for entry in entries {
            read_path(&entry, recursive, false, found)?;
        }
        return Ok(());
    }
    let known = path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
    if named || known {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {source}"))?;
        parse(&text, &source, found)?;
    }
    Ok(())
}

fn parse(text: &str, source: &str, found: &mut Vec<Manifest>) -> anyhow::Result<()> {
    for document in documents(text) {
        if document.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        let object = component::config::yaml(&document).with_context(|| format!("error parsing {source}"))?;
        flatten(object, source, found)?;
    }
    Ok(())
}

/// The documents between lines that start with `---`.
fn documents(text: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    for line in text.lines() {
        let separator = line == "---" || line.starts_with("--- ");
        if separator {
            out.push(String::new());
        } else if let Some(last) = out.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    out
}

fn flatten(mut object: Value, source: &str, found: &mut Vec<Manifest>) -> anyhow::Result<()> {
    if object.is_null() {
        return Ok(());
    }
    if !object.is_object() {
        bail!("error parsing {source}: expected an object");
    }
    let is_list = object["kind"].as_str().is_some_and(|k| k.ends_with("List")) && object["items"].is_array();
    if is_list {
        for item in object["items"].as_array_mut().map(std::mem::take).unwrap_or_default() {
            flatten(item, source, found)?;
        }
    } else {
        if object["kind"].as_str().unwrap_or_default().is_empty() {
            bail!("error validating \"{source}\": error validating data: kind not set");
        }
        if object["apiVersion"].as_str().unwrap_or_default().is_empty() {
            bail!("error validating \"{source}\": error validating data: apiVersion not set");
        }
        found.push(Manifest { object, source: source.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<String> {
        let mut found = vec![];
        parse(text, "test", &mut found).unwrap();
        found.iter().map(|m| format!("{} {}", m.object["kind"].as_str().unwrap(), m.name())).collect()
    }

    #[test]
    fn several_documents_and_lists() {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n";
        assert_eq!(kinds(&format!("# top\n---\n{pod}---\n\n---\n{pod}")), ["Pod a", "Pod a"]);
        assert_eq!(
            kinds(
                r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Service","metadata":{"name":"b"}}]}"#
            ),
            ["Service b"]
        );
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        for text in ["kind: Pod\n", "apiVersion: v1\n", "- a\n", "a: [\n"] {
            assert!(parse(text, "test", &mut vec![]).is_err(), "{text}");
        }
    }
}
