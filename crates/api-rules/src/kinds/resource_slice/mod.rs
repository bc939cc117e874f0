//! ResourceSlice: devices that a driver offers, on a node or on several.

mod device;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::{
        core::v1::NodeSelector,
        resource::v1::{self, ResourcePool, ResourceSliceSpec},
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    device_claim::{self, at_most},
    fields::{self, kept},
    pod::validation::scheduling,
};
use crate::{
    kind::{Context, Names, Scope, Storage},
    names::{self, report},
    table::{cells, duration},
    typed::Resource,
    value,
};

type Errors = Vec<FieldError>;

const DEVICES_MAX: usize = 128;
/// With taints, counters or lists among them.
const ELABORATE_DEVICES_MAX: usize = 64;
const COUNTER_SETS_MAX: usize = 8;
const POOL_NAME_MAX: usize = 253;

pub struct ResourceSlice;

impl Resource for ResourceSlice {
    type Object = v1::ResourceSlice;

    const NAMES: Names = Names {
        group: "resource.k8s.io",
        version: "v1",
        kind: "ResourceSlice",
        list_kind: "ResourceSliceList",
        plural: "resourceslices",
        singular: "resourceslice",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "resourceslices", cached: true });
    const RETURNS_DELETED: bool = true;
    const GENERATION: bool = true;
    const FIELDS: &'static [&'static str] = &["spec.driver", "spec.nodeName"];
    const NOT_ENFORCED: Option<&'static str> = Some(device_claim::NOT_ALLOCATED);

    fn prepare_create(object: &mut Value, context: &Context) {
        stamp_taints(object, context);
    }

    fn prepare_update(new: &mut Value, _: &Value, _: Option<&str>, context: &Context) {
        stamp_taints(new, context);
    }

    fn validate(object: &v1::ResourceSlice, errors: &mut Errors) {
        validate_spec(&object.spec, &Path::new("spec"), errors);
    }

    fn validate_update(new: &v1::ResourceSlice, old: &v1::ResourceSlice, _: Option<&str>, errors: &mut Errors) {
        let path = Path::new("spec");
        kept(&new.spec.pool.name, &old.spec.pool.name, &path.child("pool").child("name"), errors);
        kept(&new.spec.driver, &old.spec.driver, &path.child("driver"), errors);
        kept(&new.spec.node_name, &old.spec.node_name, &path.child("nodeName"), errors);
    }

    fn cells(object: &v1::ResourceSlice, now: Timestamp) -> Vec<Value> {
        let spec = &object.spec;
        vec![
            cells::name(&object.metadata),
            spec.node_name.clone().unwrap_or_else(|| "<unset>".to_owned()).into(),
            spec.driver.as_str().into(),
            spec.pool.name.as_str().into(),
            duration::age(&object.metadata, now),
        ]
    }
}

/// A taint without a time was added now.
fn stamp_taints(object: &mut Value, context: &Context) {
    value::each(value::child(object, "spec"), "devices", |device| {
        value::each(device, "taints", |taint| value::default(taint, "timeAdded", value::time(context.now)));
    });
}

