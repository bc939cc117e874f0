//! From what is seen to writes: new slices and changes first, deletions last, so that no endpoint is missing meanwhile.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    k8s_openapi::api::discovery::v1::EndpointSlice,
    object::{Object, Watched},
    plan::{Note, Pace, Plan, Step, Target, Write, reference},
};
use jiff::Timestamp;
use serde_json::json;

use super::{
    HEADLESS, MANAGED_BY, MANAGER, Observed, SERVICE_NAME,
    members::{self, AddressType, Ports},
    slices::{self, Draft},
};
use crate::{adoption::controller_reference, view::Service};

const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";

pub fn reconcile(seen: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    let service = seen.service;
    if service.spec.selector.as_ref().is_none_or(BTreeMap::is_empty) || &*service.spec.type_ == "ExternalName" {
        // Whoever made a service without a selector manages its slices.
        return plan;
    }
    let (mut writes, mut deletions) = (Vec::new(), Vec::new());
    let families = AddressType::of(service);
    let alive = seen.slices.iter().filter(|slice| slice.metadata.deletion_timestamp.is_none());
    let (mut slices, foreign): (Vec<_>, Vec<_>) =
        alive.cloned().partition(|slice| families.iter().any(|family| family.name() == slice.address_type));
    deletions.extend(foreign);
    slices.sort_by(|a, b| a.name().cmp(b.name()));
    for family in families {
        let of_family = slices.iter().filter(|slice| slice.address_type == family.name()).cloned().collect();
        family_writes(seen, family, of_family, &mut writes, &mut deletions);
    }
    plan.stage(Pace::Together, writes);
    let delete = |slice: Arc<EndpointSlice>| {
        Step::from(Write::Delete { target: Target::of(&*slice), propagation: None, grace_seconds: None })
    };
    plan.stage(Pace::Together, deletions.into_iter().map(delete));
    plan
}

fn family_writes(
    seen: &Observed<'_>,
    family: AddressType,
    slices: Vec<Arc<EndpointSlice>>,
    writes: &mut Vec<Step>,
    deletions: &mut Vec<Arc<EndpointSlice>>,
) {
    let mut wanted = members::wanted(seen, family);
    if wanted.is_empty() {
        // A service without endpoints has one empty slice, so that it can be told from one not yet looked at.
        wanted.insert(Ports::default(), BTreeMap::new());
    }
    let mut by_ports: BTreeMap<Ports, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in slices {
        by_ports.entry(Ports::of_slice(slice.ports.as_deref().unwrap_or_default())).or_default().push(slice);
    }
    let (mut drafts, mut spare) = (Vec::new(), Vec::new());
    for (ports, members) in wanted {
        let empty = members.is_empty();
        let mut arranged = slices::arrange(by_ports.remove(&ports).unwrap_or_default(), members);
        if empty {
            let keep = arranged.iter().position(|draft| draft.slice.is_some());
            let kept = keep.map_or_else(placeholder, |index| arranged.swap_remove(index));
            spare.extend(arranged.into_iter().filter_map(|draft| draft.slice));
            drafts.push((ports, kept));
            continue;
        }
        for draft in arranged {
            if draft.endpoints.is_empty() {
                spare.extend(draft.slice);
            } else {
                drafts.push((ports.clone(), draft));
            }
        }
    }
    spare.extend(by_ports.into_values().flatten());
    // A slice that is to go takes the place of a new one.
    spare.sort_by(|a, b| b.name().cmp(a.name()));
    for (_, draft) in drafts.iter_mut().filter(|(_, draft)| draft.slice.is_none()) {
        draft.slice = spare.pop();
        draft.changed = true;
    }
    writes.extend(drafts.into_iter().filter_map(|(ports, draft)| write(seen.service, family, &ports, draft)));
    deletions.extend(spare);
}

fn placeholder() -> Draft {
    Draft { slice: None, endpoints: Vec::new(), changed: true, trigger: None }
}

fn write(service: &Service, family: AddressType, ports: &Ports, draft: Draft) -> Option<Step> {
    let labels = labels(service);
    let owners = vec![controller_reference(service)];
    let trigger = draft.trigger.map(|at| at.to_string());
    let failed = |verb: &str| {
        let text = format!(
            "Error updating Endpoint Slices for Service {}/{}: failed to {verb} EndpointSlice: {{error}}",
            service.namespace(),
            service.name()
        );
        Note::warning(reference(service), "FailedToUpdateEndpointSlices", text)
    };
    let Some(present) = draft.slice else {
        let mut object = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "generateName": format!("{}-", service.name()),
                "namespace": service.namespace(),
                "labels": labels,
                "ownerReferences": owners,
            },
            "addressType": family.name(),
            "endpoints": draft.endpoints,
            "ports": ports.to_wire(),
        });
        let trigger = trigger.or_else(|| service.metadata.creation_timestamp.as_ref().map(|at| at.0.to_string()));
        if let Some(trigger) = trigger {
            object["metadata"]["annotations"][TRIGGER] = json!(trigger);
        }
        let namespace = service.namespace().to_owned();
        let create = Write::Create { resource: EndpointSlice::RESOURCE, namespace, object };
        return Some(Step::from(create).failed(failed("create")));
    };
    let outdated = present.metadata.labels.as_ref() != Some(&labels)
        || present.metadata.owner_references.as_ref() != Some(&owners);
    if !draft.changed && !outdated {
        return None;
    }
    let mut slice = EndpointSlice::clone(&present);
    slice.metadata.labels = Some(labels);
    slice.metadata.owner_references = Some(owners);
    set_trigger(&mut slice, draft.trigger);
    slice.endpoints = Some(draft.endpoints);
    slice.ports = Some(ports.to_wire());
    let replace = Write::Replace { target: Target::of(&*present), subresource: None, object: json!(slice) };
    Some(Step::from(replace).failed(failed("update")))
}

/// The time of the change that this write tells of, or none: by it the delay to the proxies is measured.
fn set_trigger(slice: &mut EndpointSlice, trigger: Option<Timestamp>) {
    let annotations = slice.metadata.annotations.get_or_insert_default();
    match trigger {
        Some(at) => annotations.insert(TRIGGER.to_owned(), at.to_string()),
        None => annotations.remove(TRIGGER),
    };
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone();
    for reserved in [SERVICE_NAME, MANAGED_BY, HEADLESS] {
        labels.remove(reserved);
    }
    labels.insert(SERVICE_NAME.to_owned(), service.name().to_owned());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if &*service.spec.cluster_ip == "None" {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels
}
