//! Which revision of the template the set is at, and which it goes to.

use api_types::{
    k8s_openapi::api::{apps::v1::StatefulSetSpec, core::v1::PodTemplateSpec},
    plan::Write,
};

use super::{Observed, identity};
use crate::history::{self, Data, Fresh, HASH_LABEL, Place, Revisions};

/// A revision by the name that pods carry.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub name: String,
    pub template: PodTemplateSpec,
}

pub(super) struct Both {
    /// What the pods below the partition are kept at.
    pub current: Revision,
    pub update: Revision,
    /// Makes the update's revision, or makes it the newest.
    pub write: Option<Write>,
}

/// None: the name for the new revision is taken by another.
pub(super) fn find(seen: &Observed<'_>, spec: &StatefulSetSpec, revisions: &Revisions) -> Option<Both> {
    let data = Data::of(&spec.template);
    let status = seen.set.status.as_ref();
    let (name, write) = match revisions.place(&data) {
        Place::Newest(found) => (found.metadata.name.clone().unwrap_or_default(), None),
        Place::Former(found) => {
            let write = history::renumber(&found, revisions.next());
            (found.metadata.name.clone().unwrap_or_default(), Some(write))
        }
        Place::Unknown => {
            let collisions = status.and_then(|status| status.collision_count).unwrap_or_default();
            let hash = data.hash(Some(collisions));
            let name = history::name(identity::set_name(seen.set), &hash);
            if (seen.revision_taken)(&name) {
                return None;
            }
            let fresh = Fresh {
                owner: seen.set,
                metadata: &seen.set.metadata,
                template: &spec.template,
                data: &data,
                label: HASH_LABEL,
                hash: &hash,
                number: revisions.next(),
            };
            (name, Some(fresh.write()))
        }
    };
    let update = Revision { name, template: spec.template.clone() };
    let current = status
        .and_then(|status| revisions.named(status.current_revision.as_deref()?))
        .filter(|found| found.metadata.name.as_ref() != Some(&update.name))
        .and_then(|found| Some(Revision { name: found.metadata.name.clone()?, template: history::template(found)? }))
        .unwrap_or_else(|| update.clone());
    Some(Both { current, update, write })
}
