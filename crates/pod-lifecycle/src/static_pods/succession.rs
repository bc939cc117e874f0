//! One static pod runs under a name at a time: a changed manifest is another pod, which waits until nothing is left of
//! the one before.

use crate::{core::Pod, names};
use std::{collections::BTreeMap, sync::Arc};

/// The static pods of a node by `namespace/name`.
#[derive(Debug, Default)]
pub struct Succession {
    names: BTreeMap<String, Slot>,
}

#[derive(Debug)]
struct Slot {
    current: Arc<Pod>,
    leaving: bool,
    next: Option<Arc<Pod>>,
}

/// What the node has under a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Local {
    Nothing,
    /// Its manifest is gone, it is not yet.
    Ending,
    Wanted(Arc<Pod>),
}

impl Succession {
    /// A manifest has appeared. The answer is to be started now.
    pub fn wanted(&mut self, pod: Arc<Pod>) -> Option<Arc<Pod>> {
        let name = names::full_name(&pod);
        let Some(slot) = self.names.get_mut(&name) else {
            self.names.insert(name, Slot { current: pod.clone(), leaving: false, next: None });
            return Some(pod);
        };
        if slot.leaving || names::uid(&slot.current) != names::uid(&pod) {
            slot.next = Some(pod);
        }
        None
    }

    /// A manifest is gone. Whether a pod is to be stopped for that.
    pub fn unwanted(&mut self, pod: &Pod) -> bool {
        let Some(slot) = self.names.get_mut(&names::full_name(pod)) else { return false };
        if slot.next.as_ref().is_some_and(|next| names::uid(next) == names::uid(pod)) {
            slot.next = None;
            return false;
        }
        let stops = names::uid(&slot.current) == names::uid(pod) && !slot.leaving;
        slot.leaving |= stops;
        stops
    }

    /// Nothing is left of a pod. The answer is to be started now.
    pub fn ended(&mut self, pod: &Pod) -> Option<Arc<Pod>> {
        let name = names::full_name(pod);
        let slot = self.names.get_mut(&name)?;
        if names::uid(&slot.current) != names::uid(pod) {
            return None;
        }
        let Some(next) = slot.next.take() else {
            self.names.remove(&name);
            return None;
        };
        *slot = Slot { current: next.clone(), leaving: false, next: None };
        Some(next)
    }

    pub fn local(&self, name: &str) -> Local {
        match self.names.get(name) {
            None => Local::Nothing,
            Some(slot) if slot.leaving => Local::Ending,
            Some(slot) => Local::Wanted(slot.current.clone()),
        }
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.names.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn pod(uid: &str) -> Arc<Pod> {
        let mut pod = samples::pod("Always", &[], &["a"]);
        pod.metadata.uid = Some(uid.into());
        Arc::new(pod)
    }

    fn uid(pod: Option<Arc<Pod>>) -> Option<String> {
        pod.map(|p| names::uid(&p).to_owned())
    }

    #[test]
    fn a_changed_manifest_waits_for_the_end_of_the_old_one() {
        let mut all = Succession::default();
        assert_eq!(uid(all.wanted(pod("1"))), Some("1".into()));
        assert_eq!(all.wanted(pod("1")), None, "seen again");
        assert!(all.unwanted(&pod("1")));
        assert!(!all.unwanted(&pod("1")), "once is enough");
        assert_eq!(all.wanted(pod("2")), None);
        assert_eq!(all.local("default/web"), Local::Ending);
        assert_eq!(uid(all.ended(&pod("1"))), Some("2".into()));
        assert_eq!(all.local("default/web"), Local::Wanted(pod("2")));
        assert_eq!(all.ended(&pod("1")), None, "an older one's end says nothing");
    }

    /// A manifest that is changed and changed back within the old pod's grace is started anew all the same.
    #[test]
    fn what_is_leaving_comes_back_after_its_end() {
        let mut all = Succession::default();
        all.wanted(pod("1"));
        all.unwanted(&pod("1"));
        assert_eq!(all.wanted(pod("1")), None);
        assert_eq!(uid(all.ended(&pod("1"))), Some("1".into()));
        assert!(all.unwanted(&pod("1")));
        assert_eq!(all.wanted(pod("2")), None);
        assert!(!all.unwanted(&pod("2")), "one that never started need not be stopped");
        assert_eq!(all.ended(&pod("1")), None);
        assert_eq!(all.local("default/web"), Local::Nothing);
    }
}
