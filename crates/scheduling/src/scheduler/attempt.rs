//! One attempt to place a pod, from the queue to a placement or back: the cycle, the extenders' say, preemption.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Attempt, Nomination, Placement, Preemption, Scheduler};
use crate::{
    cluster::{NodeId, Resident},
    cycle::{Eviction, FitError, NO_CANDIDATE, Survey, least_harm},
    extenders::{self, Answer, Candidate, PreemptionAnswer, PreemptionQuestion, Question},
    framework::{Permit, Point, Reason},
    plugins::DefaultPreemption,
    profile::PluginSet,
    queue::{Failure, InFlight, Waiting},
};

impl Scheduler {
    /// Tries the next pod, if one waits. `tie` picks among equally good nodes; `enter` is told of each extension
    /// point reached.
    pub fn next(&mut self, now: Timestamp, tie: u64, enter: &mut dyn FnMut(Point)) -> Option<Attempt> {
        let pod = self.queue.pop(now)?;
        Some(self.attempt(pod, true, now, tie, enter))
    }

    fn attempt(
        &mut self,
        pod: InFlight,
        prefers_meant: bool,
        now: Timestamp,
        tie: u64,
        enter: &mut dyn FnMut(Point),
    ) -> Attempt {
        let waiting = &pod.pod;
        let (profile, seen) = (&self.profiles[waiting.profile], waiting.to_plugins());
        let asked = extenders::interested(&self.extenders, &waiting.shape);
        if asked.is_empty() {
            return match self.cycle.run(profile, seen, &mut self.cluster, tie, enter) {
                Ok(node) => self.place(pod, node, now, enter),
                Err(error) => self.unfit(pod, error, now, tie, enter),
            };
        }
        match self.cycle.survey(profile, seen, &mut self.cluster, prefers_meant, enter) {
            Ok(Survey { nodes, refused, only_meant }) => {
                let names = nodes.iter().map(|id| self.cluster.node(*id).name().clone()).collect();
                Attempt::Ask(Box::new(Question {
                    pod,
                    extenders: asked,
                    nodes: names,
                    ids: nodes,
                    refused,
                    only_meant,
                }))
            }
            Err(error) => self.unfit(pod, error, now, tie, enter),
        }
    }

    /// Goes on with an attempt that stopped at a question. Nothing else may have happened meanwhile.
    pub fn answered(
        &mut self,
        question: Question,
        answer: Answer,
        now: Timestamp,
        tie: u64,
        enter: &mut dyn FnMut(Point),
    ) -> Attempt {
        let Question { pod, ids, mut refused, only_meant, .. } = question;
        let (passed, others) = match answer {
            Answer::Nodes { passed, refused } => (passed, refused),
            Answer::Failed(message) => {
                self.fail(&pod.pod.uid.clone(), Failure::Error, now);
                return Attempt::Failed { pod, message };
            }
        };
        let id = |place: usize| ids.get(place).copied();
        let passed: Vec<_> =
            passed.into_iter().filter_map(|(place, points)| Some((id(place)?, points * extenders::POINT))).collect();
        if passed.is_empty() && only_meant {
            return self.attempt(pod, false, now, tie, enter);
        }
        let (profile, seen) = (&self.profiles[pod.pod.profile], pod.pod.to_plugins());
        if passed.len() > 1 {
            enter(Point::Score);
        }
        if let Some(node) = self.cycle.choose(profile, seen, &self.cluster, &passed, tie) {
            return self.place(pod, node, now, enter);
        }
        for other in others {
            if let Some(node) = id(other.place) {
                refused.refuse(profile, node, other.reason, other.resolvable);
            }
        }
        self.unfit(pod, refused, now, tie, enter)
    }

    fn place(&mut self, pod: InFlight, node: NodeId, now: Timestamp, enter: &mut dyn FnMut(Point)) -> Attempt {
        let waiting = &pod.pod;
        self.cluster.assume(waiting.resident(), node);
        match self.commit(waiting, node, enter) {
            Ok(()) => {
                self.cluster.denominate(&waiting.uid);
                self.evicting.remove(&waiting.uid);
                Attempt::Placed(self.reserve(pod, node, enter))
            }
            Err((by, message)) => {
                self.cluster.forget(&waiting.uid);
                self.refused(pod, by, message, Nomination::Keep, now)
            }
        }
    }

