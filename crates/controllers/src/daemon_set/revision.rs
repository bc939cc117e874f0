//! Which revision the template is, by the hash that its pods carry.

use api_types::{
    k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSetSpec},
    plan::Write,
};

use super::Observed;
use crate::history::{self, Data, Fresh, POD_LABEL, Place, Revisions};

pub(super) struct Current {
    /// The revision's name.
    pub name: String,
    pub hash: String,
    /// Makes the revision, or makes it the newest.
    pub write: Option<Write>,
}

/// None: the name for the new revision is taken by another.
pub(super) fn find(seen: &Observed<'_>, spec: &DaemonSetSpec, revisions: &Revisions) -> Option<Current> {
    let data = Data::of(&spec.template);
    match revisions.place(&data) {
        Place::Newest(found) => Some(known(&found, None)),
        Place::Former(found) => Some(known(&found, Some(history::renumber(&found, revisions.next())))),
        Place::Unknown => {
            let hash = data.hash(seen.set.status.as_ref().and_then(|status| status.collision_count));
            let name = history::name(seen.set.metadata.name.as_deref().unwrap_or_default(), &hash);
            if (seen.revision_taken)(&name) {
                return None;
            }
            let fresh = Fresh {
                owner: seen.set,
                metadata: &seen.set.metadata,
                template: &spec.template,
                data: &data,
                label: POD_LABEL,
                hash: &hash,
                number: revisions.next(),
            };
            let write = Some(fresh.write());
            Some(Current { name, hash, write })
        }
    }
}

fn known(found: &ControllerRevision, write: Option<Write>) -> Current {
    Current { name: found.metadata.name.clone().unwrap_or_default(), hash: hash(found).to_owned(), write }
}

/// The hash by which the pods of a revision are known.
pub(super) fn hash(revision: &ControllerRevision) -> &str {
    let label = revision.metadata.labels.as_ref().and_then(|labels| labels.get(POD_LABEL));
    label.or(revision.metadata.name.as_ref()).map_or("", String::as_str)
}
