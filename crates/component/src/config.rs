//! Component configuration files in upstream's form: YAML or JSON with `apiVersion` and `kind`.

use std::path::Path;

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads a file whose (apiVersion, kind) is one of `accepted`.
///
/// # Errors
/// When the file cannot be read, is not YAML, is of another kind, or has a field that `T` refuses: a `T` with
/// `deny_unknown_fields` makes a misspelt option an error that names it.
pub fn load<T: DeserializeOwned>(path: &Path, accepted: &[(&str, &str)]) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text, accepted).with_context(|| format!("in {}", path.display()))
}

/// As [`load`], from text.
pub fn parse<T: DeserializeOwned>(text: &str, accepted: &[(&str, &str)]) -> anyhow::Result<T> {
    let mut value = yaml(text)?;
    let Some(object) = value.as_object_mut() else {
        bail!("expected an object with apiVersion and kind");
    };
    let take = |object: &mut serde_json::Map<String, Value>, name: &str| -> anyhow::Result<String> {
        match object.shift_remove(name) {
            Some(Value::String(text)) => Ok(text),
            _ => bail!("{name} is missing"),
        }
    };
    let (version, kind) = (take(object, "apiVersion")?, take(object, "kind")?);
    if !accepted.contains(&(version.as_str(), kind.as_str())) {
        let names: Vec<_> = accepted.iter().map(|(v, k)| format!("{v}, {k}")).collect();
        bail!("unexpected \"{version}, {kind}\"; expected {}", names.join(" or "));
    }
    Ok(serde_json::from_value(value)?)
}

/// One YAML (or JSON) document as kubectl reads it.
pub fn yaml(text: &str) -> anyhow::Result<Value> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let mut value: Value = serde_saphyr::from_str_with_options(text, options).map_err(|e| anyhow::anyhow!("{e}"))?;
    whole_numbers(&mut value);
    Ok(value)
}

/// YAML's `8.0` is the number 8.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let exact = |f: &f64| !number.is_i64() && !number.is_u64() && f.fract() == 0.0 && f.abs() < 9.0e15;
            if let Some(float) = number.as_f64().filter(exact) {
                *value = Value::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(members) => members.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Example {
        max_pods: u32,
    }

    const ACCEPTED: &[(&str, &str)] = &[("example/v1", "Example")];

    #[test]
    fn reads_its_kind_only() {
        let text = "apiVersion: example/v1\nkind: Example\nmaxPods: 5\n";
        assert_eq!(parse::<Example>(text, ACCEPTED).unwrap(), Example { max_pods: 5 });
        for (text, why) in [
            ("kind: Example\n", "apiVersion is missing"),
            ("apiVersion: b/v1\nkind: Example\n", "expected example/v1, Example"),
            ("apiVersion: example/v1\nkind: Example\nmaxPod: 5\n", "unknown field `maxPod`"),
            ("- a\n", "expected an object"),
        ] {
            let error = format!("{:#}", parse::<Example>(text, ACCEPTED).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn numbers_as_kubectl_reads_them() {
        assert_eq!(
            yaml("a: 0644\nb: yes\nc: 8.0\nd: \"1\"\n").unwrap(),
            serde_json::json!({"a": 420, "b": true, "c": 8, "d": "1"})
        );
    }
}
