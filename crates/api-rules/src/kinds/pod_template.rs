//! PodTemplate: a pod to copy, kept for whoever wants to.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{pod, workload};
use crate::{
    kind::{Context, Names, Scope, Storage},
    table::cells,
    typed::Resource,
    value,
};

pub struct PodTemplate;

impl Resource for PodTemplate {
    type Object = v1::PodTemplate;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "PodTemplate",
        list_kind: "PodTemplateList",
        plural: "podtemplates",
        singular: "podtemplate",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "podtemplates", cached: true });

    fn set_defaults(object: &mut Value) {
        workload::default_pod_template(value::child(object, "template"));
    }

    fn prepare_create(object: &mut Value, _: &Context) {
        value::set(object, &["metadata", "generation"], json!(1));
    }

    /// There is no `spec`: it is the template whose changes count.
    fn prepare_update(new: &mut Value, old: &Value, _: Option<&str>, _: &Context) {
        if new.get("template") != old.get("template") {
            let had = value::at(old, &["metadata", "generation"]).and_then(Value::as_i64).unwrap_or(0);
            value::set(new, &["metadata", "generation"], json!(had + 1));
        }
    }

    fn validate(object: &v1::PodTemplate, errors: &mut Vec<FieldError>) {
        let path = Path::new("template");
        match &object.template {
            Some(template) => pod::validation::template(template, &path, errors),
            None => errors.push(FieldError::required(&path.child("spec").child("containers"), "")),
        }
    }

    fn warnings(object: &v1::PodTemplate) -> Vec<String> {
        let spec = object.template.as_ref().and_then(|t| t.spec.as_ref());
        spec.map(|s| pod::warnings::of_spec(s, &Path::new("template").child("spec"))).unwrap_or_default()
    }

    fn cells(object: &v1::PodTemplate, _: Timestamp) -> Vec<Value> {
        let template = object.template.as_ref();
        let [names, images] = cells::containers(template);
        let labels = template.and_then(|t| t.metadata.as_ref()).and_then(|m| m.labels.as_ref());
        vec![cells::name(&object.metadata), names, images, cells::labels(labels).into()]
    }
}
