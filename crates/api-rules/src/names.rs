//! The forms that names, labels and the like may have. Each check answers what is wrong, in upstream's words; nothing if
//! all is well.

use std::cmp::Ordering;

use api_types::field::{FieldError, Path};

const DNS_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const DNS_1035_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const DNS_SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const QUALIFIED_NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const ENV_VAR: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const WILDCARD_SUBDOMAIN: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const C_IDENTIFIER: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";
const HTTP_HEADER: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";

const LABEL_MAX: usize = 63;
const SUBDOMAIN_MAX: usize = 253;

/// Turns what a check found into errors about the value at `path`.
pub fn report(wrong: Vec<String>, path: &Path, text: &str, errors: &mut Vec<FieldError>) {
    errors.extend(wrong.into_iter().map(|why| FieldError::invalid(path, text, why)));
}

/// Reports `text` unless it is one of `supported`.
pub fn one_of(text: &str, supported: &[&str], path: &Path, errors: &mut Vec<FieldError>) {
    if !supported.contains(&text) {
        errors.push(FieldError::not_supported(path, text, supported));
    }
}

/// Reports a number below zero.
pub fn not_negative(number: i64, path: &Path, errors: &mut Vec<FieldError>) {
    if number < 0 {
        errors.push(FieldError::invalid(path, number, "must be greater than or equal to 0"));
    }
}

pub fn dns_label(text: &str) -> Vec<String> {
    limited(text, LABEL_MAX, is_label(text), DNS_LABEL)
}

pub fn dns_1035_label(text: &str) -> Vec<String> {
    let fits = is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase());
    limited(text, LABEL_MAX, fits, DNS_1035_LABEL)
}

pub fn dns_subdomain(text: &str) -> Vec<String> {
    limited(text, SUBDOMAIN_MAX, text.split('.').all(is_label), DNS_SUBDOMAIN)
}

/// `*.` and a domain.
pub fn wildcard_dns_subdomain(text: &str) -> Vec<String> {
    let fits = text.strip_prefix("*.").is_some_and(|domain| domain.split('.').all(is_label));
    limited(text, SUBDOMAIN_MAX, fits, WILDCARD_SUBDOMAIN)
}

pub fn c_identifier(text: &str) -> Vec<String> {
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
    let fits = text.starts_with(starts) && text.chars().all(|c| starts(c) || c.is_ascii_digit());
    if fits { Vec::new() } else { vec![C_IDENTIFIER.to_owned()] }
}

/// A domain with a path behind it, as signer names and condition types have.
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>()[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                errors.extend(dns_subdomain(prefix).into_iter().map(|e| format!("prefix part {e}")));
            }
            name
        }
        _ => {
            return vec![format!(
                "a qualified name {QUALIFIED_NAME} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        errors.push(format!("name part {}", too_long(LABEL_MAX)));
    }
    if !is_word(name) {
        errors.push(format!("name part {QUALIFIED_NAME}"));
    }
    errors
}

pub fn label_value(text: &str) -> Vec<String> {
    limited(text, LABEL_MAX, text.is_empty() || is_word(text), LABEL_VALUE)
}

/// A name that fits into a path.
pub fn path_segment(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text == "." || text == ".." {
        errors.push(format!("may not be '{text}'"));
    }
    errors.extend(['/', '%'].into_iter().filter(|c| text.contains(*c)).map(|c| format!("may not contain '{c}'")));
    errors
}

/// The name of an environment variable: anything printable but `=`.
pub fn env_var(text: &str) -> Vec<String> {
    if text.is_empty() || !text.chars().all(|c| (' '..='~').contains(&c) && c != '=') {
        return vec![ENV_VAR.to_owned()];
    }
    Vec::new()
}

/// A key of a ConfigMap or Secret.
pub fn config_key(text: &str) -> Vec<String> {
    let fits = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let mut errors = limited(text, SUBDOMAIN_MAX, fits, CONFIG_KEY);
    errors.extend(relative_step(text));
    errors
}

pub fn http_header(text: &str) -> Vec<String> {
    let fits = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if fits { Vec::new() } else { vec![HTTP_HEADER.to_owned()] }
}

pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) { Vec::new() } else { vec!["must be between 1 and 65535, inclusive".to_owned()] }
}

