use serde_json::{Value, json};

use crate::check::{check, check_cells, created, with};

fn schema(spec: Value) -> Value {
    let rule = json!({"subjects": [{"kind": "User", "user": {"name": "u"}}],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]});
    let base = json!({"priorityLevelConfiguration": {"name": "global-default"}, "rules": [rule]});
    json!({"spec": with(base, spec)})
}

fn rule(rule: Value) -> Value {
    schema(json!({"rules": [rule]}))
}

#[test]
fn schemas() {
    let object = created("FlowSchema", schema(json!({})));
    assert_eq!((&object["spec"]["matchingPrecedence"], &object["metadata"]["generation"]), (&json!(1000), &json!(1)));
    check_cells("FlowSchema", &object, json!(["x", "global-default", 1000, "<none>", "<unknown>", "?"]));
    check("FlowSchema", schema(json!({})), &[]);
    check(
        "FlowSchema",
        schema(
            json!({"matchingPrecedence": 1, "distinguisherMethod": {"type": "ByMood"}, "priorityLevelConfiguration": {"name": ""}}),
        ),
        &[
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
            "spec.distinguisherMethod.type: Unsupported value: {\"type\":\"ByMood\"}: supported values: \"ByNamespace\", \"ByUser\"",
            "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
        ],
    );
    check(
        "FlowSchema",
        rule(json!({"subjects": [{"kind": "User", "group": {"name": "g"}}, {"kind": "Robot"}]})),
        &[
            "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
            "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
            "spec.rules[0].subjects[1].kind: Unsupported value: \"Robot\": supported values: \"Group\", \"ServiceAccount\", \"User\"",
            "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
        ],
    );
    let subjects = json!([{"kind": "Group", "group": {"name": "g"}}]);
    check(
        "FlowSchema",
        rule(
            json!({"subjects": subjects, "resourceRules": [{"verbs": ["*", "get"], "apiGroups": [], "resources": ["*", "pods"]}],
            "nonResourceRules": [{"verbs": ["eat"], "nonResourceURLs": ["x", "/a*b"]}]}),
        ),
        &[
            "spec.rules[0].resourceRules[0].verbs: Invalid value: [\"*\",\"get\"]: if '*' is present, must not specify other verbs",
            "spec.rules[0].resourceRules[0].apiGroups: Required value: resource rules must supply at least one api group",
            "spec.rules[0].resourceRules[0].resources: Invalid value: [\"*\",\"pods\"]: if '*' is present, must not specify other resources",
            "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace",
            "spec.rules[0].nonResourceRules[0].verbs: Unsupported value: [\"eat\"]: supported values: \"create\", \"delete\", \"deletecollection\", \"get\", \"list\", \"patch\", \"proxy\", \"update\", \"watch\"",
            "spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: \"x\": must start with slash",
            "spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: \"/a*b\": wildcard can only do suffix matching",
        ],
    );
}

#[test]
fn levels() {
    const KIND: &str = "PriorityLevelConfiguration";
    let queue = |queuing: Value| json!({"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": queuing}}}});
    let object = created(KIND, queue(json!({})));
    let limited = &object["spec"]["limited"];
    assert_eq!((&limited["nominalConcurrencyShares"], &limited["lendablePercent"]), (&json!(30), &json!(0)));
    assert_eq!(limited["limitResponse"]["queuing"], json!({"queues": 64, "handSize": 8, "queueLengthLimit": 50}));
    check_cells(KIND, &object, json!(["x", "Limited", 30, 64, 8, 50, "<unknown>"]));
    check(KIND, queue(json!({})), &[]);
    check(
        KIND,
        queue(json!({"queues": 4, "handSize": 5, "queueLengthLimit": -1})),
        &[
            "spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: -1: must be positive",
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 5: should not be greater than queues (4)",
        ],
    );
    check(
        KIND,
        queue(json!({"queues": 10_000_000, "handSize": 1000})),
        &[
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 1000: required entropy bits of deckSize 10000000 and handSize 1000 should not be greater than 60",
        ],
    );
    check(
        KIND,
        json!({"spec": {"type": "Exempt"}}),
        &["spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'"],
    );
    check(
        KIND,
        json!({"spec": {"type": "Limited"}}),
        &["spec.limited: Required value: must not be empty when type is Limited"],
    );
}

/// The two that catch what is left are as upstream has them, except for the shares of the exempt.
#[test]
fn mandatory_objects_are_fixed() {
    const LEVEL: &str = "PriorityLevelConfiguration";
    let exempt = |shares: i64| json!({"metadata": {"name": "exempt"}, "spec": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": shares}}});
    check(LEVEL, exempt(0), &[]);
    check(LEVEL, exempt(7), &[]);
    let catch_all = |shares: i64| json!({"metadata": {"name": "catch-all"}, "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": shares, "limitResponse": {"type": "Reject"}}}});
    check(LEVEL, catch_all(5), &[]);
    check(
        LEVEL,
        catch_all(6),
        &[
            "spec: Invalid value: {\"limited\":{\"lendablePercent\":0,\"limitResponse\":{\"type\":\"Reject\"},\"nominalConcurrencyShares\":6},\"type\":\"Limited\"}: spec of 'catch-all' must equal the fixed value",
        ],
    );
}
