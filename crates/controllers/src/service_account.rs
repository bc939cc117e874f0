//! Every namespace has a service account named `default`.

use api_types::{
    k8s_openapi::api::core::v1::ServiceAccount,
    object::{Object, Watched},
    plan::{Plan, Write},
};
use serde_json::json;

use crate::view::Namespace;

pub const NAME: &str = "default";

/// `exists`: whether the namespace has its default account.
pub fn reconcile(namespace: &Namespace, exists: bool) -> Plan {
    let mut plan = Plan::default();
    if !exists && !namespace.terminating() {
        plan.write(Write::Ensure {
            resource: ServiceAccount::RESOURCE,
            namespace: namespace.name().to_owned(),
            object: json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME}}),
        });
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_what_is_missing() {
        let mut namespace = Namespace::default();
        assert!(!reconcile(&namespace, false).is_empty());
        assert!(reconcile(&namespace, true).is_empty());
        namespace.status.phase = "Terminating".into();
        assert!(reconcile(&namespace, false).is_empty());
    }
}
