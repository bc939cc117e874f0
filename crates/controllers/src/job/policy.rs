//! The pod failure policy and the success policy: what an ended pod means for its job.

use api_types::k8s_openapi::api::batch::v1::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule, SuccessPolicy,
};

use super::indexes::Indexes;
use crate::view::{ContainerStatus, Pod};
use api_types::object::Object;

/// What one failed pod counts for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Counts,
    Ignored,
    FailsIndex,
    /// With the message for the job's condition.
    FailsJob(String),
}

/// The first rule that matches decides.
pub(super) fn judge(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Verdict {
    let rules = policy.map(|policy| policy.rules.as_slice()).unwrap_or_default();
    for (number, rule) in rules.iter().enumerate() {
        let Some(found) = matched(rule, pod) else { continue };
        return match rule.action.as_str() {
            "Ignore" => Verdict::Ignored,
            "FailIndex" => Verdict::FailsIndex,
            "FailJob" => Verdict::FailsJob(message(&found, pod, &rule.action, number)),
            "Count" => Verdict::Counts,
            // An action of a later version: as if the rule were not there.
            _ => continue,
        };
    }
    Verdict::Counts
}

enum Found<'a> {
    ExitCode { container: &'a str, code: i32 },
    Condition(&'a str),
}

fn matched<'a>(rule: &PodFailurePolicyRule, pod: &'a Pod) -> Option<Found<'a>> {
    if let Some(wanted) = &rule.on_exit_codes {
        let all = pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
        return all.filter_map(|status| exit_code(wanted, status)).next();
    }
    let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
    let condition = pod.status.conditions.iter().find(|condition| {
        patterns.iter().any(|pattern| {
            pattern.type_ == condition.type_ && pattern.status.as_deref().unwrap_or("True") == condition.status
        })
    })?;
    Some(Found::Condition(&condition.type_))
}

fn exit_code<'a>(wanted: &PodFailurePolicyOnExitCodesRequirement, status: &'a ContainerStatus) -> Option<Found<'a>> {
    let code = status.state.terminated.as_ref()?.exit_code;
    if code == 0 || wanted.container_name.as_deref().is_some_and(|name| *name != *status.name) {
        return None;
    }
    let listed = wanted.values.contains(&code);
    let matches = match wanted.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    };
    matches.then_some(Found::ExitCode { container: &status.name, code })
}

fn message(found: &Found<'_>, pod: &Pod, action: &str, number: usize) -> String {
    let (namespace, name) = (pod.namespace(), pod.name());
    match found {
        Found::ExitCode { container, code } => format!(
            "Container {container} for pod {namespace}/{name} failed with exit code {code} matching {action} rule at index {number}"
        ),
        Found::Condition(kind) => {
            format!("Pod {namespace}/{name} has condition {kind} matching {action} rule at index {number}")
        }
    }
}

/// The message of the first success rule that the completed indexes meet.
pub(super) fn met(policy: Option<&SuccessPolicy>, completions: i32, completed: &Indexes) -> Option<String> {
    if completed.is_empty() {
        return None;
    }
    let rules = policy?.rules.iter();
    let number = rules.enumerate().find_map(|(number, rule)| {
        let (have, all) = match &rule.succeeded_indexes {
            None => (completed.total(), None),
            Some(text) => {
                let wanted = Indexes::parse(text, completions);
                (wanted.shared_with(completed), Some(wanted.total()))
            }
        };
        let enough = rule.succeeded_count.or(all)?;
        (have >= enough).then_some(number)
    })?;
    Some(format!("Matched rules at index {number}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(rules: Value, expected: &Verdict) {
        let policy: PodFailurePolicy = serde_json::from_value(json!({"rules": rules})).unwrap();
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n"},
            "status": {
                "phase": "Failed",
                "conditions": [{"type": "DisruptionTarget", "status": "True"}],
                "containerStatuses": [
                    {"name": "a", "state": {"terminated": {"exitCode": 0}}},
                    {"name": "b", "state": {"terminated": {"exitCode": 42}}},
                ],
                "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 7}}}],
            },
        }))
        .unwrap();
        assert_eq!(&judge(Some(&policy), &pod), expected, "{policy:?}");
    }

    #[test]
    fn failure_policy() {
        let codes = |action: &str, container: Value, operator: &str, values: &[i32]| json!({"action": action, "onExitCodes": {"containerName": container, "operator": operator, "values": values}});
        let fails = |text: &str| Verdict::FailsJob(text.to_owned());
        check(json!([]), &Verdict::Counts);
        check(json!([codes("Ignore", Value::Null, "In", &[42])]), &Verdict::Ignored);
        check(json!([codes("Ignore", Value::Null, "In", &[7])]), &Verdict::Ignored);
        check(json!([codes("Ignore", json!("a"), "NotIn", &[1])]), &Verdict::Counts);
        check(json!([codes("FailIndex", json!("b"), "NotIn", &[1])]), &Verdict::FailsIndex);
        check(
            json!([codes("Count", json!("a"), "In", &[42]), codes("FailJob", json!("b"), "In", &[42])]),
            &fails("Container b for pod n/p failed with exit code 42 matching FailJob rule at index 1"),
        );
        let condition = |status: &str| json!([{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": status}]}]);
        check(condition("True"), &fails("Pod n/p has condition DisruptionTarget matching FailJob rule at index 0"));
        check(condition("False"), &Verdict::Counts);
    }

    #[test]
    fn success_policy() {
        let check = |rules: Value, completed: &str, expected: Option<&str>| {
            let policy: SuccessPolicy = serde_json::from_value(json!({"rules": rules})).unwrap();
            assert_eq!(met(Some(&policy), 10, &Indexes::parse(completed, 10)).as_deref(), expected, "{completed}");
        };
        let first = Some("Matched rules at index 0");
        check(json!([{"succeededIndexes": "0-2"}]), "0,2", None);
        check(json!([{"succeededIndexes": "0-2"}]), "0-2", first);
        check(json!([{"succeededIndexes": "0-2", "succeededCount": 1}]), "2,5", first);
        check(json!([{"succeededCount": 2}]), "5", None);
        check(json!([{"succeededIndexes": "9"}, {"succeededCount": 2}]), "5,7", Some("Matched rules at index 1"));
        check(json!([{"succeededCount": 0}]), "", None);
    }
}
