//! PersistentVolumeClaim: storage that is wanted. Once it is bound, only its size and class of attributes may change.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1::{self, PersistentVolumeClaimSpec},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    fields::{self, kept, required},
    pod::validation::update::differences,
    validate_label_selector,
    volume::{self, CLASS_ANNOTATION, VOLUME_MODES},
};
use crate::{
    kind::{Context, Names, Scope, Storage, Subresource},
    names::{self, one_of, report},
    table::{cells, duration},
    typed::{Resource, status_of},
    value,
};

type Errors = Vec<FieldError>;

const UNSET: &str = "<unset>";
const IMMUTABLE: &str =
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

pub struct PersistentVolumeClaim;

impl Resource for PersistentVolumeClaim {
    type Object = v1::PersistentVolumeClaim;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "PersistentVolumeClaim",
        list_kind: "PersistentVolumeClaimList",
        plural: "persistentvolumeclaims",
        singular: "persistentvolumeclaim",
        short_names: &["pvc"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "persistentvolumeclaims", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[status_of(&Self::NAMES)];
    const RETURNS_DELETED: bool = true;
    const NOT_ENFORCED: Option<&'static str> = Some(
        "claims are bound to volumes that exist; none are provisioned, and nodes mount those of type hostPath and local alone",
    );

    fn set_defaults(object: &mut Value) {
        value::default(value::child(object, "status"), "phase", "Pending");
        spec_defaults(value::child(object, "spec"));
    }

    fn prepare_create(object: &mut Value, _: &Context) {
        value::set(object, &["status"], json!({"phase": "Pending"}));
        normalise_source(value::child(object, "spec"));
    }

    fn prepare_update(new: &mut Value, _: &Value, subresource: Option<&str>, _: &Context) {
        if subresource.is_none() {
            normalise_source(value::child(new, "spec"));
        }
    }

    fn validate(object: &v1::PersistentVolumeClaim, errors: &mut Errors) {
        spec(&object.spec.clone().unwrap_or_default(), &Path::new("spec"), errors);
    }

    fn validate_update(
        new: &v1::PersistentVolumeClaim,
        old: &v1::PersistentVolumeClaim,
        subresource: Option<&str>,
        errors: &mut Errors,
    ) {
        match subresource {
            None => validate_change(new, old, errors),
            Some(_) => validate_status(new, errors),
        }
    }

    fn warnings(object: &v1::PersistentVolumeClaim) -> Vec<String> {
        let mut warnings = Vec::new();
        if annotated_class(object).is_some() {
            warnings.push(format!(
                "metadata.annotations[{CLASS_ANNOTATION}]: deprecated since v1.8; use \"storageClassName\" attribute instead"
            ));
        }
        let request = object.spec.as_ref().and_then(|s| s.resources.as_ref()).and_then(|r| r.requests.as_ref());
        if let Some(size) = request.and_then(|r| r.get("storage"))
            && fields::amount(Some(size)).milli_value() % 1000 != 0
        {
            warnings.push(format!(
                "spec.resources.requests[storage]: fractional byte value {:?} is invalid, must be an integer",
                size.0
            ));
        }
        warnings
    }

    fn cells(object: &v1::PersistentVolumeClaim, now: Timestamp) -> Vec<Value> {
        let class = annotated_class(object).cloned();
        let spec = object.spec.clone().unwrap_or_default();
        let status = object.status.clone().unwrap_or_default();
        let volume = spec.volume_name.unwrap_or_default();
        let (mut capacity, mut modes) = (String::new(), String::new());
        if !volume.is_empty() {
            capacity = fields::amount(status.capacity.as_ref().and_then(|c| c.get("storage"))).to_string();
            modes = volume::short_access_modes(status.access_modes.as_deref().unwrap_or_default());
        }
        let phase = match object.metadata.deletion_timestamp {
            Some(_) => "Terminating".to_owned(),
            None => status.phase.unwrap_or_default(),
        };
        vec![
            cells::name(&object.metadata),
            phase.into(),
            volume.into(),
            capacity.into(),
            modes.into(),
            class.or(spec.storage_class_name).unwrap_or_default().into(),
            spec.volume_attributes_class_name.unwrap_or_else(|| UNSET.to_owned()).into(),
            duration::age(&object.metadata, now),
            spec.volume_mode.unwrap_or_else(|| UNSET.to_owned()).into(),
        ]
    }
}

/// The defaults of a claim's spec, wherever it stands.
pub fn spec_defaults(spec: &mut Value) {
    value::default(spec, "volumeMode", "Filesystem");
}

/// `dataSource` and `dataSourceRef` say the same, unless the latter leads to another namespace.
fn normalise_source(spec: &mut Value) {
    let old = spec.get("dataSource").filter(|s| s.is_object()).cloned();
    let new = spec.get("dataSourceRef").filter(|s| s.is_object()).cloned();
    match (old, new) {
        (Some(source), None) => value::set(spec, &["dataSourceRef"], source),
        (None, Some(mut source)) if value::text(&source, &["namespace"]).is_empty() => {
            value::remove(&mut source, &["namespace"]);
            value::set(spec, &["dataSource"], source);
        }
        _ => {}
    }
}

fn annotated_class(object: &v1::PersistentVolumeClaim) -> Option<&String> {
    object.metadata.annotations.as_ref()?.get(CLASS_ANNOTATION)
}

