//! Features that a node has to declare before pods that use them may come (KEP-5328).

use crate::object::Pod;

/// A set of the features that some pod can ask for; what else nodes declare decides nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features {
    pub restart_all_containers: bool,
    pub user_namespaces_host_network: bool,
}

impl Features {
    /// Those that a pod's spec uses.
    pub fn of_pod(pod: &Pod) -> Self {
        let spec = &pod.spec;
        let mut rules = spec.containers.iter().chain(&spec.init_containers).flat_map(|c| &c.restart_policy_rules);
        Self {
            restart_all_containers: rules.any(|rule| rule.action == "RestartAllContainers"),
            user_namespaces_host_network: spec.host_network && spec.host_users == Some(false),
        }
    }

    /// Those that a node declares.
    pub fn of_node(declared: &[String]) -> Self {
        let has = |name: &str| declared.iter().any(|feature| feature == name);
        Self {
            restart_all_containers: has("RestartAllContainersOnContainerExits"),
            user_namespaces_host_network: has("UserNamespacesHostNetworkSupport"),
        }
    }

    pub fn are_among(self, declared: Self) -> bool {
        (!self.restart_all_containers || declared.restart_all_containers)
            && (!self.user_namespaces_host_network || declared.user_namespaces_host_network)
    }

    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}
