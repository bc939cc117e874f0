//! APIService: who serves a version of a group: this server itself, or a Service behind it.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{self, APIServiceSpec},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::fields::required;
use crate::{
    kind::{Context, Names, Scope, Storage, Subresource},
    metadata::{self, NameRule},
    names::{self, one_of, report},
    table::{cells, duration},
    typed::{Resource, not_enforced, status_of},
    value,
};

const HTTPS: i32 = 443;
const GROUP_PRIORITY_MAX: i32 = 20_000;
const VERSION_PRIORITY_MAX: i32 = 1_000;

pub struct APIService;

impl Resource for APIService {
    type Object = v1::APIService;

    const NAMES: Names = Names {
        group: "apiregistration.k8s.io",
        version: "v1",
        kind: "APIService",
        list_kind: "APIServiceList",
        plural: "apiservices",
        singular: "apiservice",
        short_names: &[],
        categories: &["api-extensions"],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "apiregistration.k8s.io/apiservices", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[status_of(&Self::NAMES)];
    const UPDATES_UNCONDITIONALLY: bool = false;
    const NAME_RULE: NameRule = metadata::path_segment;

    fn set_defaults(object: &mut Value) {
        if let Some(service) = object.pointer_mut("/spec/service").filter(|s| s.is_object()) {
            value::default(service, "port", HTTPS);
        }
    }

    /// What this server answers itself is there from the start.
    fn prepare_create(object: &mut Value, context: &Context) {
        if value::at(object, &["spec", "service"]).is_none() {
            let available = json!({
                "type": "Available",
                "status": "True",
                "lastTransitionTime": value::time(context.now),
                "reason": "Local",
                "message": "Local APIServices are always available",
            });
            value::set(object, &["status"], json!({"conditions": [available]}));
        }
    }

    fn validate(object: &v1::APIService, errors: &mut Vec<FieldError>) {
        let spec = object.spec.clone().unwrap_or_default();
        name(object.metadata.name.as_deref().unwrap_or_default(), &spec, errors);
        validate_spec(&spec, &Path::new("spec"), errors);
    }

    fn validate_update(
        new: &v1::APIService,
        _: &v1::APIService,
        subresource: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        if subresource.is_none() {
            return;
        }
        let path = Path::new("status").child("conditions");
        let conditions = new.status.clone().unwrap_or_default().conditions.unwrap_or_default();
        for (i, condition) in conditions.iter().enumerate() {
            one_of(&condition.status, &["True", "False", "Unknown"], &path.index(i).child("status"), errors);
        }
    }

    fn warnings(object: &v1::APIService) -> Vec<String> {
        let is_remote = object.spec.as_ref().is_some_and(|s| s.service.is_some());
        is_remote
            .then(|| not_enforced(&Self::NAMES, "requests are not passed on to extension servers"))
            .into_iter()
            .collect()
    }

    fn cells(object: &v1::APIService, now: Timestamp) -> Vec<Value> {
        let service = object.spec.as_ref().and_then(|s| s.service.as_ref()).map_or_else(
            || "Local".to_owned(),
            |s| format!("{}/{}", s.namespace.as_deref().unwrap_or_default(), s.name.as_deref().unwrap_or_default()),
        );
        vec![
            cells::name(&object.metadata),
            service.into(),
            available(object).into(),
            duration::age(&object.metadata, now),
        ]
    }
}

fn available(object: &v1::APIService) -> String {
    let conditions = object.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let Some(condition) = conditions.into_iter().find(|c| c.type_ == "Available") else { return "Unknown".to_owned() };
    match condition.reason.as_deref().unwrap_or_default() {
        reason if condition.status != "True" && !reason.is_empty() => format!("{} ({reason})", condition.status),
        _ => condition.status.clone(),
    }
}

/// The name says what is served.
fn name(name: &str, spec: &APIServiceSpec, errors: &mut Vec<FieldError>) {
    let of = |text: &Option<String>| text.clone().unwrap_or_default();
    let wanted = format!("{}.{}", of(&spec.version), of(&spec.group));
    if name != wanted && names::path_segment(name).is_empty() {
        let why = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
        errors.push(FieldError::invalid(&Path::new("metadata").child("name"), name, why));
    }
}

fn validate_spec(spec: &APIServiceSpec, path: &Path, errors: &mut Vec<FieldError>) {
    let group = spec.group.as_deref().unwrap_or_default();
    let version = spec.version.as_deref().unwrap_or_default();
    if !group.is_empty() {
        report(names::dns_subdomain(group), &path.child("group"), group, errors);
    } else if version != "v1" {
        let why = "only v1 may have an empty group and it better be legacy kube";
        errors.push(FieldError::required(&path.child("group"), why));
    }
    report(names::dns_1035_label(version), &path.child("version"), version, errors);
    for (member, number, max) in [
        ("groupPriorityMinimum", spec.group_priority_minimum, GROUP_PRIORITY_MAX),
        ("versionPriority", spec.version_priority, VERSION_PRIORITY_MAX),
    ] {
        if !(1..=max).contains(&number) {
            let why = format!("must be positive and less than {max}");
            errors.push(FieldError::invalid(&path.child(member), number, why));
        }
    }
    let bundle = spec.ca_bundle.as_ref().map_or(0, |b| b.0.len());
    let is_careless = spec.insecure_skip_tls_verify == Some(true);
    let careless = |why: &str| FieldError::invalid(&path.child("insecureSkipTLSVerify"), true, why);
    let Some(service) = &spec.service else {
        if bundle != 0 {
            let given = format!("{bundle} bytes");
            errors.push(FieldError::invalid(
                &path.child("caBundle"),
                given,
                "local APIServices may not have a caBundle",
            ));
        }
        if is_careless {
            errors.push(careless("local APIServices may not have insecureSkipTLSVerify"));
        }
        return;
    };
    let at = path.child("service");
    required(service.namespace.as_deref().unwrap_or_default(), &at.child("namespace"), errors);
    required(service.name.as_deref().unwrap_or_default(), &at.child("name"), errors);
    if is_careless && bundle != 0 {
        errors.push(careless("may not be true if caBundle is present"));
    }
}
