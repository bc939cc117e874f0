//! CronJob: starts jobs at the times of its schedule.
//!
//! Decides when the next job is due and starts it under a name that its time gives, so that no time has two; which
//! finished jobs are deleted; and the status. Of several missed times only the latest is made up for, so that a clock that
//! leaps or a controller that was away starts one job, not a hundred. It looks again when the next time comes, and not
//! before something changes.
//!
//! The list of running jobs and the time of the last start are read off the jobs themselves, which carry the time they
//! were scheduled for: a crash after the creation of a job loses neither.

mod children;
mod due;
mod plan;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use api_types::k8s_openapi::api::batch::v1::{CronJob, Job};
use jiff::{Timestamp, tz::TimeZone};

use crate::replica_set::Live;

pub use plan::{Outcome, reconcile};

/// The time that a job was scheduled for, in the schedule's time zone.
pub const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// What has been complained about: each is said once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The scheduled time.
    pub time: Option<Timestamp>,
    /// The uids of unfinished jobs that this controller did not create.
    pub unexpected: BTreeSet<String>,
}

/// All that a decision depends on.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    pub cron_job: &'a CronJob,
    /// Jobs that the CronJob controls.
    pub jobs: &'a [Arc<Job>],
    /// Whether some job of the namespace has this name.
    pub taken: &'a dyn Fn(&str) -> bool,
    /// The zone of `spec.timeZone`; None if it is not known.
    pub zone: Option<&'a TimeZone>,
    /// What the API says of the job that was asked about: one in the list of running jobs that is not to be seen.
    pub live: Option<&'a Live>,
    pub told: &'a Told,
    pub now: Timestamp,
}
