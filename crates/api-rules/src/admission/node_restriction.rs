//! NodeRestriction: a kubelet writes its own Node, its own lease, the status of pods bound to it and mirror pods, and
//! gets tokens only for pods that run on it.
//!
//! The Node authorizer has already narrowed what it may name; here the object itself is looked at.

use std::collections::BTreeSet;

use api_types::Status;
use serde_json::Value;

use super::{AdmissionRequest, Operation, Plugin, World};
use crate::authz::node::{MIRROR_ANNOTATION, Object, PodRefs};

pub struct NodeRestriction;

impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn mutate(&self, request: &AdmissionRequest, object: &mut Value, world: &dyn World) -> Result<(), Status> {
        let Some(node) = request.user.node_name() else { return Ok(()) };
        if node.is_empty() {
            return Err(request.forbidden(format!("could not determine node from user {:?}", request.user.name)));
        }
        let kubelet = Kubelet { node, request };
        match (&*request.resource.group, &*request.resource.resource, request.subresource) {
            ("", "pods", "") => kubelet.pod(object),
            ("", "pods", "status") => kubelet.pod_status(object),
            ("", "pods", "eviction") => kubelet.eviction(object, world),
            ("", "nodes", _) => kubelet.node(object),
            ("", "serviceaccounts", "token") => kubelet.token(object, world),
            ("coordination.k8s.io", "leases", _) => {
                kubelet.own_name(object, "can only access node lease with the same name as the requesting node")
            }
            ("storage.k8s.io", "csinodes", _) => {
                kubelet.own_name(object, "can only access CSINode with the same name as the requesting node")
            }
            _ => Ok(()),
        }
    }
}

/// The kubelet that asks, and what it asks.
struct Kubelet<'a> {
    node: &'a str,
    request: &'a AdmissionRequest<'a>,
}

