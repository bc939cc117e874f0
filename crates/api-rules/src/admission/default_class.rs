//! DefaultStorageClass and DefaultIngressClass: claims and Ingresses that name no class get the one marked as default.

use api_types::Status;
use serde_json::{Value, json};

use super::{AdmissionRequest, Operation, Plugin, World};

pub struct DefaultStorageClass;
pub struct DefaultIngressClass;

const STORAGE: &str = "storage.k8s.io";
const STORAGE_DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const STORAGE_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

const NETWORKING: &str = "networking.k8s.io";
const INGRESS_DEFAULT: [&str; 1] = ["ingressclass.kubernetes.io/is-default-class"];
const INGRESS_ANNOTATION: &str = "kubernetes.io/ingress.class";

impl Plugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn mutate(&self, request: &AdmissionRequest, object: &mut Value, world: &dyn World) -> Result<(), Status> {
        let is_new = request.operation == Operation::Create && request.is_core("persistentvolumeclaims", "");
        // An empty name is a name: it says that no class is wanted.
        let named = object["spec"]["storageClassName"].is_string() || annotation(object, STORAGE_ANNOTATION).is_some();
        if is_new && !named {
            set_default(object, "storageClassName", world, (STORAGE, "storageclasses"), &STORAGE_DEFAULT);
        }
        Ok(())
    }
}

impl Plugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn mutate(&self, request: &AdmissionRequest, object: &mut Value, world: &dyn World) -> Result<(), Status> {
        let is_new = request.operation == Operation::Create
            && request.is(NETWORKING, "ingresses")
            && request.subresource.is_empty();
        let named = object["spec"]["ingressClassName"].is_string() || annotation(object, INGRESS_ANNOTATION).is_some();
        if is_new && !named {
            set_default(object, "ingressClassName", world, (NETWORKING, "ingressclasses"), &INGRESS_DEFAULT);
        }
        Ok(())
    }
}

/// Of several defaults the newest counts; of equally old ones the first by name.
fn set_default(object: &mut Value, field: &str, world: &dyn World, classes: (&str, &str), marks: &[&str]) {
    let key = |class: &Value| {
        let text = |member: &str| class["metadata"][member].as_str().unwrap_or_default().to_owned();
        (std::cmp::Reverse(text("creationTimestamp")), text("name"))
    };
    let classes = world.list(classes.0, classes.1);
    let marked = |class: &&std::sync::Arc<Value>| marks.iter().any(|mark| annotation(class, mark) == Some("true"));
    if let Some(class) = classes.iter().filter(marked).min_by_key(|class| key(class))
        && let Some(spec) = object["spec"].as_object_mut()
    {
        spec.insert(field.to_owned(), json!(class["metadata"]["name"]));
    }
}

fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"].get(key)?.as_str()
}
