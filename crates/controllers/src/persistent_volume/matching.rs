//! Which volume a claim gets.

use std::sync::Arc;

use api_types::{
    Quantity,
    k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim},
    selector::Selector,
};

use super::{claim_reference, class_of_claim, class_of_volume, names};

/// The volume that names the claim already, or else the smallest that will do. With `waits` the choice among those that
/// are free is the scheduler's.
pub(super) fn best<'a>(
    claim: &PersistentVolumeClaim,
    volumes: &'a [Arc<PersistentVolume>],
    waits: bool,
) -> Option<&'a PersistentVolume> {
    let selector = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let selector = match selector.map(Selector::from_label_selector) {
        None => Selector::everything(),
        Some(Ok(selector)) => selector,
        Some(Err(_)) => return None,
    };
    let fits = |volume: &&PersistentVolume| {
        volume.metadata.deletion_timestamp.is_none()
            && holds(volume, claim)
            && has_modes(volume, claim)
            && same_mode(volume, claim)
    };
    let mut fitting: Vec<&PersistentVolume> = volumes.iter().map(|volume| &**volume).filter(fits).collect();
    fitting.sort_by(|a, b| (capacity(a), &a.metadata.name).cmp(&(capacity(b), &b.metadata.name)));
    if let Some(own) = fitting.iter().find(|volume| names(volume, claim)) {
        return Some(own);
    }
    fitting.into_iter().find(|volume| {
        let labels = volume.metadata.labels.clone().unwrap_or_default();
        !waits
            && claim_reference(volume).is_none()
            && volume.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Available"))
            && selector.matches(&labels)
            && class_of_volume(volume) == class_of_claim(claim)
    })
}

/// Why a volume that the claim asks for by name will not do.
pub(super) fn mismatch(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<&'static str> {
    if !holds(volume, claim) {
        return Some("requested PV is too small");
    }
    if class_of_volume(volume) != class_of_claim(claim) {
        return Some("storageClassName does not match");
    }
    if !same_mode(volume, claim) {
        return Some("incompatible volumeMode");
    }
    (!has_modes(volume, claim)).then_some("incompatible accessMode")
}

fn capacity(volume: &PersistentVolume) -> Quantity {
    let capacity = volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()?.get("storage"));
    capacity.and_then(|capacity| Quantity::try_from(capacity).ok()).unwrap_or(Quantity::ZERO)
}

fn holds(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let requested = resources.and_then(|resources| resources.requests.as_ref()?.get("storage"));
    let requested = requested.and_then(|requested| Quantity::try_from(requested).ok()).unwrap_or(Quantity::ZERO);
    capacity(volume) >= requested
}

fn has_modes(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let offered = volume.spec.as_ref().and_then(|spec| spec.access_modes.as_ref());
    let asked = claim.spec.as_ref().and_then(|spec| spec.access_modes.as_ref());
    asked.into_iter().flatten().all(|mode| offered.is_some_and(|offered| offered.contains(mode)))
}

fn same_mode(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let offered = volume.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref());
    let asked = claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref());
    offered.unwrap_or("Filesystem") == asked.unwrap_or("Filesystem")
}