impl Kubelet<'_> {
    fn refuse(&self, why: impl std::fmt::Display) -> Result<(), Status> {
        Err(self.request.forbidden(why))
    }

    /// The name in the request, or on a create the object's.
    fn target<'a>(&'a self, object: &'a Value) -> &'a str {
        match self.request.name {
            "" => object["metadata"]["name"].as_str().unwrap_or_default(),
            name => name,
        }
    }

    fn own_name(&self, object: &Value, why: &str) -> Result<(), Status> {
        if self.target(object) == self.node { Ok(()) } else { self.refuse(why) }
    }

    fn pod(&self, pod: &Value) -> Result<(), Status> {
        let node = self.node;
        match self.request.operation {
            Operation::Create => self.mirror_pod(pod),
            Operation::Delete if self.is_bound_here(self.request.old) => Ok(()),
            Operation::Delete => {
                self.refuse(format!("node {node:?} can only delete pods with spec.nodeName set to itself"))
            }
            operation => {
                let verb = format!("{operation:?}").to_uppercase();
                self.refuse(format!(
                    "unexpected operation {verb:?}, node {node:?} can only create and delete mirror pods"
                ))
            }
        }
    }

    fn mirror_pod(&self, pod: &Value) -> Result<(), Status> {
        let node = self.node;
        if pod["metadata"]["annotations"].get(MIRROR_ANNOTATION).is_none() {
            let why = format!(
                "pod does not have {MIRROR_ANNOTATION:?} annotation, node {node:?} can only create mirror pods"
            );
            return self.refuse(why);
        }
        if pod["spec"]["nodeName"] != node {
            return self.refuse(format!("node {node:?} can only create pods with spec.nodeName set to itself"));
        }
        let owners = pod["metadata"]["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
        if owners.len() > 1 {
            return self
                .refuse(format!("node {node:?} can only create pods with a single owner reference set to itself"));
        }
        if let Some(owner) = owners.first()
            && !(owner["apiVersion"] == "v1" && owner["kind"] == "Node" && owner["name"] == node)
        {
            return self.refuse(format!("node {node:?} can only create pods with an owner reference set to itself"));
        }
        let mut plain = pod.clone();
        if let Some(annotations) = plain["metadata"]["annotations"].as_object_mut() {
            annotations.remove(MIRROR_ANNOTATION);
        }
        match PodRefs::of(&plain).objects.first() {
            None => Ok(()),
            Some((object, _)) => {
                let what = match object {
                    Object::ServiceAccount => "a service account",
                    Object::ConfigMap => "configmaps",
                    Object::Claim => "persistentvolumeclaims",
                    Object::ResourceClaim => "resourceclaims",
                    Object::Secret | Object::Pod => "secrets",
                };
                self.refuse(format!("node {node:?} can not create pods that reference {what}"))
            }
        }
    }

    fn pod_status(&self, pod: &Value) -> Result<(), Status> {
        let node = self.node;
        if self.request.operation != Operation::Update {
            return self.refuse(format!("unexpected operation, node {node:?} can only update the status of pods"));
        }
        if !self.is_bound_here(self.request.old) {
            return self
                .refuse(format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself"));
        }
        let old = self.request.old.map(|old| &old["metadata"]["labels"]);
        if changed(old, &pod["metadata"]["labels"]).next().is_some() {
            return self.refuse(format!("node {node:?} cannot update labels through pod status"));
        }
        Ok(())
    }

    fn eviction(&self, eviction: &Value, world: &dyn World) -> Result<(), Status> {
        let pod = world.get("", "pods", self.request.namespace, self.target(eviction));
        match pod {
            Some(pod) if self.is_bound_here(Some(&pod)) => Ok(()),
            Some(_) => self.refuse(format!("node {} can only evict pods with spec.nodeName set to itself", self.node)),
            None => Err(Status::not_found(&self.request.group_resource(), self.target(eviction))),
        }
    }

    fn node(&self, object: &Value) -> Result<(), Status> {
        let (node, request) = (self.node, self.request);
        let target = self.target(object);
        if target != node {
            return self.refuse(format!("node {node:?} is not allowed to modify node {target:?}"));
        }
        let labels = &object["metadata"]["labels"];
        match request.operation {
            Operation::Create => {
                let forbidden: BTreeSet<_> = changed(None, labels).filter(|label| is_restricted(label)).collect();
                if !forbidden.is_empty() {
                    let list = join(&forbidden);
                    return self.refuse(format!("node {node:?} is not allowed to set the following labels: {list}"));
                }
            }
            Operation::Update => {
                let old = request.old.unwrap_or(&Value::Null);
                let old_labels = &old["metadata"]["labels"];
                let forbidden: BTreeSet<_> =
                    changed(Some(old_labels), labels).filter(|label| is_restricted(label)).collect();
                if !forbidden.is_empty() {
                    return self.refuse(format!("is not allowed to modify labels: {}", join(&forbidden)));
                }
                if !same_list(&old["spec"]["taints"], &object["spec"]["taints"]) {
                    return self.refuse(format!("node {node:?} is not allowed to modify taints"));
                }
                if !same_list(&old["metadata"]["ownerReferences"], &object["metadata"]["ownerReferences"]) {
                    return self.refuse(format!("node {node:?} is not allowed to modify ownerReferences"));
                }
            }
            Operation::Delete | Operation::Connect => {}
        }
        Ok(())
    }

    fn token(&self, token: &Value, world: &dyn World) -> Result<(), Status> {
        let bound = &token["spec"]["boundObjectRef"];
        if bound["kind"] != "Pod" || bound["apiVersion"] != "v1" {
            return self.refuse("node requested token not bound to a pod");
        }
        let text = |field: &str| bound[field].as_str().unwrap_or_default();
        if text("name").is_empty() {
            return self.refuse("node requested token bound to a pod without a name");
        }
        if text("uid").is_empty() {
            return self.refuse("node requested token with a pod binding without a uid");
        }
        let Some(pod) = world.get("", "pods", self.request.namespace, text("name")) else {
            return self.refuse(format!("pod {:?} not found", text("name")));
        };
        if pod["metadata"]["uid"] != text("uid") {
            return self.refuse(format!(
                "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
                text("uid")
            ));
        }
        if !self.is_bound_here(Some(&pod)) {
            return self.refuse("node requested token bound to a pod scheduled on a different node");
        }
        Ok(())
    }

    fn is_bound_here(&self, pod: Option<&Value>) -> bool {
        pod.is_some_and(|pod| pod["spec"]["nodeName"] == self.node)
    }
}

/// The labels that are not the same before and after.
fn changed<'a>(old: Option<&'a Value>, new: &'a Value) -> impl Iterator<Item = &'a str> {
    let old = old.and_then(Value::as_object);
    let new = new.as_object();
    let keys = old.into_iter().chain(new).flat_map(|map| map.keys());
    keys.filter(move |key| old.and_then(|map| map.get(*key)) != new.and_then(|map| map.get(*key))).map(String::as_str)
}

/// A missing list is an empty one.
fn same_list(old: &Value, new: &Value) -> bool {
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    items(old) == items(new)
}

fn join(labels: &BTreeSet<&str>) -> String {
    labels.iter().copied().collect::<Vec<_>>().join(", ")
}

/// Labels of the project's own domains that a kubelet may put on its node.
const KUBELET_LABELS: [&str; 12] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.kubernetes.io/region",
    "failure-domain.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];
/// Domains in which a kubelet may set any label.
const KUBELET_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// The domain that is reserved for administrators who separate workloads by node.
const RESERVED_DOMAIN: &str = "node-restriction.kubernetes.io";

fn is_restricted(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let within = |parent: &str| domain == parent || domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
    if within(RESERVED_DOMAIN) {
        return true;
    }
    let kubernetes = within("kubernetes.io") || within("k8s.io");
    kubernetes && !KUBELET_LABELS.contains(&label) && !KUBELET_DOMAINS.iter().any(|allowed| within(allowed))
}
