//! Watches Jobs for [`controllers::ttl_after_finished`].

use std::sync::Arc;

use api_types::{k8s_openapi::api::batch::v1::Job, object::Object, plan::Decision};
use client::{Event, Store, WorkQueue};
use controllers::{job::finished, ttl_after_finished::reconcile};
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Reconciler};

const ACCOUNT: &str = "ttl-after-finished-controller";

struct FinishedJobs(Store<Job>);

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let jobs = kit::observed::<Job>(context, &executor);
    let queue = Arc::new(WorkQueue::new("ttl_jobs_to_delete"));
    jobs.on_event({
        let queue = queue.clone();
        move |event| {
            if let Event::Applied { new, .. } = event
                && new.spec.as_ref().is_some_and(|spec| spec.ttl_seconds_after_finished.is_some())
                && finished(new).is_some()
            {
                queue.add(Key::new(new.namespace(), new.name()));
            }
        }
    });
    let reconciler = FinishedJobs(jobs.clone());
    let synced = async move { jobs.synced().await };
    let workers = context.options.concurrent_ttl_after_finished_syncs;
    Ok(vec![kit::run(context, reconciler, executor, queue, workers, synced)])
}

impl Reconciler for FinishedJobs {
    const NAME: &'static str = "ttl-after-finished-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let job = self.0.get(&key.namespace, &key.name)?;
        Some(Decision::Do(reconcile(&job, extra.now)))
    }
}
