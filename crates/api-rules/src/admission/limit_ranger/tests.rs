use super::*;

fn range(limit: Value) -> Value {
    json!({"spec": {"limits": [limit]}})
}

fn pod(requests: Value, limits: Value) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": {"requests": requests, "limits": limits}}]}})
}

#[test]
fn defaults() {
    let range = range(
        json!({"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}}),
    );
    let mut given = pod(json!({}), json!({"memory": "2Gi"}));
    given["spec"]["initContainers"] = json!([{"name": "i"}]);
    default_containers(&mut given, &range);
    assert_eq!(
        given["spec"]["containers"][0]["resources"],
        json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "2Gi"}})
    );
    assert_eq!(
        given["spec"]["initContainers"][0]["resources"],
        json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "1Gi"}})
    );
    assert_eq!(
        given["metadata"]["annotations"][ANNOTATION],
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c; \
         cpu request for init container i; cpu, memory limit for init container i"
    );
    let before = given.clone();
    default_containers(&mut given, &range);
    assert_eq!(given, before, "twice does no more than once");
}

fn check(limit: Value, pod: &Value, expected: &[&str]) {
    assert_eq!(constraints::pod(pod, &range(limit.clone())), expected, "{limit}");
}

#[test]
fn containers() {
    let some = pod(json!({"cpu": "500m"}), json!({"cpu": "1"}));
    let limit = |field: &str, value: &str| json!({"type": "Container", field: {"cpu": value}});
    check(limit("min", "500m"), &some, &[]);
    check(limit("min", "600m"), &some, &["minimum cpu usage per Container is 600m, but request is 500m"]);
    check(limit("max", "1"), &some, &[]);
    check(limit("max", "900m"), &some, &["maximum cpu usage per Container is 900m, but limit is 1"]);
    check(limit("maxLimitRequestRatio", "2"), &some, &[]);
    check(
        limit("maxLimitRequestRatio", "1500m"),
        &some,
        &["cpu max limit to request ratio per Container is 1500m, but provided ratio is 2.000000"],
    );
    let none = pod(json!({}), json!({}));
    check(limit("min", "1"), &none, &["minimum cpu usage per Container is 1.  No request is specified"]);
    check(limit("max", "1"), &none, &["maximum cpu usage per Container is 1.  No limit is specified"]);
    check(
        limit("maxLimitRequestRatio", "2"),
        &none,
        &["cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"],
    );
}

#[test]
fn pods_and_claims() {
    let mut two = pod(json!({"memory": "1Gi"}), json!({"memory": "1Gi"}));
    let another = two["spec"]["containers"][0].clone();
    two["spec"]["containers"].as_array_mut().unwrap().push(another);
    let limit = |most: &str| json!({"type": "Pod", "max": {"memory": most}});
    check(limit("2Gi"), &two, &[]);
    check(limit("1Gi"), &two, &["maximum memory usage per Pod is 1Gi, but limit is 2Gi"]);

    let claim = json!({"spec": {"resources": {"requests": {"storage": "5Gi"}}}});
    let limits = json!({"type": "PersistentVolumeClaim", "min": {"storage": "6Gi"}, "max": {"storage": "4Gi"}});
    assert_eq!(
        constraints::claim(&claim, &range(limits)),
        [
            "minimum storage usage per PersistentVolumeClaim is 6Gi, but request is 5Gi",
            "maximum storage usage per PersistentVolumeClaim is 4Gi, but request is 5Gi",
        ]
    );
}
