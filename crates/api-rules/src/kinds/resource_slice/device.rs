//! One device of a slice: what it is, what it has, and where it can be used.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::resource::v1::{
        CapacityRequestPolicy, CounterSet, Device, DeviceAttribute, DeviceCapacity, DeviceCounterConsumption,
        DeviceTaint,
    },
};
use serde_json::{Value, json};

use super::{Errors, places};
use crate::{
    kinds::{
        device_claim::{at_most, attribute},
        fields::{amount, named},
    },
    names::{self, report},
};

const ENTRIES_MAX: usize = 32;
const VALUES_MAX: usize = 48;
const TAINTS_MAX: usize = 16;
const CONSUMPTIONS_MAX: usize = 2;
const COUNTERS_MAX: usize = 32;
const TEXT_MAX: usize = 64;
const CONDITIONS_MAX: usize = 4;
const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

/// `chooses` says that each device names its nodes itself.
pub fn validate(device: &Device, chooses: bool, path: &Path, errors: &mut Errors) {
    named(&device.name, names::dns_label, &path.child("name"), errors);
    let attributes = device.attributes.iter().flatten();
    let capacities = device.capacity.iter().flatten();
    let entries = attributes.clone().count() + capacities.clone().count();
    if entries > ENTRIES_MAX {
        let why = format!("the total number of attributes and capacities must not exceed {ENTRIES_MAX}");
        errors.push(FieldError::invalid(path, entries, why));
    }
    let values: usize = attributes.clone().map(|(_, a)| lists(a).into_iter().flatten().sum::<usize>().max(1)).sum();
    if values > VALUES_MAX {
        let why = format!("the total number of attribute values must not exceed {VALUES_MAX}");
        errors.push(FieldError::invalid(path, values, why));
    }
    for (name, one) in attributes {
        let at = path.child("attributes").key(name);
        attribute(name, &at, errors);
        attribute_value(one, &at, errors);
    }
    let shared = device.allow_multiple_allocations == Some(true);
    for (name, one) in capacities {
        let at = path.child("capacity").key(name);
        attribute(name, &at, errors);
        capacity(one, shared, &at.child("requestPolicy"), errors);
    }
    let taints = device.taints.as_deref().unwrap_or_default();
    if at_most(taints.len(), TAINTS_MAX, &path.child("taints"), errors) {
        taints.iter().enumerate().for_each(|(i, one)| taint(one, &path.child("taints").index(i), errors));
    }
    consumptions(device.consumes_counters.as_deref().unwrap_or_default(), &path.child("consumesCounters"), errors);
    nodes(device, chooses, path, errors);
    conditions(device.binding_conditions.as_deref(), device.binding_failure_conditions.as_deref(), path, errors);
}

/// How long each list of an attribute is that is one.
fn lists(attribute: &DeviceAttribute) -> [Option<usize>; 4] {
    [
        attribute.bools.as_ref().map(Vec::len),
        attribute.ints.as_ref().map(Vec::len),
        attribute.strings.as_ref().map(Vec::len),
        attribute.versions.as_ref().map(Vec::len),
    ]
}

fn attribute_value(attribute: &DeviceAttribute, path: &Path, errors: &mut Errors) {
    let texts =
        |member: &str, one: &Option<String>| one.iter().map(|t| (path.child(member), t.clone())).collect::<Vec<_>>();
    let many = |member: &str, list: &Option<Vec<String>>| -> Vec<_> {
        list.iter().flatten().enumerate().map(|(i, t)| (path.child(member).index(i), t.clone())).collect()
    };
    let strings = texts("string", &attribute.string).into_iter().chain(many("strings", &attribute.strings));
    let versions: Vec<_> =
        texts("version", &attribute.version).into_iter().chain(many("versions", &attribute.versions)).collect();
    for (at, _) in strings.chain(versions.iter().cloned()).filter(|(_, text)| text.len() > TEXT_MAX) {
        errors.push(FieldError::too_long(&at, TEXT_MAX));
    }
    for (at, text) in versions.iter().filter(|(_, text)| !is_semantic_version(text)) {
        let why = "must be a string compatible with semver.org spec 2.0.0";
        errors.push(FieldError::invalid(at, text.as_str(), why));
    }
    let scalars =
        [attribute.bool.is_some(), attribute.int.is_some(), attribute.string.is_some(), attribute.version.is_some()];
    let set = scalars.iter().filter(|set| **set).count() + lists(attribute).iter().flatten().count();
    if set != 1 {
        let given = if set == 0 { Value::from("") } else { json!(attribute) };
        errors.push(FieldError::invalid(path, given, "exactly one value must be specified"));
    }
}

