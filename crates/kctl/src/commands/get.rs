//! `kctl get`: the server's tables, or objects in any other form; once or as a watch.

use std::collections::HashMap;

use anyhow::bail;
use clap::Args;
use futures::StreamExt;
use serde_json::Value;

use crate::{
    output::{self, Columns, Format},
    session::{Refused, Session, with_query},
    target::{self, Object, PAGE, Selection, Target},
};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

#[derive(Args, Debug)]
pub struct Get {
    /// TYPE[,TYPE…] [NAME…] or TYPE/NAME…
    words: Vec<String>,
    #[command(flatten)]
    selection: Selection,
    /// Objects named by manifests
    #[arg(long = "filename", short = 'f')]
    files: Vec<std::path::PathBuf>,
    /// Process folders recursively
    #[arg(long, short = 'R')]
    recursive: bool,
    /// Output format: wide, yaml, json, name, jsonpath=…, custom-columns=…
    #[arg(long, short)]
    output: Option<Format>,
    /// After listing, watch for changes
    #[arg(long, short)]
    watch: bool,
    /// Watch for changes without listing first
    #[arg(long)]
    watch_only: bool,
    /// Do not print headers
    #[arg(long)]
    no_headers: bool,
    /// Show all labels as the last column
    #[arg(long)]
    show_labels: bool,
    /// Labels that become columns
    #[arg(long, short = 'L', value_delimiter = ',')]
    label_columns: Vec<String>,
    /// Sort by this JSONPath
    #[arg(long)]
    sort_by: Option<String>,
    /// It is not an error when a named object does not exist
    #[arg(long)]
    ignore_not_found: bool,
    /// Print the server's answer to this path
    #[arg(long, value_name = "PATH")]
    raw: Option<String>,
    /// Keep metadata.managedFields in yaml and json
    #[arg(long)]
    show_managed_fields: bool,
}

