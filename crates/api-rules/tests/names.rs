//! Names, verbs and columns are upstream's: checked against what discovery of a v1.36 API server says.

use api_rules::{Scope, kinds};

const UPSTREAM: &str = include_str!("../testdata/resources.tsv");

struct Row {
    group: &'static str,
    name: &'static str,
    singular: &'static str,
    kind: &'static str,
    namespaced: bool,
    verbs: Vec<&'static str>,
    short_names: Vec<&'static str>,
    categories: Vec<&'static str>,
}

fn upstream() -> Vec<Row> {
    let list = |text: &'static str| text.split(',').filter(|s| !s.is_empty()).collect();
    UPSTREAM
        .lines()
        .filter(|line| !line.starts_with('#'))
        .skip(1)
        .map(|line| {
            let cells: Vec<_> = line.split('\t').collect();
            let [group, _, name, singular, kind, namespaced, verbs, short_names, categories, ..] = cells[..] else {
                panic!("{line}")
            };
            Row {
                group,
                name,
                singular,
                kind,
                namespaced: namespaced == "true",
                verbs: list(verbs),
                short_names: list(short_names),
                categories: list(categories),
            }
        })
        .collect()
}

#[test]
fn resources_are_upstreams() {
    let upstream = upstream();
    for kind in kinds::all().iter().filter(|k| !k.names().plural.is_empty()) {
        let names = kind.names();
        let row = upstream.iter().find(|r| (r.group, r.name) == (names.group, names.plural)).expect(names.plural);
        assert_eq!((names.singular, names.kind), (row.singular, row.kind));
        assert_eq!(kind.scope() == Scope::Namespaced, row.namespaced, "{}", names.plural);
        assert_eq!(kind.verbs(), row.verbs, "{}", names.plural);
        assert_eq!(names.short_names, row.short_names, "{}", names.plural);
        assert_eq!(names.categories, row.categories, "{}", names.plural);
        for sub in kind.subresources() {
            let path = format!("{}/{}", names.plural, sub.name);
            let row = upstream.iter().find(|r| r.group == names.group && r.name == path).expect(&path);
            assert_eq!((sub.kind, sub.verbs), (row.kind, &row.verbs[..]), "{path}");
        }
    }
}

#[test]
fn every_kind_fills_its_columns() {
    for kind in kinds::all() {
        let names = kind.names();
        let object =
            serde_json::json!({"apiVersion": names.api_version(), "kind": names.kind, "metadata": {"name": "x"}});
        let cells = kind.cells(&object, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(cells.len(), kind.columns().len(), "{}", names.kind);
    }
}

#[test]
fn every_kind_is_found_by_its_names() {
    for kind in kinds::all() {
        let names = kind.names();
        assert_eq!(kinds::find_kind(names.group, names.version, names.kind).map(|k| k.names().kind), Some(names.kind));
        let by_path = kinds::find(names.group, names.version, names.plural).map(|k| k.names().kind);
        assert_eq!(by_path, (!names.plural.is_empty()).then_some(names.kind));
    }
}

/// Whoever reads the documents learns what the warnings say.
#[test]
fn limits_list_what_is_not_enforced() {
    let limits = include_str!("../../../docs/limits.md");
    for kind in kinds::all().iter().filter(|kind| kind.not_enforced().is_some()) {
        let name = kind.names().kind;
        let listed = |line: &str| line.starts_with('|') && line.split(['|', ',', ' ']).any(|word| word == name);
        assert!(limits.lines().any(listed), "{name} is not enforced, and docs/limits.md does not say so");
    }
}