    /// No node would do: PostFilter, and back into the queue.
    fn unfit(
        &mut self,
        pod: InFlight,
        error: Box<FitError>,
        now: Timestamp,
        tie: u64,
        enter: &mut dyn FnMut(Point),
    ) -> Attempt {
        enter(Point::PostFilter);
        let settings = match self.may_preempt(&pod.pod, &error) {
            Ok(settings) => settings,
            Err(said) => return self.not_helped(pod, &error, said, Nomination::Keep, now),
        };
        let (profile, seen) = (&self.profiles[pod.pod.profile], pod.pod.to_plugins());
        let asked = extenders::interested_in_preemption(&self.extenders, &pod.pod.shape);
        if asked.is_empty() {
            return match self.cycle.preempt(profile, &settings, seen, &mut self.cluster, &error, tie) {
                Ok(eviction) => self.make_room(pod, &error, eviction, now),
                Err(said) => self.helpless(pod, &error, said, now),
            };
        }
        match self.cycle.preempt_candidates(profile, &settings, seen, &mut self.cluster, &error, tie) {
            Ok(found) => {
                let candidate = |eviction: Eviction| Candidate {
                    node: self.cluster.node(eviction.node).name().clone(),
                    victims: eviction.victims,
                    broken_budgets: eviction.broken_budgets,
                };
                let candidates = found.into_iter().map(candidate).collect();
                Attempt::AskPreemption(Box::new(PreemptionQuestion { pod, extenders: asked, candidates, error }))
            }
            Err(said) => self.helpless(pod, &error, said, now),
        }
    }

    /// Goes on with a preemption that stopped at a question. Nothing else may have happened meanwhile.
    pub fn preemption_answered(
        &mut self,
        question: PreemptionQuestion,
        answer: PreemptionAnswer,
        now: Timestamp,
    ) -> Attempt {
        let PreemptionQuestion { pod, error, .. } = question;
        let candidates = match answer {
            Ok(candidates) => candidates,
            Err(said) => return self.not_helped(pod, &error, Some(said), Nomination::Keep, now),
        };
        let best = least_harm(candidates.iter().map(|found| (found.victims.as_slice(), found.broken_budgets)));
        let chosen = best.and_then(|at| candidates.into_iter().nth(at));
        let chosen = chosen.and_then(|candidate| Some((self.cluster.find(&candidate.node)?, candidate)));
        match chosen {
            Some((node, Candidate { victims, broken_budgets, .. })) => {
                self.make_room(pod, &error, Eviction { node, victims, broken_budgets }, now)
            }
            None => self.helpless(pod, &error, NO_CANDIDATE.to_owned(), now),
        }
    }

    fn make_room(&mut self, pod: InFlight, error: &FitError, eviction: Eviction, now: Timestamp) -> Attempt {
        let preemption = self.meant_for(&pod.pod, eviction.node, eviction.victims);
        self.not_helped(pod, error, None, Nomination::Evict(preemption), now)
    }

    /// Nobody can be evicted so that the pod fits: what it was meant for before is no good either.
    fn helpless(&mut self, pod: InFlight, error: &FitError, said: String, now: Timestamp) -> Attempt {
        let had = self.cluster.denominate(&pod.pod.uid).is_some();
        self.not_helped(pod, error, Some(said), if had { Nomination::Clear } else { Nomination::Keep }, now)
    }

    fn not_helped(
        &mut self,
        pod: InFlight,
        error: &FitError,
        said: Option<String>,
        nomination: Nomination,
        now: Timestamp,
    ) -> Attempt {
        let message = error.message() + &said.map(|said| format!(" preemption: {said}")).unwrap_or_default();
        self.refused(pod, error.refused_by, message, nomination, now)
    }

