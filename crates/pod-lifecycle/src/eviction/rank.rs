//! Who goes first: pods that use more than they asked for, then the less important, then those that use most.

use super::{Signal, Usage};
use crate::{core::Pod, resources};
use std::cmp::{Ordering, Reverse};

/// A pod that may go, with what it uses if that is known.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub pod: &'a Pod,
    pub usage: Option<&'a Usage>,
}

/// The first is to go first.
pub fn rank(candidates: &mut [Candidate], signal: Signal) {
    candidates.sort_by(|a, b| compare(a, b, signal));
}

fn compare(a: &Candidate, b: &Candidate, signal: Signal) -> Ordering {
    let unknown = |c: &Candidate| c.usage.is_none();
    let exceeds = |c: &Candidate| beyond_request(c, signal).is_some_and(|over| over > 0);
    let priority = |c: &Candidate| c.pod.spec.as_ref().and_then(|s| s.priority).unwrap_or(0);
    let over = |c: &Candidate| beyond_request(c, signal).unwrap_or(0);
    // Requests say nothing of process ids: all pods are alike there but for their importance.
    let by_request = match signal {
        Signal::PidAvailable => Ordering::Equal,
        _ => Reverse(unknown(a)).cmp(&Reverse(unknown(b))).then(Reverse(exceeds(a)).cmp(&Reverse(exceeds(b)))),
    };
    by_request.then(priority(a).cmp(&priority(b))).then(Reverse(over(a)).cmp(&Reverse(over(b))))
}

/// Use less request; nothing can be requested of inodes and process ids.
fn beyond_request(candidate: &Candidate, signal: Signal) -> Option<i128> {
    let usage = candidate.usage?;
    let request = |name: &str| {
        resources::pod_requests(candidate.pod).get(name).map_or(0, |quantity| i128::from(quantity.value()))
    };
    Some(match signal {
        Signal::MemoryAvailable => i128::from(usage.memory()) - request("memory"),
        Signal::NodeFsAvailable | Signal::ImageFsAvailable => i128::from(usage.disk()) - request("ephemeral-storage"),
        Signal::NodeFsInodesFree | Signal::ImageFsInodesFree => i128::from(usage.inodes),
        Signal::PidAvailable => i128::from(usage.processes),
    })
}
