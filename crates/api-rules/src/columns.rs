//! The columns of `Table` answers, from the table of upstream's in `data/columns.tsv`.

use std::borrow::Cow;

use crate::kind::{Column, Names};

const COLUMNS: &str = include_str!("../data/columns.tsv");

/// The columns of a kind; kinds that upstream has no printer for show name and age.
pub fn of(names: &Names) -> Vec<Column> {
    let found: Vec<_> =
        COLUMNS.lines().filter(|line| !line.starts_with('#')).skip(1).filter_map(|line| row(line, names)).collect();
    if found.is_empty() { DEFAULT.to_vec() } else { found }
}

const DEFAULT: [Column; 2] = [column("Name", "string", "name", 0), column("Created At", "date", "", 0)];

const fn column(name: &'static str, type_: &'static str, format: &'static str, priority: i32) -> Column {
    Column {
        name: Cow::Borrowed(name),
        type_: Cow::Borrowed(type_),
        format: Cow::Borrowed(format),
        description: Cow::Borrowed(describe(name)),
        priority,
    }
}

fn row(line: &'static str, names: &Names) -> Option<Column> {
    let mut cells = line.split('\t');
    let mut next = || cells.next().unwrap_or_default();
    if (next(), next(), next()) != (names.group, names.version, names.plural) {
        return None;
    }
    let (name, type_, format, priority) = (next(), next(), next(), next());
    Some(column(name, type_, format, priority.parse().unwrap_or(0)))
}

/// What a column says; upstream takes it from the documentation of the field shown.
pub const fn describe(column: &'static str) -> &'static str {
    match column.as_bytes() {
        b"Name" => {
            "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
        }
        b"Age" | b"Created At" => {
            "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC."
        }
        b"Ready" => "The aggregate readiness state of what this object stands for.",
        b"Status" => "The aggregate status of the object.",
        b"Restarts" => {
            "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted."
        }
        _ => column,
    }
}
