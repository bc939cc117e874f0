//! The options of lists and watches, checked as upstream checks them before anything is read.

use api_types::{
    GroupKind, Status,
    field::{FieldError, Path},
};
use store::Freshness;

use crate::query::Query;

/// What the query of a list or watch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListOptions<'q> {
    pub version: Option<&'q str>,
    pub version_match: Option<&'q str>,
    pub limit: Option<usize>,
    pub continue_token: Option<&'q str>,
    pub send_initial_events: Option<bool>,
    pub bookmarks: bool,
}

const EXACT: &str = "Exact";
const NOT_OLDER_THAN: &str = "NotOlderThan";

impl<'q> ListOptions<'q> {
    /// # Errors
    /// 400 for what cannot be read, 422 for what does not go together.
    pub fn of_list(query: &'q Query) -> Result<Self, Status> {
        let options = Self::read(query)?;
        checked(options.list_errors()).map(|()| options)
    }

    /// # Errors
    /// As [`ListOptions::of_list`].
    pub fn of_watch(query: &'q Query) -> Result<Self, Status> {
        let mut options = Self::read(query)?;
        // As upstream: a watch from the present state is one with initial events.
        let from_state = matches!(options.version, None | Some("0"));
        if options.send_initial_events.is_none() && options.version_match.is_none() && from_state {
            options.send_initial_events = Some(true);
            options.version_match = Some(NOT_OLDER_THAN);
        }
        checked(options.watch_errors()).map(|()| options)
    }

    fn read(query: &'q Query) -> Result<Self, Status> {
        Ok(Self {
            version: query.get("resourceVersion"),
            version_match: query.get("resourceVersionMatch"),
            limit: query.number("limit")?.filter(|limit| *limit > 0).map(|limit| limit as usize),
            continue_token: query.get("continue"),
            send_initial_events: query.bool("sendInitialEvents"),
            bookmarks: query.flag("allowWatchBookmarks"),
        })
    }

    pub fn is_exact(&self) -> bool {
        self.version_match == Some(EXACT)
    }

    /// How new the answer must be by `resourceVersion` alone.
    pub fn freshness(&self) -> Result<Freshness, Status> {
        freshness(self.version)
    }

    fn list_errors(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(how) = self.version_match {
            if self.version.is_none() {
                errors.push(forbidden_match("resourceVersionMatch is forbidden unless resourceVersion is provided"));
            }
            self.check_continue(&mut errors);
            if !matches!(how, EXACT | NOT_OLDER_THAN) {
                errors.push(FieldError::not_supported(&match_path(), how, &[EXACT, NOT_OLDER_THAN, ""]));
            }
            if how == EXACT && self.version == Some("0") {
                errors.push(forbidden_match("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
            }
        }
        if self.send_initial_events.is_some() {
            let path = Path::new("sendInitialEvents");
            errors.push(FieldError::forbidden(&path, "sendInitialEvents is forbidden for list"));
        }
        errors
    }

    fn watch_errors(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.send_initial_events.is_some() && self.version_match != Some(NOT_OLDER_THAN) {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.push(forbidden_match(why));
        }
        if let Some(how) = self.version_match {
            if self.send_initial_events.is_none() {
                let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                errors.push(forbidden_match(why));
            }
            if how != NOT_OLDER_THAN {
                errors.push(FieldError::not_supported(&match_path(), how, &[NOT_OLDER_THAN]));
            }
            self.check_continue(&mut errors);
        }
        errors
    }

    fn check_continue(&self, errors: &mut Vec<FieldError>) {
        if self.continue_token.is_some() {
            errors.push(forbidden_match("resourceVersionMatch is forbidden when continue is provided"));
        }
    }
}

/// `resourceVersion`: absent for the newest, `0` for whatever is at hand, else not older than.
pub fn freshness(version: Option<&str>) -> Result<Freshness, Status> {
    match version {
        None => Ok(Freshness::Latest),
        Some("0") => Ok(Freshness::Any),
        Some(text) => Ok(Freshness::AtLeast(revision(text)?)),
    }
}

/// A resourceVersion as a number.
pub fn revision(text: &str) -> Result<i64, Status> {
    match text.parse::<i64>() {
        Ok(revision) if revision >= 0 => Ok(revision),
        _ => Err(Status::bad_request(format!(
            "invalid resource version: resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: \
             invalid syntax"
        ))),
    }
}

fn match_path() -> Path {
    Path::new("resourceVersionMatch")
}

fn forbidden_match(why: &str) -> FieldError {
    FieldError::forbidden(&match_path(), why)
}

fn checked(errors: Vec<FieldError>) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&GroupKind::new("meta.k8s.io", "ListOptions"), "", errors))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: Result<ListOptions, Status>, query: &str, expected: &[&str]) {
        let causes = match options {
            Ok(_) => vec![],
            Err(status) => {
                assert_eq!(status.code, 422, "{query}: {}", status.message);
                assert!(status.message.starts_with("ListOptions.meta.k8s.io \"\" is invalid: "), "{}", status.message);
                let causes = status.details.map(|details| details.causes).unwrap_or_default();
                causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
            }
        };
        assert_eq!(causes.len(), expected.len(), "{query}: {causes:?}");
        for (cause, part) in causes.iter().zip(expected) {
            assert!(cause.contains(part), "{query}: {cause}");
        }
    }

    #[test]
    fn lists() {
        let check = |text: &str, expected: &[&str]| check(ListOptions::of_list(&Query::parse(text)), text, expected);
        check("", &[]);
        check("resourceVersion=5&resourceVersionMatch=Exact&limit=3", &[]);
        check("resourceVersion=0&resourceVersionMatch=NotOlderThan", &[]);
        check("resourceVersionMatch=Exact", &["forbidden unless resourceVersion is provided"]);
        check("resourceVersion=0&resourceVersionMatch=Exact", &["\"exact\" is forbidden for resourceVersion \"0\""]);
        check("resourceVersion=5&resourceVersionMatch=Odd", &["supported values: \"Exact\", \"NotOlderThan\", \"\""]);
        check("sendInitialEvents=true", &["sendInitialEvents is forbidden for list"]);
        check(
            "resourceVersionMatch=Odd&continue=x&sendInitialEvents=0",
            &["unless resourceVersion", "when continue", "supported values", "forbidden for list"],
        );
    }

    #[test]
    fn watches() {
        let check = |text: &str, expected: &[&str]| check(ListOptions::of_watch(&Query::parse(text)), text, expected);
        check("", &[]);
        check("resourceVersion=5", &[]);
        check("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", &[]);
        check("sendInitialEvents=true", &["requires setting resourceVersionMatch to NotOlderThan"]);
        check("resourceVersion=5&resourceVersionMatch=NotOlderThan", &["forbidden for watch unless"]);
        check(
            "sendInitialEvents=true&resourceVersionMatch=Exact&continue=x",
            &["requires setting", "supported values: \"NotOlderThan\"", "when continue is provided"],
        );
    }
}
