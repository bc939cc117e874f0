//! Sets of fields on the wire: the FieldsV1 of `metadata.managedFields`.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
};

use super::{
    element::{Element, ElementError},
    set::Set,
};

/// Reads a FieldsV1 object. Elements of an unknown type are passed over.
pub fn parse(json: &str) -> Result<Set, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let tree = Tree.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(tree.children)
}

/// Appends the set in upstream's order.
pub fn write(set: &Set, out: &mut Vec<u8>) {
    write_tree(false, set, out);
}

fn write_tree(member: bool, set: &Set, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    if member && !set.is_empty() {
        out.extend_from_slice(b"\".\":{}");
        first = false;
    }
    for node in set.nodes() {
        if !first {
            out.push(b',');
        }
        first = false;
        node.element.write(out);
        out.push(b':');
        write_tree(node.member, &node.children, out);
    }
    out.push(b'}');
}

/// What stands below one element.
struct Subtree {
    member: bool,
    children: Set,
}

struct Tree;

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Subtree;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Subtree, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Subtree;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object of path elements")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Subtree, A::Error> {
        let mut tree = Subtree { member: false, children: Set::default() };
        while let Some(Name(name)) = map.next_key::<Name>()? {
            if name == "." {
                tree.member = true;
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            match Element::parse(&name) {
                Ok(element) => {
                    let below = map.next_value_seed(Tree)?;
                    tree.children.attach(element, below.member, below.children);
                }
                Err(ElementError::Unknown) => drop(map.next_value::<IgnoredAny>()?),
                Err(error) => return Err(A::Error::custom(error)),
            }
        }
        // An element with nothing below it is there for its own sake.
        tree.member |= tree.children.is_empty();
        Ok(tree)
    }
}

/// A key that is borrowed where it needs no unescaping.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn written(set: &Set) -> String {
        let mut out = Vec::new();
        write(set, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn check(given: &str, canonical: &str) {
        assert_eq!(written(&parse(given).unwrap()), canonical);
    }

    #[test]
    fn canonical_order() {
        check("{}", "{}");
        check(r#"{"f:spec":{"f:b":{},"f:a":{"f:x":{},".":{}}}}"#, r#"{"f:spec":{"f:a":{".":{},"f:x":{}},"f:b":{}}}"#);
        check(
            r#"{"f:l":{"v:\"b\"":{},"k:{\"n\":\"a\"}":{".":{}},"f:z":{},"v:1":{}}}"#,
            r#"{"f:l":{"f:z":{},"k:{\"n\":\"a\"}":{},"v:1":{},"v:\"b\"":{}}}"#,
        );
    }

    #[test]
    fn what_is_unknown_is_passed_over() {
        check(r#"{"x:future":{"f:a":{}},"f:b":{}}"#, r#"{"f:b":{}}"#);
    }

    #[test]
    fn what_is_broken_is_refused() {
        for broken in [r#"{"a":{}}"#, r#"{"f:a":1}"#, r#"{"k:{":{}}"#, "[]", r#"{"f:a":{}} x"#] {
            assert!(parse(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_pod_as_upstream_writes_it() {
        let golden = r#"{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:image":{},"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},"f:resources":{}}},"f:dnsPolicy":{}}}"#;
        check(golden, golden);
    }
}
