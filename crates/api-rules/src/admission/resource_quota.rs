//! ResourceQuota: what a change of an object does to the quotas of its namespace, and whether they allow it.
//!
//! Not in the list of plugins: the answer is a new status of each quota concerned, which has to be written in the very
//! transaction that writes the object. So a quota is exact at every moment, and never exceeded. Deletions and the ends of
//! pods give back in the same way. What the status has not counted yet is the controller's business.

use api_types::{
    GroupResource, Quantity,
    quota::{Amounts, amounts, covers, matches, missing, usage},
};
use serde_json::{Value, json};

use crate::value;

/// A change of one object; on both sides as stored.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub resource: &'a GroupResource,
    pub old: Option<&'a Value>,
    pub new: Option<&'a Value>,
}

/// The quota as it has to be written with the change; None when it is not concerned.
///
/// # Errors
/// Why the quota does not allow it, in upstream's words.
pub fn charge(change: Change<'_>, quota: &Value) -> Result<Option<Value>, String> {
    let name = value::text(quota, &["metadata", "name"]);
    let hard = amounts(&quota["status"]["hard"]);
    let used = amounts(&quota["status"]["used"]);
    let counted = hard.keys().any(|name| covers(change.resource, name));
    let wanted = if counted { &quota["status"]["hard"] } else { &quota["spec"]["hard"] };
    let wanted = wanted.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let names: Vec<&str> = wanted.filter(|name| covers(change.resource, name)).collect();
    if names.is_empty() {
        return Ok(None);
    }
    let charged = |object: Option<&Value>| -> Amounts {
        let object = object.filter(|object| matches(&quota["spec"], change.resource, object));
        object.map(|object| usage(change.resource, object)).unwrap_or_default()
    };
    let (before, after) = (charged(change.old), charged(change.new));
    if before.is_empty() && after.is_empty() {
        return Ok(None);
    }
    if let Some(pod) = change.new.filter(|_| counted && before.is_empty() && change.resource.resource == "pods")
        && let Some(missing) = missing(pod, names.iter().copied())
    {
        return Err(format!("failed quota: {name}: must specify {missing}"));
    }
    let changes: Vec<(&str, Quantity)> = names
        .iter()
        .map(|name| (*name, at(&after, name) - at(&before, name)))
        .filter(|(_, change)| !change.is_zero())
        .collect();
    if changes.is_empty() {
        return Ok(None);
    }
    if !counted || !names.iter().all(|name| used.contains_key(*name)) {
        // What goes before the first count must not be missed by one under way: the quota is written as it is, and the
        // count is made again. Nothing comes in once it is known that there will be one.
        return match changes.iter().all(|(_, change)| change.signum() < 0) {
            true => Ok(Some(quota.clone())),
            false if !counted => Ok(None),
            false => Err(format!("status unknown for quota: {name}, resources: {}", names.join(","))),
        };
    }
    let exceeded: Vec<&(&str, Quantity)> = changes
        .iter()
        .filter(|(name, change)| change.signum() > 0 && at(&used, name) + *change > at(&hard, name))
        .collect();
    if !exceeded.is_empty() {
        let show = |of: &dyn Fn(&str, Quantity) -> Quantity| -> String {
            let parts = exceeded.iter().map(|(name, change)| format!("{name}={}", of(name, *change)));
            parts.collect::<Vec<_>>().join(",")
        };
        return Err(format!(
            "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
            show(&|_, change| change),
            show(&|name, _| at(&used, name)),
            show(&|name, _| at(&hard, name)),
        ));
    }
    let mut charged = quota.clone();
    for (name, change) in changes {
        let sum = (at(&used, name) + change).max(Quantity::ZERO);
        charged["status"]["used"][name] = json!(sum);
    }
    Ok(Some(charged))
}

