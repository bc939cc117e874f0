use serde_json::{Value, json};

use crate::check::{changed, check, check_cells, created, with};

const VALIDATING: &str = "ValidatingWebhookConfiguration";

fn webhook(changes: Value) -> Value {
    let base = json!({"name": "a.b.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "clientConfig": {"service": {"namespace": "n", "name": "s"}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]});
    json!({"webhooks": [with(base, changes)]})
}

#[test]
fn webhooks() {
    let object = created(VALIDATING, webhook(json!({})));
    let hook = &object["webhooks"][0];
    assert_eq!((&hook["failurePolicy"], &hook["matchPolicy"]), (&json!("Fail"), &json!("Equivalent")));
    assert_eq!((&hook["timeoutSeconds"], &hook["namespaceSelector"]), (&json!(10), &json!({})));
    assert_eq!((&hook["rules"][0]["scope"], &hook["clientConfig"]["service"]["port"]), (&json!("*"), &json!(443)));
    let mutating = created("MutatingWebhookConfiguration", webhook(json!({})));
    assert_eq!(mutating["webhooks"][0]["reinvocationPolicy"], "Never");
    let (new, errors) = changed(VALIDATING, &object, webhook(json!({"timeoutSeconds": 5})), None);
    assert_eq!((new["metadata"]["generation"].clone(), errors), (json!(2), vec![]));
    check_cells(VALIDATING, &object, json!(["x", 1, "<unknown>"]));
    check(
        VALIDATING,
        webhook(json!({"name": "a.b", "sideEffects": "Some", "timeoutSeconds": 31, "admissionReviewVersions": ["v9"]})),
        &[
            "webhooks[0].name: Invalid value: \"a.b\": should be a domain with at least three segments separated by dots",
            "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
            "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
            "webhooks[0].admissionReviewVersions: Invalid value: [\"v9\"]: must include at least one of v1, v1beta1",
        ],
    );
    let twice = webhook(json!({}))["webhooks"][0].clone();
    check(VALIDATING, json!({"webhooks": [twice, twice]}), &["webhooks[1].name: Duplicate value: \"a.b.example.com\""]);
}

#[test]
fn where_webhooks_are() {
    let at = |config: Value| webhook(json!({"clientConfig": with(json!({"service": null}), config)}));
    check(VALIDATING, at(json!({"url": "https://h.example.com/x"})), &[]);
    check(
        VALIDATING,
        at(json!({})),
        &["webhooks[0].clientConfig: Required value: exactly one of url or service is required"],
    );
    check(
        VALIDATING,
        at(json!({"url": "http://u:p@h/x?y=1#z"})),
        &[
            "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
            "webhooks[0].clientConfig.url: Invalid value: \"u:p\": user information is not permitted in the URL",
            "webhooks[0].clientConfig.url: Invalid value: \"z\": fragments are not permitted in the URL",
            "webhooks[0].clientConfig.url: Invalid value: \"y=1\": query parameters are not permitted in the URL",
        ],
    );
    let service = |service: Value| webhook(json!({"clientConfig": {"service": service}}));
    check(
        VALIDATING,
        service(json!({"port": 0, "path": "/a//b", "name": null})),
        &[
            "webhooks[0].clientConfig.service.name: Required value: service name is required",
            "webhooks[0].clientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
            "webhooks[0].clientConfig.service.path: Invalid value: \"/a//b\": segment[1] may not be empty",
        ],
    );
}

#[test]
fn rules() {
    let rule = |changes: Value| {
        let base = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
        webhook(json!({"rules": [with(base, changes)]}))
    };
    let at = "webhooks[0].rules[0]";
    check(VALIDATING, rule(json!({"resources": ["*/*"], "operations": ["*"]})), &[]);
    check(
        VALIDATING,
        rule(json!({"operations": ["*", "READ"], "apiGroups": ["*", "a"], "apiVersions": [""], "scope": "Odd"})),
        &[
            &format!(
                "{at}.operations: Invalid value: [\"*\",\"READ\"]: if '*' is present, must not specify other operations"
            ),
            &format!(
                "{at}.operations[1]: Unsupported value: \"READ\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \"UPDATE\""
            ),
            &format!(
                "{at}.apiGroups: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other API groups"
            ),
            &format!("{at}.apiVersions[0]: Required value"),
            &format!("{at}.scope: Unsupported value: \"Odd\": supported values: \"*\", \"Cluster\", \"Namespaced\""),
        ],
    );
    check(
        VALIDATING,
        rule(json!({"resources": ["pods/*", "pods/log", "*", "nodes"]})),
        &[
            &format!(
                "{at}.resources[1]: Invalid value: \"pods/log\": if 'pods/*' is present, must not specify pods/log"
            ),
            &format!(
                "{at}.resources: Invalid value: [\"pods/*\",\"pods/log\",\"*\",\"nodes\"]: if '*' is present, must not specify other resources without subresources"
            ),
        ],
    );
}

fn policy(spec: Value) -> Value {
    let base = json!({"matchConstraints": {"resourceRules": [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]}});
    json!({"spec": with(base, spec)})
}

#[test]
fn policies() {
    const KIND: &str = "ValidatingAdmissionPolicy";
    let valid = || {
        policy(
            json!({"validations": [{"expression": "true"}], "paramKind": {"apiVersion": "g.io/v1", "kind": "Limit"}}),
        )
    };
    let object = created(KIND, valid());
    assert_eq!(object["spec"]["matchConstraints"]["matchPolicy"], "Equivalent");
    assert_eq!((&object["spec"]["failurePolicy"], &object["metadata"]["generation"]), (&json!("Fail"), &json!(1)));
    check_cells(KIND, &object, json!(["x", 1, "g.io/v1/Limit", "<unknown>"]));
    check(KIND, valid(), &[]);
    check(
        KIND,
        json!({"spec": {}}),
        &[
            "spec.matchConstraints: Required value",
            "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
            "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
        ],
    );
    check(
        KIND,
        policy(json!({
            "validations": [{"expression": " ", "message": "a\nb", "reason": "Odd"}],
            "variables": [{"name": "in", "expression": "1"}, {"name": "", "expression": ""}],
            "paramKind": {"apiVersion": "a/b/c"},
            "matchConditions": [{"name": "a", "expression": "1"}, {"name": "a", "expression": ""}],
        })),
        &[
            "spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
            "spec.paramKind.kind: Required value",
            "spec.matchConditions[1].expression: Required value",
            "spec.matchConditions[1].name: Duplicate value: \"a\"",
            "spec.variables[0].name: Invalid value: \"in\": name is not a valid CEL identifier",
            "spec.variables[1].name: Required value: name is not specified",
            "spec.variables[1].expression: Required value: expression is not specified",
            "spec.validations[0].expression: Required value: expression is not specified",
            "spec.validations[0].message: Invalid value: \"a\\nb\": message must not contain line breaks",
            "spec.validations[0].reason: Unsupported value: \"Odd\": supported values: \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\"",
        ],
    );
    check(
        "MutatingAdmissionPolicy",
        policy(json!({"mutations": [{"patchType": "JSONPatch"}, {"patchType": "Odd"}]})),
        &[
            "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
            "spec.mutations[1].patchType: Unsupported value: \"Odd\": supported values: \"ApplyConfiguration\", \"JSONPatch\"",
        ],
    );
}

#[test]
fn bindings() {
    const KIND: &str = "ValidatingAdmissionPolicyBinding";
    let binding = |spec: Value| json!({"spec": with(json!({"policyName": "p", "validationActions": ["Deny"]}), spec)});
    check(KIND, binding(json!({})), &[]);
    check(
        KIND,
        binding(json!({"policyName": "", "validationActions": ["Deny", "Warn", "Warn"]})),
        &[
            "spec.policyName: Required value",
            "spec.validationActions[2]: Duplicate value: \"Warn\"",
            "spec.validationActions: Invalid value: [\"Deny\",\"Warn\",\"Warn\"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)",
        ],
    );
    check(
        "MutatingAdmissionPolicyBinding",
        json!({"spec": {"policyName": "p", "paramRef": {}}}),
        &[
            "spec.paramRef: Required value: one of name or selector must be specified",
            "spec.paramRef.parameterNotFoundAction: Required value",
        ],
    );
    let params = json!({"paramRef": {"name": "c", "namespace": "n", "parameterNotFoundAction": "Deny"}});
    check_cells(KIND, &created(KIND, binding(params)), json!(["x", "p", "n/c", "<unknown>"]));
}
