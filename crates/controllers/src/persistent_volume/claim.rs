//! A claim: which volume it gets, and whether it lost the one it had.

use api_types::{
    k8s_openapi::api::core::v1::{
        ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus,
    },
    object::Object,
    plan::{Note, Pace, Plan, Step, reference},
};

use super::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, ObservedClaim, SELECTED_NODE, STORAGE_PROVISIONER, claim_reference,
    class_of_claim, has_annotation, is_unbound, matching, names, replace,
};

/// A provisioner that makes nothing: a class for volumes that are made by hand.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

pub fn reconcile(seen: &ObservedClaim<'_>) -> Plan {
    if seen.claim.metadata.deletion_timestamp.is_some() && is_unbound(seen.claim) {
        return Plan::default();
    }
    if is_unbound(seen.claim) { unbound(seen) } else { bound(seen) }
}

fn volume_name(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default()
}

fn named<'a>(seen: &ObservedClaim<'a>) -> Option<&'a PersistentVolume> {
    let name = volume_name(seen.claim);
    seen.volumes.iter().map(|volume| &**volume).find(|volume| volume.name() == name)
}

fn unbound(seen: &ObservedClaim<'_>) -> Plan {
    let claim = seen.claim;
    if volume_name(claim).is_empty() {
        let mode = seen.class.and_then(|class| class.volume_binding_mode.as_deref());
        let selected = has_annotation(claim.metadata.annotations.as_ref(), SELECTED_NODE);
        let waits = mode == Some("WaitForFirstConsumer") && !selected;
        return match matching::best(claim, seen.volumes, waits) {
            Some(volume) => bind(seen, volume),
            None => none_found(seen, waits),
        };
    }
    match named(seen) {
        None => pending(seen, None),
        Some(volume) if claim_reference(volume).is_none() => match matching::mismatch(volume, claim) {
            None => bind(seen, volume),
            Some(why) => {
                let text = format!("Cannot bind to requested volume {:?}: {why}", volume.name());
                pending(seen, Some(Note::warning(reference(claim), "VolumeMismatch", text)))
            }
        },
        Some(volume) if names(volume, claim) => bind(seen, volume),
        Some(volume) => {
            let text = format!("volume {:?} already bound to a different claim.", volume.name());
            pending(seen, Some(Note::warning(reference(claim), "FailedBinding", text)))
        }
    }
}

fn none_found(seen: &ObservedClaim<'_>, waits: bool) -> Plan {
    let claim = seen.claim;
    let me = || reference(claim);
    let name = class_of_claim(claim);
    match seen.class {
        _ if waits => {
            let text = "waiting for first consumer to be created before binding";
            pending(seen, Some(Note::normal(me(), "WaitForFirstConsumer", text)))
        }
        None if name.is_empty() => {
            let text = "no persistent volumes available for this claim and no storage class is set";
            pending(seen, Some(Note::normal(me(), "FailedBinding", text)))
        }
        None => {
            let text = format!("storageclass.storage.k8s.io {name:?} not found");
            pending(seen, Some(Note::warning(me(), "ProvisioningFailed", text)))
        }
        Some(class) if class.provisioner == NO_PROVISIONER => {
            let text = format!("no volume plugin matched name: {NO_PROVISIONER}");
            pending(seen, Some(Note::warning(me(), "ProvisioningFailed", text)))
        }
        Some(class) => {
            let asked = claim.metadata.annotations.as_ref().and_then(|all| all.get(STORAGE_PROVISIONER));
            if asked == Some(&class.provisioner) {
                return pending(seen, None);
            }
            // The provisioner of that name watches for claims with this annotation.
            let mut marked = claim.clone();
            let annotations = marked.metadata.annotations.get_or_insert_default();
            annotations.insert(STORAGE_PROVISIONER.to_owned(), class.provisioner.clone());
            annotations.insert("volume.beta.kubernetes.io/storage-provisioner".to_owned(), class.provisioner.clone());
            let text = format!(
                "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system \
                 administrator. If volume creation is delayed, please verify that the provisioner is running and correctly \
                 registered.",
                class.provisioner
            );
            let mut plan = Plan::default();
            let step = Step::from(replace(&marked, None)).done(Note::normal(me(), "ExternalProvisioning", text));
            plan.stage(Pace::InOrder, [step]);
            plan
        }
    }
}

