//! The pods of this node: one worker each, and the register of all of them.

mod mailbox;
mod report;
mod resize;
mod source;
mod start;
mod statics;
mod status_writer;
mod stop;
mod worker;

pub use report::Report;
pub use source::run as run_source;

use crate::{
    context::Context,
    runtime::observe,
    static_pods::{self, mirrors::Mirrors},
    volumes,
};
use mailbox::{Eviction, Mailbox};
use parking_lot::Mutex;
use pod_lifecycle::{admission, core::Pod, eviction, gc, names, static_pods::Succession, status};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// Grace of containers whose pod nobody knows any more.
const LEFTOVER_GRACE: Duration = Duration::from_secs(30);

/// All workers, by the uid of their pod.
pub struct Pods {
    context: Arc<Context>,
    workers: Mutex<BTreeMap<String, Handle>>,
    succession: Mutex<Succession>,
    mirrors: Mirrors,
    /// A pod's containers have ended.
    changed: Notify,
    /// Sources of pods that have not been read yet. Once there are none, what has no worker has no pod.
    unread: AtomicUsize,
}

struct Handle {
    mailbox: Arc<Mailbox>,
    pod: Arc<Pod>,
    /// Its resources still count.
    active: bool,
    /// The pod with more than there is room for.
    deferred: Option<Arc<Pod>>,
}

