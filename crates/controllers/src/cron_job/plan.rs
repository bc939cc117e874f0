//! From what is seen to writes.

use std::collections::BTreeSet;

use api_types::{
    cron::Schedule,
    k8s_openapi::{
        api::{
            batch::v1::{CronJob, CronJobStatus, Job},
            core::v1::ObjectReference,
        },
        apimachinery::pkg::apis::meta::v1::Time,
    },
    object::{Object, Watched},
    plan::{Decision, Note, Pace, Plan, Step, Target, Write, reference},
};
use jiff::Timestamp;
use serde_json::json;

use super::{Observed, Told, children, due::Times};
use crate::{job, time::from_seconds};

/// The decision, and what has been complained about by now.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub decision: Decision,
    pub told: Told,
}

pub fn reconcile(seen: &Observed<'_>) -> Outcome {
    let mut told = seen.told.clone();
    let decision = decide(seen, &mut told);
    Outcome { decision, told }
}

fn decide(seen: &Observed<'_>, told: &mut Told) -> Decision {
    let mut plan = Plan::default();
    let mut notes = Vec::new();
    let mut status = match status(seen, &mut notes) {
        Ok(status) => status,
        Err(needed) => return Decision::Need(needed),
    };
    unexpected(seen, &mut told.unexpected, &mut plan);
    let start = start(seen, &status, &mut told.time, &mut plan);
    let replaced: Vec<&Job> = match &start {
        Some(_) if policy(seen.cron_job) == "Replace" => running(seen).collect(),
        _ => Vec::new(),
    };
    if let Some(active) = &mut status.active {
        active.retain(|known| !replaced.iter().any(|job| known.uid.as_deref() == Some(job.uid())));
        if active.is_empty() {
            status.active = None;
        }
    }
    if status != seen.cron_job.status.clone().unwrap_or_default() {
        plan.stage(Pace::InOrder, [Step::from(replace(seen.cron_job, status))]);
        plan.notes.append(&mut notes);
    }
    plan.stage(Pace::Together, replaced.iter().map(|job| children::delete(seen.cron_job, job)));
    plan.stage(Pace::InOrder, start);
    let outdated = children::outdated(seen.cron_job, seen.jobs);
    plan.stage(Pace::Together, outdated.iter().map(|job| children::delete(seen.cron_job, job)));
    Decision::Do(plan)
}

fn running<'a>(seen: &Observed<'a>) -> impl Iterator<Item = &'a Job> {
    let jobs = seen.jobs.iter().map(|job| &**job);
    jobs.filter(|job| {
        children::running(job) && children::scheduled(job).is_some() && job.metadata.deletion_timestamp.is_none()
    })
}

fn policy(cron_job: &CronJob) -> &str {
    cron_job.spec.concurrency_policy.as_deref().unwrap_or("Allow")
}

/// The status that the jobs seen come to; or the job that has to be asked about first.
fn status(seen: &Observed<'_>, notes: &mut Vec<Note>) -> Result<CronJobStatus, Target> {
    let mut status = seen.cron_job.status.clone().unwrap_or_default();
    let me = || reference(seen.cron_job);
    let mut active: Vec<ObjectReference> = Vec::new();
    let mut asked = false;
    for known in status.active.take().unwrap_or_default() {
        let name = known.name.as_deref().unwrap_or_default();
        match seen.jobs.iter().find(|job| known.uid.as_deref() == Some(job.uid())) {
            Some(job) => match job::finished(job) {
                None => active.push(known),
                Some(condition) => {
                    let text = format!("Saw completed job: {name}, condition: {}", condition.type_);
                    notes.push(Note::normal(me(), "SawCompletedJob", text));
                }
            },
            // One answer is for the first that is missing; the next one waits for its own.
            None if asked => active.push(known),
            None => match seen.live {
                None => return Err(Target::named(Job::RESOURCE, seen.cron_job.namespace(), name)),
                Some(live) => {
                    asked = true;
                    if live.uid == known.uid {
                        active.push(known);
                    } else {
                        notes.push(Note::normal(me(), "MissingJob", format!("Active job went missing: {name}")));
                    }
                }
            },
        }
    }
    let mut new: Vec<&Job> = seen.jobs.iter().map(|job| &**job).collect();
    new.sort_by_key(|job| job.name().to_owned());
    for job in new {
        let scheduled = children::scheduled(job);
        let listed = active.iter().any(|known| known.uid.as_deref() == Some(job.uid()));
        if scheduled.is_some() && children::running(job) && !listed {
            active.push(reference(job));
        }
        let last = status.last_schedule_time.as_ref().map(|time| time.0);
        if let Some(scheduled) = scheduled.filter(|scheduled| Some(*scheduled) > last) {
            status.last_schedule_time = Some(Time(scheduled));
        }
        let completed = job.status.as_ref().and_then(|status| status.completion_time.as_ref());
        let successful = status.last_successful_time.as_ref().map(|time| time.0);
        if job::condition(job, "Complete").is_some()
            && let Some(completed) = completed.filter(|completed| Some(completed.0) > successful)
        {
            status.last_successful_time = Some(completed.clone());
        }
    }
    status.active = (!active.is_empty()).then_some(active);
    Ok(status)
}

