//! Every namespace has a ConfigMap `kube-root-ca.crt` with the authority that pods trust the API server by.

use api_types::{
    object::{Object, Watched},
    plan::{Plan, Target, Write},
};
use serde_json::json;

use crate::view::{Namespace, RootCa};

pub const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/// `present` is the namespace's ConfigMap of that name.
pub fn reconcile(namespace: &Namespace, present: Option<&RootCa>, ca: &str) -> Plan {
    let mut plan = Plan::default();
    if namespace.terminating() || present.is_some_and(|present| *present.data.ca == *ca) {
        return plan;
    }
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "annotations": {"kubernetes.io/description": DESCRIPTION}},
        "data": {"ca.crt": ca},
    });
    plan.write(match present {
        None => Write::Ensure { resource: RootCa::RESOURCE, namespace: namespace.name().to_owned(), object },
        Some(present) => {
            object["metadata"]["resourceVersion"] = json!(present.resource_version());
            Write::Replace { target: Target::of(present), subresource: None, object }
        }
    });
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_only_what_differs() {
        let namespace = Namespace::default();
        assert!(matches!(reconcile(&namespace, None, "ca").writes().next(), Some(Write::Ensure { .. })));
        let mut present = RootCa::default();
        assert!(matches!(reconcile(&namespace, Some(&present), "ca").writes().next(), Some(Write::Replace { .. })));
        present.data.ca = "ca".into();
        assert!(reconcile(&namespace, Some(&present), "ca").is_empty());
    }
}
