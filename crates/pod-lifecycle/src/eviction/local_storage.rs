//! Pods that use more of the node's disk than they may: of one `emptyDir`, of one container, or in all.

use super::Usage;
use crate::{core::Pod, names, resources};
use api_types::Quantity;

/// Whether there is anything to measure for.
pub fn is_limited(pod: &Pod) -> bool {
    let volumes = pod.spec.as_ref().and_then(|s| s.volumes.as_deref()).unwrap_or_default();
    let volumes = volumes.iter().any(|v| v.empty_dir.as_ref().is_some_and(|e| e.size_limit.is_some()));
    volumes || limits(pod).next().is_some()
}

/// Why the pod must go, if it must.
pub fn exceeded(pod: &Pod, usage: &Usage) -> Option<String> {
    empty_dir(pod, usage).or_else(|| whole(pod, usage)).or_else(|| container(pod, usage))
}

fn empty_dir(pod: &Pod, usage: &Usage) -> Option<String> {
    pod.spec.as_ref()?.volumes.iter().flatten().find_map(|volume| {
        let limit = Quantity::try_from(volume.empty_dir.as_ref()?.size_limit.as_ref()?).ok()?;
        let used = usage.empty_dirs.get(&volume.name)?;
        let exceeded = limit.signum() > 0 && i128::from(*used) > i128::from(limit.value());
        exceeded.then(|| format!("Usage of EmptyDir volume {:?} exceeds the limit \"{limit}\". ", volume.name))
    })
}

/// The sum of the containers' limits is the whole pod's, volumes included.
fn whole(pod: &Pod, usage: &Usage) -> Option<String> {
    let total = limits(pod).map(|(_, limit)| limit).reduce(|a, b| a + b)?;
    let exceeded = i128::from(usage.disk()) > i128::from(total.value());
    exceeded.then(|| format!("Pod ephemeral local storage usage exceeds the total limit of containers {total}. "))
}

fn container(pod: &Pod, usage: &Usage) -> Option<String> {
    limits(pod).find_map(|(name, limit)| {
        let used = usage.containers.get(name)?;
        let exceeded = i128::from(used.root + used.logs) > i128::from(limit.value());
        exceeded.then(|| format!("Container {name} exceeded its local ephemeral storage limit \"{limit}\". "))
    })
}

fn limits(pod: &Pod) -> impl Iterator<Item = (&str, Quantity)> {
    let sidecars = names::init_containers(pod).iter().filter(|c| names::is_sidecar(c));
    names::containers(pod).iter().chain(sidecars).filter_map(|container| {
        let limits = container.resources.as_ref()?.limits.as_ref();
        let limit = resources::quantity(limits, "ephemeral-storage").filter(|q| q.signum() > 0)?;
        Some((container.name.as_str(), limit))
    })
}
