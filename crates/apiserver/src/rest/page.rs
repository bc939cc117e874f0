//! Which state a list shows: `resourceVersion`, `resourceVersionMatch`, `limit` and `continue`, as upstream reads them.
//! Continue tokens are upstream's own, so that servers of both kinds understand each other's.

use api_types::{Status, status::Reason};
use base64::{DecodeError, Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use store::{Freshness, ListAt};

use super::list_options::ListOptions;

/// The revision of a token that goes on with the state as it is then.
const INCONSISTENT: i64 = -1;
const TOKEN_VERSION: &str = "meta.k8s.io/v1";

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub at: ListAt,
    /// Continue with this key.
    pub from: Option<String>,
    pub limit: Option<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Token {
    #[serde(rename = "v", default)]
    version: String,
    #[serde(rename = "rv", default)]
    revision: i64,
    /// Relative to the namespace, if the list is of one.
    #[serde(default)]
    start: String,
}

impl Page {
    /// `namespace` is empty for lists across all.
    pub fn of(options: &ListOptions, namespace: &str) -> Result<Self, Status> {
        let limit = options.limit;
        if let Some(token) = options.continue_token {
            if options.version.is_some_and(|version| version != "0") {
                return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
            }
            return further(token, namespace, limit)
                .map_err(|why| Status::bad_request(format!("invalid continue token: {why}")));
        }
        let at = match (options.freshness()?, options.version_match) {
            // As upstream, the cheapest list is never cut into pages.
            (Freshness::Any, _) => return Ok(Self { at: ListAt::Fresh(Freshness::Any), from: None, limit: None }),
            (Freshness::AtLeast(revision), how) if options.is_exact() || (how.is_none() && limit.is_some()) => {
                ListAt::Exact(revision)
            }
            (freshness, _) => ListAt::Fresh(freshness),
        };
        Ok(Self { at, from: None, limit })
    }
}

/// As Go says it.
fn illegal_base64(why: &DecodeError) -> String {
    let at = match why {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => *at,
        DecodeError::InvalidLength(length) => length.saturating_sub(1),
        DecodeError::InvalidPadding => 0,
    };
    format!("illegal base64 data at input byte {at}")
}

fn further(token: &str, namespace: &str, limit: Option<usize>) -> Result<Page, String> {
    let generic = |why: &dyn std::fmt::Display| format!("continue key is not valid: {why}");
    let decoded = URL_SAFE_NO_PAD.decode(token).map_err(|why| generic(&illegal_base64(&why)))?;
    let token: Token = serde_json::from_slice(&decoded).map_err(|why| generic(&why))?;
    if token.version != TOKEN_VERSION {
        return Err(format!(
            "continue key is not valid: server does not recognize this encoded version {}",
            token.version
        ));
    } else if token.revision == 0 {
        return Err(
            "continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)".into()
        );
    } else if token.start.is_empty() {
        return Err("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)".into());
    }
    let start = token.start.strip_prefix('/').unwrap_or(&token.start);
    // No way up: what lies outside of the list stays outside. The store sees to it as well.
    if start.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(generic(&token.start));
    }
    let from = if namespace.is_empty() { start.to_owned() } else { format!("{namespace}/{start}") };
    let at = match token.revision {
        ..0 => ListAt::Fresh(Freshness::Latest),
        revision => ListAt::Exact(revision),
    };
    Ok(Page { at, from: Some(from), limit })
}

/// The token that goes on with the key `from` at `revision`.
pub fn token(revision: i64, namespace: &str, from: &str) -> String {
    let lead = if namespace.is_empty() { 0 } else { namespace.len() + 1 };
    let start = from.get(lead..).unwrap_or(from).to_owned();
    let token = Token { version: TOKEN_VERSION.into(), revision, start };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).expect("strings and a number"))
}

/// A page of a state that is gone: the answer carries a token for the rest as it is now.
pub fn expired(namespace: &str, from: &str) -> Status {
    let mut status = Status::failure(
        410,
        Reason::Expired,
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
         the continue parameter, or use the continue token in this response to retrieve the remainder of the results. \
         Continuing with the provided token results in an inconsistent list - objects that were created, modified, or \
         deleted between the time the first chunk was returned and now may show up in the list.",
    );
    status.metadata.continue_token = token(INCONSISTENT, namespace, from);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    fn page(query: &str, namespace: &str) -> Result<Page, Status> {
        Page::of(&ListOptions::of_list(&Query::parse(query))?, namespace)
    }

    #[test]
    fn states() {
        let check = |query: &str, expected: Option<(ListAt, Option<usize>)>| {
            assert_eq!(page(query, "").ok().map(|page| (page.at, page.limit)), expected, "{query}");
        };
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
        check("resourceVersion=x", None);
        check("continue=x", None);
    }

    #[test]
    fn tokens_lead_on() {
        for (namespace, from, start) in [("", "a/b\0", "a/b\\u0000"), ("a", "a/b\0", "b\\u0000")] {
            let token = token(9, namespace, from);
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(&token).unwrap()).unwrap();
            assert_eq!(text, format!(r#"{{"v":"meta.k8s.io/v1","rv":9,"start":"{start}"}}"#), "as upstream writes it");
            let next = page(&format!("continue={token}&limit=3"), namespace).unwrap();
            assert_eq!(next, Page { at: ListAt::Exact(9), from: Some(from.into()), limit: Some(3) });
            let rest = expired(namespace, from).metadata.continue_token;
            let rest = page(&format!("continue={rest}"), namespace).unwrap();
            assert_eq!((rest.at, rest.from.as_deref()), (ListAt::Fresh(Freshness::Latest), Some(from)));
        }
    }

    #[test]
    fn tokens_that_are_none() {
        let check = |token: &str, expected: &str| {
            let status = page(&format!("continue={}", URL_SAFE_NO_PAD.encode(token)), "a").unwrap_err();
            assert_eq!(status.code, 400);
            assert!(status.message.starts_with("invalid continue token: continue key is not valid"), "{status:?}");
            assert!(status.message.contains(expected), "{token}: {}", status.message);
        };
        check("odd", "");
        check(r#"{"v":"v2","rv":1,"start":"b"}"#, "does not recognize this encoded version v2");
        check(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"b"}"#, "incorrect encoded start resourceVersion");
        check(r#"{"v":"meta.k8s.io/v1","rv":1,"start":""}"#, "encoded start key empty");
        check(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../b/secret"}"#, "../b/secret");
        assert!(page("continue=x&resourceVersion=5", "").unwrap_err().message.starts_with("specifying resource"));
    }
}
