//! From what is seen to writes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api_types::{
    object::Object,
    plan::{Decision, Pace, PatchStyle, Plan, Step, Target, Write},
    selector::Selector,
};
use serde_json::json;

use super::{
    BURST, CONTROLLER, FINALIZER, Observed, backoff,
    census::{Census, count, index_failures},
    condition, finished, pods,
    policy::{self, Verdict},
    release, status, tracked,
};
use crate::{
    adoption::{Candidate, Claim, Owner, controller_reference},
    time::{from_seconds, left},
    view::Pod,
};

/// Where the job stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Course {
    Running,
    /// No new pods; those that run end, and count as failed.
    Failing {
        reason: String,
        message: String,
    },
    /// No new pods; those that run end, and do not count.
    Succeeding {
        reason: String,
        message: String,
    },
}

/// What is done to the pods, and how that changes the numbers seen.
#[derive(Debug, Default)]
pub(super) struct Manage {
    stages: Vec<(Pace, Vec<Step>)>,
    pub made: i32,
    pub deleted: i32,
    pub deleted_ready: i32,
    /// The time after which more can be made.
    wait: Option<Duration>,
}

pub fn reconcile(seen: &Observed<'_>) -> Decision {
    let job = seen.job;
    let mut plan = Plan::default();
    let Some(spec) = &job.spec else { return Decision::Do(plan) };
    if spec.managed_by.as_deref().is_some_and(|manager| manager != CONTROLLER) {
        return Decision::Do(plan);
    }
    if finished(job).is_some() {
        let mine = |pod: &Pod| pod.metadata.controller().is_some_and(|owner| owner.uid == job.uid());
        let late = seen.pods.iter().filter(|pod| tracked(pod) && mine(pod));
        plan.stage(Pace::Together, late.map(|pod| Step::from(release(pod))));
        return Decision::Do(plan);
    }
    let (mine, claims) = match claim(seen) {
        Ok(claimed) => claimed,
        Err(needed) => return Decision::Need(needed),
    };
    plan.stage(Pace::Together, claims.into_iter().map(Step::from));
    let census = Census::take(job, mine);
    let course = course(seen, &census, &mut plan);
    let manage = match &course {
        Course::Running if job.metadata.deletion_timestamp.is_some() => Manage::default(),
        Course::Running => manage(seen, &census),
        Course::Failing { .. } | Course::Succeeding { .. } => end(&census),
    };
    if let Some(wait) = manage.wait {
        plan.again(wait);
    }
    // What failed last time may fail again: the status is written first then, or it might never be.
    let failed = seen.failure.is_some();
    let report = status::report(seen, &census, &course, if failed { None } else { Some(&manage) });
    let pods = manage.stages;
    let (before, after) = if failed { (Vec::new(), pods) } else { (pods, Vec::new()) };
    for (pace, steps) in before {
        plan.stage(pace, steps);
    }
    plan.stage(Pace::InOrder, report.write);
    plan.notes.extend(report.more);
    plan.stage(Pace::Together, report.counted.into_iter().map(|pod| Step::from(release(pod))));
    for (pace, steps) in after {
        plan.stage(pace, steps);
    }
    Decision::Do(plan)
}

type Claimed<'a> = (Vec<&'a Pod>, Vec<Write>);

/// The job's pods, and the writes that make them so; or what has to be read first.
fn claim<'a>(seen: &Observed<'a>) -> Result<Claimed<'a>, Target> {
    let job = seen.job;
    let (mut mine, mut writes) = (Vec::new(), Vec::new());
    let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    // Without a selector nothing matches; validation does not let such a job in.
    let Some(Ok(selector)) = selector.map(Selector::from_label_selector) else { return Ok((mine, writes)) };
    let owner = Owner { uid: job.uid(), deleting: job.metadata.deletion_timestamp.is_some(), selector: &selector };
    for pod in seen.pods {
        match owner.claim(candidate(pod)) {
            Claim::Mine => mine.push(&**pod),
            Claim::Foreign => {}
            Claim::Release => writes.push(give_up(pod, job.uid())),
            Claim::Adopt => match seen.live {
                None => return Err(Target::of(job)),
                // It is counted once it shows as ours.
                Some(live) if live.may_adopt(job.uid()) => writes.push(adopt(pod, seen)),
                Some(_) => {}
            },
        }
    }
    Ok((mine, writes))
}