/// semver.org 2.0.0.
fn is_semantic_version(text: &str) -> bool {
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
    let number = |part: &str| {
        !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit()) && (part == "0" || !part.starts_with('0'))
    };
    let word = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    let all_digits = |part: &str| part.bytes().all(|c| c.is_ascii_digit());
    core.split('.').count() == 3
        && core.split('.').all(number)
        && pre.is_none_or(|pre| pre.split('.').all(|part| word(part) && (!all_digits(part) || number(part))))
        && build.is_none_or(|build| build.split('.').all(word))
}

fn capacity(capacity: &DeviceCapacity, shared: bool, path: &Path, errors: &mut Errors) {
    let Some(policy) = &capacity.request_policy else { return };
    if !shared {
        errors.push(FieldError::forbidden(path, "allowMultipleAllocations must be true"));
        return;
    }
    let CapacityRequestPolicy { default, valid_range, valid_values } = policy;
    let values = valid_values.as_deref().unwrap_or_default();
    if !values.is_empty() && valid_range.is_some() {
        let why =
            "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time";
        errors.push(FieldError::forbidden(path, why));
        return;
    }
    let what = if valid_range.is_some() { "validRange" } else { "validValues" };
    let Some(default) = default else {
        if valid_range.is_some() || !values.is_empty() {
            errors.push(FieldError::required(&path.child("default"), format!("required when {what} is defined")));
        }
        return;
    };
    let (all, wanted) = (amount(Some(&capacity.value)), amount(Some(default)));
    if !values.is_empty() {
        let at = path.child(what);
        for (i, one) in values.iter().enumerate().filter(|(_, one)| amount(Some(one)) > all) {
            let why = format!("option is larger than capacity value: {}", capacity.value.0);
            errors.push(FieldError::invalid(&at.index(i), one.0.as_str(), why));
        }
        if !values.iter().any(|one| amount(Some(one)) == wanted) {
            let why = "default value is not valid according to the requestPolicy";
            errors.push(FieldError::invalid(&at, default.0.as_str(), why));
        }
    }
    let Some(range) = valid_range else { return };
    let at = path.child(what);
    let mut report = |member: &str, given: &str, why: String| {
        errors.push(FieldError::invalid(&at.child(member), given, why));
    };
    let least = amount(Some(&range.min));
    if least > all {
        report("min", &range.min.0, format!("min is larger than capacity value: {}", capacity.value.0));
    }
    if wanted < least {
        report("default", &default.0, format!("default is less than min: {}", range.min.0));
    }
    if let Some(max) = &range.max {
        let most = amount(Some(max));
        if least > most {
            report("max", &range.min.0, format!("min is larger than max: {}", max.0));
        }
        if most > all {
            report("max", &max.0, format!("max is larger than capacity value: {}", capacity.value.0));
        }
        if wanted > most {
            report("default", &default.0, format!("default is more than max: {}", max.0));
        }
    }
    if let Some(step) = range.step.as_ref().filter(|step| amount(Some(step)).signum() <= 0) {
        report("step", &step.0, "must be greater than zero".to_owned());
    }
}

