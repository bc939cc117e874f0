//! What becomes of a definition: whether its names are free, whether it is served, and what its status says of that.
//!
//! [`decide`] answers the status as it should be. Serving, and the removal of instances, are the API server's, which tells
//! here how far it has come.

use std::collections::HashSet;

use api_types::field::go_quote;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::value;

pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
pub const API_APPROVED: &str = "api-approved.kubernetes.io";

/// What a definition is judged by.
pub struct Observed<'a> {
    pub crd: &'a Value,
    /// All definitions of the same group, this one among them or not.
    pub group: &'a [&'a Value],
    /// Whether its kinds are being served as the definition says now.
    pub is_served: bool,
    pub now: Timestamp,
}

/// The status that the definition should have; `None` if it has that.
pub fn decide(seen: &Observed) -> Option<Value> {
    let mut new = seen.crd.clone();
    let (names, accepted) = names(seen);
    value::set(&mut new, &["status", "acceptedNames"], names);
    set_condition(&mut new, &accepted, seen.now);
    if let Some(established) = established(seen, accepted.is_true()) {
        set_condition(&mut new, &established, seen.now);
    }
    if let Some(approval) = approval(seen.crd) {
        set_condition(&mut new, &approval, seen.now);
    }
    (new != *seen.crd).then_some(new)
}

/// A condition as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub type_: &'static str,
    pub status: &'static str,
    pub reason: &'static str,
    pub message: String,
}

impl Condition {
    fn new(type_: &'static str, status: bool, reason: &'static str, message: impl Into<String>) -> Self {
        Self { type_, status: if status { "True" } else { "False" }, reason, message: message.into() }
    }

    fn is_true(&self) -> bool {
        self.status == "True"
    }

    /// How the removal of instances goes.
    pub fn terminating(status: bool, reason: &'static str, message: impl Into<String>) -> Self {
        Self::new("Terminating", status, reason, message)
    }
}

/// Puts a condition in its place; its time changes with its status only.
pub fn set_condition(crd: &mut Value, condition: &Condition, now: Timestamp) {
    let mut all = value::items(crd, &["status", "conditions"]).to_vec();
    let at = all.iter().position(|known| known["type"] == condition.type_);
    let since = match at.map(|at| &all[at]) {
        Some(known) if known["status"] == condition.status => known["lastTransitionTime"].clone(),
        _ => now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into(),
    };
    let new = json!({"lastTransitionTime": since, "message": condition.message, "reason": condition.reason,
        "status": condition.status, "type": condition.type_});
    match at {
        Some(at) => all[at] = new,
        None => all.push(new),
    }
    value::set(crd, &["status", "conditions"], all.into());
}

/// The names to accept, and whether they are those that are wanted.
fn names(seen: &Observed) -> (Value, Condition) {
    let taken = Taken::by_others(seen);
    let wanted = &seen.crd["spec"]["names"];
    let had = value::at(seen.crd, &["status", "acceptedNames"]).cloned().unwrap_or_else(|| json!({}));
    let mut accepted = had.clone();
    let mut conflict = None;
    let checks = [
        ("plural", "PluralConflict", &taken.resources),
        ("singular", "SingularConflict", &taken.resources),
        ("shortNames", "ShortNamesConflict", &taken.resources),
        ("kind", "KindConflict", &taken.kinds),
        ("listKind", "ListKindConflict", &taken.kinds),
    ];
    for (member, reason, used) in checks {
        let known = texts(&had[member]);
        let clashes: Vec<String> = texts(&wanted[member])
            .into_iter()
            .filter(|name| !known.contains(name) && used.contains(name))
            .map(|name| format!("{} is already in use", go_quote(name)))
            .collect();
        if clashes.is_empty() {
            value::copy(&mut accepted, wanted, &[member]);
        } else {
            let text = if clashes.len() == 1 { clashes[0].clone() } else { format!("[{}]", clashes.join(", ")) };
            conflict = Some(Condition::new("NamesAccepted", false, reason, text));
        }
    }
    value::copy(&mut accepted, wanted, &["categories"]);
    let fine = || Condition::new("NamesAccepted", true, "NoConflicts", "no conflicts found");
    (accepted, conflict.unwrap_or_else(fine))
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) if !text.is_empty() => vec![text],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The names that the other definitions of the group have.
#[derive(Default)]
struct Taken<'a> {
    resources: HashSet<&'a str>,
    kinds: HashSet<&'a str>,
}