fn candidate(pod: &Arc<Pod>) -> Candidate<'_> {
    Candidate { controller: pod.metadata.controller(), labels: &pod.metadata.labels, deleting: pod.metadata.deleting() }
}

fn adopt(pod: &Pod, seen: &Observed<'_>) -> Write {
    let owner = controller_reference(seen.job);
    let body = json!({"metadata": {"ownerReferences": [owner], "finalizers": [FINALIZER]}});
    Write::Patch { target: Target::of(pod), subresource: None, style: PatchStyle::Strategic, body }
}

fn give_up(pod: &Pod, uid: &str) -> Write {
    let mut metadata = json!({"ownerReferences": [{"$patch": "delete", "uid": uid}]});
    if tracked(pod) {
        metadata["$deleteFromPrimitiveList/finalizers"] = json!([FINALIZER]);
    }
    let body = json!({"metadata": metadata});
    Write::Patch { target: Target::of(pod), subresource: None, style: PatchStyle::Strategic, body }
}

/// What was decided before stays; then failure comes before success.
fn course(seen: &Observed<'_>, census: &Census<'_>, plan: &mut Plan) -> Course {
    let decided = |kind: &str| {
        let condition = condition(seen.job, kind)?;
        Some((condition.reason.clone().unwrap_or_default(), condition.message.clone().unwrap_or_default()))
    };
    if let Some((reason, message)) = decided("SuccessCriteriaMet") {
        return Course::Succeeding { reason, message };
    }
    if let Some((reason, message)) = decided("FailureTarget") {
        return Course::Failing { reason, message };
    }
    if let Some((reason, message)) = failure(seen, census, plan) {
        return Course::Failing { reason: reason.to_owned(), message };
    }
    let spec = seen.job.spec.as_ref();
    if census.wanted.indexed
        && let policy = spec.and_then(|spec| spec.success_policy.as_ref())
        && let Some(message) = policy::met(policy, census.wanted.size(), &census.completed)
    {
        return Course::Succeeding { reason: "SuccessPolicy".to_owned(), message };
    }
    let enough = match census.wanted.completions {
        // One success says that the work is done; the others end by themselves.
        None => census.succeeded > 0,
        Some(completions) => census.succeeded >= completions,
    };
    if enough && census.active.is_empty() {
        return Course::Succeeding {
            reason: "CompletionsReached".to_owned(),
            message: "Reached expected number of succeeded pods".to_owned(),
        };
    }
    Course::Running
}

fn failure(seen: &Observed<'_>, census: &Census<'_>, plan: &mut Plan) -> Option<(&'static str, String)> {
    let wanted = &census.wanted;
    let failed = census.pods.iter().filter(|pod| wanted.is_failed(pod));
    let by_policy = failed.filter_map(|pod| match wanted.judge(pod) {
        Verdict::FailsJob(message) => Some(message),
        _ => None,
    });
    if let Some(message) = by_policy.into_iter().next() {
        return Some(("PodFailurePolicy", message));
    }
    if census.failed > wanted.backoff_limit || restarted_too_often(census) {
        return Some(("BackoffLimitExceeded", "Job has reached the specified backoff limit".to_owned()));
    }
    if let Some(left) = deadline(seen, wanted.suspended) {
        if left.is_zero() {
            return Some(("DeadlineExceeded", "Job was active longer than specified deadline".to_owned()));
        }
        plan.again(left);
    }
    let indexes = census.failed_indexes.as_ref()?.total();
    let limit = seen.job.spec.as_ref().and_then(|spec| spec.max_failed_indexes);
    if limit.is_some_and(|limit| indexes > limit) {
        let message = "Job has exceeded the specified maximal number of failed indexes";
        return Some(("MaxFailedIndexesExceeded", message.to_owned()));
    }
    if indexes > 0 && indexes + census.succeeded >= wanted.size() {
        return Some(("FailedIndexes", "Job has failed indexes".to_owned()));
    }
    None
}

