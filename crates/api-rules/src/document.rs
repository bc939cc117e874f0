//! Reading a document (JSON or YAML) into a value while remembering every key that was given twice, and writing one
//! with `apiVersion`, `kind` and `metadata` first.
//!
//! What the keys mean is not known here.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// The form of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    #[default]
    Json,
    Yaml,
}

/// A document and the paths (`spec.containers[0].image`) of members that occur more than once; the last one counts.
#[derive(Debug, Default)]
pub struct Document {
    pub value: Value,
    pub duplicates: Vec<String>,
}

/// Parses one document.
pub fn parse(body: &[u8], encoding: Encoding) -> Result<Document, String> {
    match encoding {
        Encoding::Json => serde_json::from_slice(body).map_err(|e| e.to_string()),
        Encoding::Yaml => {
            let text = std::str::from_utf8(body).map_err(|e| e.to_string())?;
            let options = serde_saphyr::options! {
                legacy_octal_numbers: true,
                duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
            };
            serde_saphyr::from_str_with_options(text, options).map_err(|e| e.to_string())
        }
    }
    .map(|mut document: Document| {
        document.duplicates.reverse();
        document
    })
}

/// Writes an object as the store keeps it: `apiVersion`, `kind`, `metadata` first, the rest in its own order.
pub fn encode(object: &Value) -> Vec<u8> {
    encode_with(object, b"")
}

/// As [`encode`], with `managed` (JSON, empty for none) as the last member of the metadata.
pub fn encode_with(object: &Value, managed: &[u8]) -> Vec<u8> {
    const FIRST: [&str; 3] = ["apiVersion", "kind", "metadata"];
    let Value::Object(members) = object else {
        return serde_json::to_vec(object).expect("a JSON value can be written");
    };
    let mut out = Vec::with_capacity(512 + managed.len());
    out.push(b'{');
    let first = FIRST.iter().filter_map(|name| members.get_key_value(*name));
    let rest = members.iter().filter(|(name, _)| !FIRST.contains(&name.as_str()));
    for (name, value) in first.chain(rest) {
        if out.len() > 1 {
            out.push(b',');
        }
        serde_json::to_writer(&mut out, name).expect("writing to memory");
        out.push(b':');
        serde_json::to_writer(&mut out, value).expect("writing to memory");
        if name == "metadata" && !managed.is_empty() && value.is_object() {
            out.pop();
            out.extend_from_slice(if out.ends_with(b"{") { b"" } else { b"," });
            out.extend_from_slice(b"\"managedFields\":");
            out.extend_from_slice(managed);
            out.push(b'}');
        }
    }
    out.push(b'}');
    out
}

/// Whether two objects say the same, whatever the order of their keys.
pub fn is_noop(old: &Value, new: &Value) -> bool {
    // serde_json compares maps as sets of members, also when it keeps their order.
    old == new
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl From<Value> for Document {
    fn from(value: Value) -> Self {
        Self { value, duplicates: Vec::new() }
    }
}

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Document, E> {
        Ok(Value::Bool(v).into())
    }

    fn visit_i64<E>(self, v: i64) -> Result<Document, E> {
        Ok(Value::Number(v.into()).into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Document, E> {
        Ok(Value::Number(v.into()).into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Document, E> {
        Ok(whole(v).or_else(|| Number::from_f64(v)).map_or(Value::Null, Value::Number).into())
    }

    fn visit_str<E>(self, v: &str) -> Result<Document, E> {
        Ok(Value::String(v.to_owned()).into())
    }

    fn visit_string<E>(self, v: String) -> Result<Document, E> {
        Ok(Value::String(v).into())
    }

    fn visit_unit<E>(self) -> Result<Document, E> {
        Ok(Document::default())
    }

    fn visit_none<E>(self) -> Result<Document, E> {
        Ok(Document::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        Document::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Document, A::Error> {
        let mut items = Vec::new();
        let mut duplicates = Vec::new();
        while let Some(item) = seq.next_element::<Document>()? {
            duplicates.extend(item.duplicates.into_iter().map(|path| join(&format!("[{}]", items.len()), &path)));
            items.push(item.value);
        }
        Ok(Document { value: Value::Array(items), duplicates })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut members = Map::new();
        let mut duplicates = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let item = map.next_value::<Document>()?;
            duplicates.extend(item.duplicates.into_iter().map(|path| join(&key, &path)));
            if members.contains_key(&key) {
                duplicates.push(key.clone());
            }
            members.insert(key, item.value);
        }
        Ok(Document { value: Value::Object(members), duplicates })
    }
}

/// `8.0` is the integer 8, as Go reads numbers into integer fields.
fn whole(v: f64) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (v.fract() == 0.0 && v.abs() < EXACT).then(|| Number::from(v as i64))
}

fn join(head: &str, tail: &str) -> String {
    if tail.starts_with('[') { format!("{head}{tail}") } else { format!("{head}.{tail}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(body: &str, encoding: Encoding, value: Value, duplicates: &[&str]) {
        let document = parse(body.as_bytes(), encoding).unwrap();
        assert_eq!(document.value, value);
        assert_eq!(document.duplicates, duplicates);
    }

    #[test]
    fn duplicates_are_found_and_the_last_wins() {
        check(r#"{"a":1,"a":2}"#, Encoding::Json, json!({"a": 2}), &["a"]);
        check(
            r#"{"spec":{"c":[{},{"image":"x","image":"y"}]}}"#,
            Encoding::Json,
            json!({"spec": {"c": [{}, {"image": "y"}]}}),
            &["spec.c[1].image"],
        );
        check("a: 1\na: 2\n", Encoding::Yaml, json!({"a": 2}), &["a"]);
    }

    #[test]
    fn yaml_reads_as_kubectl_does() {
        check(
            "mode: 0644\nport: 80\nok: yes\nf: 8.0\nn:\n",
            Encoding::Yaml,
            json!({"mode": 420, "port": 80, "ok": true, "f": 8, "n": null}),
            &[],
        );
    }

    #[test]
    fn encoding_leads_with_the_type() {
        let object = json!({"spec": {"b": 1, "a": 2}, "metadata": {"name": "x"}, "kind": "Pod", "apiVersion": "v1"});
        assert_eq!(
            String::from_utf8(encode(&object)).unwrap(),
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{"b":1,"a":2}}"#
        );
    }

    #[test]
    fn owners_are_the_last_of_the_metadata() {
        let check = |object: Value, expected: &str| {
            assert_eq!(String::from_utf8(encode_with(&object, b"[1]")).unwrap(), expected);
        };
        check(json!({"metadata": {"name": "x"}, "a": 1}), r#"{"metadata":{"name":"x","managedFields":[1]},"a":1}"#);
        check(json!({"metadata": {}}), r#"{"metadata":{"managedFields":[1]}}"#);
    }

    #[test]
    fn noop_ignores_order() {
        let a = parse(br#"{"a":1,"b":{"c":2,"d":3}}"#, Encoding::Json).unwrap().value;
        let b = parse(br#"{"b":{"d":3,"c":2},"a":1}"#, Encoding::Json).unwrap().value;
        assert!(is_noop(&a, &b));
    }
}
