//! Deployments and ReplicaSets as the controllers see them: there are many, and most of what they hold is templates.
//!
//! A template is kept as the text it came as, a tenth of what it takes when decoded, and decoded when a pod is made of
//! it or it is compared. Metadata is kept whole: a write of the status replaces labels and annotations too.

use std::collections::BTreeMap;

use api_types::{
    k8s_openapi::{
        api::{
            apps::v1::{DeploymentStatus, DeploymentStrategy, ReplicaSetStatus},
            core::v1::PodTemplateSpec,
        },
        apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
    },
    object::{Object, Resource, Watched},
    plan::{Target, Write},
};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Deployment {
    pub metadata: ObjectMeta,
    pub spec: Option<DeploymentSpec>,
    pub status: Option<DeploymentStatus>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentSpec {
    pub min_ready_seconds: Option<i32>,
    pub paused: Option<bool>,
    pub progress_deadline_seconds: Option<i32>,
    pub replicas: Option<i32>,
    pub revision_history_limit: Option<i32>,
    pub selector: LabelSelector,
    pub strategy: Option<DeploymentStrategy>,
    pub template: Template,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ReplicaSet {
    pub metadata: ObjectMeta,
    pub spec: Option<ReplicaSetSpec>,
    pub status: Option<ReplicaSetStatus>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetSpec {
    pub min_ready_seconds: Option<i32>,
    pub replicas: Option<i32>,
    pub selector: LabelSelector,
    pub template: Template,
}

macro_rules! watched {
    ($type:ty, $kind:literal, $plural:literal) => {
        impl Object for $type {
            fn namespace(&self) -> &str {
                self.metadata.namespace.as_deref().unwrap_or_default()
            }
            fn name(&self) -> &str {
                self.metadata.name.as_deref().unwrap_or_default()
            }
            fn uid(&self) -> &str {
                self.metadata.uid.as_deref().unwrap_or_default()
            }
            fn resource_version(&self) -> &str {
                self.metadata.resource_version.as_deref().unwrap_or_default()
            }
            fn slim(&mut self) {
                self.metadata.managed_fields = None;
                shrink(&mut self.metadata.owner_references);
                if let Some(status) = &mut self.status {
                    shrink(&mut status.conditions);
                }
            }
        }

        impl Watched for $type {
            const RESOURCE: Resource = Resource::new("apps", "v1", $kind, $plural, true);
        }
    };
}
watched!(Deployment, "Deployment", "deployments");
watched!(ReplicaSet, "ReplicaSet", "replicasets");

/// A list that was read from JSON has room for four elements at least.
fn shrink<T>(list: &mut Option<Vec<T>>) {
    if let Some(list) = list {
        list.shrink_to_fit();
    }
}

/// A pod template as its text.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Template(Box<RawValue>);

impl Default for Template {
    fn default() -> Self {
        Self(RawValue::NULL.to_owned())
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Template {
    /// One that is none is empty.
    pub fn decode(&self) -> PodTemplateSpec {
        // The API has validated it.
        serde_json::from_str::<Option<PodTemplateSpec>>(self.0.get()).ok().flatten().unwrap_or_default()
    }

    /// The labels alone, without decoding the rest.
    pub fn labels(&self) -> BTreeMap<String, String> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Labelled {
            metadata: Labels,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Labels {
            labels: BTreeMap<String, String>,
        }
        let labelled = serde_json::from_str::<Option<Labelled>>(self.0.get()).ok().flatten();
        labelled.unwrap_or_default().metadata.labels
    }
}

/// Writes the status of an object, and with it its labels and annotations; the rest of it is not sent.
pub(crate) fn write_status<K: Watched>(object: &K, metadata: &ObjectMeta, status: &impl Serialize) -> Write {
    let object_sent = json!({
        "apiVersion": K::RESOURCE.api_version(),
        "kind": K::RESOURCE.kind,
        "metadata": metadata,
        "status": status,
    });
    Write::Replace { target: Target::of(object), subresource: Some("status"), object: object_sent }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_read_when_asked_for() {
        let text = r#"{"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}"#;
        let spec: ReplicaSetSpec = serde_json::from_str(text).unwrap();
        assert_eq!(spec.template.labels(), BTreeMap::from([("a".to_owned(), "b".to_owned())]));
        assert_eq!(spec.template.decode().spec.unwrap().containers[0].image.as_deref(), Some("i"));
        let from_value: ReplicaSetSpec = serde_json::from_value(serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(from_value.template.decode(), spec.template.decode());
        assert_eq!(Template::default().decode(), PodTemplateSpec::default());
        assert!(Template::default().labels().is_empty());
    }
}
