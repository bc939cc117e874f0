//! Which state a list shows: `resourceVersion`, `resourceVersionMatch`, `limit` and `continue`, as upstream reads them.

use api_types::{
    GroupKind, Status,
    field::{FieldError, Path},
    status::Reason,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use store::{Freshness, ListAt};

use crate::query::Query;

const INCONSISTENT: i64 = -1;

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub at: ListAt,
    /// Continue behind this key.
    pub after: Option<String>,
    pub limit: Option<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Token {
    #[serde(rename = "v")]
    version: String,
    #[serde(rename = "rv")]
    revision: i64,
    start: String,
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

pub fn revision(text: &str) -> Result<i64, Status> {
    match text.parse::<i64>() {
        Ok(revision) if revision >= 0 => Ok(revision),
        _ => Err(Status::bad_request(format!(
            "Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))),
    }
}

impl Page {
    pub fn of(query: &Query) -> Result<Self, Status> {
        let limit = query.number("limit")?.filter(|limit| *limit > 0).map(|limit| limit as usize);
        let (version, how) = (query.get("resourceVersion"), query.get("resourceVersionMatch"));
        if let Some(token) = query.get("continue") {
            return Self::further(token, version, how, limit);
        }
        let at = match (version, how) {
            (None, Some(_)) => {
                return Err(invalid_match("resourceVersionMatch is forbidden unless resourceVersion is provided"));
            }
            (None, None) => ListAt::Fresh(Freshness::Latest),
            (Some("0"), Some("Exact")) => {
                return Err(invalid_match("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
            }
            // As upstream, the cheapest list is never cut into pages.
            (Some("0"), _) => return Ok(Self { at: ListAt::Fresh(Freshness::Any), after: None, limit: None }),
            (Some(text), Some("Exact")) => ListAt::Exact(revision(text)?),
            (Some(text), None) if limit.is_some() => ListAt::Exact(revision(text)?),
            (Some(text), None | Some("NotOlderThan")) => ListAt::Fresh(Freshness::AtLeast(revision(text)?)),
            (Some(_), Some(other)) => {
                let path = Path::new("resourceVersionMatch");
                let error = FieldError::not_supported(&path, other, &["Exact", "NotOlderThan", ""]);
                return Err(invalid_options(error));
            }
        };
        Ok(Self { at, after: None, limit })
    }

    fn further(token: &str, version: Option<&str>, how: Option<&str>, limit: Option<usize>) -> Result<Self, Status> {
        if how.is_some() {
            return Err(invalid_match("resourceVersionMatch is forbidden when continue is provided"));
        }
        if version.is_some_and(|version| version != "0") {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        let decoded = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).ok();
        let token: Option<Token> = decoded.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let Some(token) = token.filter(|token| token.version == TOKEN_VERSION && !token.start.is_empty()) else {
            return Err(Status::bad_request("continue key is not valid: unrecognized or incompatible continue token"));
        };
        let at = match token.revision {
            INCONSISTENT => ListAt::Fresh(Freshness::Latest),
            revision => ListAt::Exact(revision),
        };
        Ok(Self { at, after: Some(token.start), limit })
    }
}

/// The token that continues behind the key `after` at `revision`.
pub fn token(revision: i64, after: &str) -> String {
    let token = Token { version: TOKEN_VERSION.into(), revision, start: after.to_owned() };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).expect("strings and a number"))
}

/// A page of a state that is gone: the answer carries a token for the rest as it is now.
pub fn expired(after: &str) -> Status {
    let mut status = Status::failure(
        410,
        Reason::Expired,
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
         the continue parameter, or use the continue token in this response to retrieve the remainder of the results. \
         Continuing with the provided token results in an inconsistent list - objects that were created, modified, or \
         deleted between the time the first chunk was returned and now may show up in the list.",
    );
    status.metadata.continue_token = token(INCONSISTENT, after);
    status
}

fn invalid_match(why: &str) -> Status {
    invalid_options(FieldError::forbidden(&Path::new("resourceVersionMatch"), why))
}

fn invalid_options(error: FieldError) -> Status {
    Status::invalid(&GroupKind::new("meta.k8s.io", "ListOptions"), "", vec![error])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, expected: Option<(ListAt, Option<usize>)>) {
        let page = Page::of(&Query::parse(query)).ok().map(|page| (page.at, page.limit));
        assert_eq!(page, expected, "{query}");
    }

    #[test]
    fn states() {
        let fresh = ListAt::Fresh;
        check("", Some((fresh(Freshness::Latest), None)));
        check("resourceVersion=0&limit=500", Some((fresh(Freshness::Any), None)));
        check("resourceVersion=7", Some((fresh(Freshness::AtLeast(7)), None)));
        check("resourceVersion=7&limit=5", Some((ListAt::Exact(7), Some(5))));
        check("resourceVersion=7&resourceVersionMatch=Exact", Some((ListAt::Exact(7), None)));
        check(
            "resourceVersion=7&resourceVersionMatch=NotOlderThan&limit=5",
            Some((fresh(Freshness::AtLeast(7)), Some(5))),
        );
        check("resourceVersionMatch=Exact", None);
        check("resourceVersion=0&resourceVersionMatch=Exact", None);
        check("resourceVersion=x", None);
        check("continue=x", None);
    }

    #[test]
    fn tokens_lead_on() {
        let query = format!("continue={}&limit=3", token(9, "a/b"));
        let page = Page::of(&Query::parse(&query)).unwrap();
        assert_eq!(page, Page { at: ListAt::Exact(9), after: Some("a/b".into()), limit: Some(3) });
        let rest = format!("continue={}", expired("a/b").metadata.continue_token);
        assert_eq!(Page::of(&Query::parse(&rest)).unwrap().at, ListAt::Fresh(Freshness::Latest));
    }
}
