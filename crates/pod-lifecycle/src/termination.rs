//! How a pod is stopped: how much grace it has, and in which order its containers go.

use crate::{core::Pod, names, observed::PodSeen};
use jiff::Timestamp;
use std::time::Duration;

/// Seconds of grace for a pod whose object is being deleted, or that must go for another reason.
pub fn grace(pod: &Pod) -> i64 {
    let spec = pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds).unwrap_or(30);
    pod.metadata.deletion_grace_period_seconds.unwrap_or(spec)
}

/// Time left until the deadline, in whole seconds as runtimes count it; at least the one second that a
/// stop signal needs to be of any use.
pub fn left(deadline: Timestamp, now: Timestamp) -> Duration {
    let left = Duration::try_from(deadline.duration_since(now)).unwrap_or_default();
    Duration::from_secs((left.as_secs_f64().round() as u64).max(1))
}

/// Groups of container ids to stop, each group at once and only after the one before has ended:
/// everything but sidecars, then sidecars in the reverse of their start order.
pub fn order(pod: &Pod, seen: &PodSeen) -> Vec<Vec<String>> {
    let sidecars: Vec<_> =
        names::init_containers(pod).iter().filter(|c| names::is_sidecar(c)).map(|c| c.name.as_str()).collect();
    let alive: Vec<_> = seen.containers.iter().filter(|c| c.may_run()).collect();
    let first = alive.iter().filter(|c| !sidecars.contains(&c.name.as_str())).map(|c| c.id.clone()).collect();
    let mut groups: Vec<Vec<String>> = vec![first];
    for name in sidecars.into_iter().rev() {
        groups.push(alive.iter().filter(|c| c.name == name).map(|c| c.id.clone()).collect());
    }
    groups.retain(|g| !g.is_empty());
    groups
}

/// The grace of a container killed by a probe: the probe's own, else the pod's.
pub fn probe_grace(pod: &Pod, container: &str, startup: bool) -> Duration {
    let found = names::containers(pod).iter().chain(names::init_containers(pod)).find(|c| c.name == container);
    let probe = found.and_then(|c| if startup { c.startup_probe.as_ref() } else { c.liveness_probe.as_ref() });
    let seconds = probe.and_then(|p| p.termination_grace_period_seconds).unwrap_or_else(|| grace(pod));
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{at, exited, pod, running, seen};

    #[test]
    fn deletion_overrides_the_spec() {
        let mut pod = pod("Always", &[], &["a"]);
        assert_eq!(grace(&pod), 30);
        pod.metadata.deletion_grace_period_seconds = Some(5);
        assert_eq!(grace(&pod), 5);
    }

    #[test]
    fn sidecars_go_last_in_reverse() {
        let mut pod = pod("Always", &["s1", "i", "s2"], &["a", "b"]);
        for index in [0, 2] {
            if let Some(init) = pod.spec.as_mut().and_then(|s| s.init_containers.as_mut()) {
                init[index].restart_policy = Some("Always".into());
            }
        }
        let seen = seen(vec![running("s1", 0), exited("i", 0, 0), running("s2", 0), running("a", 0), running("b", 1)]);
        assert_eq!(
            order(&pod, &seen),
            vec![vec!["b-1".to_owned(), "a-0".into()], vec!["s2-0".into()], vec!["s1-0".into()]]
        );
    }

    #[test]
    fn at_least_a_second_is_left() {
        assert_eq!(left(at(10), at(4)), Duration::from_secs(6));
        assert_eq!(left(at(10), at(40)), Duration::from_secs(1));
    }
}
