//! `kctl events`: what happened lately, oldest first.

use clap::Args;
use futures::StreamExt;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    output::{self, Columns, Format},
    session::{Session, with_query},
    target::Object,
};

#[derive(Args, Debug)]
pub struct Events {
    /// Only about TYPE/NAME
    #[arg(long = "for")]
    about: Option<String>,
    /// In all namespaces
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// Normal, Warning
    #[arg(long, value_delimiter = ',')]
    types: Vec<String>,
    /// Keep printing as events come
    #[arg(long, short)]
    watch: bool,
    /// Do not print headers
    #[arg(long)]
    no_headers: bool,
    /// yaml, json or jsonpath=…
    #[arg(long, short)]
    output: Option<Format>,
}

impl Events {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        let resource = session.discovery().await?.find("events")?.clone();
        let scope = (!self.all_namespaces).then_some(session.namespace.as_str());
        let mut selector = String::new();
        if let Some(about) = &self.about {
            let (kind, name) = about.split_once('/').unwrap_or((about, ""));
            let kind = session.discovery().await?.find(kind)?.kind.clone();
            selector = format!("involvedObject.kind={kind},involvedObject.name={name}");
        }
        let path = with_query(&resource.path(scope), &[("fieldSelector", &selector)]);
        let (mut events, revision) = session.list(&path).await?;
        events.retain(|e| self.wants(e));
        events.sort_by_key(last_seen);
        if let Some(format) = &self.output {
            let objects = events.into_iter().map(|value| Object { resource: resource.clone(), value }).collect();
            print!("{}", output::print(format, objects, true, true)?);
            return Ok(());
        }
        if events.is_empty() && !self.watch {
            eprintln!("No events found in {} namespace.", session.namespace);
            return Ok(());
        }
        let mut table = Columns::table();
        if !self.no_headers {
            let mut headers = vec!["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
            if self.all_namespaces {
                headers.insert(0, "NAMESPACE");
            }
            table.row(headers);
        }
        events.iter().for_each(|e| table.row(self.cells(e)));
        print!("{}", table.render());
        if !self.watch {
            return Ok(());
        }
        let widths = table.widths();
        let watch = with_query(&path, &[("watch", "true"), ("resourceVersion", &revision)]);
        let mut stream = Box::pin(session.watch(&watch, "application/json").await?);
        while let Some(event) = stream.next().await {
            let event = event?;
            if event.kind != "DELETED" && self.wants(&event.object) {
                let mut line = Columns::table();
                line.row(self.cells(&event.object));
                print!("{}", line.render_with(&widths));
            }
        }
        Ok(())
    }

    fn wants(&self, event: &Value) -> bool {
        self.types.is_empty()
            || self.types.iter().any(|t| event["type"].as_str().is_some_and(|e| e.eq_ignore_ascii_case(t)))
    }

    fn cells(&self, event: &Value) -> Vec<String> {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let about = &event["involvedObject"];
        let mut cells = vec![
            since(event),
            text(&event["type"]),
            text(&event["reason"]),
            format!("{}/{}", text(&about["kind"]), text(&about["name"])),
            text(&event["message"]).trim().to_owned(),
        ];
        if self.all_namespaces {
            cells.insert(0, text(&event["metadata"]["namespace"]));
        }
        cells
    }
}

/// When the event was seen last.
pub fn last_seen(event: &Value) -> Option<Timestamp> {
    let series = &event["series"]["lastObservedTime"];
    [series, &event["lastTimestamp"], &event["eventTime"], &event["metadata"]["creationTimestamp"]]
        .iter()
        .find_map(|v| v.as_str()?.parse().ok())
}

/// `5m`, or `5m (x3 over 10m)` for what happened several times.
pub fn since(event: &Value) -> String {
    let count = event["series"]["count"].as_i64().or(event["count"].as_i64()).unwrap_or(1);
    let first = [&event["firstTimestamp"], &event["eventTime"]].iter().find_map(|v| v.as_str()?.parse().ok());
    let last = age(last_seen(event));
    if count > 1 { format!("{last} (x{count} over {})", age(first)) } else { last }
}

/// How long ago, as people say it.
pub fn age(time: Option<Timestamp>) -> String {
    #[allow(clippy::disallowed_methods, reason = "an age is against the reader's clock")]
    let now = Timestamp::now();
    api_rules::table::duration::since(time, now)
}
