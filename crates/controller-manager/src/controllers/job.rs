//! Watches Jobs and pods for [`controllers::job`].

use std::{collections::HashMap, sync::Arc, time::Duration};

use api_types::{
    k8s_openapi::api::batch::v1::Job,
    object::{Object, Watched},
    plan::Decision,
    selector::Selector,
};
use client::{Event, Index, Store, WorkQueue};
use controllers::{
    job::{Backoff, Observed, abandoned, counts_new, finished, learn, reconcile, tracked},
    view::Pod,
};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::kit::{self, Context, Extra, Key, Pods, Reconciler};

const ACCOUNT: &str = "job-controller";
/// How long the pods' watch may take to catch up with that of the jobs, before they are listed.
const CATCH_UP: Duration = Duration::from_secs(1);
const LIST: Duration = Duration::from_secs(30);

struct Jobs {
    jobs: Store<Job>,
    pods: Pods,
    /// Pods that are not counted yet, by `namespace/name` of their job.
    uncounted: Index<Pod>,
    /// What is remembered of the failures of unfinished jobs, by uid.
    failures: Mutex<HashMap<String, Backoff>>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let jobs = kit::observed::<Job>(context, &executor);
    let pods = context.pods().clone();
    executor.observe(&Pod::RESOURCE, &pods.store);
    let queue = Arc::new(WorkQueue::new("job"));
    kit::enqueue(&jobs, &queue);
    pods.store.on_event({
        let (queue, jobs) = (queue.clone(), jobs.clone());
        move |event| pod_changed(event, &jobs, &queue)
    });
    let reconciler = Jobs {
        uncounted: pods.store.index(|pod| match job_of(pod) {
            Some(key) if tracked(pod) => vec![key.to_string()],
            _ => Vec::new(),
        }),
        pods: pods.clone(),
        failures: Mutex::default(),
        jobs: jobs.clone(),
    };
    let synced = async move {
        jobs.synced().await;
        pods.store.synced().await;
    };
    let workers = context.options.concurrent_job_syncs;
    Ok(vec![kit::run(context, reconciler, executor, queue, workers, synced)])
}

fn job_of(pod: &Pod) -> Option<Key> {
    let owner = pod.metadata.controller()?;
    let is_job = owner.kind == Job::RESOURCE.kind && owner.api_version == Job::RESOURCE.api_version();
    is_job.then(|| Key::new(pod.namespace(), &owner.name))
}

/// The job that controls the pod now or did before; for an orphan, every job that might adopt it.
fn pod_changed(event: &Event<Pod>, jobs: &Store<Job>, queue: &WorkQueue<Key>) {
    for pod in event.both() {
        if pod.metadata.controller().is_some() {
            if let Some(key) = job_of(pod) {
                queue.add(key);
            }
        } else if !matches!(event, Event::Deleted(_)) {
            for job in jobs.list_in(pod.namespace()) {
                let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
                let selector = selector.map(Selector::from_label_selector);
                if selector.is_some_and(|s| s.is_ok_and(|selector| selector.matches(&pod.metadata.labels))) {
                    queue.add(Key::of(&*job));
                }
            }
        }
    }
}

impl Reconciler for Jobs {
    const NAME: &'static str = "job-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let Extra { live, failure, now } = extra;
        let Some(job) = self.jobs.get(&key.namespace, &key.name) else {
            return Some(abandoned(&key.namespace, &key.name, &self.uncounted.get(&key.to_string()), live));
        };
        let mut pods = self.pods.by_owner.get(job.uid());
        let mut failures = self.failures.lock();
        if finished(&job).is_some() {
            failures.remove(job.uid());
        }
        let mut backoff = failures.remove(job.uid()).unwrap_or_default();
        learn(&mut backoff, &job, &pods);
        pods.extend(self.pods.orphans.get(&key.namespace));
        let decision = reconcile(&Observed { job: &job, pods: &pods, backoff: &backoff, live, failure, now });
        if finished(&job).is_none() && backoff != Backoff::default() {
            failures.insert(job.uid().to_owned(), backoff);
        }
        Some(decision)
    }

    /// After a start, or when another instance led until just now, the pods may be older than the job that counts them.
    async fn ready(&self, key: &Key) {
        let Some(job) = self.jobs.get(&key.namespace, &key.name) else { return };
        let revision = job.resource_version().parse().unwrap_or_default();
        let behind = || self.pods.store.revision() < revision;
        if behind()
            && counts_new(&job, &self.pods.by_owner.get(job.uid()))
            && !self.pods.store.wait_revision(revision, CATCH_UP).await
        {
            self.pods.store.list_again(LIST).await;
        }
    }
}