fn taint(taint: &DeviceTaint, path: &Path, errors: &mut Errors) {
    named(&taint.key, names::qualified_name, &path.child("key"), errors);
    let text = taint.value.as_deref().unwrap_or_default();
    report(names::label_value(text), &path.child("value"), text, errors);
    match taint.effect.as_str() {
        "" => errors.push(FieldError::required(&path.child("effect"), "")),
        effect => names::one_of(effect, &EFFECTS, &path.child("effect"), errors),
    }
}

fn consumptions(consumptions: &[DeviceCounterConsumption], path: &Path, errors: &mut Errors) {
    if !at_most(consumptions.len(), CONSUMPTIONS_MAX, path, errors) {
        return;
    }
    for (i, one) in consumptions.iter().enumerate() {
        let at = path.index(i);
        named(&one.counter_set, names::dns_label, &at.child("counterSet"), errors);
        counters(one.counters.keys(), &at.child("counters"), errors);
        if consumptions[..i].iter().any(|other| other.counter_set == one.counter_set) {
            errors.push(FieldError::duplicate(&at, one.counter_set.as_str()));
        }
    }
}

/// What several devices of a slice draw on.
pub fn counter_set(set: &CounterSet, path: &Path, errors: &mut Errors) {
    named(&set.name, names::dns_label, &path.child("name"), errors);
    counters(set.counters.keys(), &path.child("counters"), errors);
}

fn counters<'a>(names_of: impl ExactSizeIterator<Item = &'a String>, path: &Path, errors: &mut Errors) {
    if names_of.len() == 0 {
        errors.push(FieldError::required(path, ""));
    } else if at_most(names_of.len(), COUNTERS_MAX, path, errors) {
        for name in names_of {
            report(names::dns_label(name), &path.key(name), name, errors);
        }
    }
}

fn nodes(device: &Device, chooses: bool, path: &Path, errors: &mut Errors) {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    let given = device.node_name.is_some() || device.node_selector.is_some() || device.all_nodes.is_some();
    if chooses {
        let set = places(device.node_name.as_deref(), device.node_selector.as_ref(), device.all_nodes, path, errors);
        match set.len() {
            0 => errors.push(FieldError::required(path, ONE)),
            1 => {}
            _ => errors.push(FieldError::invalid(path, format!("{{{}}}", set.join(", ")), ONE)),
        }
    } else if given {
        let why = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
        errors.push(FieldError::invalid(path, Value::Null, why));
    }
}

/// Conditions that have to be met, or make it fail, before a pod is bound.
fn conditions(wanted: Option<&[String]>, failing: Option<&[String]>, path: &Path, errors: &mut Errors) {
    for (member, list) in [("bindingConditions", wanted), ("bindingFailureConditions", failing)] {
        let (list, at) = (list.unwrap_or_default(), path.child(member));
        if at_most(list.len(), CONDITIONS_MAX, &at, errors) {
            for (i, name) in list.iter().enumerate() {
                report(names::qualified_name(name), &at.index(i), name, errors);
            }
        }
    }
    let given = |list: Option<&[String]>| list.is_some_and(|l| !l.is_empty());
    if given(wanted) != given(failing) {
        let missing = if given(wanted) { "bindingFailureConditions" } else { "bindingConditions" };
        let why = "bindingConditions and bindingFailureConditions must be specified together";
        errors.push(FieldError::invalid(&path.child(missing), json!([]), why));
    }
}

#[cfg(test)]
mod tests {
    use super::is_semantic_version;

    #[test]
    fn versions() {
        for good in ["1.2.3", "0.0.0", "1.2.3-alpha.1", "1.2.3-a-b+build.01", "1.2.3+x"] {
            assert!(is_semantic_version(good), "{good}");
        }
        for bad in ["1.2", "v1.2.3", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3+", "1.2.3.4", ""] {
            assert!(!is_semantic_version(bad), "{bad}");
        }
    }
}
