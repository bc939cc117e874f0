//! How far a rolling update may go now: never more pods than wanted plus the surge, never fewer available ones than
//! wanted minus what may be unavailable.

use api_types::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::sets::Sets;
use crate::{share, workload::DeploymentSpec};

/// The strategy's limits in pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub surge: i32,
    pub unavailable: i32,
}

pub(super) fn wanted(spec: &DeploymentSpec) -> i32 {
    spec.replicas.unwrap_or(1)
}

pub(super) fn is_rolling(spec: &DeploymentSpec) -> bool {
    spec.strategy.as_ref().is_none_or(|strategy| strategy.type_.as_deref() != Some("Recreate"))
}

/// Percentages of the wanted number, the surge rounded up and the rest down; one of both is at least 1.
pub(super) fn limits(spec: &DeploymentSpec) -> Limits {
    let replicas = wanted(spec);
    if !is_rolling(spec) || replicas == 0 {
        return Limits { surge: 0, unavailable: 0 };
    }
    let rolling = spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let default = IntOrString::String("25%".into());
    let value = |given: Option<&IntOrString>, up| share::of(given.unwrap_or(&default), replicas, up);
    let surge = value(rolling.and_then(|r| r.max_surge.as_ref()), true);
    let mut unavailable = value(rolling.and_then(|r| r.max_unavailable.as_ref()), false);
    if surge == 0 && unavailable == 0 {
        // Nothing could ever move.
        unavailable = 1;
    }
    Limits { surge, unavailable: unavailable.min(replicas) }
}

/// The size the new set may have now; `current` is what it has.
pub(super) fn new_size(spec: &DeploymentSpec, sets: &Sets, current: i32) -> i32 {
    let replicas = wanted(spec);
    if !is_rolling(spec) {
        return replicas;
    }
    let room = replicas + limits(spec).surge - sets.replicas();
    if room <= 0 { current } else { current + room.min(replicas - current) }
}

/// Scales the new set; whether that changed anything.
pub(super) fn scale_new(spec: &DeploymentSpec, sets: &mut Sets) -> bool {
    let replicas = wanted(spec);
    let Some(current) = sets.new.as_ref().map(|new| new.replicas) else { return false };
    let size = if current > replicas { replicas } else { new_size(spec, sets, current) };
    if let Some(new) = &mut sets.new {
        new.replicas = size;
    }
    size != current
}

/// Scales the old sets down; whether that changed anything.
///
/// Pods that are not available go first: they cost no availability.
pub(super) fn scale_old(spec: &DeploymentSpec, sets: &mut Sets) -> bool {
    if sets.old.iter().all(|set| set.replicas == 0) {
        return false;
    }
    let floor = wanted(spec) - limits(spec).unavailable;
    let new_unavailable = sets.new.as_ref().map_or(0, |new| new.replicas - new.available());
    let mut may_go = sets.replicas() - floor - new_unavailable;
    if may_go <= 0 {
        return false;
    }
    let mut changed = false;
    for set in sets.old.iter_mut().filter(|set| set.replicas > 0) {
        let unhealthy = (set.replicas - set.available()).clamp(0, may_go);
        set.replicas -= unhealthy;
        may_go -= unhealthy;
        changed |= unhealthy > 0;
    }
    let available: i32 = sets.all().map(super::sets::Set::available).sum();
    let mut may_go = available - floor;
    for set in sets.old.iter_mut().filter(|set| set.replicas > 0) {
        let fewer = set.replicas.min(may_go).max(0);
        set.replicas -= fewer;
        may_go -= fewer;
        changed |= fewer > 0;
    }
    changed
}

#[cfg(test)]
mod tests {
    use api_types::k8s_openapi::api::apps::v1::{DeploymentStrategy, RollingUpdateDeployment};

    use super::*;

    #[test]
    fn resolves_limits() {
        let check = |replicas, surge: &str, unavailable: &str, expected: (i32, i32)| {
            let value =
                |text: &str| Some(text.parse().map_or_else(|_| IntOrString::String(text.into()), IntOrString::Int));
            let spec = DeploymentSpec {
                replicas: Some(replicas),
                strategy: Some(DeploymentStrategy {
                    type_: Some("RollingUpdate".into()),
                    rolling_update: Some(RollingUpdateDeployment {
                        max_surge: value(surge),
                        max_unavailable: value(unavailable),
                    }),
                }),
                ..DeploymentSpec::default()
            };
            let Limits { surge, unavailable } = limits(&spec);
            assert_eq!((surge, unavailable), expected);
        };
        check(10, "25%", "25%", (3, 2));
        check(3, "25%", "25%", (1, 0));
        check(1, "0", "25%", (0, 1));
        check(4, "2", "10", (2, 4));
        check(10, "0%", "0", (0, 1));
        check(0, "1", "1", (0, 0));
    }
}
