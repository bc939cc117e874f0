//! A volume: its phase, and what becomes of it once its claim is gone.

use api_types::{
    k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeStatus},
    object::Object,
    plan::{Note, Pace, Plan, Step, reference},
};

use super::{BOUND_BY_CONTROLLER, ObservedVolume, PROVISIONED_BY, claim_reference, has_annotation, replace};
use crate::time::seconds;

pub fn reconcile(seen: &ObservedVolume<'_>) -> Plan {
    let volume = seen.volume;
    let Some(reference) = claim_reference(volume) else { return phase(seen, "Available", "", None) };
    let uid = reference.uid.as_deref().unwrap_or_default();
    if uid.is_empty() {
        // Kept for a claim that is not bound yet.
        return phase(seen, "Available", "", None);
    }
    let Some(claim) = seen.claim.filter(|claim| claim.uid() == uid) else { return released(seen) };
    let chosen = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
    if chosen == volume.name() {
        return phase(seen, "Bound", "", None);
    }
    if chosen.is_empty() {
        // The claim's own turn comes.
        return Plan::default();
    }
    unbind(seen)
}

/// The claim took another volume.
fn unbind(seen: &ObservedVolume<'_>) -> Plan {
    let mut free = seen.volume.clone();
    let by_us = has_annotation(free.metadata.annotations.as_ref(), BOUND_BY_CONTROLLER);
    if let Some(spec) = &mut free.spec {
        if by_us {
            spec.claim_ref = None;
        } else if let Some(reference) = &mut spec.claim_ref {
            reference.uid = None;
        }
    }
    if let Some(annotations) = &mut free.metadata.annotations {
        annotations.remove(BOUND_BY_CONTROLLER);
    }
    let mut plan = Plan::default();
    plan.write(replace(&free, None));
    plan
}

fn released(seen: &ObservedVolume<'_>) -> Plan {
    let volume = seen.volume;
    let present = volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    if present != "Released" && present != "Failed" {
        return phase(seen, "Released", "", None);
    }
    let policy = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    let provisioned = has_annotation(volume.metadata.annotations.as_ref(), PROVISIONED_BY)
        || volume.spec.as_ref().is_some_and(|spec| spec.csi.is_some());
    let (reason, message) = match policy {
        Some("Delete") if !provisioned => ("VolumeFailedDelete", "no deletable volume plugin matched"),
        Some("Recycle") => ("VolumeFailedRecycle", "No recycler plugin found for the volume!"),
        _ => return Plan::default(),
    };
    phase(seen, "Failed", message, Some(Note::warning(reference(volume), reason, message)))
}

fn phase(seen: &ObservedVolume<'_>, phase: &str, message: &str, note: Option<Note>) -> Plan {
    let mut plan = Plan::default();
    let present = seen.volume.status.clone().unwrap_or_default();
    let same = present.phase.as_deref() == Some(phase) && present.message.as_deref().unwrap_or_default() == message;
    if same {
        return plan;
    }
    let moved = present.phase.as_deref() != Some(phase);
    let status = PersistentVolumeStatus {
        phase: Some(phase.to_owned()),
        message: (!message.is_empty()).then(|| message.to_owned()),
        last_phase_transition_time: if moved { Some(seconds(seen.now)) } else { present.last_phase_transition_time },
        ..present
    };
    let object = PersistentVolume { status: Some(status), ..seen.volume.clone() };
    let mut step = Step::from(replace(&object, Some("status")));
    step.done = note;
    plan.stage(Pace::InOrder, [step]);
    plan
}
