//! The parameters of a request's URL.

use std::borrow::Cow;

use api_types::Status;

/// Name and value pairs, unescaped, in the order given. Empty for most reads: then nothing is allocated.
#[derive(Debug, Default)]
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    pub fn parse(query: &'a str) -> Self {
        let pair = |pair: &'a str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(name), unescape(value))
        };
        Self(query.split('&').filter(|p| !p.is_empty()).map(pair).collect())
    }

    /// The first value of a parameter; empty values count as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_ref())
    }

    pub fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_ref())
    }

    /// Present and not `0` or `false`.
    pub fn flag(&self, name: &str) -> bool {
        self.0.iter().find(|(n, _)| n == name).is_some_and(|(_, v)| !matches!(v.as_ref(), "0" | "false"))
    }

    pub fn bool(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| !matches!(value, "0" | "false"))
    }

    pub fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))
    }

    /// `dryRun=All`; anything else is refused.
    pub fn dry_run(&self) -> Result<bool, Status> {
        match self.all("dryRun").filter(|v| !v.is_empty()).collect::<Vec<_>>().as_slice() {
            [] => Ok(false),
            ["All"] => Ok(true),
            other => Err(Status::bad_request(format!("unsupported dryRun value: {}", other.join(",")))),
        }
    }
}

/// `%41` and `+` as in forms; what is no valid escape stands for itself.
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let byte = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match byte {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        let query = Query::parse("labelSelector=a%3Db%2Cc+in&limit=5&watch&x=%zz&dryRun=All");
        assert_eq!(query.get("labelSelector"), Some("a=b,c in"));
        assert_eq!(query.number("limit").unwrap(), Some(5));
        assert!(query.flag("watch") && !query.flag("pretty"));
        assert_eq!(query.get("x"), Some("%zz"));
        assert!(query.dry_run().unwrap());
        assert!(Query::parse("limit=x").number("limit").is_err());
        assert!(Query::parse("dryRun=Some").dry_run().is_err());
    }
}