impl Get {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        if let Some(path) = &self.raw {
            print!("{}", session.get_text(path).await?);
            return Ok(());
        }
        let targets = if self.files.is_empty() {
            target::parse(session, &self.words).await?
        } else {
            let named = session.manifests(&self.files, self.recursive).await?;
            named.into_iter().map(|o| Target { name: Some(o.name().to_owned()), resource: o.resource }).collect()
        };
        if self.watch || self.watch_only {
            return self.follow(session, &targets).await;
        }
        match self.output.clone().unwrap_or_default() {
            Format::Table | Format::Wide => self.tables(session, &targets).await,
            format => self.objects(session, &targets, &format).await,
        }
    }

    fn wide(&self) -> bool {
        self.output == Some(Format::Wide)
    }

    async fn objects(&self, session: &Session, targets: &[Target], format: &Format) -> anyhow::Result<()> {
        let mut found = vec![];
        let mut failed = None;
        for target in targets {
            match session.objects(std::slice::from_ref(target), &self.selection).await {
                Ok(objects) => found.extend(objects),
                Err(error) if self.ignore_not_found && Refused::is_not_found(&error) => {}
                Err(error) => failed = Some(error),
            }
        }
        if !self.show_managed_fields {
            for object in &mut found {
                if let Some(meta) = object.value["metadata"].as_object_mut() {
                    meta.shift_remove("managedFields");
                }
            }
        }
        if let Some(path) = &self.sort_by {
            sort(&mut found, path, |o| &o.value)?;
        }
        let as_list = targets.len() != 1 || targets[0].name.is_none();
        if !(found.is_empty() && (failed.is_some() || self.ignore_not_found)) {
            print!("{}", output::print(format, found, as_list, !self.no_headers)?);
        }
        failed.map_or(Ok(()), Err)
    }

    async fn tables(&self, session: &Session, targets: &[Target]) -> anyhow::Result<()> {
        let mut tables: Vec<(Target, Vec<Value>, Value)> = vec![];
        let mut failed = vec![];
        for target in targets {
            match self.table(session, target).await {
                Ok((columns, rows)) => match tables.last_mut() {
                    // Several names of one kind share a table.
                    Some((last, all, _)) if last.resource == target.resource && target.name.is_some() => {
                        all.extend(rows)
                    }
                    _ => tables.push((target.clone(), rows, columns)),
                },
                Err(error) if self.ignore_not_found && Refused::is_not_found(&error) => {}
                Err(error) => failed.push(error),
            }
        }
        let several = tables.len() > 1;
        tables.retain(|(_, rows, _)| !rows.is_empty());
        for (n, (target, mut rows, columns)) in tables.iter().cloned().enumerate() {
            if n > 0 {
                println!();
            }
            if let Some(path) = &self.sort_by {
                sort(&mut rows, path, |row| &row["object"])?;
            }
            let layout = Layout::new(self, &target, &columns, several);
            let mut table = Columns::table();
            if !self.no_headers {
                table.row(layout.headers());
            }
            rows.iter().for_each(|row| table.row(layout.cells(row)));
            print!("{}", table.render());
        }
        if tables.is_empty() && failed.is_empty() && !self.ignore_not_found {
            let namespaced = targets.iter().any(|t| t.resource.namespaced);
            match (namespaced, self.selection.all_namespaces) {
                (true, false) => eprintln!("No resources found in {} namespace.", session.namespace),
                _ => eprintln!("No resources found"),
            }
        }
        let last = failed.pop();
        for error in failed {
            eprintln!("{error:#}");
        }
        last.map_or(Ok(()), Err)
    }

    fn path(&self, session: &Session, target: &Target) -> String {
        let scope = session.scope(&target.resource, &self.selection);
        let by_name = target.name.as_ref().map(|name| format!("metadata.name={name}"));
        let fields = by_name.or(self.selection.field_selector.clone()).unwrap_or_default();
        let labels = self.selection.selector.clone().unwrap_or_default();
        with_query(&target.resource.path(scope.as_deref()), &[("labelSelector", &labels), ("fieldSelector", &fields)])
    }

    /// Column definitions and rows of one kind, all pages.
    async fn table(&self, session: &Session, target: &Target) -> anyhow::Result<(Value, Vec<Value>)> {
        let include = if self.sort_by.is_some() { "Object" } else { "" };
        if let Some(name) = &target.name {
            let path =
                with_query(&target.resource.object_path(&session.namespace, name), &[("includeObject", include)]);
            let mut table = session.get_as(&path, TABLE).await?;
            return Ok((table["columnDefinitions"].take(), rows(&mut table)?));
        }
        let path = self.path(session, target);
        let (mut all, mut columns, mut next) = (vec![], Value::Null, String::new());
        loop {
            let page = with_query(&path, &[("limit", PAGE), ("continue", &next), ("includeObject", include)]);
            let mut table = session.get_as(&page, TABLE).await?;
            all.extend(rows(&mut table)?);
            next = table["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
            if columns.is_null() {
                columns = table["columnDefinitions"].take();
            }
            if next.is_empty() {
                return Ok((columns, all));
            }
        }
    }

    async fn follow(&self, session: &Session, targets: &[Target]) -> anyhow::Result<()> {
        let [target] = targets else {
            bail!("you may only specify a single resource type when watching");
        };
        let as_table = matches!(self.output.clone().unwrap_or_default(), Format::Table | Format::Wide);
        let accept = if as_table { TABLE } else { "application/json" };
        let path = self.path(session, target);
        let mut printer = Printer { get: self, target, widths: vec![], columns: Value::Null };
        let mut listed = session.get_as(&path, accept).await?;
        if !self.watch_only {
            printer.initial(&mut listed)?;
        }
        let mut revision = listed["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        loop {
            let from = [("watch", "true"), ("allowWatchBookmarks", "true"), ("resourceVersion", revision.as_str())];
            let mut events = Box::pin(session.watch(&with_query(&path, &from), accept).await?);
            while let Some(event) = events.next().await {
                let mut event = event?;
                let object =
                    if as_table { event.object["rows"].get(0).map(|r| &r["object"]) } else { Some(&event.object) };
                let seen = object.and_then(|o| o["metadata"]["resourceVersion"].as_str());
                if let Some(seen) = seen.or(event.object["metadata"]["resourceVersion"].as_str()) {
                    revision = seen.to_owned();
                }
                if event.kind != "BOOKMARK" {
                    printer.event(&mut event.object)?;
                }
            }
        }
    }
}

fn rows(table: &mut Value) -> anyhow::Result<Vec<Value>> {
    match table["rows"].take() {
        Value::Array(rows) => Ok(rows),
        Value::Null if table["kind"] == "Table" => Ok(vec![]),
        _ => bail!("the server did not answer with a table"),
    }
}

/// Prints what a watch brings, each change under the header of the first.
struct Printer<'a> {
    get: &'a Get,
    target: &'a Target,
    widths: Vec<usize>,
    columns: Value,
}

