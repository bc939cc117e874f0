//! What a job reports, and which pods may lose their finalizer once that is written.

use std::collections::{BTreeMap, BTreeSet};

use api_types::{
    k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus, UncountedTerminatedPods},
    plan::{Note, Step, Target, Write, reference},
};
use jiff::Timestamp;
use serde_json::json;

use super::{
    BURST, Observed,
    census::{Census, count},
    plan::{Course, Manage},
    policy::Verdict,
    tracked,
};
use crate::{time::seconds, view::Pod};

const SUSPENDED: &str = "Suspended";

pub(super) struct Report<'a> {
    /// None when the status says it already.
    pub write: Option<Step>,
    /// What is to be said besides, once it is written.
    pub more: Option<Note>,
    /// What the status has accounted for.
    pub counted: Vec<&'a Pod>,
}

/// `manage`: what is done to the pods before this is written.
pub(super) fn report<'a>(
    seen: &Observed<'_>,
    census: &Census<'a>,
    course: &Course,
    manage: Option<&Manage>,
) -> Report<'a> {
    let present = seen.job.status.clone().unwrap_or_default();
    let mut status = present.clone();
    let (made, deleted, deleted_ready) = manage.map_or((0, 0, 0), |m| (m.made, m.deleted, m.deleted_ready));
    let ready = count(census.active.iter().filter(|pod| pod.ready()));
    status.active = Some(count(census.active.iter()) + made - deleted);
    status.ready = Some(ready - deleted_ready);
    status.terminating = Some(census.terminating + deleted);

    let counted = account(census, course, &mut status);
    let (mut note, mut more) = (None, None);
    let conditions = status.conditions.get_or_insert_default();
    match course {
        Course::Running if seen.job.metadata.deletion_timestamp.is_some() => {}
        Course::Running => note = suspension(seen, census.wanted.suspended, conditions, &mut status.start_time),
        Course::Failing { reason, message } => {
            ensure(conditions, "FailureTarget", true, reason, message, seen.now);
        }
        Course::Succeeding { reason, message } => {
            if ensure(conditions, "SuccessCriteriaMet", true, reason, message, seen.now)
                && census.wanted.completions.is_some_and(|completions| census.succeeded > completions)
            {
                let text = "Too many succeeded pods running after completion count reached";
                more = Some(Note::warning(reference(seen.job), "TooManySucceededPods", text));
            }
        }
    }
    if status.start_time.is_none() && !census.wanted.suspended {
        status.start_time = Some(seconds(seen.now));
    }
    if over(census, &status) {
        note = finish(seen, course, &mut status);
    }
    if status.conditions.as_ref().is_some_and(Vec::is_empty) {
        status.conditions = None;
    }
    let write = (!same(&present, &status)).then(|| {
        let mut step = Step::from(replace(seen.job, status));
        step.done = note;
        step
    });
    Report { more: more.filter(|_| write.is_some()), write, counted }
}

fn replace(job: &Job, status: JobStatus) -> Write {
    let object = Job { status: Some(status), ..job.clone() };
    Write::Replace { target: Target::of(job), subresource: Some("status"), object: json!(object) }
}

/// Moves uids whose pods have lost their finalizer into the counts, and notes those of newly ended pods.
fn account<'a>(census: &Census<'a>, course: &Course, status: &mut JobStatus) -> Vec<&'a Pod> {
    let held: BTreeSet<&str> = census.pods.iter().filter(|pod| tracked(pod)).map(|pod| &*pod.metadata.uid).collect();
    let waiting = |uids: &BTreeSet<&str>| -> Vec<String> {
        uids.iter().filter(|uid| held.contains(*uid)).map(|uid| (*uid).to_owned()).collect()
    };
    let mut succeeded = waiting(&census.uncounted_succeeded);
    let mut failed = waiting(&census.uncounted_failed);
    let settled =
        |all: &BTreeSet<&str>, left: &[String]| i32::try_from(all.len().saturating_sub(left.len())).unwrap_or(i32::MAX);
    status.succeeded = Some(status.succeeded.unwrap_or(0) + settled(&census.uncounted_succeeded, &succeeded));
    status.failed = Some(status.failed.unwrap_or(0) + settled(&census.uncounted_failed, &failed));

    let kept = if *course == Course::Running { census.to_replace() } else { BTreeMap::new() };
    let mut indexes: Vec<i32> = Vec::new();
    let mut counted = Vec::new();
    for pod in census.pods.iter().copied().filter(|pod| tracked(pod)) {
        if !may_release(census, course, &kept, pod) {
            continue;
        }
        counted.push(pod);
        match counts_as(census, course, pod) {
            Some(Ended::Completed(index)) => indexes.push(index),
            Some(Ended::Succeeded) => succeeded.push(pod.metadata.uid.to_string()),
            Some(Ended::Failed) => failed.push(pod.metadata.uid.to_string()),
            None => {}
        }
        if indexes.len() + succeeded.len() + failed.len() >= BURST {
            break;
        }
    }
    if census.wanted.indexed {
        let completed = census.recorded.with(indexes);
        status.succeeded = Some(completed.total());
        status.completed_indexes = (!completed.is_empty()).then(|| completed.to_string());
        status.failed_indexes = census.failed_indexes.as_ref().map(ToString::to_string);
    }
    let listed = |uids: Vec<String>| (!uids.is_empty()).then_some(uids);
    status.uncounted_terminated_pods =
        Some(UncountedTerminatedPods { succeeded: listed(succeeded), failed: listed(failed) });
    counted
}

