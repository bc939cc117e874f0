//! From the graph to writes about one object.

use api_types::{
    k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::OwnerReference},
    plan::{Note, Pace, PatchStyle, Plan, Propagation, Step, Target, Write},
};
use serde_json::json;

use super::{FOREGROUND, Graph, Mapping, ORPHAN, Verdict, graph::Node};

/// How an owner stands.
#[derive(Clone, Debug, PartialEq)]
enum Owner {
    Solid,
    Absent,
    /// Exists, and waits for this object to go first.
    Waiting,
    /// Nobody knows yet.
    Ask(Target),
}

impl Graph {
    pub fn decide(&self, uid: &str, mapping: Mapping<'_>) -> Verdict {
        let Some(node) = self.node(uid) else { return Verdict::Do(Plan::default()) };
        if node.meta().deleting() {
            return Verdict::Do(if node.meta().has(ORPHAN) {
                self.orphan(node)
            } else if node.meta().has(FOREGROUND) {
                self.foreground(node)
            } else {
                Plan::default()
            });
        }
        self.collect(node, mapping)
    }

    /// Deletes the object when none of its owners is left, or takes off the references that mean nothing.
    fn collect(&self, node: &Node, mapping: Mapping<'_>) -> Verdict {
        let mut plan = Plan::default();
        let references = &node.meta().owner_references;
        if references.is_empty() {
            return Verdict::Do(plan);
        }
        let owners: Vec<Owner> = references.iter().map(|owner| self.owner(node, owner, mapping)).collect();
        if let Some(Owner::Ask(target)) = owners.iter().find(|owner| matches!(owner, Owner::Ask(_))) {
            return Verdict::Ask(target.clone());
        }
        plan.notes.extend(references.iter().filter_map(|owner| self.stray(node, owner)));
        if owners.contains(&Owner::Solid) {
            let solid: Vec<&OwnerReference> =
                references.iter().zip(&owners).filter(|(_, owner)| **owner == Owner::Solid).map(|(r, _)| r).collect();
            if solid.len() < references.len() {
                plan.write(patch(node, json!({"metadata": {"ownerReferences": solid}})));
            }
            return Verdict::Do(plan);
        }
        let blocked = owners.contains(&Owner::Waiting) && self.dependents(&node.meta().uid).next().is_some();
        let propagation = if blocked || node.meta().has(FOREGROUND) {
            Propagation::Foreground
        } else if node.meta().has(ORPHAN) {
            Propagation::Orphan
        } else {
            Propagation::Background
        };
        plan.write(Write::Delete { target: target(node), propagation: Some(propagation), grace_seconds: None });
        Verdict::Do(plan)
    }

    /// Says that an owner is in another namespace, where it owns nothing.
    fn stray(&self, node: &Node, owner: &OwnerReference) -> Option<Note> {
        let found = self.node(&owner.uid)?;
        let (theirs, ours) = (&found.meta().namespace, &node.meta().namespace);
        if theirs.is_empty() || ours.is_empty() || theirs == ours {
            return None;
        }
        let OwnerReference { api_version, kind, name, uid, .. } = owner;
        let text = format!(
            "ownerRef [{api_version}/{kind}, namespace: {ours}, name: {name}, uid: {uid}] does not exist in namespace {ours:?}"
        );
        let regarding = ObjectReference {
            api_version: Some(node.resource.api_version()),
            kind: Some(node.resource.kind.to_string()),
            namespace: Some(ours.to_string()),
            name: Some(node.meta().name.to_string()),
            uid: Some(node.meta().uid.to_string()),
            ..ObjectReference::default()
        };
        Some(Note::warning(regarding, "OwnerRefInvalidNamespace", text))
    }

