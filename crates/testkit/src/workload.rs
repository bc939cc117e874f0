//! Pods, what makes them, and where they run.

use std::collections::BTreeMap;

use api_types::k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, ReplicaSet, ReplicaSetSpec},
        core::v1::{Container, Node, NodeCondition, NodeSpec, NodeStatus, Pod, PodSpec, PodTemplateSpec},
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
    },
};

use crate::meta::namespaced;

/// A container `name` of the image `busybox`.
pub fn container(name: &str) -> Container {
    Container {
        name: name.to_owned(),
        image: Some("busybox".to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        termination_message_policy: Some("File".to_owned()),
        ..Container::default()
    }
}

fn pod_spec() -> PodSpec {
    PodSpec {
        containers: vec![container("main")],
        restart_policy: Some("Always".to_owned()),
        dns_policy: Some("ClusterFirst".to_owned()),
        termination_grace_period_seconds: Some(30),
        ..PodSpec::default()
    }
}

/// A pod with one container, `main`.
pub fn pod(name: &str) -> Pod {
    Pod { metadata: namespaced(name), spec: Some(pod_spec()), status: None }
}

/// A template of such pods with the label `app=<app>`.
pub fn pod_template(app: &str) -> PodTemplateSpec {
    let metadata = ObjectMeta { labels: Some(app_label(app)), ..ObjectMeta::default() };
    PodTemplateSpec { metadata: Some(metadata), spec: Some(pod_spec()) }
}

/// A replica set of `replicas` pods with the label `app=<name>`.
pub fn replica_set(name: &str, replicas: i32) -> ReplicaSet {
    let spec = ReplicaSetSpec {
        replicas: Some(replicas),
        selector: selector(name),
        template: Some(pod_template(name)),
        ..ReplicaSetSpec::default()
    };
    ReplicaSet { metadata: namespaced(name), spec: Some(spec), status: None }
}

/// A deployment of `replicas` pods with the label `app=<name>`.
pub fn deployment(name: &str, replicas: i32) -> Deployment {
    let spec = DeploymentSpec {
        replicas: Some(replicas),
        selector: selector(name),
        template: pod_template(name),
        ..DeploymentSpec::default()
    };
    Deployment { metadata: namespaced(name), spec: Some(spec), status: None }
}

/// A ready node with room for 110 pods, 4 processors and 8 GiB.
pub fn node(name: &str) -> Node {
    let room = [("cpu", "4"), ("memory", "8Gi"), ("pods", "110")];
    let room: BTreeMap<_, _> = room.into_iter().map(|(k, v)| (k.to_owned(), Quantity(v.to_owned()))).collect();
    let ready = NodeCondition { type_: "Ready".to_owned(), status: "True".to_owned(), ..NodeCondition::default() };
    let status = NodeStatus {
        capacity: Some(room.clone()),
        allocatable: Some(room),
        conditions: Some(vec![ready]),
        ..NodeStatus::default()
    };
    let metadata = ObjectMeta { namespace: None, ..namespaced(name) };
    Node { metadata, spec: Some(NodeSpec::default()), status: Some(status) }
}

fn selector(app: &str) -> LabelSelector {
    LabelSelector { match_labels: Some(app_label(app)), match_expressions: None }
}

fn app_label(app: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("app".to_owned(), app.to_owned())])
}
