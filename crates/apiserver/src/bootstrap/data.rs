//! Upstream's bootstrap objects, as the data file of `api-rules` has them.

use api_rules::authz::{BOOTSTRAP, Rule};
use serde::Deserialize;
use serde_json::Value;

pub struct Data {
    pub namespaces: Vec<Value>,
    pub priority_classes: Vec<Value>,
    pub rbac: Rbac,
    pub priority_levels: Vec<Value>,
    pub flow_schemas: Vec<Value>,
}

pub struct Rbac {
    pub cluster_roles: Vec<Value>,
    pub cluster_role_bindings: Vec<Value>,
    pub roles: Vec<Value>,
    pub role_bindings: Vec<Value>,
}

#[derive(Deserialize)]
struct File {
    namespaces: Vec<Value>,
    priorityclasses: Vec<Value>,
    clusterroles: Vec<Value>,
    clusterrolebindings: Vec<Value>,
    roles: Vec<Value>,
    rolebindings: Vec<Value>,
    prioritylevelconfigurations: Vec<Value>,
    flowschemas: Vec<Value>,
}

impl Data {
    pub fn read() -> Self {
        let file: File = serde_json::from_str(BOOTSTRAP).expect("the data file is part of the program and tested");
        Self {
            namespaces: file.namespaces,
            priority_classes: file.priorityclasses,
            rbac: Rbac {
                cluster_roles: file.clusterroles,
                cluster_role_bindings: file.clusterrolebindings,
                roles: file.roles,
                role_bindings: file.rolebindings,
            },
            priority_levels: file.prioritylevelconfigurations,
            flow_schemas: file.flowschemas,
        }
    }
}

/// What the Node authorizer allows every kubelet: the rules of the ClusterRole `system:node`.
pub fn node_rules() -> Vec<Rule> {
    let roles = Data::read().rbac.cluster_roles;
    let role = roles.into_iter().find(|role| role["metadata"]["name"] == "system:node");
    let rules = role.map(|mut role| role["rules"].take()).unwrap_or_default();
    serde_json::from_value(rules).expect("the data file is part of the program and tested")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_whole() {
        let data = Data::read();
        assert_eq!((data.namespaces.len(), data.priority_classes.len()), (4, 2));
        assert_eq!((data.rbac.cluster_roles.len(), data.rbac.cluster_role_bindings.len()), (69, 50));
        assert_eq!((data.rbac.roles.len(), data.rbac.role_bindings.len()), (7, 7));
        assert_eq!((data.priority_levels.len(), data.flow_schemas.len()), (8, 11));
        assert!(node_rules().len() > 5);
    }
}
