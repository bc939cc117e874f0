//! Fields that a request cannot change: they are put back before the object is stored, so nobody owns them by asking.

use super::{element::Element, schema::Typing, set::Set};
use crate::kind::Kind;

/// What a write through `subresource` (empty: of the object itself) leaves as it is.
pub fn resets(kind: &dyn Kind, typing: &Typing, subresource: &str) -> Set {
    let mut set = Set::default();
    match subresource {
        "" if kind.subresources().iter().any(|sub| sub.name == "status") => set.insert([Element::field("status")]),
        "status" => {
            let members = typing.root().members().into_iter().flat_map(|of| &of.members);
            for member in members.filter(|m| !matches!(&*m.name, "apiVersion" | "kind" | "metadata" | "status")) {
                set.insert([Element::field(&member.name)]);
            }
        }
        _ => {}
    }
    set
}
