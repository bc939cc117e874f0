//! LimitRange: what a single container, pod or claim of a namespace may ask for, and what it gets if it does not say.
//! Admission applies it.

use std::collections::{BTreeMap, BTreeSet};

use api_types::{
    Quantity,
    field::{FieldError, Path},
    k8s_openapi::{
        api::core::v1::{self, LimitRangeItem},
        apimachinery::pkg::api::resource::Quantity as Text,
    },
};
use jiff::Timestamp;
use serde_json::Value;

use super::pod::validation::resources;
use crate::{
    kind::{Names, Scope, Storage},
    names::{self, report},
    table::{cells, duration},
    typed::Resource,
    value,
};

type List = BTreeMap<String, Text>;

pub struct LimitRange;

impl Resource for LimitRange {
    type Object = v1::LimitRange;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "LimitRange",
        list_kind: "LimitRangeList",
        plural: "limitranges",
        singular: "limitrange",
        short_names: &["limits"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "limitranges", cached: true });

    fn set_defaults(object: &mut Value) {
        value::each(value::child(object, "spec"), "limits", |item| {
            if item["type"] == "Container" {
                fill(item, "default", "max");
                fill(item, "defaultRequest", "default");
                fill(item, "defaultRequest", "min");
            }
        });
    }

    fn validate(object: &v1::LimitRange, errors: &mut Vec<FieldError>) {
        let path = Path::new("spec").child("limits");
        let mut seen = BTreeSet::new();
        for (i, item) in object.spec.iter().flat_map(|s| &s.limits).enumerate() {
            let at = path.index(i);
            validate_type(&item.type_, &at.child("type"), errors);
            if !seen.insert(&item.type_) {
                errors.push(FieldError::duplicate(&at.child("type"), item.type_.as_str()));
            }
            validate_names(item, &at, errors);
            Item::of(item).validate(&at, errors);
        }
    }

    fn cells(object: &v1::LimitRange, _: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), duration::created(&object.metadata)]
    }
}

/// Gives `list` what `from` has and it has not.
fn fill(item: &mut Value, list: &str, from: &str) {
    let Some(given) = item.get(from).and_then(Value::as_object).filter(|g| !g.is_empty()).cloned() else { return };
    let list = value::child(item, list);
    for (name, quantity) in given {
        value::default(list, &name, quantity);
    }
}

fn validate_type(type_: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let wrong = names::qualified_name(type_);
    if wrong.is_empty() && !type_.contains('/') && !["Pod", "Container", "PersistentVolumeClaim"].contains(&type_) {
        errors.push(FieldError::invalid(path, type_, "must be a standard limit type or fully qualified"));
    }
    report(wrong, path, type_, errors);
}

fn validate_names(item: &LimitRangeItem, path: &Path, errors: &mut Vec<FieldError>) {
    let of_pod = item.type_ == "Pod";
    for (member, list) in [
        ("max", &item.max),
        ("min", &item.min),
        ("default", &item.default),
        ("defaultRequest", &item.default_request),
        ("maxLimitRequestRatio", &item.max_limit_request_ratio),
    ] {
        let at = path.child(member);
        let list = list.iter().flatten();
        if of_pod && member.starts_with("default") {
            if list.count() > 0 {
                errors.push(FieldError::forbidden(&at, "may not be specified when `type` is 'Pod'"));
            }
            continue;
        }
        for (name, _) in list {
            validate_name(&item.type_, name, &at.key(name), errors);
        }
    }
    let bounds = |list: &Option<List>| list.as_ref().is_some_and(|l| l.contains_key("storage"));
    if item.type_ == "PersistentVolumeClaim" && !bounds(&item.min) && !bounds(&item.max) {
        errors.push(FieldError::required(
            &path.child("limits"),
            "either minimum or maximum storage value is required, but neither was provided",
        ));
    }
}