    fn refused(
        &mut self,
        pod: InFlight,
        by: PluginSet,
        message: String,
        nomination: Nomination,
        now: Timestamp,
    ) -> Attempt {
        self.fail(&pod.pod.uid.clone(), Failure::Unschedulable(by), now);
        Attempt::Unschedulable { pod, message, nomination }
    }

    /// Counts the volumes that the pod's claims are to get as theirs.
    fn reserve(&mut self, pod: InFlight, node: NodeId, enter: &mut dyn FnMut(Point)) -> Placement {
        enter(Point::Reserve);
        let profile = &self.profiles[pod.pod.profile];
        let name = self.cluster.node(node).name().clone();
        let seen = pod.pod.to_plugins();
        let work = profile.at(Point::Reserve).find_map(|(_, e)| e.plugin.reserve(seen, self.cluster.node(node)));
        let volumes = work.unwrap_or_default();
        if !volumes.is_empty() {
            self.cluster.storage_mut().assume(&volumes, &name);
        }
        let timeout = profile.at(Point::PreBind).find_map(|(_, e)| e.plugin.bind_timeout_seconds());
        Placement { pod, node: name, volumes, bind_timeout_seconds: timeout.unwrap_or_default() }
    }

    /// How others may be evicted for a pod that fits nowhere; or why not, if that is worth saying.
    fn may_preempt(&self, pod: &Waiting, error: &FitError) -> Result<DefaultPreemption, Option<String>> {
        let settings = self.profiles[pod.profile].preemption().filter(|_| error.nodes > 0).ok_or(None)?;
        if !pod.may_preempt {
            return Err(Some("not eligible due to preemptionPolicy=Never.".into()));
        }
        if self.is_being_helped(pod, error) {
            return Err(Some("not eligible due to terminating pod on the nominated node.".into()));
        }
        Ok(*settings)
    }

    /// Victims of an earlier preemption for this pod are still to be deleted, or are on their way out of a node that
    /// would do without them. Pods that leave it for other reasons promise nothing.
    fn is_being_helped(&self, pod: &Waiting, error: &FitError) -> bool {
        let stays = |victim: &Arc<str>| self.cluster.placed_as(victim).is_some_and(|known| !known.held.peers.deleting);
        if self.evicting.get(&pod.uid).is_some_and(|victims| victims.iter().any(stays)) {
            return true;
        }
        let Some(node) = self.cluster.nominated_node(&pod.uid).filter(|node| error.resolvable.contains(node)) else {
            return false;
        };
        let leaves = |resident: &Resident| resident.priority < pod.priority && resident.preempted;
        self.cluster.pods_on(node).any(|(_, resident)| leaves(resident))
    }

    fn meant_for(&mut self, pod: &Waiting, node: NodeId, victims: Vec<Resident>) -> Preemption {
        let lower = self.cluster.nominated_on(node).filter(|other| other.priority < pod.priority);
        let displaced: Vec<Resident> = lower.cloned().collect();
        for other in &displaced {
            self.cluster.denominate(&other.uid);
        }
        self.cluster.nominate(pod.resident(), node);
        self.evicting.insert(pod.uid.clone(), victims.iter().map(|victim| victim.uid.clone()).collect());
        Preemption { node: self.cluster.node(node).name().clone(), victims, displaced }
    }

    /// Permit, after which only the binding itself is left.
    fn commit(&self, pod: &Waiting, node: NodeId, enter: &mut dyn FnMut(Point)) -> Result<(), (PluginSet, String)> {
        let profile = &self.profiles[pod.profile];
        let node = self.cluster.node(node);
        let refused = |at: usize, reason: Reason| {
            let mut by = PluginSet::default();
            by.insert(at);
            (by, format!("0/{} nodes are available: 1 {reason}.", self.cluster.live().len()))
        };
        enter(Point::Permit);
        for (at, enabled) in profile.at(Point::Permit) {
            if let Permit::Reject(reason) = enabled.plugin.permit(&pod.shape, node) {
                return Err(refused(at, reason));
            }
        }
        Ok(())
    }
}
