//! `$(VAR)` in environment values, commands and arguments. `$$` is a dollar; what is not known
//! stays as it is written.

pub fn expand(input: &str, lookup: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
            match lookup(name) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

/// A command or its arguments, with the container's own environment.
pub fn expand_all(list: Option<&[String]>, env: &[(String, String)]) -> Vec<String> {
    let lookup = |name: &str| env.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone());
    list.unwrap_or_default().iter().map(|s| expand(s, &lookup)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_upstream() {
        let lookup = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "E" => Some(String::new()),
            _ => None,
        };
        for (input, want) in [
            ("$(A)", "a"),
            ("$(A)$(A)x", "aax"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$a"),
            ("$(NO)", "$(NO)"),
            ("$(A", "$(A"),
            ("$A $", "$A $"),
            ("-$(E)-", "--"),
            ("$$", "$"),
        ] {
            assert_eq!(expand(input, &lookup), want, "{input}");
        }
    }
}
