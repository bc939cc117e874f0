//! The tables about Go's types that no schema carries, read once.

use std::{
    collections::{HashMap, HashSet},
    sync::OnceLock,
};

const POINTERS: &str = include_str!("../../data/pointers.tsv");
const MERGE: &str = include_str!("../../data/merge.tsv");
const ENUMS: &str = include_str!("../../data/enums.tsv");

/// How a list or map merges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merge {
    /// `atomic`, `set` or `map`: server-side apply.
    pub list_type: Option<&'static str>,
    /// Comma-separated.
    pub list_map_keys: Option<&'static str>,
    /// `merge`, `retainKeys` or both: strategic merge patch.
    pub patch_strategy: Option<&'static str>,
    pub patch_merge_key: Option<&'static str>,
    /// `atomic` or `granular`.
    pub map_type: Option<&'static str>,
}

impl Merge {
    /// Whether a strategic merge patch merges this list by key or as a set instead of replacing it.
    pub fn merges(&self) -> bool {
        self.strategies().any(|s| s == "merge")
    }

    /// Whether a strategic merge patch may say which members of the object stay.
    pub fn retains_keys(&self) -> bool {
        self.strategies().any(|s| s == "retainKeys")
    }

    fn strategies(&self) -> impl Iterator<Item = &'static str> {
        self.patch_strategy.into_iter().flat_map(|s| s.split(','))
    }
}

/// The row of `merge.tsv` for a field of a short type name (`core.v1.PodSpec`), or for the type itself (`-`).
pub fn merge(short_type: &str, field: &str) -> Merge {
    merge_facts().get(&(short_type, field)).copied().unwrap_or_default()
}

/// All of `merge.tsv`.
pub fn merge_facts() -> &'static HashMap<(&'static str, &'static str), Merge> {
    static FACTS: OnceLock<HashMap<(&str, &str), Merge>> = OnceLock::new();
    FACTS.get_or_init(|| {
        rows(MERGE)
            .map(|mut cells| {
                let mut next = || cells.next().filter(|cell| !cell.is_empty());
                let key = (next().unwrap_or_default(), next().unwrap_or_default());
                let merge = Merge {
                    list_type: next(),
                    list_map_keys: next(),
                    patch_strategy: next(),
                    patch_merge_key: next(),
                    map_type: next(),
                };
                (key, merge)
            })
            .collect()
    })
}

/// Whether Go holds the field by pointer.
pub fn is_pointer(short_type: &str, field: &str) -> bool {
    static FACTS: OnceLock<HashSet<(&str, &str)>> = OnceLock::new();
    let facts =
        FACTS.get_or_init(|| rows(POINTERS).filter_map(|mut cells| Some((cells.next()?, cells.next()?))).collect());
    facts.contains(&(short_type, field)) || embedded(short_type).iter().any(|e| facts.contains(&(*e, field)))
}

/// The values that a field, or an item of it, may have where they are a fixed set; sorted.
pub fn values(short_type: &str, field: &str) -> Option<Vec<&'static str>> {
    static FACTS: OnceLock<HashMap<(&str, &str), &str>> = OnceLock::new();
    let facts = FACTS.get_or_init(|| {
        rows(ENUMS).filter_map(|mut cells| Some(((cells.next()?, cells.next()?), cells.next()?))).collect()
    });
    facts.get(&(short_type, field)).map(|values| values.split(',').collect())
}

/// The structs that Go embeds in a type, whose members appear as its own on the wire.
fn embedded(short_type: &str) -> &'static [&'static str] {
    match short_type {
        "core.v1.Volume" => &["core.v1.VolumeSource"],
        "core.v1.PersistentVolumeSpec" => &["core.v1.PersistentVolumeSource"],
        "core.v1.Probe" => &["core.v1.ProbeHandler"],
        "core.v1.EphemeralContainer" => &["core.v1.EphemeralContainerCommon"],
        _ => &[],
    }
}

/// `core.v1.PodSpec` of `io.k8s.api.core.v1.PodSpec`.
pub fn short_type(name: &str) -> String {
    let mut parts: Vec<_> = name.rsplitn(4, '.').take(3).collect();
    parts.reverse();
    parts.join(".")
}

fn rows(table: &'static str) -> impl Iterator<Item = std::str::Split<'static, char>> {
    table.lines().filter(|line| !line.starts_with('#')).skip(1).map(|line| line.split('\t'))
}