impl Pods {
    pub fn new(context: Arc<Context>) -> Arc<Self> {
        // The API is a source, too.
        let unread = AtomicUsize::new(1 + static_pods::sources(&context));
        Arc::new(Self {
            context,
            workers: Mutex::default(),
            succession: Mutex::default(),
            mirrors: Mirrors::default(),
            changed: Notify::new(),
            unread,
        })
    }

    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Every pod of one source has its worker.
    pub async fn source_known(&self) {
        if self.unread.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.remove_leftovers().await;
        }
    }

    /// The API has a pod of this node that is new or has changed.
    fn seen_in_api(self: &Arc<Self>, pod: Arc<Pod>) {
        if names::is_mirror(&pod) {
            self.mirror_seen(pod);
        } else if names::is_static(&pod) {
            self.apply(Arc::new(names::from_api(&pod)));
        } else {
            self.apply(pod);
        }
    }

    fn gone_from_api(&self, pod: &Pod) {
        if names::is_mirror(pod) { self.mirror_gone(pod) } else { self.removed(pod) }
    }

    /// A pod of this node is new or has changed.
    fn apply(self: &Arc<Self>, pod: Arc<Pod>) {
        let uid = names::uid(&pod).to_owned();
        let mut workers = self.workers.lock();
        let (pod, pending) = {
            let (given, pending) = self.give(&pod, &uid, &workers);
            if let Some(handle) = workers.get_mut(&uid) {
                handle.deferred = pending.as_ref().filter(|p| p.reason == "Deferred").map(|_| pod);
            }
            (given, pending)
        };
        if let Some(handle) = workers.get_mut(&uid) {
            handle.pod = pod.clone();
            handle.mailbox.put(pod, pending);
            return;
        }
        let verdict = self.admit(&pod, &workers);
        let mailbox = Arc::new(Mailbox::default());
        mailbox.put(pod.clone(), pending);
        let active = verdict.is_none() && !status::is_terminal(&pod);
        workers.insert(uid, Handle { mailbox: mailbox.clone(), pod: pod.clone(), active, deferred: None });
        drop(workers);
        let worker = worker::Worker::new(self.context.clone(), self.clone(), pod, mailbox, verdict);
        tokio::spawn(worker.run());
    }

    /// A pod that was accepted before the kubelet restarted is accepted.
    fn admit(&self, pod: &Pod, workers: &BTreeMap<String, Handle>) -> Option<status::Verdict> {
        let known = pod
            .status
            .as_ref()
            .is_some_and(|s| s.container_statuses.iter().flatten().any(|c| c.container_id.is_some()));
        if known || status::is_terminal(pod) || pod.metadata.deletion_timestamp.is_some() {
            return None;
        }
        if let Err(verdict) = eviction::admit(pod, &self.context.pressure.conditions()) {
            return Some(verdict);
        }
        let node = self.context.node.get("", &self.context.config.node_name);
        let node = node.map_or_else(|| crate::node::registration::object(&self.context), |n| (*n).clone());
        let others: Vec<&Pod> = workers.values().filter(|h| h.active).map(|h| &*h.pod).collect();
        let admitted = admission::admit(pod, &node, &others, &self.context.config.file.allowed_unsafe_sysctls);
        admitted.and_then(|()| admission::armored(pod, self.context.machine.apparmor)).err()
    }

    fn removed(&self, pod: &Pod) {
        if let Some(handle) = self.workers.lock().get(names::uid(pod)) {
            handle.mailbox.object_gone();
        }
    }

    /// The runtime has news of this pod.
    pub fn poke(&self, uid: &str) {
        if let Some(handle) = self.workers.lock().get(uid) {
            handle.mailbox.poke();
        }
    }

    pub fn poke_all(&self) {
        self.workers.lock().values().for_each(|h| h.mailbox.poke());
    }

    /// Nothing of the pod is to run any more.
    fn release(self: &Arc<Self>, uid: &str) {
        if let Some(handle) = self.workers.lock().get_mut(uid) {
            handle.active = false;
        }
        self.retry_deferred();
    }

    /// Pods that were accepted and are not on their way out.
    pub fn active(&self) -> Vec<Arc<Pod>> {
        self.workers.lock().values().filter(|h| h.active).map(|h| h.pod.clone()).collect()
    }

    /// Has a pod stopped for good. False when there is none.
    pub fn evict(&self, uid: &str, verdict: status::Verdict, grace: i64) -> bool {
        let workers = self.workers.lock();
        let Some(handle) = workers.get(uid).filter(|h| h.active) else { return false };
        handle.mailbox.evict(Eviction { verdict, grace });
        true
    }

    /// Waits until nothing of a pod runs any more.
    pub async fn wait_ended(&self, uid: &str, patience: Duration) {
        let ended = async {
            loop {
                let changed = self.changed.notified();
                let runs = self.context.directory.get(uid).is_some_and(|entry| entry.seen.alive() > 0);
                if !runs && !self.active().iter().any(|pod| names::uid(pod) == uid) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(patience, ended).await.ok();
    }

    /// Removes every container of pods that are over, and what it logged.
    pub async fn remove_ended_containers(&self) {
        let active: BTreeSet<String> = self.active().iter().map(|pod| names::uid(pod).to_owned()).collect();
        for entry in self.context.directory.list().into_iter().filter(|e| !active.contains(names::uid(&e.pod))) {
            let ended = gc::dead_containers(&entry.seen, 0);
            let ids: Vec<String> = ended.iter().map(|container| container.id.clone()).collect();
            stop::remove_all(&self.context, &ids, &[]).await;
            for container in ended {
                crate::logs::remove_container(&self.context, &entry.pod, container);
            }
        }
    }

    /// Nothing is left of the pod. One that waited for its name may begin.
    fn forget(self: &Arc<Self>, pod: &Pod) {
        self.workers.lock().remove(names::uid(pod));
        if names::is_static(pod) {
            let next = self.succession.lock().ended(pod);
            if let Some(next) = next {
                self.begin_static(next);
            }
            self.mirrors.changed.notify_one();
        }
    }

    /// Stops and removes what the runtime and the disk have of pods that are no longer this node's.
    pub async fn remove_leftovers(&self) {
        if self.unread.load(Ordering::Acquire) > 0 {
            return;
        }
        let all = match observe::everything(&*self.context.runtime).await {
            Ok(all) => all,
            Err(error) => return tracing::warn!(%error, "cannot list what the runtime has"),
        };
        let known: BTreeSet<String> = self.workers.lock().keys().cloned().collect();
        for (uid, leftover) in all.into_iter().filter(|(uid, _)| !known.contains(uid)) {
            tracing::info!(uid, running = leftover.running, "removing what is left of a pod that is gone");
            let context = self.context.clone();
            tokio::spawn(async move {
                for id in &leftover.containers {
                    report_failure("stop", id, context.runtime.stop_container(id, LEFTOVER_GRACE).await);
                }
                stop::remove_all(&context, &leftover.containers, &leftover.sandboxes).await;
                clear(&context, &uid);
            });
        }
        for entry in std::fs::read_dir(self.context.paths.pods()).into_iter().flatten().flatten() {
            let uid = entry.file_name().to_string_lossy().into_owned();
            if !known.contains(&uid) && !self.workers.lock().contains_key(&uid) {
                clear(&self.context, &uid);
            }
        }
        self.remove_leftover_logs();
    }

    /// Log directories end with their pod's uid.
    fn remove_leftover_logs(&self) {
        for entry in std::fs::read_dir(&self.context.paths.logs).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let mut parts = name.rsplitn(2, '_');
            let (Some(uid), Some(_)) = (parts.next(), parts.next()) else { continue };
            if !self.workers.lock().contains_key(uid)
                && let Err(error) = std::fs::remove_dir_all(entry.path())
            {
                tracing::warn!(uid, %error, "cannot remove the logs of a pod that is gone");
            }
        }
    }
}

/// Everything on disk and in the kernel that belongs to a pod.
fn clear(context: &Context, uid: &str) {
    if let Err(error) = volumes::remove(context, uid) {
        tracing::warn!(uid, "cannot remove a pod's directory: {error:#}");
    }
    if let Some(cgroups) = &context.cgroups {
        cgroups.remove_pod(uid);
    }
}

fn report_failure<T>(verb: &str, id: &str, outcome: cri::Result<T>) {
    if let Err(error) = outcome
        && !error.is_not_found()
    {
        tracing::warn!(id, %error, "cannot {verb} a container");
    }
}