fn at(amounts: &Amounts, name: &str) -> Quantity {
    amounts.get(name).copied().unwrap_or(Quantity::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(hard: Value, used: Value) -> Value {
        json!({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}})
    }

    fn pod(cpu: Option<&str>, phase: &str) -> Value {
        let resources = cpu.map(|cpu| json!({"requests": {"cpu": cpu}})).unwrap_or(json!({}));
        json!({"spec": {"containers": [{"name": "c", "resources": resources}]}, "status": {"phase": phase}})
    }

    fn check(quota: &Value, old: Option<&Value>, new: Option<&Value>, expected: Result<Option<Value>, &str>) {
        let resource = GroupResource { group: "".into(), resource: "pods".into() };
        let charged = charge(Change { resource: &resource, old, new }, quota);
        let used = charged.map(|quota| quota.map(|quota| quota["status"]["used"].clone()));
        assert_eq!(used, expected.map_err(str::to_owned), "{quota} {old:?} {new:?}");
    }

    #[test]
    fn counts_up_to_the_limit() {
        let new = pod(None, "Pending");
        check(&quota(json!({"pods": "10"}), json!({"pods": "9"})), None, Some(&new), Ok(Some(json!({"pods": "10"}))));
        let full = quota(json!({"pods": "10"}), json!({"pods": "10"}));
        check(&full, None, Some(&new), Err("exceeded quota: q, requested: pods=1, used: pods=10, limited: pods=10"));
        check(&quota(json!({"services": "1"}), json!({"services": "1"})), None, Some(&new), Ok(None));
    }

    #[test]
    fn gives_back() {
        let (running, ended) = (pod(None, "Running"), pod(None, "Succeeded"));
        let hard = json!({"pods": "1", "count/pods": "5"});
        let full = quota(hard, json!({"pods": "1", "count/pods": "2"}));
        check(&full, Some(&running), Some(&ended), Ok(Some(json!({"pods": "0", "count/pods": "2"}))));
        check(&full, Some(&running), None, Ok(Some(json!({"pods": "0", "count/pods": "1"}))));
        check(&full, Some(&running), Some(&running), Ok(None));
        // Never below nothing, and allowed even where too much is used.
        let over = quota(json!({"pods": "0"}), json!({"pods": "0"}));
        check(&over, Some(&running), None, Ok(Some(json!({"pods": "0"}))));
    }

    #[test]
    fn amounts_of_pods() {
        let hard = json!({"requests.cpu": "1", "pods": "5"});
        let some = quota(hard, json!({"requests.cpu": "600m", "pods": "1"}));
        check(&some, None, Some(&pod(None, "")), Err("failed quota: q: must specify requests.cpu for: c"));
        check(
            &some,
            None,
            Some(&pod(Some("500m"), "")),
            Err("exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1"),
        );
        let fits = Ok(Some(json!({"requests.cpu": "1", "pods": "2"})));
        check(&some, None, Some(&pod(Some("400m"), "")), fits);
        let resized = Ok(Some(json!({"requests.cpu": "700m", "pods": "1"})));
        check(&some, Some(&pod(Some("100m"), "")), Some(&pod(Some("200m"), "")), resized);
    }

    #[test]
    fn nothing_comes_in_before_the_first_count() {
        let uncounted = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}});
        check(&uncounted, None, Some(&pod(None, "")), Ok(None));
        let half =
            json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}, "status": {"hard": {"pods": "1"}}});
        check(&half, None, Some(&pod(None, "")), Err("status unknown for quota: q, resources: pods"));
        check(&half, Some(&pod(None, "")), None, Ok(Some(Value::Null)));
    }

    #[test]
    fn scopes() {
        let mut best_effort = quota(json!({"pods": "5"}), json!({"pods": "0"}));
        best_effort["spec"]["scopes"] = json!(["BestEffort"]);
        check(&best_effort, None, Some(&pod(Some("1"), "")), Ok(None));
        check(&best_effort, None, Some(&pod(None, "")), Ok(Some(json!({"pods": "1"}))));
    }
}
