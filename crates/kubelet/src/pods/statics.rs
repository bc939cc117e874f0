//! Static pods among the others: they begin and end with their manifests, and their status is written to their mirror.

use super::Pods;
use crate::static_pods::mirrors::Mirrors;
use pod_lifecycle::{core::Pod, names, static_pods::Local};
use std::sync::Arc;

impl Pods {
    pub fn mirrors(&self) -> &Mirrors {
        &self.mirrors
    }

    /// A manifest has appeared.
    pub fn static_wanted(self: &Arc<Self>, pod: Arc<Pod>) {
        let begin = self.succession.lock().wanted(pod);
        if let Some(pod) = begin {
            self.begin_static(pod);
        }
    }

    /// A manifest is gone.
    pub fn static_unwanted(&self, pod: &Pod) {
        let stop = self.succession.lock().unwanted(pod);
        if stop {
            self.removed(pod);
        }
    }

    pub(super) fn begin_static(self: &Arc<Self>, pod: Arc<Pod>) {
        self.apply(pod.clone());
        self.tell_of_mirror(&names::full_name(&pod));
        self.mirrors.changed.notify_one();
    }

    pub fn static_local(&self, name: &str) -> Local {
        self.succession.lock().local(name)
    }

    pub fn static_names(&self) -> Vec<String> {
        self.succession.lock().names().cloned().collect()
    }

    pub fn mirror_seen(&self, mirror: Arc<Pod>) {
        let name = names::full_name(&mirror);
        self.mirrors.put(mirror);
        self.tell_of_mirror(&name);
    }

    pub fn mirror_gone(&self, mirror: &Pod) {
        self.mirrors.remove(mirror);
        self.tell_of_mirror(&names::full_name(mirror));
    }

    /// The worker that runs under this name writes its status to the mirror, if there is one.
    fn tell_of_mirror(&self, name: &str) {
        let workers = self.workers.lock();
        let concerned = |pod: &Pod| names::is_static(pod) && names::full_name(pod) == name;
        for handle in workers.values().filter(|handle| concerned(&handle.pod)) {
            handle.mailbox.mirror(self.mirrors.get(name));
        }
    }
}
