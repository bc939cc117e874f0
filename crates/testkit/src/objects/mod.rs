//! Objects of every kind, made from the structure of its type: the same for the same seed, and valid.
//!
//! An object begins as the smallest one that a server accepts (`data/objects.yaml`, written by hand) and grows member by
//! member at random places. What the kind's rules refuse is taken back, so that unions, names and references need no
//! description here. What only a whole cluster can judge (classes, accounts, addresses) does not grow at all.

mod grow;
mod random;

use api_rules::{
    Encoding, FieldValidation, Kind, Scope,
    document::{self, encode},
};
use serde_json::{Value, json};

use random::Random;

const SMALLEST: &str = include_str!("../../data/objects.yaml");
/// Attempts to let an object grow. About a third of them last.
const ATTEMPTS: usize = 80;

/// A name that fits wherever a name may stand: a letter and a number.
pub fn name(number: u8) -> String {
    format!("x{number}")
}

/// The smallest object of a kind, called [`name`]`(number)` where the kind lets it; `None` for a kind without a sample.
pub fn smallest(kind: &dyn Kind, number: u8) -> Option<Value> {
    let names = kind.names();
    let is_of_kind = |value: &Value| value["apiVersion"] == names.api_version() && value["kind"] == names.kind;
    let sample = SMALLEST.split("\n---\n").find(|text| parse(text).is_some_and(|value| is_of_kind(&value)))?;
    let own = name(number);
    let sample =
        sample.replace("NAME", &own).replace("NUMBER", &number.to_string()).replace("KIND", &own.to_uppercase());
    let mut object = parse(&sample)?;
    if object["metadata"]["name"].is_null() {
        object["metadata"]["name"] = json!(own);
    }
    if kind.scope() == Scope::Namespaced {
        object["metadata"]["namespace"] = json!("default");
    }
    Some(object)
}

fn parse(text: &str) -> Option<Value> {
    Some(document::parse(text.as_bytes(), Encoding::Yaml).ok()?.value)
}

/// An object of a kind; `number` decides its name, `seed` the rest.
pub fn object(kind: &dyn Kind, number: u8, seed: u64) -> Option<Value> {
    let mut object = smallest(kind, number)?;
    let mut random = Random::new(seed ^ u64::from(number));
    let schema = kind.schema()?;
    for _ in 0..ATTEMPTS {
        let mut candidate = object.clone();
        grow::once(&mut candidate, kind.names().kind, schema, &mut random);
        if let Some(valid) = accepted(kind, candidate) {
            object = valid;
        }
    }
    object["metadata"]["labels"]["seed"] = json!(seed.to_string());
    object["metadata"]["annotations"]["example.com/seed"] = json!(seed.to_string());
    Some(object)
}

/// The object as a server would read it, if it would take it without a word about its fields.
fn accepted(kind: &dyn Kind, candidate: Value) -> Option<Value> {
    let decoded = kind.decode(&encode(&candidate), Encoding::Json, FieldValidation::Strict).ok()?;
    let mut defaulted = decoded.object.clone();
    kind.set_defaults(&mut defaulted);
    kind.validate_create(&defaulted).is_empty().then_some(decoded.object)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use api_rules::{Context, Requester, kinds};
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn every_stored_kind_has_a_valid_sample() {
        for kind in kinds::all().iter().filter(|k| k.storage().is_some() && k.verbs().contains(&"create")) {
            let names = kind.names();
            let object = smallest(*kind, 1).unwrap_or_else(|| panic!("no sample of {:?}", names.gvk()));
            let mut object = kind.decode_value(object, FieldValidation::Strict).expect("well-formed").object;
            let extra = BTreeMap::new();
            let user = Requester { name: "testkit", uid: "", groups: &[], extra: &extra };
            kind.set_defaults(&mut object);
            object["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000001");
            kind.prepare_create(&mut object, &Context { now: Timestamp::UNIX_EPOCH, user });
            assert_eq!(kind.validate_create(&object), vec![], "{}", names.kind);
        }
    }

    #[test]
    fn seeds_decide() {
        let kind = kinds::find("apps", "v1", "deployments").expect("served");
        assert_eq!(object(kind, 1, 7), object(kind, 1, 7));
        assert_ne!(object(kind, 1, 7), object(kind, 1, 8));
        let size = |value: Option<Value>| value.map_or(0, |v| v.to_string().len());
        assert!(size(object(kind, 1, 7)) > 2 * size(smallest(kind, 1)), "objects grow");
    }
}
