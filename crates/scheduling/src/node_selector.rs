//! Node selectors compiled once per shape of pod: `spec.nodeSelector` and `spec.affinity.nodeAffinity`.
//!
//! A term that cannot be understood matches nothing, as upstream has it; the API server refuses such pods.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    k8s_openapi::api::core::v1 as core,
    selector::{Labels, Operator, Requirement},
};

/// What a node shows to selectors.
#[derive(Clone, Copy)]
pub struct NodeView<'a> {
    pub name: &'a str,
    /// By key.
    pub labels: &'a [(Arc<str>, Arc<str>)],
}

/// All requirements of a term must hold; a term without any matches nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    labels: Vec<Requirement>,
    /// On `metadata.name`, the only field there is.
    names: Vec<Requirement>,
}

impl Term {
    fn compile(term: &core::NodeSelectorTerm) -> Option<Self> {
        let compile = |list: &Option<Vec<core::NodeSelectorRequirement>>| {
            list.iter().flatten().map(requirement).collect::<Option<Vec<_>>>()
        };
        let term = Self { labels: compile(&term.match_expressions)?, names: compile(&term.match_fields)? };
        (!term.labels.is_empty() || !term.names.is_empty()).then_some(term)
    }

    pub fn matches(&self, node: NodeView<'_>) -> bool {
        let fields = [("metadata.name", node.name)];
        self.labels.iter().all(|r| r.matches(node.labels)) && self.names.iter().all(|r| r.matches(fields.as_slice()))
    }

    /// The names this term is limited to, when its fields say so.
    fn pinned(&self) -> Option<Vec<&str>> {
        let mut pinned: Option<Vec<&str>> = None;
        for r in self.names.iter().filter(|r| r.operator == Operator::In) {
            let these = r.values.iter().map(String::as_str);
            pinned = Some(match pinned {
                None => these.collect(),
                Some(old) => these.filter(|name| old.contains(name)).collect(),
            });
        }
        pinned
    }
}

fn requirement(r: &core::NodeSelectorRequirement) -> Option<Requirement> {
    let operator = match r.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return None,
    };
    let mut values = r.values.clone().unwrap_or_default();
    values.sort();
    Some(Requirement { key: r.key.clone(), operator, values })
}

/// What a pod demands of its node: every label of `nodeSelector`, and one of the affinity's terms if it has any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Required {
    labels: Vec<(String, String)>,
    terms: Option<Vec<Term>>,
}

impl Required {
    pub fn compile(labels: &BTreeMap<String, String>, affinity: Option<&core::NodeSelector>) -> Self {
        let labels = labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let terms = affinity.map(|a| a.node_selector_terms.iter().filter_map(Term::compile).collect());
        Self { labels, terms }
    }

    pub fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.terms.is_none()
    }

    pub fn matches(&self, node: NodeView<'_>) -> bool {
        self.labels.iter().all(|(key, value)| Labels::get(node.labels, key) == Some(value))
            && self.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(node)))
    }

    /// The nodes by name this is limited to, when every term names some: what a DaemonSet's pods say.
    pub fn pinned(&self) -> Option<Vec<&str>> {
        let mut all = Vec::new();
        for term in self.terms.as_ref()?.iter() {
            all.extend(term.pinned()?);
        }
        all.sort_unstable();
        all.dedup();
        (!self.terms.as_ref()?.is_empty()).then_some(all)
    }
}

/// Weighted wishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Preferred(Vec<(i64, Term)>);

impl Preferred {
    pub fn compile(terms: &[core::PreferredSchedulingTerm]) -> Self {
        let compile = |t: &core::PreferredSchedulingTerm| Some((i64::from(t.weight), Term::compile(&t.preference)?));
        Self(terms.iter().filter(|t| t.weight != 0).filter_map(compile).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sum of the weights of the terms that match.
    pub fn weight(&self, node: NodeView<'_>) -> i64 {
        self.0.iter().filter(|(_, term)| term.matches(node)).map(|(weight, _)| weight).sum()
    }
}
