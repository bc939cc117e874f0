//! The Node authorizer: a kubelet may touch its own Node, the pods bound to it, and what those pods refer to.
//!
//! What it allows beyond that (creating events, access reviews, certificate requests) are the static rules of the
//! `system:node` ClusterRole. That a kubelet writes only its *own* Node and pods is for the NodeRestriction admission
//! plugin: only there is the object known.

mod graph;

pub use graph::{Graph, MIRROR_ANNOTATION, Object, PodRefs};

use super::{Attributes, Decision, Rule, User};

/// The namespace of the nodes' heartbeats.
const NODE_LEASES: &str = "kube-node-lease";

/// Decides for kubelets; has no opinion on anybody else.
pub struct NodeAuthorizer {
    pub graph: Graph,
    rules: Vec<Rule>,
}

impl NodeAuthorizer {
    /// `rules` are those of the bootstrap ClusterRole `system:node`.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { graph: Graph::default(), rules }
    }

    pub fn authorize(&self, user: &User, asked: &Attributes) -> Decision {
        let Some(node) = user.node_name() else { return Decision::no_opinion() };
        if node.is_empty() {
            return no(format!("unknown node for user {:?}", user.name));
        }
        match (asked.api_group, asked.resource) {
            ("", "secrets") => self.read_related(node, Object::Secret, asked),
            ("", "configmaps") => self.read_related(node, Object::ConfigMap, asked),
            ("", "persistentvolumeclaims") if asked.subresource == "status" => self.update_status(node, asked),
            ("", "persistentvolumeclaims") => self.get(node, Object::Claim, asked),
            ("resource.k8s.io", "resourceclaims") => self.get(node, Object::ResourceClaim, asked),
            ("", "serviceaccounts") => self.service_account(node, asked),
            ("coordination.k8s.io", "leases") => lease(node, asked),
            ("storage.k8s.io", "csinodes") => csi_node(node, asked),
            ("resource.k8s.io", "resourceslices") => resource_slice(node, asked),
            ("", "nodes") => own_node(node, asked).unwrap_or_else(|| self.by_rules(asked)),
            ("", "pods") => self.pod(node, asked),
            _ => self.by_rules(asked),
        }
    }

    fn by_rules(&self, asked: &Attributes) -> Decision {
        if self.rules.iter().any(|rule| rule.allows(asked)) { Decision::allow() } else { Decision::no_opinion() }
    }

    /// get, list and watch of a single object that some pod of the node refers to.
    fn read_related(&self, node: &str, object: Object, asked: &Attributes) -> Decision {
        if !matches!(asked.verb, "get" | "list" | "watch") {
            return no("can only read resources of this type");
        }
        if !asked.subresource.is_empty() {
            return no("cannot read subresource");
        }
        if asked.namespace.is_empty() {
            return no("can only read namespaced object of this type");
        }
        self.related(node, object, asked)
    }

    fn get(&self, node: &str, object: Object, asked: &Attributes) -> Decision {
        if asked.verb != "get" {
            return no("can only get individual resources of this type");
        }
        if !asked.subresource.is_empty() {
            return no("cannot get subresource");
        }
        self.related(node, object, asked)
    }

    fn update_status(&self, node: &str, asked: &Attributes) -> Decision {
        match asked.verb {
            "update" | "patch" => self.related(node, Object::Claim, asked),
            _ => no("can only get/update/patch this type"),
        }
    }

    fn service_account(&self, node: &str, asked: &Attributes) -> Decision {
        match (asked.verb, asked.subresource) {
            ("get", "") | ("create", "token") => self.related(node, Object::ServiceAccount, asked),
            (_, "token") => no("can only create tokens for individual service accounts"),
            _ => no("can only get individual resources of this type"),
        }
    }

    fn pod(&self, node: &str, asked: &Attributes) -> Decision {
        match (asked.subresource, asked.verb) {
            ("", "get") => self.related(node, Object::Pod, asked),
            ("", "list" | "watch") => {
                let selected = asked.field_selector.and_then(|selector| selector.exact("spec.nodeName"));
                if selected == Some(node) {
                    Decision::allow()
                } else {
                    no("can only list/watch pods with spec.nodeName field selector")
                }
            }
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Decision::allow(),
            _ => Decision::no_opinion(),
        }
    }

    fn related(&self, node: &str, object: Object, asked: &Attributes) -> Decision {
        if asked.name.is_empty() {
            return no("No Object name found");
        }
        if self.graph.is_related(node, object, asked.namespace, asked.name) {
            Decision::allow()
        } else {
            no(format!("no relationship found between node '{node}' and this object"))
        }
    }
}

/// `None` where the static rules decide.
fn own_node(node: &str, asked: &Attributes) -> Option<Decision> {
    match (asked.subresource, asked.verb) {
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Some(Decision::allow()),
        ("", "get" | "list" | "watch") => Some(match asked.name {
            name if name == node => Decision::allow(),
            "" => no(format!("node '{node}' cannot read all nodes, only its own Node object")),
            name => no(format!("node '{node}' cannot read '{name}', only its own Node object")),
        }),
        _ => None,
    }
}

fn lease(node: &str, asked: &Attributes) -> Decision {
    if !matches!(asked.verb, "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a node lease");
    }
    if asked.namespace != NODE_LEASES {
        return no(format!("can only access leases in the {NODE_LEASES:?} system namespace"));
    }
    if asked.verb != "create" && asked.name != node {
        return no("can only access node lease with the same name as the requesting node");
    }
    Decision::allow()
}

fn csi_node(node: &str, asked: &Attributes) -> Decision {
    if !matches!(asked.verb, "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a CSINode");
    }
    if !asked.subresource.is_empty() {
        return no("cannot authorize CSINode subresources");
    }
    if asked.verb != "create" && asked.name != node {
        return no("can only access CSINode with the same name as the requesting node");
    }
    Decision::allow()
}

/// Reads and collective deletes must say the node; the writes of single slices are for NodeRestriction.
fn resource_slice(node: &str, asked: &Attributes) -> Decision {
    if !asked.subresource.is_empty() {
        return no("cannot authorize ResourceSlice subresources");
    }
    match asked.verb {
        "create" | "get" | "update" | "patch" | "delete" => Decision::allow(),
        "list" | "watch" | "deletecollection" => {
            match asked.field_selector.and_then(|selector| selector.exact("spec.nodeName")) {
                Some(selected) if selected == node => Decision::allow(),
                _ => no("can only list/watch/deletecollection resourceslices with nodeName field selector"),
            }
        }
        _ => no(
            "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
        ),
    }
}

fn no(reason: impl Into<std::sync::Arc<str>>) -> Decision {
    Decision::NoOpinion(reason.into())
}

#[cfg(test)]
mod tests;
