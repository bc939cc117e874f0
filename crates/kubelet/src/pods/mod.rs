//! The pods of this node: one worker each, and the register of all of them.

mod mailbox;
mod report;
mod source;
mod start;
mod status_writer;
mod stop;
mod worker;

pub use report::Report;
pub use source::run as run_source;

use crate::{context::Context, runtime::observe, volumes};
use mailbox::Mailbox;
use parking_lot::Mutex;
use pod_lifecycle::{admission, core::Pod, names, status};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Grace of containers whose pod nobody knows any more.
const LEFTOVER_GRACE: Duration = Duration::from_secs(30);

/// All workers, by the uid of their pod.
pub struct Pods {
    context: Arc<Context>,
    workers: Mutex<BTreeMap<String, Handle>>,
    /// The pods bound to this node are known: what has no worker now has no pod.
    synced: AtomicBool,
}

struct Handle {
    mailbox: Arc<Mailbox>,
    pod: Arc<Pod>,
    /// Its resources still count.
    active: bool,
}

impl Pods {
    pub fn new(context: Arc<Context>) -> Arc<Self> {
        Arc::new(Self { context, workers: Mutex::default(), synced: AtomicBool::new(false) })
    }

    /// A pod of this node is new or has changed.
    fn apply(self: &Arc<Self>, pod: Arc<Pod>) {
        let uid = names::uid(&pod).to_owned();
        let mut workers = self.workers.lock();
        if let Some(handle) = workers.get_mut(&uid) {
            handle.pod = pod.clone();
            handle.mailbox.put(pod);
            return;
        }
        let verdict = self.admit(&pod, &workers);
        let mailbox = Arc::new(Mailbox::default());
        mailbox.put(pod.clone());
        let active = verdict.is_none() && !status::is_terminal(&pod);
        workers.insert(uid, Handle { mailbox: mailbox.clone(), pod: pod.clone(), active });
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
        let node = self.context.node.get("", &self.context.config.node_name);
        let node = node.map_or_else(|| crate::node::registration::object(&self.context), |n| (*n).clone());
        let others: Vec<&Pod> = workers.values().filter(|h| h.active).map(|h| &*h.pod).collect();
        admission::admit(pod, &node, &others, &self.context.config.file.allowed_unsafe_sysctls).err()
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

    /// Nothing of the pod runs any more: its resources are free.
    fn release(&self, uid: &str) {
        if let Some(handle) = self.workers.lock().get_mut(uid) {
            handle.active = false;
        }
    }

    fn forget(&self, uid: &str) {
        self.workers.lock().remove(uid);
    }

    /// Stops and removes what the runtime and the disk have of pods that are no longer this node's.
    pub async fn remove_leftovers(&self) {
        if !self.synced.load(Ordering::Acquire) {
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
