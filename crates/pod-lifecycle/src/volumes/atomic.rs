//! How a volume's files change as one: they live in a timestamped directory behind the symbolic link
//! `..data`, and each top-level name is a link through it. Replacing `..data` replaces everything.

use super::Files;
use std::collections::BTreeSet;

pub const DATA: &str = "..data";
pub const NEW_DATA: &str = "..data_tmp";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Top-level links to make: name, each pointing to `..data/<name>`.
    pub link: Vec<String>,
    /// Top-level links whose target is gone.
    pub unlink: Vec<String>,
}

/// What to do about the wanted files; `None` when those present are right. `links` are the names in
/// the volume's directory now (without the `..` ones).
pub fn update(present: Option<&Files>, wanted: &Files, links: &BTreeSet<String>) -> Option<Update> {
    let top: BTreeSet<String> = wanted.keys().filter_map(|p| p.split('/').next()).map(str::to_owned).collect();
    let update =
        Update { link: top.difference(links).cloned().collect(), unlink: links.difference(&top).cloned().collect() };
    if present == Some(wanted) && update.link.is_empty() && update.unlink.is_empty() {
        return None;
    }
    Some(update)
}

/// Whether a path stays inside the volume and off its bookkeeping names.
pub fn is_safe(path: &str) -> bool {
    !path.is_empty()
        && !path.starts_with('/')
        && !path.starts_with("..")
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volumes::File;

    fn files(names: &[&str]) -> Files {
        names.iter().map(|n| ((*n).to_owned(), File { content: vec![], mode: 0o644, owner: None })).collect()
    }

    #[test]
    fn only_differences_are_written() {
        let links: BTreeSet<String> = ["a".to_owned(), "d".to_owned()].into();
        assert_eq!(update(Some(&files(&["a", "d/x"])), &files(&["a", "d/x"]), &links), None);
        let wanted = files(&["a", "e/y"]);
        assert_eq!(
            update(Some(&files(&["a", "d/x"])), &wanted, &links),
            Some(Update { link: vec!["e".into()], unlink: vec!["d".into()] })
        );
        assert!(update(None, &Files::new(), &BTreeSet::new()).is_some(), "an empty volume is written once");
    }

    #[test]
    fn paths_stay_inside() {
        for (path, safe) in [
            ("a", true),
            ("a/b", true),
            ("/a", false),
            ("../a", false),
            ("a/../b", false),
            ("..data", false),
            ("", false),
        ] {
            assert_eq!(is_safe(path), safe, "{path}");
        }
    }
}
