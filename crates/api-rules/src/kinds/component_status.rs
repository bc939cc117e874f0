//! ComponentStatus: whether scheduler, controller manager and etcd answer. Deprecated, never stored: the server asks them
//! when it is asked.

use api_types::k8s_openapi::api::core::v1;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    kind::{Names, Scope, Storage},
    table::cells,
    typed::Resource,
};

pub struct ComponentStatus;

impl Resource for ComponentStatus {
    type Object = v1::ComponentStatus;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "ComponentStatus",
        list_kind: "ComponentStatusList",
        plural: "componentstatuses",
        singular: "componentstatus",
        short_names: &["cs"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const VERBS: &'static [&'static str] = &["get", "list"];
    const STORAGE: Option<Storage> = None;

    fn cells(object: &v1::ComponentStatus, _: Timestamp) -> Vec<Value> {
        let health = object.conditions.iter().flatten().find(|c| c.type_ == "Healthy");
        let status = match health.map(|c| c.status.as_str()) {
            None => "Unknown",
            Some("True") => "Healthy",
            Some(_) => "Unhealthy",
        };
        let text = |text: Option<&String>| Value::from(text.cloned().unwrap_or_default());
        vec![
            cells::name(&object.metadata),
            status.into(),
            text(health.and_then(|c| c.message.as_ref())),
            text(health.and_then(|c| c.error.as_ref())),
        ]
    }
}
