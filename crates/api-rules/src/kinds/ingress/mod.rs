//! Ingress: which requests from outside go to which Service. A controller of the cluster makes it true.

mod validation;

use std::collections::BTreeSet;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::networking::v1,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    kind::{Names, Scope, Storage, Subresource},
    table::{
        cells::{self, NONE},
        duration,
    },
    typed::{Resource, status_of},
};

/// By which the class was named before `spec.ingressClassName`.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const HOSTS_SHOWN: usize = 3;

pub struct Ingress;

impl Resource for Ingress {
    type Object = v1::Ingress;

    const NAMES: Names = Names {
        group: "networking.k8s.io",
        version: "v1",
        kind: "Ingress",
        list_kind: "IngressList",
        plural: "ingresses",
        singular: "ingress",
        short_names: &["ing"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "ingress", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[status_of(&Self::NAMES)];
    const GENERATION: bool = true;

    fn validate(object: &v1::Ingress, errors: &mut Vec<FieldError>) {
        validation::spec(&object.spec.clone().unwrap_or_default(), &Path::new("spec"), errors);
    }

    fn validate_create(object: &v1::Ingress, errors: &mut Vec<FieldError>) {
        let class = object.spec.as_ref().and_then(|s| s.ingress_class_name.as_ref());
        let annotated = object.metadata.annotations.as_ref().and_then(|a| a.get(CLASS_ANNOTATION));
        if let (Some(class), Some(annotated)) = (class, annotated)
            && class != annotated
        {
            errors.push(FieldError::invalid(
                &Path::new("annotations").child(CLASS_ANNOTATION),
                annotated.as_str(),
                "must match `ingressClassName` when both are specified",
            ));
        }
    }

    fn validate_update(new: &v1::Ingress, _: &v1::Ingress, subresource: Option<&str>, errors: &mut Vec<FieldError>) {
        if subresource == Some("status") {
            let status = new.status.clone().unwrap_or_default().load_balancer.unwrap_or_default();
            validation::load_balancer(&status, &Path::new("status").child("loadBalancer"), errors);
        }
    }

    fn warnings(object: &v1::Ingress) -> Vec<String> {
        let has = object.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(CLASS_ANNOTATION));
        let text = format!("annotation {CLASS_ANNOTATION:?} is deprecated, please use 'spec.ingressClassName' instead");
        has.then_some(text).into_iter().collect()
    }

    fn cells(object: &v1::Ingress, now: Timestamp) -> Vec<Value> {
        let spec = object.spec.clone().unwrap_or_default();
        let secured = spec.tls.as_ref().is_some_and(|t| !t.is_empty());
        vec![
            cells::name(&object.metadata),
            spec.ingress_class_name.unwrap_or_else(|| NONE.to_owned()).into(),
            hosts(spec.rules.as_deref().unwrap_or_default()).into(),
            addresses(object).into(),
            if secured { "80, 443" } else { "80" }.into(),
            duration::age(&object.metadata, now),
        ]
    }
}

/// The first few hosts, and how many follow; `*` if any will do.
fn hosts(rules: &[v1::IngressRule]) -> String {
    let named: Vec<_> = rules.iter().filter_map(|r| r.host.as_deref()).filter(|h| !h.is_empty()).collect();
    if named.is_empty() {
        return "*".to_owned();
    }
    let shown = named.iter().take(HOSTS_SHOWN).copied().collect::<Vec<_>>().join(",");
    match named.len().saturating_sub(HOSTS_SHOWN) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

fn addresses(object: &v1::Ingress) -> String {
    let status = object.status.clone().unwrap_or_default().load_balancer.unwrap_or_default();
    let points = status.ingress.unwrap_or_default();
    let found: BTreeSet<_> =
        points.into_iter().filter_map(|p| p.ip.filter(|ip| !ip.is_empty()).or(p.hostname)).collect();
    found.into_iter().collect::<Vec<_>>().join(",")
}
