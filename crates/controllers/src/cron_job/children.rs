//! The jobs of a CronJob: which of them run, which are history, and what a new one looks like.

use std::sync::Arc;

use api_types::{
    k8s_openapi::api::batch::v1::{CronJob, Job},
    object::{Object, Watched},
    plan::{Note, Propagation, Step, Target, Write, reference},
};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;

use super::SCHEDULED;
use crate::{adoption::controller_reference, job};

/// When the job was scheduled for; None for one that somebody else made.
pub(super) fn scheduled(job: &Job) -> Option<Timestamp> {
    job.metadata.annotations.as_ref()?.get(SCHEDULED)?.parse().ok()
}

pub(super) fn running(job: &Job) -> bool {
    job::finished(job).is_none()
}

/// Names have a limit, and the minute is precise enough for schedules.
pub(super) fn name(cron_job: &CronJob, at: Timestamp) -> String {
    format!("{}-{}", cron_job.name(), at.as_second().div_euclid(60))
}

pub(super) fn create(cron_job: &CronJob, at: Timestamp, zone: &TimeZone) -> Step {
    let template = &cron_job.spec.job_template;
    let given = template.metadata.as_ref();
    let mut annotations = given.and_then(|meta| meta.annotations.clone()).unwrap_or_default();
    annotations.insert(SCHEDULED.to_owned(), rfc3339(at, zone));
    let object = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name(cron_job, at),
            "labels": given.and_then(|meta| meta.labels.clone()).unwrap_or_default(),
            "annotations": annotations,
            "ownerReferences": [controller_reference(cron_job)],
        },
        "spec": template.spec,
    });
    Step::from(Write::Create { resource: Job::RESOURCE, namespace: cron_job.namespace().to_owned(), object })
        .done(Note::normal(reference(cron_job), "SuccessfulCreate", "Created job {name}"))
        .failed(Note::warning(reference(cron_job), "FailedCreate", "Error creating job: {error}"))
}

/// With the zone's offset, `Z` for none.
fn rfc3339(at: Timestamp, zone: &TimeZone) -> String {
    let offset = zone.to_offset(at);
    if offset.is_zero() { at.to_string() } else { at.display_with_offset(offset).to_string() }
}

pub(super) fn delete(cron_job: &CronJob, job: &Job) -> Step {
    let write =
        Write::Delete { target: Target::of(job), propagation: Some(Propagation::Background), grace_seconds: None };
    Step::from(write)
        .done(Note::normal(reference(cron_job), "SuccessfulDelete", "Deleted job {name}"))
        .failed(Note::warning(reference(cron_job), "FailedDelete", "Deleted job: {error}"))
}

/// The finished jobs beyond the history limits, oldest first.
pub(super) fn outdated<'a>(cron_job: &CronJob, jobs: &'a [Arc<Job>]) -> Vec<&'a Job> {
    let spec = &cron_job.spec;
    let mut outdated = Vec::new();
    for (kind, limit) in [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)]
    {
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { continue };
        let mut ended: Vec<&Job> = jobs
            .iter()
            .map(|job| &**job)
            .filter(|job| job.metadata.deletion_timestamp.is_none())
            .filter(|job| job::finished(job).is_some_and(|condition| condition.type_ == kind))
            .collect();
        let started = |job: &Job| job.status.as_ref().and_then(|status| Some(status.start_time.as_ref()?.0));
        // One that never started counts as the newest.
        ended.sort_by_key(|job| (started(job).is_none(), started(job), job.name().to_owned()));
        let excess = ended.len().saturating_sub(limit);
        outdated.extend(ended.into_iter().take(excess));
    }
    outdated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheduled_times_carry_their_zone() {
        let at: Timestamp = "2026-06-15T10:00:00Z".parse().unwrap();
        assert_eq!(rfc3339(at, &TimeZone::UTC), "2026-06-15T10:00:00Z");
        assert_eq!(rfc3339(at, &TimeZone::get("Europe/Berlin").unwrap()), "2026-06-15T12:00:00+02:00");
    }
}
