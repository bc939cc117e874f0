//! Maps as objects in caches have them: a few entries, read often, never changed.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

/// A sorted list of entries. It takes the room of what is in it, where a tree takes that of eleven entries at least.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FlatMap<V>(Box<[(String, V)]>);

impl<V> Default for FlatMap<V> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<V> FlatMap<V> {
    pub fn get(&self, key: &str) -> Option<&V> {
        let at = self.0.binary_search_by(|(own, _)| own.as_str().cmp(key)).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// By key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Of entries with the same key the last one counts.
impl<V> FromIterator<(String, V)> for FlatMap<V> {
    fn from_iter<I: IntoIterator<Item = (String, V)>>(entries: I) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        Self(entries.into())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for FlatMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = FlatMap<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::with_capacity(map.size_hint().unwrap_or_default().min(16));
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries.into_iter().collect())
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_tree_would() {
        let check = |text: &str| {
            let flat: FlatMap<i32> = serde_json::from_str(text).unwrap();
            let tree: std::collections::BTreeMap<String, i32> = serde_json::from_str(text).unwrap();
            assert!(flat.iter().eq(tree.iter().map(|(key, value)| (key.as_str(), value))), "{text}");
            assert!(tree.iter().all(|(key, value)| flat.get(key) == Some(value)), "{text}");
            assert_eq!((flat.get("none"), flat.len(), flat.is_empty()), (None, tree.len(), tree.is_empty()));
        };
        check("{}");
        check(r#"{"a": 1}"#);
        check(r#"{"z": 1, "b": 2, "a": 3}"#);
        check(r#"{"b": 1, "a": 2, "b": 3, "b": 4}"#);
    }
}
