//! The life of one pod on its node: `(state, event, now) -> (state, effects)`.
//!
//! It decides when containers are wanted, when they are to be stopped, and when the pod is over. It
//! does not decide which containers to start ([`crate::actions`]) nor what the API shows
//! ([`crate::status`]).

use jiff::{SignedDuration, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Seen, nothing done yet.
    Waiting,
    /// Its containers are wanted.
    Syncing,
    /// Its containers are being stopped, by `deadline` at the latest.
    Terminating { deadline: Timestamp, cause: Cause },
    /// Nothing runs any more; volumes and cgroups are being removed.
    Terminated { cause: Cause },
    /// Over by itself; the object stays in the API until someone deletes it.
    Ended,
    /// Its deletion is confirmed to the API server, which has not yet removed it.
    Finished,
    /// No longer in the API, nothing left on the node.
    Gone,
}

/// Why a pod is being stopped; it decides what becomes of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Ran to its end, was refused, evicted, or passed its deadline: the object stays.
    Over,
    /// Deletion was asked for: the object goes when the pod has.
    Deleted,
    /// The object is gone already.
    Removed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The spec was seen, or has changed.
    SpecSeen,
    /// The node refuses to run it.
    Rejected,
    /// The object has a deletion timestamp. Grace in seconds.
    DeleteAsked { grace: i64 },
    /// The object has left the API.
    ObjectGone { grace: i64 },
    /// Must go now: eviction, or past its active deadline. Grace in seconds.
    Evicted { grace: i64 },
    /// Every container has ended and none will be restarted.
    Completed,
    /// The runtime was asked: this many sandboxes and containers are alive.
    RuntimeSays { alive: usize },
    /// The runtime reported a change, or a wake-up time has come.
    Tick,
    /// Volumes, cgroups and directories are gone.
    CleanedUp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    SyncContainers,
    /// Stop everything, gracefully until the deadline.
    StopContainers {
        by: Timestamp,
    },
    CleanUp,
    ReportStatus,
    /// Delete the object with grace 0 and its uid, after the last status has arrived.
    DeleteFromApi,
    Forget,
}

impl State {
    /// From here on nothing of this pod is ever started again.
    pub fn is_past_running(&self) -> bool {
        !matches!(self, State::Waiting | State::Syncing)
    }
}

pub fn step(state: State, event: Event, now: Timestamp) -> (State, Vec<Effect>) {
    use {Cause::*, Effect::*, Event::*, State::*};
    let after = |grace: i64| now.saturating_add(SignedDuration::from_secs(grace.max(0))).unwrap_or(Timestamp::MAX);
    let stop = |deadline, cause| (Terminating { deadline, cause }, vec![StopContainers { by: deadline }, ReportStatus]);
    match (state, event) {
        (Waiting, SpecSeen) => (Syncing, vec![SyncContainers]),
        (Syncing, SpecSeen | Tick | RuntimeSays { .. }) => (Syncing, vec![SyncContainers]),
        // A pod first seen on its way out may still have containers from before a restart of the
        // kubelet: everything passes through Terminating.
        (Waiting | Syncing, DeleteAsked { grace }) => stop(after(grace), Deleted),
        (Waiting | Syncing, ObjectGone { grace }) => stop(after(grace), Cause::Removed),
        (Waiting | Syncing, Rejected | Completed) => stop(now, Over),
        (Waiting | Syncing, Evicted { grace }) => stop(after(grace), Over),

        // A grace period may only shrink, a cause only grow.
        (Terminating { deadline, cause }, DeleteAsked { grace }) => {
            shorten(deadline, after(grace), cause.max(Deleted), cause)
        }
        (Terminating { deadline, cause }, ObjectGone { grace }) => {
            shorten(deadline, after(grace), Cause::Removed, cause)
        }
        (Terminating { deadline, cause }, Evicted { grace }) => shorten(deadline, after(grace), cause, cause),
        (Terminating { cause, .. }, RuntimeSays { alive: 0 }) => (Terminated { cause }, vec![ReportStatus, CleanUp]),
        // Something is alive still, or was born meanwhile.
        (Terminating { deadline, cause }, RuntimeSays { .. } | Tick) => {
            (Terminating { deadline, cause }, vec![StopContainers { by: deadline }])
        }

        (Terminated { cause }, DeleteAsked { .. }) => (Terminated { cause: cause.max(Deleted) }, vec![]),
        (Terminated { .. }, ObjectGone { .. }) => (Terminated { cause: Cause::Removed }, vec![]),
        (Terminated { cause: Over }, CleanedUp) => (Ended, vec![ReportStatus]),
        (Terminated { cause: Deleted }, CleanedUp) => (Finished, vec![ReportStatus, DeleteFromApi]),
        (Terminated { cause: Cause::Removed }, CleanedUp) => (Gone, vec![Forget]),

        (Ended, DeleteAsked { .. }) => (Finished, vec![ReportStatus, DeleteFromApi]),
        (Ended | Finished, ObjectGone { .. }) => (Gone, vec![Forget]),
        (same, _) => (same, vec![]),
    }
}