impl<'a> Taken<'a> {
    fn by_others(seen: &Observed<'a>) -> Self {
        let mut taken = Self::default();
        let own = value::text(seen.crd, &["metadata", "name"]);
        for other in seen.group.iter().filter(|other| value::text(other, &["metadata", "name"]) != own) {
            let names = &other["status"]["acceptedNames"];
            for member in ["plural", "singular", "shortNames"] {
                taken.resources.extend(texts(&names[member]));
            }
            for member in ["kind", "listKind"] {
                taken.kinds.extend(texts(&names[member]));
            }
        }
        taken
    }
}

/// Once established, a definition stays so.
fn established(seen: &Observed, accepted: bool) -> Option<Condition> {
    let known = value::items(seen.crd, &["status", "conditions"]).iter().find(|c| c["type"] == "Established");
    if known.is_some_and(|known| known["status"] == "True") {
        return None;
    }
    Some(match (accepted, seen.is_served) {
        (true, true) => {
            Condition::new("Established", true, "InitialNamesAccepted", "the initial names have been accepted")
        }
        (true, false) => Condition::new("Established", false, "Installing", "the initial names have been accepted"),
        (false, _) if known.is_some() => return None,
        (false, _) => Condition::new("Established", false, "NotAccepted", "not all names are accepted"),
    })
}

/// Groups of the project itself are to be approved.
pub fn is_protected(group: &str) -> bool {
    group.ends_with(".k8s.io") || group.ends_with(".kubernetes.io")
}

fn approval(crd: &Value) -> Option<Condition> {
    const TYPE: &str = "KubernetesAPIApprovalPolicyConformant";
    const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";
    if !is_protected(value::text(crd, &["spec", "group"])) {
        return None;
    }
    let given = value::text(crd, &["metadata", "annotations", API_APPROVED]);
    Some(match given {
        "" => {
            let why = format!("protected groups must have approval annotation {API_APPROVED:?}, {SEE}");
            Condition::new(TYPE, false, "MissingAnnotation", why)
        }
        reason if reason.starts_with("unapproved") => {
            Condition::new(TYPE, false, "UnapprovedAnnotation", format!("not approved: {reason:?}"))
        }
        url if is_url(url) => Condition::new(TYPE, true, "ApprovedAnnotation", format!("approved in {url}")),
        _ => Condition::new(TYPE, false, "InvalidAnnotation", invalid_approval()),
    })
}

/// What is said of an approval that is neither a URL nor a reason why there is none.
pub fn invalid_approval() -> String {
    format!(
        "protected groups must have approval annotation {API_APPROVED:?} with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111"
    )
}

