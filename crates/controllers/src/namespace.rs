//! Namespace deletion: everything in it goes, pods first, and then the namespace.
//!
//! Decides the order, the conditions that name what blocks, and when the `kubernetes` finalizer may be taken off. Finding
//! and deleting what is there is the body's.

use std::collections::{BTreeMap, BTreeSet};

use api_types::{
    k8s_openapi::api::core::v1::{Namespace, NamespaceCondition},
    object::Resource,
    plan::{Plan, Target, Write},
};
use jiff::Timestamp;
use serde_json::json;

use crate::time::seconds;

pub const FINALIZER: &str = "kubernetes";

/// What a pass over the namespace found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Objects that are still there, by resource: how many, and their finalizers.
    pub remaining: BTreeMap<Resource, Vec<Vec<String>>>,
    /// Why kinds could not be found out or deleted.
    pub discovery_failures: Vec<String>,
    pub deletion_failures: Vec<String>,
}

/// The kinds to empty, in groups: the next only when nothing of the former is left.
///
/// Pods first, so that what they use is there to their end.
pub fn order(kinds: Vec<Resource>) -> Vec<Vec<Resource>> {
    let (pods, rest): (Vec<_>, Vec<_>) =
        kinds.into_iter().partition(|kind| kind.group.is_empty() && kind.plural == "pods");
    [pods, rest].into_iter().filter(|group| !group.is_empty()).collect()
}

/// Whether there is anything to do for this namespace.
pub fn is_due(namespace: &Namespace) -> bool {
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_deref()).unwrap_or_default();
    namespace.metadata.deletion_timestamp.is_some() && finalizers.iter().any(|own| own == FINALIZER)
}

/// Says what blocks, or lets the namespace go.
pub fn conclude(namespace: &Namespace, found: &Found, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let blocked =
        !found.remaining.is_empty() || !found.discovery_failures.is_empty() || !found.deletion_failures.is_empty();
    let mut status = namespace.status.clone().unwrap_or_default();
    let mut conditions = status.conditions.take().unwrap_or_default();
    for wanted in conditions_of(found) {
        put(&mut conditions, wanted, now);
    }
    status.conditions = Some(conditions);
    status.phase = Some("Terminating".to_owned());
    let mut object = namespace.clone();
    if namespace.status.as_ref() != Some(&status) && blocked {
        object.status = Some(status);
        plan.write(Write::Replace {
            target: Target::of(namespace),
            subresource: Some("status"),
            object: json!(object),
        });
    }
    if !blocked {
        if let Some(finalizers) = object.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
            finalizers.retain(|own| own != FINALIZER);
        }
        plan.write(Write::Replace {
            target: Target::of(namespace),
            subresource: Some("finalize"),
            object: json!(object),
        });
    }
    plan
}

struct Wanted {
    kind: &'static str,
    /// Reason and message when something is wrong.
    bad: Option<(&'static str, String)>,
    good: (&'static str, &'static str),
}

fn conditions_of(found: &Found) -> [Wanted; 4] {
    let failures = |failures: &[String]| {
        let different: BTreeSet<&str> = failures.iter().map(String::as_str).collect();
        different.into_iter().collect::<Vec<_>>().join(", ")
    };
    let discovery = &found.discovery_failures;
    let deletion = &found.deletion_failures;
    [
        Wanted {
            kind: "NamespaceDeletionDiscoveryFailure",
            bad: (!discovery.is_empty()).then(|| {
                let text =
                    format!("Discovery failed for some groups, {} failing: {}", discovery.len(), failures(discovery));
                ("DiscoveryFailed", text)
            }),
            good: ("ResourcesDiscovered", "All resources successfully discovered"),
        },
        Wanted {
            kind: "NamespaceDeletionContentFailure",
            bad: (!deletion.is_empty()).then(|| {
                let text = format!(
                    "Failed to delete all resource types, {} remaining: {}",
                    deletion.len(),
                    failures(deletion)
                );
                ("ContentDeletionFailed", text)
            }),
            good: ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        },
        Wanted {
            kind: "NamespaceContentRemaining",
            bad: remaining(found).map(|text| ("SomeResourcesRemain", text)),
            good: ("ContentRemoved", "All content successfully removed"),
        },
        Wanted {
            kind: "NamespaceFinalizersRemaining",
            bad: finalizers(found).map(|text| ("SomeFinalizersRemain", text)),
            good: ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        },
    ]
}

fn remaining(found: &Found) -> Option<String> {
    let parts: Vec<String> = found
        .remaining
        .iter()
        .map(|(resource, objects)| {
            let name = api_types::GroupResource::new(resource.group.clone(), resource.plural.clone());
            format!("{name} has {} resource instances", objects.len())
        })
        .collect();
    (!parts.is_empty()).then(|| format!("Some resources are remaining: {}", parts.join(", ")))
}

fn finalizers(found: &Found) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for finalizer in found.remaining.values().flatten().flatten() {
        *counts.entry(finalizer).or_default() += 1;
    }
    let parts: Vec<String> =
        counts.into_iter().map(|(finalizer, count)| format!("{finalizer} in {count} resource instances")).collect();
    (!parts.is_empty()).then(|| format!("Some content in the namespace has finalizers remaining: {}", parts.join(", ")))
}

