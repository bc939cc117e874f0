//! What the kernel has been told: every element with the services that claim it.
//!
//! Two services may claim one element with different values (the same external address and port). The one known first
//! has it; when that goes, the next one takes over.

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry};

use crate::{
    compile::{Element, Key, Value},
    layout::Table,
};

/// A service by the number it got when it became known.
type Owner = u32;

#[derive(Debug)]
enum Claims {
    One(Owner, Value),
    Several(BTreeMap<Owner, Value>),
}

/// The elements to take away and to put in, in this order and in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub remove: BTreeSet<(Table, Key)>,
    pub add: BTreeMap<(Table, Key), Value>,
}

impl Difference {
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty()
    }
}

#[derive(Debug, Default)]
pub struct Shadow {
    elements: HashMap<(Table, Key), Claims>,
    by_owner: HashMap<Owner, Vec<Element>>,
    /// What the kernel had before changes that it has not been told of yet.
    before: HashMap<(Table, Key), Option<Value>>,
}

impl Shadow {
    /// All elements as they should be now.
    pub fn all(&self) -> impl Iterator<Item = Element> {
        self.elements.iter().filter_map(|((table, key), claims)| Some((*table, *key, claims.value()?)))
    }

    pub fn get(&self, table: Table, key: Key) -> Option<Value> {
        self.elements.get(&(table, key)).and_then(Claims::value)
    }

    /// Replaces what a service claims. `elements` are sorted, and each key is in a table once.
    pub fn set(&mut self, owner: Owner, elements: Vec<Element>) {
        let old = self.by_owner.remove(&owner).unwrap_or_default();
        for (table, key, value) in &old {
            if elements.binary_search(&(*table, *key, *value)).is_err() {
                self.remember(*table, *key);
                self.unclaim(*table, *key, owner);
            }
        }
        for (table, key, value) in &elements {
            if old.binary_search(&(*table, *key, *value)).is_err() {
                self.remember(*table, *key);
                self.claim(*table, *key, owner, *value);
            }
        }
        if !elements.is_empty() {
            self.by_owner.insert(owner, elements);
        }
    }

    fn remember(&mut self, table: Table, key: Key) {
        let now = self.get(table, key);
        self.before.entry((table, key)).or_insert(now);
    }

    fn claim(&mut self, table: Table, key: Key, owner: Owner, value: Value) {
        match self.elements.entry((table, key)) {
            Entry::Vacant(vacant) => {
                vacant.insert(Claims::One(owner, value));
            }
            Entry::Occupied(mut claims) => match claims.get_mut() {
                Claims::One(only, old) if *only == owner => *old = value,
                Claims::One(other, theirs) => {
                    let several = Claims::Several([(*other, *theirs), (owner, value)].into());
                    claims.insert(several);
                }
                Claims::Several(all) => {
                    all.insert(owner, value);
                }
            },
        }
    }

    fn unclaim(&mut self, table: Table, key: Key, owner: Owner) {
        let Entry::Occupied(mut claims) = self.elements.entry((table, key)) else { return };
        match claims.get_mut() {
            Claims::One(only, _) if *only == owner => {
                claims.remove();
            }
            Claims::One(..) => {}
            Claims::Several(all) => {
                all.remove(&owner);
                if all.is_empty() {
                    claims.remove();
                }
            }
        }
    }

    /// What has changed since this was last asked.
    pub fn take_difference(&mut self) -> Difference {
        let mut difference = Difference::default();
        for ((table, key), before) in std::mem::take(&mut self.before) {
            let now = self.get(table, key);
            if before == now {
                continue;
            }
            if before.is_some() {
                difference.remove.insert((table, key));
            }
            if let Some(now) = now {
                difference.add.insert((table, key), now);
            }
        }
        difference
    }
}

impl Claims {
    fn value(&self) -> Option<Value> {
        match self {
            Self::One(_, value) => Some(*value),
            Self::Several(all) => all.values().next().copied(),
        }
    }
}