/// Whether a text has a scheme and a host.
pub fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| {
        !scheme.is_empty()
            && scheme.chars().all(|c| c.is_ascii_alphanumeric())
            && !rest.is_empty()
            && !rest.starts_with('/')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crd(name: &str, names: Value) -> Value {
        json!({"metadata": {"name": name}, "spec": {"group": "example.com", "names": names}})
    }

    fn settle(crd: &mut Value, group: &[&Value], is_served: bool) -> usize {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        for round in 0..5 {
            match decide(&Observed { crd, group, is_served, now }) {
                Some(new) => *crd = new,
                None => return round,
            }
        }
        panic!("it never settles: {crd}")
    }

    fn check(crd: &Value, type_: &str, wanted: (&str, &str, &str)) {
        let all = value::items(crd, &["status", "conditions"]);
        let found = all.iter().find(|c| c["type"] == type_).unwrap_or_else(|| panic!("{type_} in {crd}"));
        let text = |member: &str| found[member].as_str().unwrap();
        assert_eq!((text("status"), text("reason"), text("message")), wanted);
    }

    fn crontabs() -> Value {
        crd(
            "crontabs.example.com",
            json!({"plural": "crontabs", "singular": "crontab", "kind": "CronTab",
            "listKind": "CronTabList", "shortNames": ["ct"], "categories": ["all"]}),
        )
    }

    #[test]
    fn established_once_it_is_served() {
        let mut crd = crontabs();
        assert_eq!(settle(&mut crd, &[], false), 1);
        check(&crd, "NamesAccepted", ("True", "NoConflicts", "no conflicts found"));
        check(&crd, "Established", ("False", "Installing", "the initial names have been accepted"));
        assert_eq!(crd["status"]["acceptedNames"], crd["spec"]["names"]);
        assert_eq!(settle(&mut crd, &[], true), 1);
        check(&crd, "Established", ("True", "InitialNamesAccepted", "the initial names have been accepted"));
    }

    #[test]
    fn names_of_others_are_not_taken() {
        let mut first = crontabs();
        settle(&mut first, &[], true);
        let mut second = crd(
            "cronjobs.example.com",
            json!({"plural": "cronjobs", "singular": "crontab",
            "kind": "CronTab", "listKind": "CronJobList", "shortNames": ["ct", "cj"]}),
        );
        settle(&mut second, &[&first], false);
        check(&second, "NamesAccepted", ("False", "KindConflict", "\"CronTab\" is already in use"));
        check(&second, "Established", ("False", "NotAccepted", "not all names are accepted"));
        assert_eq!(second["status"]["acceptedNames"], json!({"plural": "cronjobs", "listKind": "CronJobList"}));
        // The one who came first is not disturbed.
        assert_eq!(settle(&mut first, &[&second], true), 0);
        settle(&mut second, &[], true);
        check(&second, "Established", ("True", "InitialNamesAccepted", "the initial names have been accepted"));
    }

    #[test]
    fn a_later_conflict_does_not_unmake_it() {
        let mut crd = crontabs();
        settle(&mut crd, &[], true);
        let mut other = self::crd("x.example.com", json!({"plural": "x", "kind": "X", "shortNames": ["taken"]}));
        settle(&mut other, &[], true);
        crd["spec"]["names"]["shortNames"] = json!(["ct", "taken"]);
        settle(&mut crd, &[&other], true);
        check(&crd, "NamesAccepted", ("False", "ShortNamesConflict", "\"taken\" is already in use"));
        check(&crd, "Established", ("True", "InitialNamesAccepted", "the initial names have been accepted"));
        assert_eq!(crd["status"]["acceptedNames"]["shortNames"], json!(["ct"]));
    }

    #[test]
    fn protected_groups_are_approved() {
        let approved = |text: &str| {
            let mut crd = crontabs();
            crd["spec"]["group"] = "x.k8s.io".into();
            crd["metadata"]["annotations"] = json!({ API_APPROVED: text });
            settle(&mut crd, &[], true);
            let all = value::items(&crd, &["status", "conditions"]).to_vec();
            let found = all.into_iter().find(|c| c["type"] == "KubernetesAPIApprovalPolicyConformant").unwrap();
            (found["status"].as_str().unwrap().to_owned(), found["reason"].as_str().unwrap().to_owned())
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(approved("https://github.com/x/pull/1"), pair("True", "ApprovedAnnotation"));
        assert_eq!(approved("unapproved, an experiment"), pair("False", "UnapprovedAnnotation"));
        assert_eq!(approved("well"), pair("False", "InvalidAnnotation"));
        assert_eq!(approved(""), pair("False", "MissingAnnotation"));
    }
}
