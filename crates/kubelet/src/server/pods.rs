//! The pods of this node: as it knows them, and as the runtime does.

use std::collections::BTreeMap;

use pod_lifecycle::names;
use serde_json::{Value, json};

use super::{Answer, json as answer, runtime_failed};
use crate::context::Context;
use component::serve::Body;
use http::Response;

/// Every pod with the status that the node last computed.
pub fn all(context: &Context) -> Response<Body> {
    let items: Vec<_> = context.directory.list().iter().map(|entry| entry.pod.clone()).collect();
    let items: Vec<&pod_lifecycle::core::Pod> = items.iter().map(|pod| &**pod).collect();
    list(json!(items)).unwrap_or_else(|refusal| super::text(refusal.status, refusal.message))
}

/// What runs, whether anybody still wants it or not.
pub async fn running(context: &Context) -> Answer {
    let state = cri::v1::ContainerStateValue { state: cri::v1::ContainerState::ContainerRunning.into() };
    let filter = cri::v1::ContainerFilter { state: Some(state), ..Default::default() };
    let containers = context.runtime.list_containers(Some(filter)).await.map_err(|error| runtime_failed(&error))?;
    let mut pods: BTreeMap<String, Value> = BTreeMap::new();
    for container in containers {
        let label = |name: &str| container.labels.get(name).cloned().unwrap_or_default();
        let pod = pods.entry(label(names::POD_UID)).or_insert_with(|| {
            json!({
                "metadata": {
                    "name": label(names::POD_NAME),
                    "namespace": label(names::POD_NAMESPACE),
                    "uid": label(names::POD_UID),
                    "creationTimestamp": null,
                },
                "spec": {"containers": []},
                "status": {},
            })
        });
        let image = container.image.as_ref().map(|image| image.image.clone()).unwrap_or_default();
        if let Some(containers) = pod["spec"]["containers"].as_array_mut() {
            containers.push(json!({"name": label(names::CONTAINER_NAME), "image": image, "resources": {}}));
        }
    }
    list(Value::Array(pods.into_values().collect()))
}

fn list(items: Value) -> Answer {
    answer(&json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}))
}
