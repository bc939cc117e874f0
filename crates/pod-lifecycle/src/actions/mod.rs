//! Which sandbox and containers a pod needs started or stopped right now.
//!
//! It compares the spec with what the runtime shows and returns the next steps, as upstream's
//! `computePodActions` does. Init containers go one after the other, sidecars stay beside the
//! regular ones. It does not decide whether the pod may run at all: that is [`crate::worker`].

mod init;
mod restart;
#[cfg(test)]
mod tests;

use crate::{
    backoff::{Backoffs, go_duration},
    core::{Container, Pod},
    names,
    observed::{ContainerPhase, ContainerSeen, PodSeen},
};
use jiff::Timestamp;

pub use restart::{restart_count, will_restart};

/// What the decision depends on.
pub struct Inputs<'a> {
    pub pod: &'a Pod,
    pub seen: &'a PodSeen,
    pub probes: &'a dyn Verdicts,
    pub backoffs: &'a Backoffs,
    pub now: Timestamp,
}

/// What the probes of a running container have found so far.
pub trait Verdicts {
    /// Its startup probe has succeeded, or it has none.
    fn started(&self, container_id: &str) -> bool;
    /// Why it must be killed, if a liveness or startup probe says so.
    fn failed(&self, container_id: &str) -> Option<Failed>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    Liveness,
    Startup,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Actions {
    pub sandbox: Sandbox,
    /// Sandboxes of earlier attempts that must be stopped first.
    pub stop_sandboxes: Vec<String>,
    pub kill: Vec<Kill>,
    /// In this order.
    pub start: Vec<Start>,
    pub waiting: Vec<Waiting>,
    /// Nothing runs that matters, and nothing will be started again.
    pub completed: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Sandbox {
    /// None is needed (any more).
    #[default]
    None,
    Keep(String),
    Create {
        attempt: u32,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Kill {
    pub id: String,
    pub name: String,
    pub why: KillReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillReason {
    SpecChanged,
    Liveness,
    Startup,
    /// It is to have other resources, and would not notice without a restart.
    Resize,
    /// The runtime cannot say whether it runs: stop it before starting another.
    Unknown,
}

impl KillReason {
    pub fn message(self, name: &str, restarts: bool) -> String {
        let what = match self {
            KillReason::SpecChanged => format!("Container {name} definition changed"),
            KillReason::Liveness => format!("Container {name} failed liveness probe"),
            KillReason::Startup => format!("Container {name} failed startup probe"),
            KillReason::Resize => return format!("Container {name} resize requires restart"),
            KillReason::Unknown => format!("Container {name} is in unknown state, try killing it before restart"),
        };
        if restarts && self != KillReason::Unknown { format!("{what}, will be restarted") } else { what }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    pub name: String,
    pub attempt: u32,
    /// When the previous one failed: starting counts against its back-off.
    pub after: Option<Timestamp>,
}

/// A container that will be restarted, but not yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    pub name: String,
    pub until: Timestamp,
    /// Upstream's text below the reason `CrashLoopBackOff`.
    pub message: String,
}

pub const CRASH_LOOP: &str = "CrashLoopBackOff";

/// The key of a container's restarts among the back-offs; a changed spec starts afresh.
pub fn backoff_key(container: &Container) -> String {
    format!("{}_{}", container.name, names::container_hash(container))
}

pub fn compute(inputs: &Inputs) -> Actions {
    let mut actions = Actions::default();
    let (sandbox, changed) = sandbox_wanted(inputs.pod, inputs.seen);
    if changed {
        actions.stop_sandboxes = inputs
            .seen
            .sandboxes
            .iter()
            .filter(|s| s.ready || inputs.seen.sandboxes[0].id == s.id)
            .map(|s| s.id.clone())
            .collect();
        create_all(inputs, sandbox, &mut actions);
        return actions;
    }
    let current = inputs.seen.sandboxes.first().map(|s| s.id.as_str()).unwrap_or_default();
    ephemeral(inputs, &mut actions);
    match init::advance(inputs, current, &mut actions) {
        init::Progress::Failed => {
            actions.start.clear();
            actions.completed = true;
        }
        init::Progress::Busy => actions.sandbox = sandbox,
        init::Progress::Done => {
            let kept = regular(inputs, &mut actions);
            let starts = actions.start.iter().any(|s| is_regular(inputs.pod, &s.name));
            let waits = actions.waiting.iter().any(|w| is_regular(inputs.pod, &w.name));
            actions.completed = kept == 0 && !starts && !waits;
            if actions.completed {
                actions.start.clear();
                actions.waiting.clear();
            } else {
                actions.sandbox = sandbox;
            }
        }
    }
    actions
}

fn is_regular(pod: &Pod, name: &str) -> bool {
    names::containers(pod).iter().any(|c| c.name == name)
}

/// The sandbox the pod should have, and whether it lacks it.
fn sandbox_wanted(pod: &Pod, seen: &PodSeen) -> (Sandbox, bool) {
    let Some(newest) = seen.sandboxes.first() else { return (Sandbox::Create { attempt: 0 }, true) };
    let host_network = names::host_network(pod);
    let several = seen.sandboxes.iter().filter(|s| s.ready).count() > 1;
    let wrong_network = newest.host_network != host_network || (!host_network && newest.ips.is_empty());
    if several || !newest.ready || wrong_network {
        return (Sandbox::Create { attempt: newest.attempt + 1 }, true);
    }
    (Sandbox::Keep(newest.id.clone()), false)
}

/// A new sandbox: everything that is not finished for good starts again, init containers first.
fn create_all(inputs: &Inputs, sandbox: Sandbox, actions: &mut Actions) {
    let pod = inputs.pod;
    let Sandbox::Create { attempt } = sandbox else { return };
    let had_any = !inputs.seen.containers.is_empty();
    let unfinished: Vec<_> = names::containers(pod).iter().filter(|c| !is_finished(pod, inputs.seen, c)).collect();
    if unfinished.is_empty() || (names::restart_policy(pod) == "Never" && attempt != 0 && had_any) {
        actions.completed = true;
        return;
    }
    actions.sandbox = sandbox;
    if names::init_containers(pod).is_empty() {
        for container in unfinished {
            start(inputs, container, actions);
        }
    } else if let Some(first) = names::init_containers(pod).first() {
        start(inputs, first, actions);
    }
}

fn is_finished(pod: &Pod, seen: &PodSeen, container: &Container) -> bool {
    let last = seen.container(&container.name);
    last.is_some_and(|c| c.has_exited() && !restart::wanted(pod, container, c))
}

fn ephemeral(inputs: &Inputs, actions: &mut Actions) {
    for container in names::ephemeral_containers(inputs.pod) {
        if inputs.seen.container(&container.name).is_none() {
            actions.start.push(Start { name: container.name.clone(), attempt: 0, after: None });
        }
    }
}

/// Regular containers; returns how many go on running.
fn regular(inputs: &Inputs, actions: &mut Actions) -> usize {
    let mut kept = 0;
    for container in names::containers(inputs.pod) {
        match inputs.seen.container(&container.name) {
            None => start(inputs, container, actions),
            Some(seen) if seen.is_running() => kept += usize::from(keep(inputs, container, seen, actions)),
            Some(seen) => {
                if restart::wanted(inputs.pod, container, seen) {
                    kill_unknown(seen, actions);
                    start(inputs, container, actions);
                }
            }
        }
    }
    kept
}

/// Looks at a running container; `false` when it is to be killed and not restarted.
fn keep(inputs: &Inputs, container: &Container, seen: &ContainerSeen, actions: &mut Actions) -> bool {
    let why = if !seen.hash.is_empty() && seen.hash != names::container_hash(container) {
        KillReason::SpecChanged
    } else {
        match inputs.probes.failed(&seen.id) {
            Some(Failed::Liveness) => KillReason::Liveness,
            Some(Failed::Startup) => KillReason::Startup,
            None => return true,
        }
    };
    actions.kill.push(Kill { id: seen.id.clone(), name: seen.name.clone(), why });
    // The restart is decided when its end has been seen, from its exit code and back-off.
    true
}

fn kill_unknown(seen: &ContainerSeen, actions: &mut Actions) {
    if seen.phase == ContainerPhase::Unknown {
        actions.kill.push(Kill { id: seen.id.clone(), name: seen.name.clone(), why: KillReason::Unknown });
    }
}

/// Starts a container, or has it wait for the end of its back-off.
fn start(inputs: &Inputs, container: &Container, actions: &mut Actions) {
    let last = inputs.seen.containers.iter().find(|c| c.name == container.name && c.has_exited());
    let failed = last.and_then(|c| c.finished_at);
    if let Some(failed) = failed
        && let Some((until, delay)) = inputs.backoffs.wait(&backoff_key(container), failed, inputs.now)
    {
        let message = format!(
            "back-off {} restarting failed container={} pod={}",
            go_duration(delay),
            container.name,
            names::formatted(inputs.pod)
        );
        actions.waiting.push(Waiting { name: container.name.clone(), until, message });
        return;
    }
    let attempt = restart_count(inputs.pod, inputs.seen, &container.name);
    actions.start.push(Start { name: container.name.clone(), attempt, after: failed });
}