fn shorten(deadline: Timestamp, asked: Timestamp, cause: Cause, before: Cause) -> (State, Vec<Effect>) {
    if asked >= deadline && cause == before {
        return (State::Terminating { deadline, cause }, vec![]);
    }
    let deadline = deadline.min(asked);
    (State::Terminating { deadline, cause }, vec![Effect::StopContainers { by: deadline }])
}

impl Cause {
    fn max(self, other: Cause) -> Cause {
        let rank = |c: Cause| match c {
            Cause::Over => 0,
            Cause::Deleted => 1,
            Cause::Removed => 2,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn events() -> Vec<Event> {
        use Event::*;
        let mut all = vec![SpecSeen, Rejected, DeleteAsked { grace: 5 }, ObjectGone { grace: 3 }, Evicted { grace: 0 }];
        all.extend([Completed, RuntimeSays { alive: 0 }, RuntimeSays { alive: 1 }, Tick, CleanedUp]);
        all
    }

    fn past_running() -> Vec<State> {
        let mut all = vec![State::Ended, State::Finished, State::Gone];
        for cause in [Cause::Over, Cause::Deleted, Cause::Removed] {
            all.push(State::Terminating { deadline: at(9), cause });
            all.push(State::Terminated { cause });
        }
        all
    }

    /// From Terminating on, no sequence of events ever starts a container again.
    #[test]
    fn never_restarts() {
        let mut frontier = past_running();
        for second in 0..4 {
            let mut next = vec![];
            for state in frontier {
                for event in events() {
                    let (after, effects) = step(state.clone(), event, at(second));
                    assert!(!effects.contains(&Effect::SyncContainers), "{state:?}");
                    assert!(after.is_past_running());
                    if !next.contains(&after) {
                        next.push(after);
                    }
                }
            }
            frontier = next;
        }
    }

    /// Whatever came before: silence from the runtime, a clean-up and the object's end finish every pod.
    #[test]
    fn always_ends() {
        for start in past_running().into_iter().chain([State::Waiting, State::Syncing]) {
            let end = [
                Event::DeleteAsked { grace: 1 },
                Event::RuntimeSays { alive: 0 },
                Event::CleanedUp,
                Event::ObjectGone { grace: 0 },
            ];
            let state = end.into_iter().fold(start.clone(), |s, e| step(s, e, at(1)).0);
            assert_eq!(state, State::Gone, "{start:?}");
        }
    }

    #[test]
    fn grace_only_shrinks() {
        let start = State::Terminating { deadline: at(10), cause: Cause::Deleted };
        let (longer, effects) = step(start.clone(), Event::DeleteAsked { grace: 60 }, at(1));
        assert_eq!((longer, effects), (start.clone(), vec![]));
        let (shorter, effects) = step(start, Event::DeleteAsked { grace: 0 }, at(1));
        assert_eq!(shorter, State::Terminating { deadline: at(1), cause: Cause::Deleted });
        assert_eq!(effects, vec![Effect::StopContainers { by: at(1) }]);
    }

    /// An object is deleted from the API only after everything of it has stopped and is cleaned up.
    #[test]
    fn deletes_last() {
        let (state, effects) = step(State::Syncing, Event::DeleteAsked { grace: 30 }, at(0));
        assert!(!effects.contains(&Effect::DeleteFromApi));
        let (state, effects) = step(state, Event::RuntimeSays { alive: 0 }, at(1));
        assert_eq!(effects, vec![Effect::ReportStatus, Effect::CleanUp]);
        let (state, effects) = step(state, Event::CleanedUp, at(2));
        assert_eq!((state, effects), (State::Finished, vec![Effect::ReportStatus, Effect::DeleteFromApi]));
    }

    #[test]
    fn a_completed_pod_stays_in_the_api() {
        let (state, _) = step(State::Syncing, Event::Completed, at(0));
        let (state, _) = step(state, Event::RuntimeSays { alive: 0 }, at(0));
        let (state, effects) = step(state, Event::CleanedUp, at(0));
        assert_eq!((state, effects), (State::Ended, vec![Effect::ReportStatus]));
    }
}