fn validate_spec(spec: &ResourceSliceSpec, path: &Path, errors: &mut Errors) {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    fields::driver(&spec.driver, &path.child("driver"), errors);
    pool(&spec.pool, &path.child("pool"), errors);
    let mut set = places(spec.node_name.as_deref(), spec.node_selector.as_ref(), spec.all_nodes, path, errors);
    match spec.per_device_node_selection {
        Some(true) => set.push("`perDeviceNodeSelection`"),
        Some(false) => errors.push(only_true(&path.child("perDeviceNodeSelection"))),
        None => {}
    }
    match set.len() {
        0 => errors.push(FieldError::required(path, ONE)),
        1 => {}
        _ => {
            let why = format!("{ONE}, but multiple fields are set");
            errors.push(FieldError::invalid(path, format!("{{{}}}", set.join(", ")), why));
        }
    }
    if let Some(selector) = spec.node_selector.as_ref().filter(|s| s.node_selector_terms.len() != 1) {
        errors.push(FieldError::invalid(
            &path.child("nodeSelector").child("nodeSelectorTerms"),
            json!(selector.node_selector_terms),
            "must have exactly one node selector term",
        ));
    }
    if spec.shared_counters.is_some() && spec.devices.is_some() {
        errors.push(FieldError::invalid(path, "", "only one of `sharedCounters` or `devices` is allowed"));
    }
    devices(spec, &path.child("devices"), errors);
    let (sets, at) = (spec.shared_counters.as_deref().unwrap_or_default(), path.child("sharedCounters"));
    if at_most(sets.len(), COUNTER_SETS_MAX, &at, errors) {
        for (i, one) in sets.iter().enumerate() {
            device::counter_set(one, &at.index(i), errors);
            if sets[..i].iter().any(|other| other.name == one.name) {
                errors.push(FieldError::duplicate(&at.index(i), one.name.as_str()));
            }
        }
    }
}

fn devices(spec: &ResourceSliceSpec, path: &Path, errors: &mut Errors) {
    let devices = spec.devices.as_deref().unwrap_or_default();
    let elaborate = devices.iter().any(|d| {
        let lists = d
            .attributes
            .iter()
            .flatten()
            .any(|(_, a)| a.bools.is_some() || a.ints.is_some() || a.strings.is_some() || a.versions.is_some());
        let given = |count: Option<usize>| count.is_some_and(|c| c > 0);
        lists || given(d.taints.as_ref().map(Vec::len)) || given(d.consumes_counters.as_ref().map(Vec::len))
    });
    let max = if elaborate { ELABORATE_DEVICES_MAX } else { DEVICES_MAX };
    if !at_most(devices.len(), max, path, errors) {
        return;
    }
    for (i, one) in devices.iter().enumerate() {
        device::validate(one, spec.per_device_node_selection == Some(true), &path.index(i), errors);
        if devices[..i].iter().any(|other| other.name == one.name) {
            errors.push(FieldError::duplicate(&path.index(i), one.name.as_str()));
        }
    }
}

fn pool(pool: &ResourcePool, path: &Path, errors: &mut Errors) {
    let at = path.child("name");
    fields::required(&pool.name, &at, errors);
    if pool.name.len() > POOL_NAME_MAX {
        errors.push(FieldError::too_long(&at, POOL_NAME_MAX));
    }
    for part in pool.name.split('/').filter(|_| !pool.name.is_empty()) {
        report(names::dns_subdomain(part), &at, part, errors);
    }
    if pool.resource_slice_count <= 0 {
        let at = path.child("resourceSliceCount");
        errors.push(FieldError::invalid(&at, pool.resource_slice_count, "must be greater than zero"));
    }
    if pool.generation < 0 {
        let at = path.child("generation");
        errors.push(FieldError::invalid(&at, pool.generation, "must be greater than or equal to zero"));
    }
}

/// Where devices can be used, said in one of three ways; answers the ways that were taken.
fn places(
    node: Option<&str>,
    selector: Option<&NodeSelector>,
    all: Option<bool>,
    path: &Path,
    errors: &mut Errors,
) -> Vec<&'static str> {
    let mut set = Vec::new();
    let at = path.child("nodeName");
    match node {
        Some("") => {
            errors.push(FieldError::invalid(&at, "", "must be either unset or set to a non-empty string"));
        }
        Some(name) => {
            set.push("`nodeName`");
            report(names::dns_subdomain(name), &at, name, errors);
        }
        None => {}
    }
    if let Some(selector) = selector {
        set.push("`nodeSelector`");
        scheduling::node_selector(selector, &path.child("nodeSelector"), errors);
    }
    match all {
        Some(true) => set.push("`allNodes`"),
        Some(false) => errors.push(only_true(&path.child("allNodes"))),
        None => {}
    }
    set
}

fn only_true(path: &Path) -> FieldError {
    FieldError::invalid(path, false, "must be either unset or set to true")
}