fn validate_name(type_: &str, name: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if matches!(type_, "Pod" | "Container") {
        resources::name(name, path, errors);
        return;
    }
    let wrong = names::qualified_name(name);
    if wrong.is_empty() && !name.contains('/') && name != "storage" && !resources::is_standard(name) {
        errors.push(FieldError::invalid(path, name, "must be a standard resource type or fully qualified"));
    }
    report(wrong, path, name, errors);
}

/// The amounts of an item, as numbers.
struct Item<'a> {
    names: BTreeSet<&'a String>,
    max: BTreeMap<&'a String, Quantity>,
    min: BTreeMap<&'a String, Quantity>,
    default: BTreeMap<&'a String, Quantity>,
    request: BTreeMap<&'a String, Quantity>,
    ratio: BTreeMap<&'a String, Quantity>,
}

impl<'a> Item<'a> {
    fn of(item: &'a LimitRangeItem) -> Self {
        let list = |list: &'a Option<List>| -> BTreeMap<&'a String, Quantity> {
            list.iter().flatten().filter_map(|(name, q)| Some((name, Quantity::try_from(q).ok()?))).collect()
        };
        let (max, min) = (list(&item.max), list(&item.min));
        let (default, request) = (list(&item.default), list(&item.default_request));
        let ratio = list(&item.max_limit_request_ratio);
        let names = [&max, &min, &default, &request, &ratio].into_iter().flat_map(|l| l.keys().copied()).collect();
        Self { names, max, min, default, request, ratio }
    }

    fn validate(&self, path: &Path, errors: &mut Vec<FieldError>) {
        for name in &self.names {
            self.validate_order(name, path, errors);
            self.validate_ratio(name, path, errors);
        }
    }

    /// Lower bounds lie below upper ones, and defaults between them.
    fn validate_order(&self, name: &String, path: &Path, errors: &mut Vec<FieldError>) {
        let (max, min) = (self.max.get(name), self.min.get(name));
        let (default, request) = (self.default.get(name), self.request.get(name));
        let mut ordered = |low: Option<&Quantity>,
                           high: Option<&Quantity>,
                           member: &str,
                           shown: Option<&Quantity>,
                           what: [&str; 2]| {
            if let (Some(low), Some(high), Some(shown)) = (low, high, shown)
                && low > high
            {
                let why = format!("{} value {low} is greater than {} value {high}", what[0], what[1]);
                errors.push(FieldError::invalid(&path.child(member).key(name), shown.to_string(), why));
            }
        };
        ordered(min, max, "min", min, ["min", "max"]);
        ordered(min, request, "defaultRequest", request, ["min", "default request"]);
        ordered(request, max, "defaultRequest", request, ["default request", "max"]);
        ordered(request, default, "defaultRequest", request, ["default request", "default limit"]);
        ordered(min, default, "default", min, ["min", "default"]);
        ordered(default, max, "default", max, ["default", "max"]);
        if let (Some(default), Some(request)) = (default, request)
            && !resources::overcommits(name)
            && default != request
        {
            let why = format!("default value {default} must equal to defaultRequest value {request} in {name}");
            errors.push(FieldError::invalid(&path.child("defaultRequest").key(name), request.to_string(), why));
        }
    }

    fn validate_ratio(&self, name: &String, path: &Path, errors: &mut Vec<FieldError>) {
        let Some(ratio) = self.ratio.get(name) else { return };
        let at = path.child("maxLimitRequestRatio").key(name);
        if ratio.milli_value() < 1000 {
            errors.push(FieldError::invalid(&at, ratio.to_string(), format!("ratio {ratio} is less than 1")));
        }
        if let (Some(max), Some(min)) = (self.max.get(name), self.min.get(name))
            && min.signum() > 0
        {
            let most = max.as_f64() / min.as_f64();
            if ratio.as_f64() > most {
                let why = format!("ratio {ratio} is greater than max/min = {most:.6}");
                errors.push(FieldError::invalid(&at, ratio.to_string(), why));
            }
        }
    }
}
