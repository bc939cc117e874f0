//! The node's object: made when it is not there, and given our labels when it is.

use crate::context::Context;
use api_types::{
    object::Watched,
    plan::{PatchStyle, Target},
};
use pod_lifecycle::core::{Node, NodeSpec};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(7);

/// The object as this kubelet would make it.
pub fn object(context: &Context) -> Node {
    let config = &context.config;
    let mut node = Node::default();
    node.metadata.name = Some(config.node_name.clone());
    node.metadata.labels = Some(labels(context));
    node.metadata.annotations =
        Some([("volumes.kubernetes.io/controller-managed-attach-detach".to_owned(), "true".to_owned())].into());
    node.spec = Some(NodeSpec {
        provider_id: config.file.provider_id.clone(),
        taints: Some(config.taints.clone()).filter(|t| !t.is_empty()),
        ..NodeSpec::default()
    });
    node.status = Some(super::status::base(context));
    node
}

fn labels(context: &Context) -> BTreeMap<String, String> {
    let arch = component::version::go_arch().to_owned();
    let mut labels = context.config.labels.clone();
    for (key, value) in [
        ("kubernetes.io/hostname", context.config.node_name.clone()),
        ("kubernetes.io/os", "linux".into()),
        ("kubernetes.io/arch", arch.clone()),
        ("beta.kubernetes.io/os", "linux".into()),
        ("beta.kubernetes.io/arch", arch),
    ] {
        labels.insert(key.to_owned(), value);
    }
    labels
}

/// Tries until the API server has our node.
pub async fn register(context: &Context) {
    let mut backoff = client::Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        match once(context).await {
            Ok(()) => return,
            Err(error) => tracing::warn!("cannot register the node: {:#}", anyhow::Error::new(error)),
        }
        tokio::time::sleep(backoff.next(&context.jitter)).await;
    }
}

async fn once(context: &Context) -> Result<(), client::Error> {
    let wanted = json!(object(context));
    match context.api.create::<Value>(&Node::RESOURCE, "", &wanted).await {
        Ok(_) => {
            tracing::info!(node = context.config.node_name, "registered");
            Ok(())
        }
        Err(error) if error.already_exists() => {
            let target = Target::named(Node::RESOURCE, "", &context.config.node_name);
            let patch = json!({"metadata": {"labels": wanted["metadata"]["labels"], "annotations": wanted["metadata"]["annotations"]}});
            context.api.patch::<Value>(&target, None, PatchStyle::Merge, &patch).await.map(drop)
        }
        Err(error) => Err(error),
    }
}