fn may_release(census: &Census<'_>, course: &Course, kept: &BTreeMap<i32, &Pod>, pod: &Pod) -> bool {
    let over = census.wanted.job.metadata.deletion_timestamp.is_some() || *course != Course::Running;
    if over || &*pod.status.phase == "Succeeded" {
        return true;
    }
    let replaced_later = || {
        let index = census.wanted.index(pod);
        index.and_then(|index| kept.get(&index)).is_some_and(|kept| kept.metadata.uid == pod.metadata.uid)
    };
    census.wanted.is_failed(pod) && !replaced_later()
}

enum Ended {
    /// Of an Indexed job: the index is enough not to count it twice.
    Completed(i32),
    Succeeded,
    Failed,
}

/// What the status has to take note of.
fn counts_as(census: &Census<'_>, course: &Course, pod: &Pod) -> Option<Ended> {
    let wanted = &census.wanted;
    let uid = &*pod.metadata.uid;
    if &*pod.status.phase == "Succeeded" && !census.uncounted_failed.contains(uid) {
        if wanted.indexed {
            return wanted.index(pod).filter(|index| !census.recorded.contains(*index)).map(Ended::Completed);
        }
        return (!census.uncounted_succeeded.contains(uid)).then_some(Ended::Succeeded);
    }
    // When a job fails, so does everything that still runs.
    let failing = matches!(course, Course::Failing { .. });
    if !wanted.is_failed(pod) && !failing || census.uncounted_failed.contains(uid) || !wanted.counts(pod) {
        return None;
    }
    (wanted.judge(pod) != Verdict::Ignored).then_some(Ended::Failed)
}

/// Keeps the condition `Suspended`; resuming starts the job's clock again.
fn suspension(
    seen: &Observed<'_>,
    suspended: bool,
    conditions: &mut Vec<JobCondition>,
    start: &mut Option<api_types::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
) -> Option<Note> {
    if suspended {
        return ensure(conditions, SUSPENDED, true, "JobSuspended", "Job suspended", seen.now)
            .then(|| Note::normal(reference(seen.job), "Suspended", "Job suspended"));
    }
    if !ensure(conditions, SUSPENDED, false, "JobResumed", "Job resumed", seen.now) {
        return None;
    }
    *start = Some(seconds(seen.now));
    Some(Note::normal(reference(seen.job), "Resumed", "Job resumed"))
}

/// Whether the condition had to be changed. One that would say "False" is not added.
fn ensure(
    conditions: &mut Vec<JobCondition>,
    kind: &str,
    on: bool,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> bool {
    let condition = JobCondition {
        type_: kind.to_owned(),
        status: if on { "True" } else { "False" }.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(seconds(now)),
        last_transition_time: Some(seconds(now)),
    };
    match conditions.iter_mut().find(|known| known.type_ == kind) {
        Some(known)
            if known.status == condition.status
                && known.reason == condition.reason
                && known.message == condition.message =>
        {
            false
        }
        Some(known) => {
            *known = condition;
            true
        }
        None if on => {
            conditions.push(condition);
            true
        }
        None => false,
    }
}

/// Nothing runs and every pod is counted.
fn over(census: &Census<'_>, status: &JobStatus) -> bool {
    let noted = status.uncounted_terminated_pods.as_ref();
    census.active.is_empty()
        && census.terminating == 0
        && !census.pods.iter().any(|pod| tracked(pod))
        && noted.is_none_or(|noted| noted.succeeded.is_none() && noted.failed.is_none())
}

fn finish(seen: &Observed<'_>, course: &Course, status: &mut JobStatus) -> Option<Note> {
    let conditions = status.conditions.get_or_insert_default();
    match course {
        Course::Running => None,
        Course::Failing { reason, message } => {
            ensure(conditions, "Failed", true, reason, message, seen.now);
            // The reasons are those of `failure` in the plan, or what an earlier version wrote.
            Some(Note::warning(reference(seen.job), known(reason), message.clone()))
        }
        Course::Succeeding { reason, message } => {
            ensure(conditions, "Complete", true, reason, message, seen.now);
            status.completion_time = Some(seconds(seen.now));
            Some(Note::normal(reference(seen.job), "Completed", "Job completed"))
        }
    }
}

fn known(reason: &str) -> &'static str {
    const REASONS: &[&str] =
        &["BackoffLimitExceeded", "DeadlineExceeded", "PodFailurePolicy", "MaxFailedIndexesExceeded", "FailedIndexes"];
    REASONS.iter().copied().find(|known| *known == reason).unwrap_or("Failed")
}

/// Unset and zero are the same on the wire; whether `ready` and `terminating` are set is not.
fn same(a: &JobStatus, b: &JobStatus) -> bool {
    let plain = |status: &JobStatus| {
        let mut status = status.clone();
        for number in [&mut status.active, &mut status.succeeded, &mut status.failed] {
            *number = Some(number.unwrap_or(0));
        }
        status
    };
    plain(a) == plain(b)
}