    fn owner(&self, node: &Node, owner: &OwnerReference, mapping: Mapping<'_>) -> Owner {
        if let Some(found) = self.node(&owner.uid) {
            if node.meta().namespace.is_empty() && !found.meta().namespace.is_empty() {
                // A cluster's object cannot be owned by a namespace's: the reference is wrong, the object is not.
                return Owner::Solid;
            }
            // In another namespace it is not what the reference says.
            let visible = found.meta().namespace.is_empty() || found.meta().namespace == node.meta().namespace;
            return match (visible, found.meta().in_foreground() && owner.block_owner_deletion == Some(true)) {
                (false, _) => Owner::Absent,
                (true, true) => Owner::Waiting,
                (true, false) => Owner::Solid,
            };
        }
        if self.is_gone(&owner.uid) {
            return Owner::Absent;
        }
        // A kind that is not served may be served later: never take that for absence.
        let Some(resource) = mapping(&owner.api_version, &owner.kind) else { return Owner::Solid };
        if resource.namespaced && node.meta().namespace.is_empty() {
            // A cluster's object cannot be owned by a namespace's; which one is meant cannot be told.
            return Owner::Solid;
        }
        let namespace = if resource.namespaced { &*node.meta().namespace } else { "" };
        let mut target = Target::named(resource, namespace, &owner.name);
        target.uid = Some(owner.uid.clone());
        Owner::Ask(target)
    }

    /// Lets an object go whose blocking dependents have gone.
    fn foreground(&self, node: &Node) -> Plan {
        let mut plan = Plan::default();
        let blocks = |dependent: &Node| {
            dependent
                .meta()
                .owner_references
                .iter()
                .any(|owner| *owner.uid == *node.meta().uid && owner.block_owner_deletion == Some(true))
        };
        if !self.dependents(&node.meta().uid).any(blocks) {
            plan.write(without(node, FOREGROUND));
        }
        plan
    }

    /// Takes the object's name off its dependents, and then lets it go.
    fn orphan(&self, node: &Node) -> Plan {
        let mut plan = Plan::default();
        let release = |dependent: &Node| {
            let others: Vec<_> =
                dependent.meta().owner_references.iter().filter(|owner| *owner.uid != *node.meta().uid).collect();
            Step::from(patch(dependent, json!({"metadata": {"ownerReferences": others}})))
        };
        plan.stage(Pace::Together, self.dependents(&node.meta().uid).map(release));
        plan.write(without(node, ORPHAN));
        plan
    }
}

/// The object as it was seen: neither another of its name nor a later state.
fn target(node: &Node) -> Target {
    Target {
        resource: (*node.resource).clone(),
        namespace: node.meta().namespace.to_string(),
        name: node.meta().name.to_string(),
        uid: Some(node.meta().uid.to_string()),
        resource_version: Some(node.meta().resource_version.to_string()),
    }
}

fn patch(node: &Node, body: serde_json::Value) -> Write {
    Write::Patch { target: target(node), subresource: None, style: PatchStyle::Merge, body }
}

fn without(node: &Node, finalizer: &str) -> Write {
    let others: Vec<_> = node.meta().finalizers.iter().filter(|own| &***own != finalizer).collect();
    patch(node, json!({"metadata": {"finalizers": others}}))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use api_types::object::Resource;

    const THINGS: Resource = Resource::new("", "v1", "Thing", "things", true);

    #[test]
    fn an_owner_in_another_namespace_is_none_and_is_told_of() {
        let mut graph = Graph::default();
        let owner =
            json!({"metadata": {"name": "owner", "namespace": "elsewhere", "uid": "o", "resourceVersion": "1"}});
        let reference = json!([{"apiVersion": "v1", "kind": "Thing", "name": "owner", "uid": "o"}]);
        let child = json!({"metadata": {"name": "child", "namespace": "here", "uid": "c", "resourceVersion": "2",
            "ownerReferences": reference}});
        for object in [owner, child] {
            graph.seen(&Arc::new(THINGS), &Arc::new(serde_json::from_value(object).unwrap()));
        }
        let Verdict::Do(plan) = graph.decide("c", &|_, _| Some(THINGS)) else { panic!("asks") };
        assert!(matches!(plan.writes().collect::<Vec<_>>()[..], [Write::Delete { .. }]));
        assert_eq!(plan.notes[0].reason, "OwnerRefInvalidNamespace");
        assert_eq!(
            plan.notes[0].text,
            "ownerRef [v1/Thing, namespace: here, name: owner, uid: o] does not exist in namespace \"here\""
        );
    }
}