/// With `restartPolicy: OnFailure` the restarts of containers count, not the pods.
fn restarted_too_often(census: &Census<'_>) -> bool {
    let template = census.wanted.spec.and_then(|spec| spec.template.spec.as_ref());
    if template.and_then(|template| template.restart_policy.as_deref()) != Some("OnFailure") {
        return false;
    }
    let alive = census.pods.iter().filter(|pod| matches!(&*pod.status.phase, "Running" | "Pending"));
    let containers =
        alive.flat_map(|pod| pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses));
    let restarts = containers.fold(0_i32, |sum, status| sum.saturating_add(status.restart_count));
    restarts > 0 && restarts >= census.wanted.backoff_limit
}

/// The time left until `activeDeadlineSeconds`.
fn deadline(seen: &Observed<'_>, suspended: bool) -> Option<Duration> {
    let seconds = seen.job.spec.as_ref()?.active_deadline_seconds.filter(|_| !suspended)?;
    let started = seen.job.status.as_ref().and_then(|status| status.start_time.as_ref());
    Some(left(started.map_or(seen.now, |time| time.0), from_seconds(seconds), seen.now))
}

/// Ends what still runs of a job that is over. The finalizers stay until the pods are counted.
fn end(census: &Census<'_>) -> Manage {
    let mut manage = Manage::default();
    manage.delete(census, &census.active);
    manage
}

impl Manage {
    fn delete(&mut self, census: &Census<'_>, pods: &[&Pod]) {
        self.deleted = count(pods.iter());
        self.deleted_ready = count(pods.iter().filter(|pod| pod.ready()));
        self.stages.push((Pace::Together, pods.iter().map(|pod| pods::delete(census.wanted.job, pod)).collect()));
    }

    /// The same for pods that shall not count: they lose their finalizer first.
    fn withdraw(&mut self, census: &Census<'_>, pods: &[&Pod]) {
        let held = pods.iter().filter(|pod| tracked(pod));
        self.stages.push((Pace::Together, held.map(|pod| Step::from(release(pod))).collect()));
        self.delete(census, pods);
    }
}

/// Brings the number of active pods to what is wanted.
fn manage(seen: &Observed<'_>, census: &Census<'_>) -> Manage {
    let mut manage = Manage::default();
    let wanted = &census.wanted;
    let active = count(census.active.iter());
    if wanted.suspended {
        manage.withdraw(census, &census.active);
        return manage;
    }
    let want = match wanted.completions {
        None if census.succeeded > 0 => active,
        None => wanted.parallelism,
        Some(completions) => (completions - census.succeeded).clamp(0, wanted.parallelism.max(0)),
    };
    let mut surplus = pods::surplus(census, usize::try_from(active - want).unwrap_or_default());
    surplus.truncate(BURST);
    if !surplus.is_empty() {
        manage.withdraw(census, &surplus);
        return manage;
    }
    let terminating = if wanted.replaces_failed_only { census.terminating } else { 0 };
    let missing = usize::try_from(want - terminating - active).unwrap_or_default().min(BURST);
    if missing > 0 {
        create(seen, census, missing, &mut manage);
    }
    manage
}

fn create(seen: &Observed<'_>, census: &Census<'_>, missing: usize, manage: &mut Manage) {
    let per_index = census.wanted.backoff_limit_per_index.is_some();
    if !per_index {
        let wait = seen.backoff.remaining(seen.now);
        if !wait.is_zero() {
            manage.wait = Some(wait);
            return;
        }
    }
    let steps: Vec<Step> = if census.wanted.indexed {
        let replaced = if per_index { census.to_replace() } else { BTreeMap::new() };
        let mut steps = Vec::new();
        for index in pods::pending(census, missing) {
            let replaced = replaced.get(&index).copied();
            let wait = replaced.map_or(Duration::ZERO, |pod| {
                let (counted, ignored) = index_failures(pod);
                backoff::of_index(pod, counted + ignored + 1, seen.now)
            });
            if wait.is_zero() {
                steps.push(pods::create(census, Some(index), replaced));
            } else {
                manage.wait = Some(manage.wait.map_or(wait, |earlier| earlier.min(wait)));
            }
        }
        steps
    } else {
        (0..missing).map(|_| pods::create(census, None, None)).collect()
    };
    manage.made = count(steps.iter());
    manage.stages.push((Pace::SlowStart, steps));
}
