//! What many objects of a resource have in common is held once: the `fieldsV1` of their managers, which for the pods of one
//! Deployment are the same text, and half of each pod.
//!
//! [`Common`] remembers what it has seen. The second object with the same text begins to share it; a text that comes once
//! stays within its object. How much is remembered is bounded, and forgetting costs nothing but sharing.

use std::{
    collections::HashMap,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use parking_lot::Mutex;

/// Shorter texts are not worth a pointer.
const SHORTEST: usize = 192;
/// Objects above that stay whole: to put them together again for each reader would cost more than it saves.
const LARGEST_OBJECT: usize = 64 << 10;
/// Texts remembered of one resource.
const REMEMBERED: usize = 1024;

/// A text that lies outside its object, and where it belongs in what the object holds itself.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) at: u32,
    pub(super) text: Arc<[u8]>,
}

/// The texts that objects of one resource may share.
#[derive(Default)]
pub(super) struct Common(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// By hash; without a text as long as only one object had it.
    texts: HashMap<u64, Option<Arc<[u8]>>>,
    /// How many new texts to pass over before looking again for forgotten ones.
    pause: usize,
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Common")
    }
}

impl Common {
    /// Takes out of `whole` what is shared. `places` are the candidates, in order. What is left, and the parts.
    pub(super) fn split(&self, whole: &[u8], places: &[(usize, usize)]) -> Option<(Vec<u8>, Box<[Part]>)> {
        if whole.len() > LARGEST_OBJECT || places.iter().all(|(_, len)| *len < SHORTEST) {
            return None;
        }
        let mut found: Vec<(usize, Arc<[u8]>)> = Vec::with_capacity(places.len());
        {
            let mut known = self.0.lock();
            for (start, len) in places.iter().filter(|(_, len)| *len >= SHORTEST) {
                let text = whole.get(*start..start + len)?;
                found.extend(known.share(text).map(|shared| (*start, shared)));
            }
        }
        if found.is_empty() {
            return None;
        }
        let taken: usize = found.iter().map(|(_, text)| text.len()).sum();
        let mut rest = Vec::with_capacity(whole.len() - taken);
        let (mut parts, mut from) = (Vec::with_capacity(found.len()), 0);
        for (start, text) in found {
            rest.extend_from_slice(&whole[from..start]);
            from = start + text.len();
            parts.push(Part { at: rest.len() as u32, text });
        }
        rest.extend_from_slice(&whole[from..]);
        Some((rest, parts.into()))
    }
}

impl Known {
    fn share(&mut self, text: &[u8]) -> Option<Arc<[u8]>> {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        match self.texts.get_mut(&hash) {
            Some(Some(shared)) => (**shared == *text).then(|| shared.clone()),
            Some(once) => once.insert(text.into()).clone().into(),
            None => {
                if self.has_room() {
                    self.texts.insert(hash, None);
                }
                None
            }
        }
    }

    /// Forgets what no object has any more, or only one ever had, when there is no room.
    fn has_room(&mut self) -> bool {
        if self.texts.len() < REMEMBERED {
            return true;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return false;
        }
        self.texts.retain(|_, text| text.as_ref().is_some_and(|text| Arc::strong_count(text) > 1));
        self.pause = REMEMBERED;
        self.texts.len() < REMEMBERED
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn joined(own: &[u8], parts: &[Part]) -> Vec<u8> {
        let (mut whole, mut from) = (Vec::new(), 0);
        for part in parts {
            whole.extend_from_slice(&own[from..part.at as usize]);
            whole.extend_from_slice(&part.text);
            from = part.at as usize;
        }
        whole.extend_from_slice(&own[from..]);
        whole
    }

    #[test]
    fn the_second_shares_with_the_third() {
        let common = Common::default();
        let text = "x".repeat(SHORTEST);
        let whole = format!("a{text}b{text}c");
        let places = [(1, SHORTEST), (SHORTEST + 2, SHORTEST)];
        // Within one object the text is there twice already.
        let (own, parts) = common.split(whole.as_bytes(), &places).unwrap();
        assert_eq!((own.len(), parts.len()), (SHORTEST + 3, 1));
        assert_eq!(joined(&own, &parts), whole.as_bytes());
        let (own, more) = common.split(whole.as_bytes(), &places).unwrap();
        assert_eq!((own.as_slice(), more.len()), (&b"abc"[..], 2));
        assert_eq!(joined(&own, &more), whole.as_bytes());
        assert!(more.iter().all(|part| Arc::ptr_eq(&part.text, &parts[0].text)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let common = Common::default();
        let text = |n: usize| format!("{n:0SHORTEST$}");
        let split = |n: usize| common.split(text(n).as_bytes(), &[(0, SHORTEST)]);
        let held: Vec<_> = (0..4 * REMEMBERED).map(|n| (split(n).is_none(), split(n))).collect();
        assert!(held.iter().all(|(first, _)| *first));
        assert_eq!(held.iter().filter(|(_, second)| second.is_some()).count(), REMEMBERED);
        drop(held);
        let again = (0..4 * REMEMBERED).filter(|n| split(*n).is_some() || split(*n).is_some()).count();
        assert!(again > REMEMBERED, "what nobody holds makes room");
        assert!(common.0.lock().texts.len() <= REMEMBERED);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(texts in prop::collection::vec((0..3usize, 0..3usize), 0..6)) {
            let common = Common::default();
            for _ in 0..3 {
                let (mut whole, mut places) = (String::from("{"), Vec::new());
                for (kind, gap) in &texts {
                    whole.push_str(&"-".repeat(*gap));
                    places.push((whole.len(), SHORTEST - 1 + kind));
                    whole.push_str(&kind.to_string().repeat(SHORTEST - 1 + kind));
                }
                whole.push('}');
                if let Some((own, parts)) = common.split(whole.as_bytes(), &places) {
                    prop_assert!(own.len() < whole.len());
                    prop_assert_eq!(joined(&own, &parts), whole.as_bytes());
                }
            }
        }
    }
}
