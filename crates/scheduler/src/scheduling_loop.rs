//! The one task that decides: takes in what has happened, tries the next pods, and sleeps when there is nothing to do.
//!
//! While another instance leads, it keeps the brain up to date and tries nothing.

use std::{sync::Arc, time::Duration};

use client::{Event, Jitter, Leadership, Store, Subscription};
use component::{Clock, health::Flag};
use scheduling::{
    Attempt, Nomination, Scheduler,
    framework::Point,
    object::{Node, Pod},
};
use tokio::time::{Instant, sleep};

use crate::{
    binding::{Binder, Outcome},
    eviction::Evictor,
    extenders::Extenders,
    metrics::metrics,
    report::Reporter,
    sources::Sources,
};

/// Pods tried before the news is looked at again.
const BATCH: usize = 64;

pub struct SchedulingLoop {
    pub scheduler: Scheduler,
    pub pods: Store<Pod>,
    pub nodes: Store<Node>,
    pub sources: Sources,
    pub evictor: Evictor,
    pub binder: Binder,
    pub extenders: Extenders,
    pub reporter: Reporter,
    pub leadership: Leadership,
    pub clock: Arc<dyn Clock>,
    pub ties: Jitter,
    pub synced: Flag,
}

impl SchedulingLoop {
    pub async fn run(mut self) {
        // Nodes before pods, and everything before the first attempt: whoever decides on half a cluster decides wrongly.
        self.nodes.synced().await;
        self.pods.synced().await;
        let (scheduler, clock) = (&mut self.scheduler, &self.clock);
        self.sources.synced(|news| news(scheduler, clock.now())).await;
        let (mut nodes, mut pods) = (self.nodes.subscribe(), self.pods.subscribe());
        self.synced.set(true);
        loop {
            self.take_in(&mut nodes, &mut pods);
            if self.leadership.leads() && self.try_some().await {
                tokio::task::yield_now().await;
                continue;
            }
            self.show();
            let leads = self.leadership.leads();
            let mut leadership = self.leadership.clone();
            let changes = async move { if leads { leadership.lost().await } else { leadership.gained().await } };
            let tick = self.until_tick();
            tokio::select! {
                event = nodes.next() => self.node(&event),
                event = pods.next() => self.pod(&event),
                news = self.sources.next() => news(&mut self.scheduler, self.clock.now()),
                outcome = self.binder.next() => self.bound(outcome),
                preemptor = self.evictor.failed() => self.scheduler.eviction_failed(&preemptor, self.clock.now()),
                () = sleep(tick.unwrap_or_default()), if tick.is_some() && leads => {}
                () = changes => tracing::info!(leads = !leads, "leadership has changed"),
            }
        }
    }

    fn take_in(&mut self, nodes: &mut Subscription<Node>, pods: &mut Subscription<Pod>) {
        while let Some(event) = nodes.try_next() {
            self.node(&event);
        }
        while let Some(news) = self.sources.try_next() {
            news(&mut self.scheduler, self.clock.now());
        }
        while let Some(event) = pods.try_next() {
            self.pod(&event);
        }
        while let Some(outcome) = self.binder.finished() {
            self.bound(outcome);
        }
    }

    fn node(&mut self, event: &Event<Node>) {
        match event {
            Event::Applied { new, .. } => self.scheduler.apply_node(new, self.clock.now()),
            Event::Deleted(old) => self.scheduler.remove_node(&old.metadata.name, self.clock.now()),
        }
    }

    fn pod(&mut self, event: &Event<Pod>) {
        match event {
            Event::Applied { new, .. } => self.scheduler.apply_pod(new, self.clock.now()),
            Event::Deleted(old) => self.scheduler.remove_pod(&old.metadata.uid, self.clock.now()),
        }
    }

    /// How long until the queues need attention though nothing happens.
    fn until_tick(&self) -> Option<Duration> {
        let wait = self.scheduler.next_tick()?.duration_since(self.clock.now());
        // Timers are a millisecond coarse: rather late than twice.
        Some(Duration::try_from(wait).unwrap_or_default() + Duration::from_millis(1))
    }

    /// Tries the next pods; false once none is left to try now.
    async fn try_some(&mut self) -> bool {
        for _ in 0..BATCH {
            if self.binder.is_full() || !self.try_next().await {
                return false;
            }
        }
        true
    }