/// Jobs that are ours by their owner but carry no time: somebody else made them, and they count for no policy.
fn unexpected(seen: &Observed<'_>, told: &mut BTreeSet<String>, plan: &mut Plan) {
    let listed = |job: &Job| {
        let active = seen.cron_job.status.iter().flat_map(|status| status.active.iter().flatten());
        active.into_iter().any(|known| known.uid.as_deref() == Some(job.uid()))
    };
    let strange: Vec<&Job> = seen
        .jobs
        .iter()
        .map(|job| &**job)
        .filter(|job| children::running(job) && children::scheduled(job).is_none() && !listed(job))
        .collect();
    for job in strange.iter().filter(|job| !told.contains(job.uid())) {
        let text = format!("Saw a job that the controller did not create or forgot: {}", job.name());
        plan.notes.push(Note::warning(reference(seen.cron_job), "UnexpectedJob", text));
    }
    *told = strange.into_iter().map(|job| job.uid().to_owned()).collect();
}

/// The job to start now, if any; and when to look again.
fn start(seen: &Observed<'_>, status: &CronJobStatus, told: &mut Option<Timestamp>, plan: &mut Plan) -> Option<Step> {
    let cron_job = seen.cron_job;
    let spec = &cron_job.spec;
    if cron_job.metadata.deletion_timestamp.is_some() || spec.suspend == Some(true) {
        return None;
    }
    // Said once for each time that it concerns; what cannot be read concerns none.
    let mut complain = |at: Timestamp, note: Note| {
        if *told != Some(at) {
            *told = Some(at);
            plan.notes.push(note);
        }
    };
    let me = || reference(cron_job);
    let Some(zone) = seen.zone else {
        let name = spec.time_zone.as_deref().unwrap_or_default();
        let text = format!("invalid timeZone: \"{name}\": unknown time zone {name}");
        complain(Timestamp::UNIX_EPOCH, Note::warning(me(), "UnknownTimeZone", text));
        return None;
    };
    let schedule = match Schedule::parse(&spec.schedule) {
        Ok(schedule) => schedule,
        Err(error) => {
            let text = format!("unparseable schedule: \"{}\" : {error}", spec.schedule);
            complain(Timestamp::UNIX_EPOCH, Note::warning(me(), "UnparseableSchedule", text));
            return None;
        }
    };
    let created = cron_job.metadata.creation_timestamp.as_ref().map_or(seen.now, |time| time.0);
    let times = Times {
        schedule: &schedule,
        zone,
        since: status.last_schedule_time.as_ref().map_or(created, |time| time.0),
        deadline: spec.starting_deadline_seconds,
        now: seen.now,
    };
    let wait = times.wait();
    let due = times.due();
    let mut start = None;
    if let Some(at) = due.at {
        let name = children::name(cron_job, at);
        let deadline = spec.starting_deadline_seconds.map(from_seconds);
        if deadline.is_some_and(|deadline| at.saturating_add(deadline).is_ok_and(|end| end < seen.now)) {
            let when = at.strftime("%a, %d %b %Y %H:%M:%S +0000");
            let text = format!("Missed scheduled time to start a job: {when}");
            complain(at, Note::warning(me(), "MissSchedule", text));
        } else if (seen.taken)(&name) {
            // Started already, or the name is somebody else's: either way this time is over.
        } else if policy(cron_job) == "Forbid" && status.active.is_some() {
            let text = "Not starting job because prior execution is running and concurrency policy is Forbid";
            complain(at, Note::normal(me(), "JobAlreadyActive", text));
        } else {
            if due.missed_many {
                let text =
                    "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
                complain(at, Note::warning(me(), "TooManyMissedTimes", text));
            }
            start = Some(children::create(cron_job, at, zone));
        }
    }
    if let Some(wait) = wait {
        plan.again(wait);
    }
    start
}

fn replace(cron_job: &CronJob, status: CronJobStatus) -> Write {
    let object = CronJob { status: Some(status), ..cron_job.clone() };
    Write::Replace { target: Target::of(cron_job), subresource: Some("status"), object: json!(object) }
}
