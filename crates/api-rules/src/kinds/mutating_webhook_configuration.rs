//! MutatingWebhookConfiguration: who may change what is written, before it is stored.

use api_types::{field::FieldError, k8s_openapi::api::admissionregistration::v1};
use jiff::Timestamp;
use serde_json::Value;

use super::webhook::{self, Webhook};
use crate::{
    kind::{Names, Scope, Storage},
    table::{cells, duration},
    typed::Resource,
    value,
};

pub struct MutatingWebhookConfiguration;

impl Resource for MutatingWebhookConfiguration {
    type Object = v1::MutatingWebhookConfiguration;

    const NAMES: Names = Names {
        group: "admissionregistration.k8s.io",
        version: "v1",
        kind: "MutatingWebhookConfiguration",
        list_kind: "MutatingWebhookConfigurationList",
        plural: "mutatingwebhookconfigurations",
        singular: "mutatingwebhookconfiguration",
        short_names: &[],
        categories: &["api-extensions"],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "mutatingwebhookconfigurations", cached: true });
    const UPDATES_UNCONDITIONALLY: bool = false;
    const GENERATION: bool = true;
    const COUNTED: &'static str = "webhooks";
    const NOT_ENFORCED: Option<&'static str> = Some(webhook::NOT_CALLED);

    fn set_defaults(object: &mut Value) {
        webhook::defaults(object);
        value::each(object, "webhooks", |hook| value::default(hook, "reinvocationPolicy", "Never"));
    }

    fn validate(object: &v1::MutatingWebhookConfiguration, errors: &mut Vec<FieldError>) {
        let hooks: Vec<_> = object.webhooks.iter().flatten().map(Webhook::from).collect();
        webhook::validate(&hooks, errors);
    }

    fn cells(object: &v1::MutatingWebhookConfiguration, now: Timestamp) -> Vec<Value> {
        let count = object.webhooks.as_ref().map_or(0, Vec::len);
        vec![cells::name(&object.metadata), count.into(), duration::age(&object.metadata, now)]
    }
}