/// The name of a port (IANA_SVC_NAME).
pub fn port_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.is_empty() || text.len() > 15 {
        errors.push("must be no more than 15 characters".to_owned());
    }
    if !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.chars().any(|c| c.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

pub fn percentage(text: &str) -> Vec<String> {
    let fits = text.strip_suffix('%').is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()));
    if fits {
        Vec::new()
    } else {
        vec!["a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')".to_owned()]
    }
}

pub fn ip(text: &str) -> Vec<String> {
    match text.parse::<std::net::IpAddr>() {
        Ok(_) => Vec::new(),
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
    }
}

pub fn cidr(text: &str) -> Vec<String> {
    let fits = text.split_once('/').is_some_and(|(address, bits)| {
        match (address.parse::<std::net::IpAddr>(), bits.parse::<u8>()) {
            (Ok(address), Ok(bits)) => bits <= if address.is_ipv4() { 32 } else { 128 },
            _ => false,
        }
    });
    if fits { Vec::new() } else { vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".to_owned()] }
}

/// The order of versions: the stable ones (`v2`, `v1`), then beta and alpha, and what is no version of that form by name.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    match (version_rank(a), version_rank(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (None, None) => b.cmp(a),
    }
}

/// Stability, major and minor number of `v1`, `v1beta2` and the like.
fn version_rank(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| !text.starts_with(['0', '+']));
    let major = number(&rest[..digits])?;
    let (stability, minor) = match &rest[digits..] {
        "" => return Some((2, major, 0)),
        other => other.strip_prefix("beta").map(|n| (1, n)).or_else(|| other.strip_prefix("alpha").map(|n| (0, n)))?,
    };
    Some((stability, major, number(minor)?))
}

/// A name that starts with a dot may not lead out of a directory.
fn relative_step(text: &str) -> Option<String> {
    match text {
        "." => Some("must not be '.'".to_owned()),
        ".." => Some("must not be '..'".to_owned()),
        _ if text.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

fn is_label(text: &str) -> bool {
    let edge = |c: &u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(edge) && bytes.last().is_some_and(edge) && bytes.iter().all(|c| edge(c) || *c == b'-')
}

fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(c))
}

fn limited(text: &str, max: usize, fits: bool, otherwise: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > max {
        errors.push(too_long(max));
    }
    if !fits {
        errors.push(otherwise.to_owned());
    }
    errors
}

fn too_long(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: fn(&str) -> Vec<String>, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(rule(text), Vec::<String>::new(), "{text:?}");
        }
        for text in bad {
            assert_ne!(rule(text), Vec::<String>::new(), "{text:?}");
        }
    }

    #[test]
    fn versions_by_stability() {
        let sorted = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"];
        let mut shuffled = sorted;
        shuffled.reverse();
        shuffled.sort_by(|a, b| compare_versions(b, a));
        assert_eq!(shuffled, sorted);
    }

    #[test]
    fn names() {
        check(dns_label, &["a", "a-b", "0a"], &["", "-a", "a-", "A", "a.b", &"a".repeat(64)]);
        check(dns_1035_label, &["a", "a-0"], &["0a", "-a", ""]);
        check(dns_subdomain, &["a.b", "a-b.c", "0"], &["a..b", ".a", "a.", "a_b", &"a".repeat(254)]);
        check(qualified_name, &["a", "A_b.c", "x.y/z"], &["", "/a", "a/b/c", "X/a", "a/", "-a"]);
        check(label_value, &["", "a", "A_b"], &["-", "a b", &"a".repeat(64)]);
        check(port_name, &["http", "a1"], &["", "1", "a--b", "-a", "a-", "HTTP", "abcdefghijklmnop"]);
        check(config_key, &["a", ".bashrc", "A_b"], &["", "..a", ".", "a/b"]);
        check(env_var, &["A", "a.b", "1 x"], &["", "a=b", "a\n"]);
        check(wildcard_dns_subdomain, &["*.a", "*.a.b"], &["*", "a.b", "*.", "*.*.a", "a.*.b"]);
        check(c_identifier, &["a", "_A1"], &["", "1a", "a-b"]);
        check(cidr, &["10.0.0.0/8", "::/0"], &["10.0.0.0", "10.0.0.0/33", "x/8"]);
        check(percentage, &["25%"], &["25", "%", "-1%"]);
    }
}
