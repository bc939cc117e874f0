//! Regular expressions in Go's syntax, compiled when they are first needed.

use std::sync::OnceLock;

use regex::Regex;

/// Bytes that a compiled expression may take; what is larger does not compile.
const SIZE_LIMIT: usize = 1 << 20;

#[derive(Debug)]
pub struct Pattern {
    /// As it stands in the schema.
    pub text: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), compiled: OnceLock::new() }
    }

    /// Whether it matches somewhere; an expression that cannot be compiled matches nothing.
    pub fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| compile(&self.text).ok());
        compiled.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

/// Compiles an expression written for Go.
///
/// # Errors
/// What is wrong with it, in words.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let built = regex::RegexBuilder::new(&translate(pattern)).size_limit(SIZE_LIMIT).build();
    built
        .map_err(|error| error.to_string().lines().last().unwrap_or("invalid").trim_start_matches("error: ").to_owned())
}

/// Both languages are RE2's, but Rust's has operations within classes and is strict about braces.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let escaped = after.chars().next();
                match escaped {
                    // Word boundaries in Rust's language.
                    Some(quoted @ ('<' | '>')) => out.push(quoted),
                    Some(other) => out.extend(['\\', other]),
                    None => out.push('\\'),
                }
                rest = &after[escaped.map_or(0, char::len_utf8)..];
                continue;
            }
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                rest = after;
                // A bracket that comes first is a member.
                for lead in ['^', ']'] {
                    if let Some(stripped) = rest.strip_prefix(lead) {
                        out.push_str(if lead == ']' { "\\]" } else { "^" });
                        rest = stripped;
                    }
                }
                continue;
            }
            '[' if after.starts_with(':') => out.push('['),
            '[' => out.push_str("\\["),
            ']' if in_class && out.ends_with(':') && open_name(&out) => out.push(']'),
            ']' => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => out.extend(['\\', c]),
            '-' if in_class && out.ends_with('-') && !out.ends_with("\\-") => out.push_str("\\-"),
            '{' if !in_class && !is_repetition(after) => out.push_str("\\{"),
            _ => out.push(c),
        }
        rest = after;
    }
    out
}

/// Whether a named class such as `[:alpha:` waits for its end.
fn open_name(out: &str) -> bool {
    out.rfind("[:").is_some_and(|at| !out[at..].contains(']') && out.len() > at + 2)
}

fn is_repetition(after: &str) -> bool {
    let Some(end) = after.find('}') else { return false };
    let mut numbers = after[..end].splitn(2, ',');
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    numbers.next().is_some_and(|first| !first.is_empty() && digits(first)) && numbers.next().is_none_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let compiled = Pattern::new(pattern);
        for text in matching {
            assert!(compiled.matches(text), "{pattern} {text}");
        }
        for text in others {
            assert!(!compiled.matches(text), "{pattern} {text}");
        }
    }

    #[test]
    fn as_go_reads_them() {
        check("^a{2,3}$", &["aa", "aaa"], &["a", "aaaa"]);
        check("^{a}$", &["{a}"], &["a"]);
        check(r"^[^[\]]+$", &["ab"], &["a[", "a]"]);
        check("^[]a]+$", &["]a"], &["b"]);
        check("^[[:alpha:]_]+$", &["ab_"], &["1"]);
        check("^[a&&b~~]+$", &["a&b~"], &["c"]);
        check("^[+--]+$", &["-", "+", ","], &["a"]);
        check(r"^\<x\>$", &["<x>"], &["x"]);
        check(r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE])?$", &["1Gi", "0.5", "100m"], &["1x"]);
        assert!(compile("(").is_err());
    }
}