impl Printer<'_> {
    fn initial(&mut self, listed: &mut Value) -> anyhow::Result<()> {
        if listed["kind"] == "Table" {
            return self.event(listed);
        }
        let version = listed["apiVersion"].clone();
        let kind = self.target.resource.kind.clone();
        for item in listed["items"].as_array_mut().map(std::mem::take).unwrap_or_default() {
            self.event(&mut target::with_type(item, &version, &kind))?;
        }
        Ok(())
    }

    fn event(&mut self, object: &mut Value) -> anyhow::Result<()> {
        if object["kind"] != "Table" {
            let format = self.get.output.clone().unwrap_or_default();
            let object = Object { resource: self.target.resource.clone(), value: object.clone() };
            if format == Format::Yaml {
                println!("---");
            }
            print!("{}", output::print(&format, vec![object], false, false)?);
            return Ok(());
        }
        let rows = rows(object)?;
        if rows.is_empty() {
            return Ok(());
        }
        if self.columns.is_null() {
            self.columns = object["columnDefinitions"].take();
        }
        let layout = Layout::new(self.get, self.target, &self.columns, false);
        let mut table = Columns::table();
        if self.widths.is_empty() && !self.get.no_headers {
            table.row(layout.headers());
        }
        rows.iter().for_each(|row| table.row(layout.cells(row)));
        let wanted = table.widths();
        if self.widths.is_empty() {
            self.widths = wanted;
        } else {
            self.widths.iter_mut().zip(wanted).for_each(|(have, want)| *have = want.max(*have));
        }
        print!("{}", table.render_with(&self.widths));
        Ok(())
    }
}

/// Which columns are shown, and what is put before and behind them.
struct Layout<'a> {
    get: &'a Get,
    target: &'a Target,
    shown: Vec<(usize, String)>,
    with_namespace: bool,
    with_kind: bool,
}

impl<'a> Layout<'a> {
    fn new(get: &'a Get, target: &'a Target, columns: &Value, with_kind: bool) -> Self {
        let wide = get.wide();
        let columns = columns.as_array().map_or(&[][..], Vec::as_slice).iter().enumerate();
        let shown = columns
            .filter(|(_, c)| wide || c["priority"].as_i64().unwrap_or(0) == 0)
            .map(|(n, c)| (n, c["name"].as_str().unwrap_or_default().to_uppercase()))
            .collect();
        let with_namespace = get.selection.all_namespaces && target.resource.namespaced;
        Self { get, target, shown, with_namespace, with_kind }
    }

    fn headers(&self) -> Vec<String> {
        let mut out = vec![];
        if self.with_namespace {
            out.push("NAMESPACE".into());
        }
        out.extend(self.shown.iter().map(|(_, name)| name.clone()));
        out.extend(self.get.label_columns.iter().map(|l| l.rsplit('/').next().unwrap_or(l).to_uppercase()));
        if self.get.show_labels {
            out.push("LABELS".into());
        }
        out
    }

    fn cells(&self, row: &Value) -> Vec<String> {
        let meta = &row["object"]["metadata"];
        let mut out = vec![];
        if self.with_namespace {
            out.push(meta["namespace"].as_str().unwrap_or_default().to_owned());
        }
        for (n, (at, _)) in self.shown.iter().enumerate() {
            let mut cell = match &row["cells"][*at] {
                Value::Null => "<none>".to_owned(),
                other => output::jsonpath::shown(other),
            };
            if n == 0 && self.with_kind {
                cell = self.target.resource.object_name(&cell);
            }
            out.push(cell);
        }
        let labels: HashMap<&str, &str> = meta["labels"]
            .as_object()
            .map(|l| l.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default())).collect())
            .unwrap_or_default();
        out.extend(
            self.get.label_columns.iter().map(|l| labels.get(l.as_str()).copied().unwrap_or_default().to_owned()),
        );
        if self.get.show_labels {
            let mut pairs: Vec<_> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            pairs.sort();
            out.push(if pairs.is_empty() { "<none>".into() } else { pairs.join(",") });
        }
        out
    }
}

fn sort<T>(items: &mut [T], path: &str, object: impl Fn(&T) -> &Value) -> anyhow::Result<()> {
    let path = path.trim().trim_start_matches('{').trim_end_matches('}');
    let template = output::jsonpath::Template::parse(path)?;
    items.sort_by(|a, b| {
        let (a, b) = (template.find(object(a)), template.find(object(b)));
        let number = |found: &[&Value]| found.first().and_then(|v| v.as_f64());
        match (number(&a), number(&b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => {
                let text = |found: Vec<&Value>| found.first().map(|v| output::jsonpath::shown(v)).unwrap_or_default();
                text(a).cmp(&text(b))
            }
        }
    });
    Ok(())
}
