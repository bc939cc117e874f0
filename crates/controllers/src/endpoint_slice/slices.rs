//! How endpoints that share ports lie in slices: what is there stays where it is, slices that change anyway are filled
//! first, and others are touched only when everything left over fits into one of them.

use std::{collections::BTreeMap, sync::Arc};

use api_types::k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use jiff::Timestamp;

use super::{
    PER_SLICE,
    members::{Key, Member, key},
};

/// A slice as it shall be.
pub(super) struct Draft {
    /// None: a new one.
    pub slice: Option<Arc<EndpointSlice>>,
    pub endpoints: Vec<Endpoint>,
    pub changed: bool,
    /// The latest change of a pod that this tells of.
    pub trigger: Option<Timestamp>,
}

impl Draft {
    fn new() -> Self {
        Self { slice: None, endpoints: Vec::new(), changed: true, trigger: None }
    }

    fn add(&mut self, member: Member) {
        self.trigger = self.trigger.max(member.changed);
        self.endpoints.push(member.endpoint);
        self.changed = true;
    }

    fn room(&self) -> usize {
        PER_SLICE.saturating_sub(self.endpoints.len())
    }
}

/// Drafts for all `slices`, which have the same ports, and for new ones; those left empty are to be deleted.
pub(super) fn arrange(slices: Vec<Arc<EndpointSlice>>, mut wanted: BTreeMap<Key, Member>) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = slices.into_iter().map(|slice| keep(slice, &mut wanted)).collect();
    let mut left = wanted.into_values().collect::<Vec<_>>();
    left.reverse();
    for draft in drafts.iter_mut().filter(|draft| draft.changed) {
        while draft.room() > 0
            && let Some(member) = left.pop()
        {
            draft.add(member);
        }
    }
    while !left.is_empty() {
        // The fullest one that takes them all.
        let fitting = drafts.iter_mut().filter(|draft| draft.slice.is_some() && draft.room() >= left.len());
        let mut new = Draft::new();
        if left.len() < PER_SLICE
            && let Some(draft) = fitting.min_by_key(|draft| draft.room())
        {
            while let Some(member) = left.pop() {
                draft.add(member);
            }
            break;
        }
        while new.room() > 0
            && let Some(member) = left.pop()
        {
            new.add(member);
        }
        drafts.push(new);
    }
    drafts
}

/// What of the slice is still wanted, taken from `wanted`.
fn keep(slice: Arc<EndpointSlice>, wanted: &mut BTreeMap<Key, Member>) -> Draft {
    let present = slice.endpoints.as_deref().unwrap_or_default();
    let mut draft = Draft { slice: None, endpoints: Vec::with_capacity(present.len()), changed: false, trigger: None };
    for old in present {
        match wanted.remove(&key(old)) {
            Some(member) if member.endpoint == *old => draft.endpoints.push(member.endpoint),
            Some(member) => draft.add(member),
            None => draft.changed = true,
        }
    }
    draft.slice = Some(slice);
    draft
}