/// What a claim's spec may say, wherever it stands.
pub fn spec(spec: &PersistentVolumeClaimSpec, path: &Path, errors: &mut Errors) {
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    if modes.is_empty() {
        errors.push(FieldError::required(&path.child("accessModes"), "at least 1 access mode is required"));
    }
    if let Some(selector) = &spec.selector {
        validate_label_selector(selector, &path.child("selector"), errors);
    }
    volume::access_modes(modes, &path.child("accessModes"), errors);
    let at = path.child("resources").key("storage");
    match spec.resources.as_ref().and_then(|r| r.requests.as_ref()).and_then(|r| r.get("storage")) {
        Some(size) => fields::positive(size, &at, errors),
        None => errors.push(FieldError::required(&at, "")),
    }
    for (member, class) in [
        ("storageClassName", &spec.storage_class_name),
        ("volumeAttributesClassName", &spec.volume_attributes_class_name),
    ] {
        if let Some(class) = class.as_deref().filter(|c| !c.is_empty()) {
            report(names::dns_subdomain(class), &path.child(member), class, errors);
        }
    }
    if let Some(mode) = &spec.volume_mode {
        one_of(mode, &VOLUME_MODES, &path.child("volumeMode"), errors);
    }
    sources(spec, path, errors);
}

fn sources(spec: &PersistentVolumeClaimSpec, path: &Path, errors: &mut Errors) {
    if let Some(source) = &spec.data_source {
        let at = path.child("dataSource");
        source_form(&source.name, &source.kind, source.api_group.as_deref(), &at, errors);
    }
    let Some(source) = &spec.data_source_ref else { return };
    let at = path.child("dataSourceRef");
    source_form(&source.name, &source.kind, source.api_group.as_deref(), &at, errors);
    let namespace = source.namespace.as_deref().unwrap_or_default();
    if !namespace.is_empty() {
        report(names::dns_label(namespace), &at.child("namespace"), namespace, errors);
    }
    let Some(other) = &spec.data_source else { return };
    let why = if !namespace.is_empty() {
        "may not be specified when dataSourceRef.namespace is specified"
    } else if (&other.api_group, &other.kind, &other.name) != (&source.api_group, &source.kind, &source.name) {
        "must match dataSourceRef"
    } else {
        return;
    };
    errors.push(FieldError::invalid(path, path.child("dataSource").as_str(), why));
}

fn source_form(name: &str, kind: &str, group: Option<&str>, path: &Path, errors: &mut Errors) {
    required(name, &path.child("name"), errors);
    required(kind, &path.child("kind"), errors);
    match group.unwrap_or_default() {
        "" if kind != "PersistentVolumeClaim" => errors.push(FieldError::invalid(
            path,
            kind,
            "must be 'PersistentVolumeClaim' when referencing the default apiGroup",
        )),
        "" => {}
        group => report(names::dns_subdomain(group), &path.child("apiGroup"), group, errors),
    }
}

fn validate_change(new: &v1::PersistentVolumeClaim, old: &v1::PersistentVolumeClaim, errors: &mut Errors) {
    let was = old.spec.clone().unwrap_or_default();
    let is = new.spec.clone().unwrap_or_default();
    if annotated_class(old) != annotated_class(new) && annotated_class(old) != is.storage_class_name.as_ref() {
        kept(
            &annotated_class(new),
            &annotated_class(old),
            &Path::new("metadata").child("annotations").key(CLASS_ANNOTATION),
            errors,
        );
    }
    let mut wanted = is.clone();
    if was.volume_name.as_ref().is_none_or(String::is_empty) {
        wanted.volume_name.clone_from(&was.volume_name);
    }
    let named_by_annotation = annotated_class(old).is_none_or(|class| Some(class) == is.storage_class_name.as_ref());
    if was.storage_class_name.is_none() && named_by_annotation {
        wanted.storage_class_name = None;
    }
    let size = |spec: &PersistentVolumeClaimSpec| {
        spec.resources.as_ref().and_then(|r| r.requests.as_ref()).and_then(|r| r.get("storage")).cloned()
    };
    let is_bound = new.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Bound"));
    if let (true, Some(before)) = (is_bound, size(&was)) {
        let resources = wanted.resources.get_or_insert_default();
        resources.requests.get_or_insert_default().insert("storage".to_owned(), before);
    }
    wanted.volume_attributes_class_name.clone_from(&was.volume_attributes_class_name);
    if wanted != was {
        let changed = differences(&json!(wanted), &json!(was), "spec").join("\n");
        errors.push(FieldError::forbidden(&Path::new("spec"), format!("{IMMUTABLE}\n{changed}")));
    }
    let (size, before) = (fields::amount(size(&is).as_ref()), fields::amount(size(&was).as_ref()));
    let has = old.status.as_ref().and_then(|s| s.capacity.as_ref()).and_then(|c| c.get("storage"));
    if size < before && size <= fields::amount(has) {
        errors.push(FieldError::forbidden(
            &Path::new("spec").child("resources").child("requests").child("storage"),
            "field can not be less than status.capacity",
        ));
    }
    kept(&is.volume_mode, &was.volume_mode, &Path::new("volumeMode"), errors);
    let why = match (&was.volume_attributes_class_name, is.volume_attributes_class_name.as_deref()) {
        (Some(_), None) => "update from non-nil value to nil is forbidden",
        (Some(before), Some("")) if !before.is_empty() => "update from non-nil value to an empty string is forbidden",
        _ => return,
    };
    errors.push(FieldError::forbidden(&Path::new("spec").child("volumeAttributesClassName"), why));
}

fn validate_status(new: &v1::PersistentVolumeClaim, errors: &mut Errors) {
    let path = Path::new("status");
    let status = new.status.clone().unwrap_or_default();
    for (member, list) in [("capacity", &status.capacity), ("allocatedResources", &status.allocated_resources)] {
        for (name, quantity) in list.iter().flatten() {
            if fields::amount(Some(quantity)).signum() < 0 {
                let at = path.child(member).key(name);
                errors.push(FieldError::invalid(&at, quantity.0.as_str(), "must be a valid resource quantity"));
            }
        }
    }
}
