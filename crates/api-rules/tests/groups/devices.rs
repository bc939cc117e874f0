use serde_json::{Value, json};

use crate::check::{changed, check, check_cells, check_change, created, with};

fn claim(devices: Value) -> Value {
    let base = json!({"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]});
    json!({"spec": {"devices": with(base, devices)}})
}

fn request(request: Value) -> Value {
    claim(json!({"requests": [request]}))
}

#[test]
fn claims() {
    let object = created("ResourceClaim", claim(json!({})));
    let exactly = &object["spec"]["devices"]["requests"][0]["exactly"];
    assert_eq!((&exactly["allocationMode"], &exactly["count"]), (&json!("ExactCount"), &json!(1)));
    check_cells("ResourceClaim", &object, json!(["x", "pending", "<unknown>"]));
    check("ResourceClaim", claim(json!({})), &[]);
    let at = "spec.devices.requests[0]";
    check(
        "ResourceClaim",
        request(json!({"name": "r"})),
        &[&format!("{at}: Required value: exactly one of `exactly` or `firstAvailable` is required")],
    );
    check(
        "ResourceClaim",
        request(
            json!({"name": "R", "exactly": {"deviceClassName": "", "allocationMode": "All", "count": 2, "selectors": [{}]}}),
        ),
        &[
            &format!(
                "{at}.name: Invalid value: \"R\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ),
            &format!("{at}.exactly.deviceClassName: Required value"),
            &format!("{at}.exactly.selectors[0].cel: Required value"),
            &format!("{at}.exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'"),
        ],
    );
    let either = json!({"name": "r", "firstAvailable": [{"name": "a", "deviceClassName": "c"}, {"name": "b", "deviceClassName": "d"}]});
    let constrained = |requests: &[&str]| {
        claim(
            json!({"requests": [either], "constraints": [{"requests": requests, "matchAttribute": "d.example.com/model"}]}),
        )
    };
    check("ResourceClaim", constrained(&["r", "r/b"]), &[]);
    check(
        "ResourceClaim",
        constrained(&["r/z"]),
        &[
            "spec.devices.constraints[0].requests[0]: Invalid value: \"r/z\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
        ],
    );
    check(
        "ResourceClaim",
        claim(
            json!({"constraints": [{"matchAttribute": "model"}], "config": [{"opaque": {"driver": "d", "parameters": null}}, {}]}),
        ),
        &[
            "spec.devices.constraints[0].matchAttribute: Invalid value: \"model\": a fully qualified name must be a domain and a name separated by a slash",
            "spec.devices.config[0].opaque.parameters: Required value",
            "spec.devices.config[1].opaque: Required value",
        ],
    );
    let template = json!({"spec": {"spec": claim(json!({}))["spec"]}});
    let old = created("ResourceClaimTemplate", template);
    let other = json!({"spec": {"metadata": {"labels": {"a": "b"}}}});
    assert_eq!(changed("ResourceClaimTemplate", &old, other, None).1.len(), 1);
}

#[test]
fn what_a_claim_was_given() {
    let old = created("ResourceClaim", claim(json!({})));
    let result = |request: &str| json!({"devices": {"results": [{"request": request, "driver": "d", "pool": "p", "device": "g"}]}});
    let consumer = json!([{"resource": "pods", "name": "p", "uid": "u"}]);
    let status = |status: Value| json!({"status": status});
    let check_status = |old: &Value, changes: Value, wanted: &[&str]| {
        let (new, errors) = changed("ResourceClaim", old, status(changes), Some("status"));
        assert_eq!(errors, wanted);
        new
    };
    let given = check_status(&old, json!({"allocation": result("r"), "reservedFor": consumer}), &[]);
    check_cells("ResourceClaim", &given, json!(["x", "allocated,reserved", "<unknown>"]));
    check_status(
        &old,
        json!({"reservedFor": consumer}),
        &["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"],
    );
    check_status(
        &old,
        json!({"allocation": result("z")}),
        &[
            "status.allocation.devices.results[0].request: Invalid value: \"z\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
        ],
    );
    assert_eq!(changed("ResourceClaim", &given, status(json!({"allocation": result("z")})), Some("status")).1.len(), 1);
    check_change("ResourceClaim", &given, json!({"metadata": {"labels": {"a": "b"}}}), &[]);
}

#[test]
fn slices() {
    let slice = |spec: Value| {
        let base = json!({"driver": "d.example.com", "nodeName": "n", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}});
        json!({"spec": with(base, spec)})
    };
    let device = |changes: Value| slice(json!({"devices": [with(json!({"name": "g"}), changes)]}));
    let object = created("ResourceSlice", device(json!({"taints": [{"key": "k", "effect": "NoSchedule"}]})));
    assert_eq!(object["spec"]["devices"][0]["taints"][0]["timeAdded"], "1970-01-01T00:00:00Z");
    check_cells("ResourceSlice", &object, json!(["x", "n", "d.example.com", "p", "<unknown>"]));
    check("ResourceSlice", slice(json!({})), &[]);
    check(
        "ResourceSlice",
        slice(json!({"allNodes": true, "pool": {"resourceSliceCount": 0}})),
        &[
            "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
            "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set",
        ],
    );
    let at = "spec.devices[0]";
    check(
        "ResourceSlice",
        device(
            json!({"attributes": {"a": {"string": "x", "int": 1}, "b": {"version": "1.2"}, "c": {}}, "capacity": {"1m": {"value": "1"}}}),
        ),
        &[
            &format!(
                "{at}.attributes[a]: Invalid value: {{\"int\":1,\"string\":\"x\"}}: exactly one value must be specified"
            ),
            &format!(
                "{at}.attributes[b].version: Invalid value: \"1.2\": must be a string compatible with semver.org spec 2.0.0"
            ),
            &format!("{at}.attributes[c]: Invalid value: \"\": exactly one value must be specified"),
            &format!(
                "{at}.capacity[1m]: Invalid value: \"1m\": a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')"
            ),
        ],
    );
    let policy = |policy: Value| {
        device(json!({"allowMultipleAllocations": true, "capacity": {"m": {"value": "10", "requestPolicy": policy}}}))
    };
    check("ResourceSlice", policy(json!({"default": "1", "validRange": {"min": "1", "step": "1", "max": "10"}})), &[]);
    check(
        "ResourceSlice",
        policy(json!({"default": "3", "validValues": ["1", "20"]})),
        &[
            &format!(
                "{at}.capacity[m].requestPolicy.validValues[1]: Invalid value: \"20\": option is larger than capacity value: 10"
            ),
            &format!(
                "{at}.capacity[m].requestPolicy.validValues: Invalid value: \"3\": default value is not valid according to the requestPolicy"
            ),
        ],
    );
    check_change(
        "ResourceSlice",
        &object,
        json!({"spec": {"driver": "e.example.com"}}),
        &["spec.driver: Invalid value: \"e.example.com\": field is immutable"],
    );
}

#[test]
fn classes() {
    check("DeviceClass", json!({"spec": {"extendedResourceName": "example.com/gpu"}}), &[]);
    check(
        "DeviceClass",
        json!({"spec": {"extendedResourceName": "cpu"}}),
        &["spec.extendedResourceName: Invalid value: \"cpu\": must be a valid extended resource name"],
    );
}