/// The next write of a binding.
fn bind(seen: &ObservedClaim<'_>, volume: &PersistentVolume) -> Plan {
    let mut plan = Plan::default();
    let claim = seen.claim;
    let known = claim_reference(volume).and_then(|reference| reference.uid.as_deref()).unwrap_or_default();
    if known != claim.uid() {
        plan.write(replace(&naming(volume, claim), None));
        return plan;
    }
    let name = volume_name(claim);
    if name != volume.name() || is_unbound(claim) {
        let mut bound = claim.clone();
        let annotations = bound.metadata.annotations.get_or_insert_default();
        if name.is_empty() {
            annotations.insert(BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
        }
        annotations.insert(BIND_COMPLETED.to_owned(), "yes".to_owned());
        bound.spec.get_or_insert_default().volume_name = Some(volume.name().to_owned());
        plan.write(replace(&bound, None));
        return plan;
    }
    let spec = volume.spec.clone().unwrap_or_default();
    let present = claim.status.clone().unwrap_or_default();
    // A resize reports the claim's capacity itself.
    let capacity = if present.phase.as_deref() == Some("Bound") { present.capacity.clone() } else { spec.capacity };
    let status = PersistentVolumeClaimStatus {
        phase: Some("Bound".to_owned()),
        access_modes: spec.access_modes,
        capacity,
        current_volume_attributes_class_name: spec.volume_attributes_class_name,
        ..present
    };
    report(seen, status, None)
}

fn naming(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> PersistentVolume {
    let mut named = volume.clone();
    if claim_reference(volume).is_none() {
        let annotations = named.metadata.annotations.get_or_insert_default();
        annotations.insert(BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
    }
    let reference: ObjectReference = reference(claim);
    named.spec.get_or_insert_default().claim_ref = Some(reference);
    named
}

fn bound(seen: &ObservedClaim<'_>) -> Plan {
    let claim = seen.claim;
    if volume_name(claim).is_empty() {
        return lost(
            seen,
            "ClaimLost",
            "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
        );
    }
    match named(seen) {
        None => lost(seen, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"),
        Some(volume) if claim_reference(volume).is_none() || names(volume, claim) => bind(seen, volume),
        Some(_) => {
            lost(seen, "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
        }
    }
}

fn lost(seen: &ObservedClaim<'_>, reason: &'static str, text: &str) -> Plan {
    let status = PersistentVolumeClaimStatus {
        phase: Some("Lost".to_owned()),
        access_modes: None,
        capacity: None,
        ..seen.claim.status.clone().unwrap_or_default()
    };
    report(seen, status, Some(Note::warning(reference(seen.claim), reason, text)))
}

/// Waits. Why is said when something about the claim changed; with nothing to write it was said before.
fn pending(seen: &ObservedClaim<'_>, why: Option<Note>) -> Plan {
    let present = seen.claim.status.clone().unwrap_or_default();
    let was = present.phase.clone();
    let status = PersistentVolumeClaimStatus { phase: Some("Pending".to_owned()), ..present };
    let mut plan = report(seen, status, None);
    if was.is_none_or(|phase| phase.is_empty() || phase == "Pending") {
        plan.notes.extend(why);
    }
    plan
}

fn report(seen: &ObservedClaim<'_>, status: PersistentVolumeClaimStatus, note: Option<Note>) -> Plan {
    let mut plan = Plan::default();
    if seen.claim.status.as_ref() != Some(&status) {
        let object = PersistentVolumeClaim { status: Some(status), ..seen.claim.clone() };
        let mut step = Step::from(replace(&object, Some("status")));
        step.done = note;
        plan.stage(Pace::InOrder, [step]);
    }
    plan
}
