//! The forms in which objects are shown: `-o wide|yaml|json|name|jsonpath=…|custom-columns=…`.

mod columns;
pub mod jsonpath;
pub mod tabs;

use std::str::FromStr;

use anyhow::{Context, bail};
use serde_json::{Value, json};

pub use columns::Columns;

use crate::target::Object;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The server's columns.
    #[default]
    Table,
    Wide,
    Yaml,
    Json,
    Name,
    JsonPath(String),
    /// `HEADER:path,…`
    CustomColumns(String),
}

impl FromStr for Format {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, argument) = text.split_once('=').map_or((text, None), |(n, a)| (n, Some(a.to_owned())));
        let needs = || argument.clone().with_context(|| format!("output format {name} needs {name}=TEMPLATE"));
        let from_file = || -> anyhow::Result<String> {
            let file = needs()?;
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))
        };
        Ok(match name {
            "wide" => Self::Wide,
            "yaml" => Self::Yaml,
            "json" => Self::Json,
            "name" => Self::Name,
            "jsonpath" => Self::JsonPath(needs()?),
            "jsonpath-file" => Self::JsonPath(from_file()?),
            "custom-columns" => Self::CustomColumns(needs()?),
            "custom-columns-file" => Self::CustomColumns(columns_file(&from_file()?)?),
            other => bail!(
                "unable to match a printer suitable for the output format \"{other}\", allowed formats are: custom-columns,custom-columns-file,json,jsonpath,jsonpath-file,name,wide,yaml"
            ),
        })
    }
}

/// A file of two lines: headers, and below each its path.
fn columns_file(text: &str) -> anyhow::Result<String> {
    let mut lines = text.lines().filter(|l| !l.trim().is_empty());
    let (Some(headers), Some(paths)) = (lines.next(), lines.next()) else {
        bail!("a custom-columns file has a line of headers and a line of paths");
    };
    let pairs = headers.split_whitespace().zip(paths.split_whitespace());
    Ok(pairs.map(|(h, p)| format!("{h}:{p}")).collect::<Vec<_>>().join(","))
}

/// Prints objects in any form but the server's table.
pub fn print(format: &Format, objects: Vec<Object>, as_list: bool, headers: bool) -> anyhow::Result<String> {
    Ok(match format {
        Format::Name | Format::Table | Format::Wide => objects.iter().map(|o| format!("{}\n", o.title())).collect(),
        Format::Yaml => yaml(&one_or_list(objects, as_list))?,
        Format::Json => format!("{}\n", pretty(&one_or_list(objects, as_list))?),
        Format::JsonPath(template) => jsonpath::Template::parse(template)
            .and_then(|t| t.render(&one_or_list(objects, as_list)))
            .with_context(|| format!("error parsing jsonpath {template}"))?,
        Format::CustomColumns(spec) => custom_columns(spec, &objects, headers)?,
    })
}

fn one_or_list(objects: Vec<Object>, as_list: bool) -> Value {
    let mut items: Vec<Value> = objects.into_iter().map(|o| o.value).collect();
    match items.len() {
        1 if !as_list => items.remove(0),
        _ => json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}}),
    }
}

fn custom_columns(spec: &str, objects: &[Object], headers: bool) -> anyhow::Result<String> {
    let mut columns = vec![];
    for part in spec.split(',') {
        let (header, path) = part
            .split_once(':')
            .with_context(|| format!("unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>"))?;
        columns.push((header, jsonpath::Template::parse(path)?));
    }
    let mut table = Columns::table();
    if headers {
        table.row(columns.iter().map(|(header, _)| *header));
    }
    for object in objects {
        table.row(columns.iter().map(|(_, path)| {
            let found: Vec<_> = path.find(&object.value).into_iter().map(jsonpath::shown).collect();
            if found.is_empty() { "<none>".to_owned() } else { found.join(",") }
        }));
    }
    Ok(table.render())
}

/// YAML with sorted keys, as kubectl prints it.
pub fn yaml(value: &Value) -> anyhow::Result<String> {
    serde_saphyr::to_string(&sorted(value)).context("cannot write YAML")
}

/// JSON with four spaces and sorted keys, as kubectl prints it.
pub fn pretty(value: &Value) -> anyhow::Result<String> {
    let mut out = Vec::new();
    let style = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    serde::Serialize::serialize(&sorted(value), &mut serde_json::Serializer::with_formatter(&mut out, style))?;
    Ok(String::from_utf8(out)?)
}

/// The same with its keys in order.
pub fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut keys: Vec<_> = members.iter().collect();
            keys.sort_by_key(|(k, _)| k.as_str());
            Value::Object(keys.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
