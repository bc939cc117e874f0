//! Watches CronJobs and Jobs for [`controllers::cron_job`].

use std::{collections::HashMap, sync::Arc};

use api_types::{
    k8s_openapi::api::batch::v1::{CronJob, Job},
    object::Object,
    plan::Decision,
};
use client::{Event, Index, Store, WorkQueue};
use controllers::cron_job::{Observed, Told, reconcile};
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Reconciler};

const ACCOUNT: &str = "cronjob-controller";

struct CronJobs {
    cron_jobs: Store<CronJob>,
    jobs: Store<Job>,
    /// By the uid of their controller.
    owned: Index<Job>,
    /// What was complained about, by the CronJob's uid.
    told: Mutex<HashMap<String, Told>>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let cron_jobs = kit::observed::<CronJob>(context, &executor);
    let jobs = kit::observed::<Job>(context, &executor);
    let queue = Arc::new(WorkQueue::new("cronjob"));
    kit::enqueue(&cron_jobs, &queue);
    jobs.on_event({
        let queue = queue.clone();
        move |event| job_changed(event, &queue)
    });
    let reconciler = CronJobs {
        owned: jobs.index(|job| cron_job_of(job).map(|owner| owner.uid.clone()).into_iter().collect()),
        told: Mutex::default(),
        cron_jobs: cron_jobs.clone(),
        jobs: jobs.clone(),
    };
    let synced = async move {
        cron_jobs.synced().await;
        jobs.synced().await;
    };
    let workers = context.options.concurrent_cron_job_syncs;
    Ok(vec![kit::run(context, reconciler, executor, queue, workers, synced)])
}

fn cron_job_of(job: &Job) -> Option<&api_types::k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference> {
    let owners = job.metadata.owner_references.as_ref()?;
    owners.iter().find(|owner| owner.controller == Some(true) && owner.kind == "CronJob")
}

fn job_changed(event: &Event<Job>, queue: &WorkQueue<Key>) {
    for job in event.both() {
        if let Some(owner) = cron_job_of(job) {
            queue.add(Key::new(job.namespace(), &owner.name));
        }
    }
}

/// That of this process, unless the schedule names its own; None for one that is not known.
fn zone(name: Option<&str>) -> Option<TimeZone> {
    match name {
        None => Some(TimeZone::system()),
        Some(name) => TimeZone::get(name).ok(),
    }
}

impl Reconciler for CronJobs {
    const NAME: &'static str = "cronjob-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let cron_job = self.cron_jobs.get(&key.namespace, &key.name)?;
        let zone = zone(cron_job.spec.time_zone.as_deref());
        let mut told = self.told.lock();
        let outcome = reconcile(&Observed {
            cron_job: &cron_job,
            jobs: &self.owned.get(cron_job.uid()),
            taken: &|name| self.jobs.get(&key.namespace, name).is_some(),
            zone: zone.as_ref(),
            live: extra.live,
            told: &told.get(cron_job.uid()).cloned().unwrap_or_default(),
            now: extra.now,
        });
        if outcome.told == Told::default() {
            told.remove(cron_job.uid());
        } else {
            told.insert(cron_job.uid().to_owned(), outcome.told);
        }
        Some(outcome.decision)
    }
}
