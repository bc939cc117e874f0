//! Init containers and sidecars: one after the other, each waiting for the one before.

use super::{Actions, Inputs, keep, kill_unknown, restart, start};
use crate::{
    core::Container,
    names,
    observed::{ContainerPhase, ContainerSeen},
};

pub(super) enum Progress {
    /// One of them is running, starting or waiting: regular containers have to wait.
    Busy,
    Done,
    /// One has failed for good.
    Failed,
}

pub(super) fn advance(inputs: &Inputs, sandbox: &str, actions: &mut Actions) -> Progress {
    let all = names::init_containers(inputs.pod);
    let here = |name: &str| inputs.seen.containers.iter().find(|c| c.name == name && c.sandbox_id == sandbox);
    // A regular container in this sandbox proves that initialization was complete; a later init
    // container proves that those before it were, even when their remains have been collected.
    let initialized = names::containers(inputs.pod).iter().any(|c| here(&c.name).is_some());
    let reached = all.iter().rposition(|c| here(&c.name).is_some()).unwrap_or(0);
    for (index, container) in all.iter().enumerate() {
        let seen = here(&container.name);
        let passed = initialized || (index < reached && seen.is_none());
        let progress = if names::is_sidecar(container) {
            sidecar(inputs, container, seen, actions)
        } else if passed {
            Progress::Done
        } else {
            once(inputs, container, seen, actions)
        };
        match progress {
            Progress::Done => {}
            Progress::Busy if initialized => {}
            other => return other,
        }
    }
    Progress::Done
}

fn once(inputs: &Inputs, container: &Container, seen: Option<&ContainerSeen>, actions: &mut Actions) -> Progress {
    let Some(seen) = seen else {
        start(inputs, container, actions);
        return Progress::Busy;
    };
    match seen.phase {
        ContainerPhase::Running => {
            keep(inputs, container, seen, actions);
            Progress::Busy
        }
        ContainerPhase::Exited if seen.exit_code == 0 => Progress::Done,
        _ if restart::wanted(inputs.pod, container, seen) => {
            kill_unknown(seen, actions);
            start(inputs, container, actions);
            Progress::Busy
        }
        _ => Progress::Failed,
    }
}

fn sidecar(inputs: &Inputs, container: &Container, seen: Option<&ContainerSeen>, actions: &mut Actions) -> Progress {
    match seen {
        Some(seen) if seen.is_running() => {
            keep(inputs, container, seen, actions);
            if inputs.probes.started(&seen.id) { Progress::Done } else { Progress::Busy }
        }
        other => {
            if let Some(seen) = other {
                kill_unknown(seen, actions);
            }
            start(inputs, container, actions);
            Progress::Busy
        }
    }
}