fn put(conditions: &mut Vec<NamespaceCondition>, wanted: Wanted, now: Timestamp) {
    let (status, reason, message) = match wanted.bad {
        Some((reason, message)) => ("True", reason, message),
        None => ("False", wanted.good.0, wanted.good.1.to_owned()),
    };
    let known = conditions.iter_mut().find(|condition| condition.type_ == wanted.kind);
    let since = known.as_ref().filter(|known| known.status == status).and_then(|k| k.last_transition_time.clone());
    let condition = NamespaceCondition {
        type_: wanted.kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: since.or_else(|| Some(seconds(now))),
    };
    match known {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use api_types::k8s_openapi::api::core::v1::NamespaceSpec;

    use super::*;

    const PODS: Resource = Resource::new("", "v1", "Pod", "pods", true);
    const SETS: Resource = Resource::new("apps", "v1", "ReplicaSet", "replicasets", true);

    fn namespace() -> Namespace {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some("n".into());
        namespace.metadata.deletion_timestamp = Some(seconds(Timestamp::UNIX_EPOCH));
        namespace.spec = Some(NamespaceSpec { finalizers: Some(vec![FINALIZER.into()]) });
        namespace
    }

    fn only_write(plan: &Plan) -> (&'static str, Namespace) {
        match plan.writes().collect::<Vec<_>>()[..] {
            [Write::Replace { subresource: Some(subresource), object, .. }] => {
                (subresource, serde_json::from_value(object.clone()).unwrap())
            }
            ref other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pods_go_first() {
        assert_eq!(order(vec![SETS, PODS]), [vec![PODS], vec![SETS]]);
        assert_eq!(order(vec![SETS]), [vec![SETS]]);
    }

    #[test]
    fn says_what_blocks_once() {
        let mut found = Found::default();
        found.remaining.insert(SETS, vec![vec!["a/b".into()], vec![]]);
        let (subresource, said) = only_write(&conclude(&namespace(), &found, Timestamp::UNIX_EPOCH));
        assert_eq!(subresource, "status");
        let conditions = said.status.clone().unwrap().conditions.unwrap();
        let message = |kind: &str| {
            let condition = conditions.iter().find(|condition| condition.type_ == kind).unwrap();
            (condition.status.clone(), condition.message.clone().unwrap())
        };
        assert_eq!(
            message("NamespaceContentRemaining"),
            ("True".into(), "Some resources are remaining: replicasets.apps has 2 resource instances".into())
        );
        assert_eq!(
            message("NamespaceFinalizersRemaining"),
            (
                "True".into(),
                "Some content in the namespace has finalizers remaining: a/b in 1 resource instances".into()
            )
        );
        assert_eq!(message("NamespaceDeletionContentFailure").0, "False");
        assert!(conclude(&said, &found, Timestamp::UNIX_EPOCH).is_empty(), "nothing new to say");
    }

    #[test]
    fn lets_go_what_is_empty() {
        let (subresource, freed) = only_write(&conclude(&namespace(), &Found::default(), Timestamp::UNIX_EPOCH));
        assert_eq!(subresource, "finalize");
        assert_eq!(freed.spec.unwrap().finalizers, Some(vec![]));
        assert!(is_due(&namespace()));
    }
}