    async fn try_next(&mut self) -> bool {
        let began = Instant::now();
        let mut stages: Vec<(Point, Instant)> = Vec::with_capacity(8);
        let mut enter = |point| stages.push((point, Instant::now()));
        let Some(mut attempt) = self.scheduler.next(self.clock.now(), self.ties.next(), &mut enter) else {
            return false;
        };
        // Nothing is taken in before the attempt has ended: the answers are about what was asked.
        loop {
            attempt = match attempt {
                Attempt::Ask(question) => {
                    let answer = self.extenders.ask(&question).await;
                    let (now, tie) = (self.clock.now(), self.ties.next());
                    let mut enter = |point| stages.push((point, Instant::now()));
                    self.scheduler.answered(*question, answer, now, tie, &mut enter)
                }
                Attempt::AskPreemption(question) => {
                    let answer = self.extenders.ask_preemption(&question).await;
                    self.scheduler.preemption_answered(*question, answer, self.clock.now())
                }
                ended => break self.ended(ended, began, &stages),
            }
        }
        true
    }

    fn ended(&mut self, attempt: Attempt, began: Instant, stages: &[(Point, Instant)]) {
        let ended = Instant::now();

        let name = self.scheduler.scheduler_name(attempt.pod().pod.profile).clone();
        let fits = matches!(attempt, Attempt::Placed(_));
        for (at, (point, entered)) in stages.iter().enumerate() {
            let left = stages.get(at + 1).map_or(ended, |(_, next)| *next);
            metrics().extension_point(*point, fits, &name, left - *entered);
        }
        match attempt {
            Attempt::Placed(placement) => {
                metrics().algorithm_duration.observe((ended - began).as_secs_f64());
                self.binder.start(placement, began);
            }
            Attempt::Unschedulable { pod, message, nomination } => {
                count_attempt("unschedulable", &name, began);
                let meant_for = match nomination {
                    Nomination::Keep => None,
                    Nomination::Clear => Some("".into()),
                    Nomination::Evict(preemption) => {
                        metrics().preemption_attempts.inc();
                        metrics().preemption_victims.observe(preemption.victims.len() as f64);
                        let node = preemption.node.clone();
                        for other in &preemption.displaced {
                            self.reporter.not_meant(other);
                        }
                        self.evictor.start(&name, &pod.pod, preemption);
                        Some(node)
                    }
                };
                self.reporter.unschedulable(&name, &pod.pod, message, meant_for);
            }
            Attempt::Failed { pod, message } => {
                count_attempt("error", &name, began);
                self.reporter.error(&name, &pod.pod, message);
            }
            // The attempt has not ended.
            Attempt::Ask(_) | Attempt::AskPreemption(_) => {}
        }
    }

    fn bound(&mut self, outcome: Outcome) {
        let Outcome { placement, began, result } = outcome;
        let (in_flight, pod) = (&placement.pod, &placement.pod.pod);
        let name = self.scheduler.scheduler_name(pod.profile).clone();
        let now = self.clock.now();
        match result {
            Ok(()) => {
                self.scheduler.bound(&pod.uid);
                self.reporter.scheduled(&name, pod, &placement.node);
                count_attempt("scheduled", &name, began);
                metrics().pod_attempts.observe(f64::from(in_flight.attempts));
                let attempts = if in_flight.attempts > 15 { "15+".into() } else { in_flight.attempts.to_string() };
                let waited = now.duration_since(in_flight.since).as_secs_f64();
                metrics().sli_duration.with_label_values(&[&attempts]).observe(waited);
            }
            Err(error) => {
                self.scheduler.not_bound(&placement, now);
                count_attempt("error", &name, began);
                let known =
                    self.pods.get(&pod.namespace, &pod.name).is_some_and(|known| *known.metadata.uid == *pod.uid);
                if known {
                    tracing::warn!(pod = format!("{}/{}", pod.namespace, pod.name), uid = %pod.uid, node = %placement.node, "cannot bind: {error:#}");
                    self.reporter.error(&name, pod, format!("binding rejected: {error:#}"));
                }
            }
        }
    }

    /// Brings the gauges up to date; done before each sleep.
    fn show(&mut self) {
        let counts = self.scheduler.counts();
        let incoming = self.scheduler.queue_mut().take_incoming();
        metrics().queue(counts, incoming);
        let cluster = self.scheduler.cluster();
        metrics().cache(cluster.live().len(), cluster.pods());
    }
}

fn count_attempt(result: &str, profile: &str, began: Instant) {
    metrics().attempts.with_label_values(&[result, profile]).inc();
    metrics().attempt_duration.with_label_values(&[result, profile]).observe(began.elapsed().as_secs_f64());
}
