//! What PersistentVolumes and the claims on them have in common.

use api_types::field::{FieldError, Path};

use crate::names::one_of;

type Errors = Vec<FieldError>;

/// The annotation by which a class was named before `spec.storageClassName`.
pub const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
pub const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
/// In the order that errors list them.
const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
/// In the order that columns show them.
const SHORT_MODES: [(&str, &str); 4] =
    [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
const ALONE: &str = "ReadWriteOncePod";

/// Modes upstream knows, and the exclusive one alone.
pub fn access_modes(modes: &[String], path: &Path, errors: &mut Errors) {
    for mode in modes {
        one_of(mode, &ACCESS_MODES, path, errors);
    }
    let others = modes.iter().any(|m| m != ALONE && ACCESS_MODES.contains(&m.as_str()));
    if others && modes.iter().any(|m| m == ALONE) {
        errors.push(FieldError::forbidden(path, "may not use ReadWriteOncePod with other access modes"));
    }
}

/// `RWO,ROX`.
pub fn short_access_modes(modes: &[String]) -> String {
    let has = |long: &str| modes.iter().any(|m| m == long);
    SHORT_MODES.iter().filter(|(long, _)| has(long)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}
