//! What the kinds of flow control share: objects whose spec is fixed, and the form of conditions.

use std::{collections::BTreeSet, sync::OnceLock};

use api_types::field::{FieldError, Path};
use serde_json::Value;

use crate::authz::BOOTSTRAP;

type Errors = Vec<FieldError>;

pub const NOT_APPLIED: &str = "requests in flight are bounded as a whole, not by priority";
/// Upstream's mandatory objects: whatever a cluster configures, these catch what is left.
const MANDATORY: [&str; 2] = ["catch-all", "exempt"];

/// The spec that an object of this name must have; `list` is that of the bootstrap data.
pub fn fixed_spec(list: &str, name: &str) -> Option<&'static Value> {
    static DATA: OnceLock<Value> = OnceLock::new();
    if !MANDATORY.contains(&name) {
        return None;
    }
    let data =
        DATA.get_or_init(|| serde_json::from_str(BOOTSTRAP).expect("the data file is part of the program and tested"));
    let found = data[list].as_array().into_iter().flatten().find(|o| o["metadata"]["name"] == name)?;
    found.get("spec")
}

/// Conditions have types, each once.
pub fn conditions<'a>(types: impl Iterator<Item = Option<&'a str>>, errors: &mut Errors) {
    let path = Path::new("status").child("conditions");
    let mut seen = BTreeSet::new();
    for (i, type_) in types.map(Option::unwrap_or_default).enumerate() {
        let at = path.index(i).child("type");
        if !seen.insert(type_) {
            errors.push(FieldError::duplicate(&at, type_));
        }
        if type_.is_empty() {
            errors.push(FieldError::required(&at, "must not be empty"));
        }
    }
}
