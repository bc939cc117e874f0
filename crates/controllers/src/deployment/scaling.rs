//! A change of the wanted number in the middle of a rollout is spread over the sets in proportion to their sizes.

use super::{
    revision::{self, DESIRED, MAX},
    rolling,
    sets::{Set, Sets},
};
use crate::workload::{Deployment, DeploymentSpec};

/// Whether the wanted number has changed since the sets were scaled last.
pub(super) fn is_due(spec: &DeploymentSpec, sets: &Sets) -> bool {
    let wanted = rolling::wanted(spec).to_string();
    sets.all()
        .filter(|set| set.replicas > 0)
        .any(|set| set.annotation(DESIRED).is_some_and(|desired| desired != wanted))
}

pub(super) fn scale(deployment: &Deployment, spec: &DeploymentSpec, sets: &mut Sets) {
    let wanted = rolling::wanted(spec);
    let active = sets.all().filter(|set| set.replicas > 0).count();
    if active <= 1 {
        if let Some(only) = active_or_newest(sets) {
            only.replicas = wanted;
            annotate(spec, only);
        }
        return;
    }
    if sets.new.as_ref().is_some_and(|new| saturated(wanted, new)) {
        for old in &mut sets.old {
            old.replicas = 0;
        }
        if let Some(new) = &mut sets.new {
            annotate(spec, new);
        }
        return;
    }
    if rolling::is_rolling(spec) {
        in_proportion(deployment, spec, sets);
    }
}

fn active_or_newest(sets: &mut Sets) -> Option<&mut Set> {
    if let Some(index) = sets.old.iter().position(|set| set.replicas > 0) {
        return sets.old.get_mut(index);
    }
    if sets.new.is_some() { sets.new.as_mut() } else { sets.old.last_mut() }
}

/// The new set is all there is to the deployment, and all of it is available.
fn saturated(wanted: i32, new: &Set) -> bool {
    let desired = new.annotation(DESIRED).and_then(|desired| desired.parse().ok());
    new.replicas == wanted && desired == Some(wanted) && new.available() == wanted
}

fn annotate(spec: &DeploymentSpec, set: &mut Set) {
    for (key, value) in revision::size_annotations(spec) {
        set.annotate(&key, value);
    }
}

fn in_proportion(deployment: &Deployment, spec: &DeploymentSpec, sets: &mut Sets) {
    let wanted = rolling::wanted(spec);
    let allowed = if wanted > 0 { wanted + rolling::limits(spec).surge } else { 0 };
    let to_add = allowed - sets.replicas();
    let mut active: Vec<&mut Set> = sets.all_mut().filter(|set| set.replicas > 0).collect();
    // The largest first; of equals, growth goes to the newer and shrinking to the older.
    active.sort_by(|a, b| {
        let age = a.created().cmp(&b.created());
        b.replicas.cmp(&a.replicas).then(if to_add > 0 { age.reverse() } else { age })
    });
    let mut added = 0;
    for set in &mut active {
        if to_add != 0 {
            let share = share(deployment, spec, set, to_add, added);
            added += share;
            set.replicas += share;
        }
    }
    if let Some(largest) = active.first_mut() {
        // What rounding left over.
        largest.replicas = (largest.replicas + to_add - added).max(0);
    }
    for set in active {
        annotate(spec, set);
    }
}

fn share(deployment: &Deployment, spec: &DeploymentSpec, set: &Set, to_add: i32, added: i32) -> i32 {
    let allowed = to_add - added;
    if set.replicas == 0 || allowed == 0 {
        return 0;
    }
    let fraction = fraction(deployment, spec, set);
    if to_add > 0 { fraction.min(allowed) } else { fraction.max(allowed) }
}

fn fraction(deployment: &Deployment, spec: &DeploymentSpec, set: &Set) -> i32 {
    let wanted = rolling::wanted(spec);
    if wanted == 0 {
        return -set.replicas;
    }
    let reported = || deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or_default();
    let before = set.annotation(MAX).and_then(|max| max.parse().ok()).filter(|max| *max > 0).unwrap_or_else(reported);
    if before == 0 {
        return 0;
    }
    let max = wanted + rolling::limits(spec).surge;
    let size = f64::from(set.replicas) * f64::from(max) / f64::from(before);
    size.round() as i32 - set.replicas
}
