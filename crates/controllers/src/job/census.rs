//! What the job wants, and what its pods say about it, before anything is done.

use std::collections::{BTreeMap, BTreeSet};

use api_types::k8s_openapi::api::batch::v1::{Job, JobSpec, PodFailurePolicy};

use super::{Indexes, policy, policy::Verdict, tracked};
use crate::view::Pod;

/// The job's wishes, with the defaults of its kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub job: &'a Job,
    pub spec: Option<&'a JobSpec>,
    pub parallelism: i32,
    pub completions: Option<i32>,
    pub indexed: bool,
    pub suspended: bool,
    pub backoff_limit: i32,
    pub backoff_limit_per_index: Option<i32>,
    /// Replacements wait until a pod has failed, rather than only begun to end.
    pub replaces_failed_only: bool,
    pub failure_policy: Option<&'a PodFailurePolicy>,
}

impl<'a> Wanted<'a> {
    pub fn of(job: &'a Job) -> Self {
        let spec = job.spec.as_ref();
        let number = |field: fn(&JobSpec) -> Option<i32>| spec.and_then(field);
        let text = |field: fn(&JobSpec) -> Option<&String>| spec.and_then(field).map(String::as_str);
        let failure_policy = spec.and_then(|spec| spec.pod_failure_policy.as_ref());
        Self {
            job,
            spec,
            parallelism: number(|spec| spec.parallelism).unwrap_or(1),
            completions: number(|spec| spec.completions),
            indexed: text(|spec| spec.completion_mode.as_ref()) == Some("Indexed"),
            suspended: spec.is_some_and(|spec| spec.suspend == Some(true)),
            backoff_limit: number(|spec| spec.backoff_limit).unwrap_or(6),
            backoff_limit_per_index: number(|spec| spec.backoff_limit_per_index),
            replaces_failed_only: failure_policy.is_some()
                || text(|spec| spec.pod_replacement_policy.as_ref()) == Some("Failed"),
            failure_policy,
        }
    }

    /// The completions of an Indexed job.
    pub fn size(&self) -> i32 {
        self.completions.unwrap_or_default()
    }

    /// A deleted pod counts as failed too: it may never get so far as to say so.
    pub fn is_failed(&self, pod: &Pod) -> bool {
        match &*pod.status.phase {
            "Failed" => true,
            "Succeeded" => false,
            _ => pod.metadata.deleting() && !self.replaces_failed_only,
        }
    }

    pub fn judge(&self, pod: &Pod) -> Verdict {
        policy::judge(self.failure_policy, pod)
    }

    /// The pod's index, if it is one that the job has.
    pub fn index(&self, pod: &Pod) -> Option<i32> {
        index(pod).filter(|index| *index < self.size())
    }

    /// Whether the pod can count at all.
    pub fn counts(&self, pod: &Pod) -> bool {
        !self.indexed || self.index(pod).is_some()
    }
}

pub(super) fn index(pod: &Pod) -> Option<i32> {
    pod.metadata.annotations.completion_index.as_deref()?.parse().ok().filter(|index| *index >= 0)
}

/// How often the pods of this index failed before this one; counted towards its limit, and not.
pub(super) fn index_failures(pod: &Pod) -> (i32, i32) {
    let number = |text: &Option<Box<str>>| text.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
    (number(&pod.metadata.annotations.index_failures), number(&pod.metadata.annotations.index_ignored_failures))
}

pub(super) struct Census<'a> {
    pub wanted: Wanted<'a>,
    /// The job's pods, by index and name.
    pub pods: Vec<&'a Pod>,
    pub active: Vec<&'a Pod>,
    /// Deleted and not yet ended.
    pub terminating: i32,
    /// Uids of the status that are not yet in its counts.
    pub uncounted_succeeded: BTreeSet<&'a str>,
    pub uncounted_failed: BTreeSet<&'a str>,
    /// With those that are not in the status yet.
    pub succeeded: i32,
    pub failed: i32,
    /// The status' indexes, and the same with those of the pods.
    pub recorded: Indexes,
    pub completed: Indexes,
    pub failed_indexes: Option<Indexes>,
}

