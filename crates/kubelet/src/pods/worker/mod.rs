//! One pod's worker: it feeds the state machine, looks at the runtime, and has effects carried out by
//! tasks, so that it can always hear of a deletion.
//!
//! What is to be done is decided in `pod_lifecycle`; here is only who does it, and when again.

mod ending;
mod status_report;
mod tasks;

use super::{
    Pods,
    mailbox::{Inbox, Mailbox},
    report::{Report, Started},
    status_writer::StatusWriter,
};
use crate::{context::Context, note, probes, runtime::observe::Observer, volumes::objects::Objects};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use pod_lifecycle::{
    PodSeen,
    actions::{self, Actions, CRASH_LOOP},
    backoff::Backoffs,
    core::{Pod, PodStatus, ResourceRequirements},
    names,
    resize::Pending,
    status, termination,
    worker::{Effect, Event, State, step},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

const REPORTS: usize = 64;
/// Between tries of what failed: sandboxes, mounts, configuration.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(10);

pub struct Worker {
    context: Arc<Context>,
    pods: Arc<Pods>,
    mailbox: Arc<Mailbox>,
    pub(super) pod: Arc<Pod>,
    state: State,
    verdict: Option<status::Verdict>,
    /// Why the pod has less than it asks for.
    pub(super) pending: Option<Pending>,
    /// What containers have since they were made, by id.
    pub(super) resized: BTreeMap<String, ResourceRequirements>,
    pub(super) resize_error: Option<String>,
    observer: Observer,
    pub(super) seen: Arc<PodSeen>,
    /// Last computed; foreign conditions are the API's.
    status: PodStatus,
    writer: StatusWriter,
    waiting: BTreeMap<String, (String, String)>,
    backoffs: Arc<Mutex<Backoffs>>,
    retry: client::Backoff,
    probes: probes::Group,
    objects: Arc<Objects>,
    references: (Vec<String>, Vec<String>),
    objects_changed: Arc<Notify>,
    work: Work,
    /// The runtime or the spec changed while a start was under way.
    again: bool,
    /// Ended containers that are being removed.
    collecting: BTreeSet<String>,
    wake_at: Option<Timestamp>,
    retry_at: Option<Timestamp>,
    renew_at: Option<Timestamp>,
    reports: (mpsc::Sender<Report>, mpsc::Receiver<Report>),
    begun: Instant,
    running_seen: bool,
}

/// What a task is doing for this worker.
enum Work {
    Nothing,
    Starting(CancellationToken),
    /// Stopping is asked for, and waits for a start to come to its end.
    Ending {
        by: Timestamp,
    },
    Stopping(watch::Sender<Timestamp>),
}

impl Worker {
    pub fn new(
        context: Arc<Context>,
        pods: Arc<Pods>,
        pod: Arc<Pod>,
        mailbox: Arc<Mailbox>,
        verdict: Option<status::Verdict>,
    ) -> Self {
        let objects_changed = Arc::new(Notify::new());
        let longest = context
            .config
            .file
            .crash_loop_back_off
            .max_container_restart_period
            .map_or(pod_lifecycle::backoff::LONGEST, |d| d.0);
        let initial = pod_lifecycle::backoff::INITIAL.min(longest);
        Self {
            writer: StatusWriter::new(context.clone(), names::is_static(&pod)),
            status: pod.status.clone().unwrap_or_default(),
            state: State::Waiting,
            verdict,
            pending: None,
            resized: BTreeMap::new(),
            resize_error: None,
            observer: Observer::default(),
            seen: Arc::default(),
            waiting: BTreeMap::new(),
            backoffs: Arc::new(Mutex::new(Backoffs::new(initial, longest))),
            retry: client::Backoff::new(RETRY_FIRST, RETRY_LONGEST),
            probes: probes::Group::default(),
            objects: Arc::default(),
            references: Default::default(),
            objects_changed,
            work: Work::Nothing,
            again: false,
            collecting: BTreeSet::new(),
            wake_at: None,
            retry_at: None,
            renew_at: None,
            reports: mpsc::channel(REPORTS),
            begun: Instant::now(),
            running_seen: false,
            context,
            pods,
            mailbox,
            pod,
        }
    }

    pub async fn run(mut self) {
        while self.state != State::Gone {
            let wake = self.wake_in();
            tokio::select! {
                inbox = self.mailbox.take() => self.told(inbox).await,
                Some(report) = self.reports.1.recv() => self.reported(report).await,
                () = self.objects_changed.notified() => {
                    // What failed for want of an object need not wait for its next try.
                    self.retry_at = None;
                    self.handle(Event::Tick).await;
                }
                () = tokio::time::sleep(wake.unwrap_or(Duration::MAX)), if wake.is_some() => self.woken().await,
            }
        }
    }

    async fn told(&mut self, inbox: Inbox) {
        if let Some((pod, pending)) = inbox.pod {
            self.pending = pending;
            if !names::is_static(&pod) {
                self.writer.seen_in_api(&pod);
            }
            self.pod = pod;
            self.watch_objects();
            let event = match (&self.verdict, self.pod.metadata.deletion_timestamp.is_some()) {
                (_, true) => Event::DeleteAsked { grace: termination::grace(&self.pod) },
                (Some(_), false) => Event::Rejected,
                _ if status::is_terminal(&self.pod) => Event::Completed,
                _ => Event::SpecSeen,
            };
            if let (Some(verdict), State::Waiting) = (&self.verdict, &self.state) {
                self.context.warn(
                    note::pod(&self.pod),
                    verdict.event_reason(),
                    verdict.message.trim_start_matches("Pod was rejected: "),
                );
            }
            let before = self.state.clone();
            self.handle(event).await;
            if before == self.state && self.state != State::Syncing {
                self.report_status();
            }
        }
        if inbox.gone {
            self.handle(Event::ObjectGone { grace: termination::grace(&self.pod) }).await;
        }
        if let Some(mirror) = inbox.mirror {
            self.writer.mirror(mirror);
        }
        if let Some(eviction) = inbox.evicted.filter(|_| !self.state.is_past_running()) {
            self.verdict = Some(eviction.verdict);
            self.handle(Event::Evicted { grace: eviction.grace }).await;
        }
        if inbox.poked {
            self.handle(Event::Tick).await;
        }
    }

    /// Follows the ConfigMaps and Secrets that the spec names.
    fn watch_objects(&mut self) {
        let references = pod_lifecycle::volumes::payload::references(&self.pod);
        if self.state.is_past_running() {
            self.objects = Arc::default();
        } else if references != self.references {
            self.objects = Arc::new(Objects::of(&self.context, &self.pod, &self.objects_changed));
            self.references = references;
        }
    }

    async fn reported(&mut self, report: Report) {
        match report {
            Report::Progress => {
                if self.look().await {
                    self.report_status();
                }
            }
            Report::Probe { container, kind, verdict } => {
                if self.probes.record(&container, kind, verdict) {
                    self.handle(Event::Tick).await;
                }
            }
            Report::Started(started) => self.start_ended(started).await,
            Report::Stopped { failed } => {
                self.work = Work::Nothing;
                if failed {
                    self.retry_later();
                } else if self.look().await {
                    self.handle(Event::RuntimeSays { alive: self.seen.alive() }).await;
                }
            }
            Report::Renew(at) => self.renew_at = at,
            Report::CleanedUp => self.handle(Event::CleanedUp).await,
        }
    }

    async fn start_ended(&mut self, started: Started) {
        let stopping = match std::mem::replace(&mut self.work, Work::Nothing) {
            Work::Ending { by } => Some(by),
            _ => None,
        };
        self.renew_at = started.renew_at.or(self.renew_at);
        if let Some(by) = stopping {
            self.look().await;
            self.stop(by);
            return;
        }
        self.resize_error = None;
        for (id, outcome) in started.resized {
            match outcome {
                Ok(resources) => drop(self.resized.insert(id, resources)),
                Err(error) => self.resize_error = Some(error),
            }
        }
        self.waiting = started.waiting;
        if started.failed {
            self.retry_later();
        } else {
            self.retry.reset();
            self.retry_at = None;
        }
        if let Some(at) = started.again_at {
            self.retry_at = Some(self.retry_at.map_or(at, |r| r.min(at)));
        }
        if started.failed || started.again_at.is_some() {
            if self.look().await {
                self.report_status();
            }
            if !std::mem::take(&mut self.again) {
                return;
            }
        }
        self.again = false;
        self.handle(Event::Tick).await;
    }

    async fn woken(&mut self) {
        let now = self.context.clock.now();
        for at in [&mut self.wake_at, &mut self.retry_at, &mut self.renew_at] {
            if at.is_some_and(|t| t <= now) {
                *at = None;
            }
        }
        self.handle(Event::Tick).await;
    }

    fn wake_in(&self) -> Option<Duration> {
        let at = [self.wake_at, self.retry_at, self.renew_at].into_iter().flatten().min()?;
        Some(Duration::try_from(at.duration_since(self.context.clock.now())).unwrap_or_default())
    }

    fn retry_later(&mut self) {
        let pause = self.retry.next(&self.context.jitter);
        self.retry_at = Some(after(self.context.clock.now(), pause));
    }

    /// One event, and those that follow from carrying out its effects.
    async fn handle(&mut self, event: Event) {
        let mut queue = VecDeque::from([event]);
        while let Some(event) = queue.pop_front() {
            let (state, effects) = step(self.state.clone(), event, self.context.clock.now());
            self.state = state;
            for effect in effects {
                match effect {
                    Effect::SyncContainers => queue.extend(self.sync().await),
                    Effect::StopContainers { by } => queue.extend(self.ask_to_stop(by).await),
                    Effect::ReportStatus => self.report_status(),
                    Effect::CleanUp => self.clean_up(),
                    Effect::DeleteFromApi => self.writer.delete_after_that(),
                    Effect::Forget => self.forget(),
                }
            }
        }
    }

    /// Looks at the runtime; false when it does not answer, which is tried again.
    async fn look(&mut self) -> bool {
        match self.observer.look(&*self.context.runtime, names::uid(&self.pod)).await {
            Ok(seen) => {
                self.seen = Arc::new(seen);
                self.context.directory.put(self.pod.clone(), self.seen.clone());
                self.probes.follow(&self.context, &self.pod, &self.seen, &self.status, &self.reports.0);
                true
            }
            Err(error) => {
                tracing::warn!(pod = names::formatted(&self.pod), %error, "cannot look at a pod's containers");
                self.retry_later();
                false
            }
        }
    }

    async fn sync(&mut self) -> Option<Event> {
        if !matches!(self.work, Work::Nothing) {
            self.again = true;
            return None;
        }
        if !self.look().await {
            return None;
        }
        if let Some(late) = self.past_deadline() {
            return Some(late);
        }
        let mut actions = {
            let backoffs = self.backoffs.lock();
            let now = self.context.clock.now();
            actions::compute(&actions::Inputs {
                pod: &self.pod,
                seen: &self.seen,
                probes: &self.probes,
                backoffs: &backoffs,
                now,
            })
        };
        if actions.completed {
            self.waiting.clear();
            return Some(Event::Completed);
        }
        self.hold_back(&actions);
        self.collect_garbage();
        let retrying = self.retry_at.is_some_and(|at| at > self.context.clock.now());
        if retrying && !actions.start.is_empty() {
            self.report_status();
            return None;
        }
        let changes = if retrying { vec![] } else { self.changes(&mut actions) };
        self.report_status();
        self.start(actions, changes);
        None
    }

    /// Shows what waits for its back-off, and wakes up when the first is over.
    fn hold_back(&mut self, actions: &Actions) {
        let known = |name: &str, waiting: &BTreeMap<String, (String, String)>| {
            waiting.get(name).is_some_and(|(r, _)| r == CRASH_LOOP)
        };
        for waiting in &actions.waiting {
            if !known(&waiting.name, &self.waiting) {
                let text = format!(
                    "Back-off restarting failed container {} in pod {}",
                    waiting.name,
                    names::formatted(&self.pod)
                );
                self.context.warn(note::container(&self.pod, &waiting.name), "BackOff", &text);
            }
            self.waiting.insert(waiting.name.clone(), (CRASH_LOOP.to_owned(), waiting.message.clone()));
        }
        let held = |name: &String| actions.waiting.iter().any(|w| w.name == *name);
        let failing = |name: &String| actions.start.iter().any(|s| s.name == *name);
        self.waiting.retain(|name, (reason, _)| if reason == CRASH_LOOP { held(name) } else { failing(name) });
        self.wake_at = actions.waiting.iter().map(|w| w.until).chain(self.deadline()).min();
    }

    fn deadline(&self) -> Option<Timestamp> {
        let seconds = self.pod.spec.as_ref()?.active_deadline_seconds?;
        let started = self.status.start_time.as_ref()?.0;
        started.saturating_add(SignedDuration::from_secs(seconds)).ok()
    }

    fn past_deadline(&mut self) -> Option<Event> {
        let deadline = self.deadline()?;
        if self.context.clock.now() < deadline {
            return None;
        }
        let verdict = status::Verdict::deadline_exceeded();
        self.context.event(note::pod(&self.pod), "DeadlineExceeded", &verdict.message);
        self.verdict = Some(verdict);
        Some(Event::Evicted { grace: termination::grace(&self.pod) })
    }
}

fn after(time: Timestamp, pause: Duration) -> Timestamp {
    time.saturating_add(SignedDuration::try_from(pause).unwrap_or_default()).unwrap_or(Timestamp::MAX)
}
