//! What pods are to each other: the labels by which one's rules find another, and those rules, compiled once.
//!
//! Pods that look and ask alike share one [`Peers`], so that the cluster counts them together. Whether a rule is kept
//! is for the plugins; here is only whom it means.

use std::sync::Arc;

use api_types::{
    k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector,
    selector::{Labels, Operator, Requirement, Selector},
};

use crate::object::{Pod, PodAffinity, PodAffinityTerm};

/// Labels by key, as many as there are pods that carry them.
pub type LabelSet = Vec<(Arc<str>, Arc<str>)>;

/// The controller by whose selector pods are spread when they do not say themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OwnerKind {
    ReplicaSet,
    ReplicationController,
    StatefulSet,
}

/// What the rules of other pods, and of the cluster, can see of a pod; and its own rules about other pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Peers {
    pub namespace: Arc<str>,
    pub labels: LabelSet,
    pub deleting: bool,
    pub owner: Option<(OwnerKind, Arc<str>)>,
    pub rules: Rules,
}

/// `podAffinity` and `podAntiAffinity`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rules {
    pub required_affinity: Vec<Term>,
    pub required_anti_affinity: Vec<Term>,
    /// With their weights; those of anti-affinity are negative.
    pub preferred: Vec<(i64, Term)>,
}

impl Rules {
    pub fn is_empty(&self) -> bool {
        self.required_affinity.is_empty() && self.required_anti_affinity.is_empty() && self.preferred.is_empty()
    }
}

/// Pods near which, or far from which, a pod is to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    pub topology_key: Arc<str>,
    namespaces: Vec<String>,
    /// Nothing unless given.
    namespace_selector: Selector,
    selector: Selector,
}

impl Term {
    /// `namespace_labels` are those of the namespace that `other` is in.
    pub fn matches(&self, other: &Peers, namespace_labels: &LabelSet) -> bool {
        (self.namespaces.iter().any(|name| **name == *other.namespace)
            || self.namespace_selector.matches(namespace_labels))
            && self.selector.matches(&other.labels)
    }

    /// Which pods it means depends on labels of namespaces.
    pub fn looks_at_namespaces(&self) -> bool {
        !self.namespace_selector.requirements().is_empty()
    }
}

impl Peers {
    pub fn of(pod: &Pod) -> Self {
        let namespace: Arc<str> = pod.metadata.namespace.as_ref().into();
        let labels: LabelSet =
            pod.metadata.labels.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect();
        let affinity = pod.spec.affinity.as_ref();
        let near = affinity.and_then(|a| a.pod_affinity.as_ref());
        let far = affinity.and_then(|a| a.pod_anti_affinity.as_ref());
        let compile = |term: &PodAffinityTerm| compile(term, &namespace, &labels);
        let required = |rules: Option<&PodAffinity>| -> Vec<Term> {
            let terms = rules.map(|a| a.required_during_scheduling_ignored_during_execution.as_slice());
            terms.unwrap_or_default().iter().map(compile).collect()
        };
        let preferred = |rules: Option<&PodAffinity>, sign: i64| -> Vec<(i64, Term)> {
            let terms = rules.map(|a| a.preferred_during_scheduling_ignored_during_execution.as_slice());
            terms.unwrap_or_default().iter().map(|t| (sign * t.weight, compile(&t.pod_affinity_term))).collect()
        };
        let mut wishes = preferred(near, 1);
        wishes.extend(preferred(far, -1));
        let rules = Rules {
            required_affinity: required(near),
            required_anti_affinity: required(far),
            preferred: wishes.into_iter().filter(|(weight, _)| *weight != 0).collect(),
        };
        Self { owner: owner(pod), deleting: pod.is_deleting(), rules, namespace, labels }
    }
}

fn owner(pod: &Pod) -> Option<(OwnerKind, Arc<str>)> {
    let owner = pod.metadata.controller()?;
    let kind = match (owner.api_version.as_str(), owner.kind.as_str()) {
        ("apps/v1", "ReplicaSet") => OwnerKind::ReplicaSet,
        ("apps/v1", "StatefulSet") => OwnerKind::StatefulSet,
        ("v1", "ReplicationController") => OwnerKind::ReplicationController,
        _ => return None,
    };
    Some((kind, owner.name.as_str().into()))
}

fn compile(term: &PodAffinityTerm, namespace: &Arc<str>, labels: &LabelSet) -> Term {
    let mut namespaces = term.namespaces.clone();
    if namespaces.is_empty() && term.namespace_selector.is_none() {
        namespaces.push(namespace.to_string());
    }
    namespaces.sort();
    let own = |operator: Operator, keys: &[String]| own_values(labels, operator, keys);
    let mut extra = own(Operator::In, &term.match_label_keys);
    extra.extend(own(Operator::NotIn, &term.mismatch_label_keys));
    Term {
        topology_key: term.topology_key.as_str().into(),
        namespaces,
        namespace_selector: selector(term.namespace_selector.as_ref(), Vec::new()),
        selector: selector(term.label_selector.as_ref(), extra),
    }
}

/// Requirements made of the pod's own values of these labels; keys it does not have are left out (KEP-3633, KEP-3243).
pub fn own_values(labels: &LabelSet, operator: Operator, keys: &[String]) -> Vec<Requirement> {
    let value = |key: &String| Labels::get(labels, key).map(|value| (key.clone(), value.to_owned()));
    let requirement = |(key, value)| Requirement { key, operator: operator.clone(), values: vec![value] };
    keys.iter().filter_map(value).map(requirement).collect()
}

/// No selector means nobody, as does one that cannot be understood; the API server refuses such pods.
pub fn selector(selector: Option<&LabelSelector>, extra: Vec<Requirement>) -> Selector {
    let Some(Ok(selector)) = selector.map(Selector::from_label_selector) else { return Selector::nothing() };
    if extra.is_empty() {
        return selector;
    }
    let mut all = selector.requirements().to_vec();
    all.extend(extra);
    all.sort();
    all.dedup();
    Selector::new(all)
}