impl<'a> Census<'a> {
    pub fn take(job: &'a Job, mut pods: Vec<&'a Pod>) -> Self {
        let wanted = Wanted::of(job);
        pods.sort_by(|a, b| (index(a), &a.metadata.name).cmp(&(index(b), &b.metadata.name)));
        let status = job.status.as_ref();
        let noted = status.and_then(|status| status.uncounted_terminated_pods.as_ref());
        let uids = |list: Option<&'a Vec<String>>| list.into_iter().flatten().map(String::as_str).collect();
        let mut census = Self {
            active: pods.iter().copied().filter(|pod| pod.active()).collect(),
            terminating: count(pods.iter().filter(|pod| pod.metadata.deleting() && !pod.finished())),
            uncounted_succeeded: uids(noted.and_then(|noted| noted.succeeded.as_ref())),
            uncounted_failed: uids(noted.and_then(|noted| noted.failed.as_ref())),
            succeeded: 0,
            failed: 0,
            recorded: Indexes::default(),
            completed: Indexes::default(),
            failed_indexes: None,
            wanted,
            pods,
        };
        census.count(status.and_then(|s| s.succeeded).unwrap_or(0), status.and_then(|s| s.failed).unwrap_or(0));
        if wanted.indexed {
            census.indexes();
        }
        census
    }

    fn count(&mut self, succeeded: i32, failed: i32) {
        let new = |known: &BTreeSet<&str>, pod: &Pod| {
            tracked(pod) && !known.contains(&*pod.metadata.uid) && self.wanted.counts(pod)
        };
        let new_succeeded =
            self.pods.iter().filter(|pod| &*pod.status.phase == "Succeeded" && new(&self.uncounted_succeeded, pod));
        let new_failed = self.pods.iter().filter(|pod| {
            self.wanted.is_failed(pod) && new(&self.uncounted_failed, pod) && self.wanted.judge(pod) != Verdict::Ignored
        });
        let (new_succeeded, new_failed) = (count(new_succeeded), count(new_failed));
        self.succeeded = succeeded + new_succeeded + count(self.uncounted_succeeded.iter());
        self.failed = failed + new_failed + count(self.uncounted_failed.iter());
    }

    fn indexes(&mut self) {
        let wanted = self.wanted;
        let status = wanted.job.status.as_ref();
        let read = |text: Option<&String>| Indexes::parse(text.map_or("", String::as_str), wanted.size());
        let of = |select: &dyn Fn(&Pod) -> bool| -> Vec<i32> {
            let pods = self.pods.iter().filter(|pod| tracked(pod) && select(pod));
            pods.filter_map(|pod| wanted.index(pod)).collect()
        };
        let completed = of(&|pod| &*pod.status.phase == "Succeeded");
        let failed = wanted.backoff_limit_per_index.map(|limit| of(&|pod| fails_index(&wanted, limit, pod)));
        self.recorded = read(status.and_then(|status| status.completed_indexes.as_ref()));
        self.completed = self.recorded.with(completed);
        self.succeeded = self.completed.total();
        let known = status.and_then(|status| status.failed_indexes.as_ref());
        self.failed_indexes = failed.map(|failed| read(known).with(failed));
    }

    /// The failed pods that are to be replaced, by index. They keep their finalizer until their successor is there, which
    /// carries the number of failures on.
    pub fn to_replace(&self) -> BTreeMap<i32, &'a Pod> {
        let mut kept: BTreeMap<i32, &'a Pod> = BTreeMap::new();
        let Some(failed) = self.failed_indexes.as_ref() else { return kept };
        let replaced: BTreeSet<i32> = self.active.iter().filter_map(|pod| index(pod)).collect();
        for pod in self.pods.iter().filter(|pod| tracked(pod) && self.wanted.is_failed(pod)) {
            let Some(index) = self.wanted.index(pod) else { continue };
            if replaced.contains(&index) || self.completed.contains(index) || failed.contains(index) {
                continue;
            }
            let rank = |pod: &Pod| {
                let (counted, ignored) = index_failures(pod);
                (counted + ignored, super::backoff::finished_at(pod))
            };
            match kept.get(&index) {
                Some(before) if rank(before) > rank(pod) => {}
                _ => drop(kept.insert(index, pod)),
            }
        }
        kept
    }
}

fn fails_index(wanted: &Wanted<'_>, limit: i32, pod: &Pod) -> bool {
    wanted.is_failed(pod)
        && match wanted.judge(pod) {
            Verdict::FailsIndex => true,
            Verdict::Ignored => false,
            Verdict::Counts | Verdict::FailsJob(_) => index_failures(pod).0 >= limit,
        }
}

pub(super) fn count<T>(items: impl Iterator<Item = T>) -> i32 {
    i32::try_from(items.count()).unwrap_or(i32::MAX)
}
