use serde_json::{Value, json};

use super::*;

fn load(file: Value) -> Result<Configuration, String> {
    let file: KubeSchedulerConfiguration = serde_json::from_value(file).map_err(|e| e.to_string())?;
    Configuration::from_file(&file).map_err(|e| e.to_string())
}

fn profile(profile: Value) -> Profile {
    load(json!({ "profiles": [profile] })).unwrap().profiles.remove(0)
}

fn at(profile: &Profile, point: Point) -> Vec<(&'static str, i64)> {
    profile.at(point).map(|(_, e)| (e.plugin.name(), e.weight)).collect()
}

fn check_refused(file: Value, why: &str) {
    let error = load(file.clone()).map(|_| ()).unwrap_err();
    assert!(error.contains(why), "{file}: {error}");
}

#[test]
fn defaults_are_upstreams() {
    let configuration = Configuration::default();
    assert_eq!((configuration.initial_backoff.as_secs(), configuration.max_backoff.as_secs()), (1, 10));
    let profile = &configuration.profiles[0];
    assert_eq!(&*profile.scheduler_name, "default-scheduler");
    let scores = [
        ("TaintToleration", 3),
        ("NodeAffinity", 2),
        ("NodeResourcesFit", 1),
        ("PodTopologySpread", 2),
        ("InterPodAffinity", 2),
        ("NodeResourcesBalancedAllocation", 1),
        ("ImageLocality", 1),
    ];
    assert_eq!(at(profile, Point::Score), scores);
    let filters: Vec<_> = at(profile, Point::Filter).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        filters,
        [
            "NodeUnschedulable",
            "NodeName",
            "TaintToleration",
            "NodeAffinity",
            "NodePorts",
            "NodeResourcesFit",
            "VolumeRestrictions",
            "NodeVolumeLimits",
            "VolumeBinding",
            "VolumeZone",
            "PodTopologySpread",
            "InterPodAffinity",
            "NodeDeclaredFeatures"
        ]
    );
    assert_eq!(at(profile, Point::Bind), [("DefaultBinder", 1)]);
}

#[test]
fn plugins_are_switched() {
    let off = profile(
        json!({"plugins": {"score": {"disabled": [{"name": "*"}], "enabled": [{"name": "ImageLocality", "weight": 7}]}}}),
    );
    assert_eq!(at(&off, Point::Score), [("ImageLocality", 7)]);
    assert_eq!(at(&off, Point::Filter).len(), 13);

    let multi = profile(json!({"plugins": {"multiPoint": {
        "enabled": [{"name": "TaintToleration", "weight": 9}], "disabled": [{"name": "NodeAffinity"}, {"name": "InterPodAffinity"}]}}}));
    assert!(at(&multi, Point::Score).contains(&("TaintToleration", 9)));
    assert!(!at(&multi, Point::Filter).iter().any(|(name, _)| *name == "NodeAffinity"));

    let only = profile(json!({"plugins": {"multiPoint": {
        "enabled": [{"name": "PrioritySort"}, {"name": "DefaultBinder"}], "disabled": [{"name": "*"}]}}}));
    assert_eq!(at(&only, Point::PreFilter), []);
    assert_eq!(at(&only, Point::Filter), []);
}

#[test]
fn profiles_and_arguments() {
    let configuration = load(json!({
        "percentageOfNodesToScore": 50,
        "leaderElection": {"leaderElect": false, "leaseDuration": "1m30s"},
        "profiles": [
            {"schedulerName": "a", "percentageOfNodesToScore": 100},
            {"schedulerName": "b", "pluginConfig": [{"name": "NodeResourcesFit", "args": {
                "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "NodeResourcesFitArgs",
                "scoringStrategy": {"type": "MostAllocated", "resources": [{"name": "cpu", "weight": 3}]}}}]}]}))
    .unwrap();
    let got: Vec<_> =
        configuration.profiles.iter().map(|p| (&*p.scheduler_name, p.percentage_of_nodes_to_score)).collect();
    assert_eq!(got, [("a", 100), ("b", 50)]);
}

#[test]
fn what_is_wrong_is_said() {
    check_refused(json!({"paralellism": 5}), "unknown field `paralellism`");
    let extenders = |fields: Value| json!({"extenders": [fields]});
    check_refused(extenders(json!({})), "extenders[0].urlPrefix: must not be empty");
    check_refused(extenders(json!({"urlPrefix": "http://x", "prioritizeVerb": "p"})), "must have a positive weight");
    check_refused(
        extenders(json!({"urlPrefix": "http://x", "managedResources": [{"name": "cpu"}]})),
        "is an invalid extended resource name",
    );
    let binder = json!({"urlPrefix": "http://x", "bindVerb": "bind"});
    check_refused(json!({"extenders": [binder, binder]}), "found 2 extenders implementing bind");
    check_refused(json!({"podInitialBackoffSeconds": 20}), "at most podMaxBackoffSeconds");
    check_refused(json!({"leaderElection": {"leaseDuration": "soon"}}), "\"soon\" is not a duration");
    check_refused(json!({"leaderElection": {"leaseDuration": "5s"}}), "must be greater than renewDeadline");
    check_refused(json!({"leaderElection": {"retryPeriod": "9s"}}), "greater than retryPeriod times 1.2");
    check_refused(json!({"leaderElection": {"resourceLock": "endpoints"}}), "only \"leases\" is supported");
    check_refused(json!({"parallelism": 0}), "greater than zero");
    check_refused(json!({"percentageOfNodesToScore": 101}), "not in valid range");
    check_refused(json!({"profiles": [{}, {}]}), "schedulerName is used twice");
    let with = |plugins: Value| json!({"profiles": [{ "plugins": plugins }]});
    check_refused(with(json!({"multiPoint": {"enabled": [{"name": "Coscheduling"}]}})), "no plugin \"Coscheduling\"");
    check_refused(
        with(json!({"filter": {"enabled": [{"name": "ImageLocality"}]}})),
        "\"ImageLocality\" does not extend Filter",
    );
    check_refused(with(json!({"bind": {"disabled": [{"name": "*"}]}})), "no plugin for Bind");
    let args = |name: &str, args: Value| json!({"profiles": [{"pluginConfig": [{"name": name, "args": args}]}]});
    check_refused(args("Coscheduling", json!({})), "no such plugin with arguments");
    check_refused(args("NodeResourcesFit", json!({"x": 1})), "unknown field `x`");
    let curve = |shape: Value| {
        args(
            "NodeResourcesFit",
            json!({"scoringStrategy": {"type": "RequestedToCapacityRatio", "requestedToCapacityRatio": {"shape": shape}}}),
        )
    };
    check_refused(curve(json!([])), "at least one point");
    check_refused(curve(json!([{"utilization": 50, "score": 1}, {"utilization": 50, "score": 2}])), "increasing order");
    check_refused(curve(json!([{"utilization": 50, "score": 11}])), "between 0 and 10");
    check_refused(args("InterPodAffinity", json!({"hardPodAffinityWeight": 101})), "not in valid range [0-100]");
    check_refused(
        args(
            "PodTopologySpread",
            json!({"defaultConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}),
        ),
        "must be empty",
    );
    check_refused(
        args(
            "PodTopologySpread",
            json!({"defaultingType": "List", "defaultConstraints": [
        {"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}),
        ),
        "maxSkew",
    );
    check_refused(
        args("DefaultPreemption", json!({"minCandidateNodesPercentage": 0, "minCandidateNodesAbsolute": 0})),
        "cannot both be zero",
    );
    check_refused(args("VolumeBinding", json!({"shape": [{"utilization": 0, "score": 1}]})), "not supported");
}

/// The file that upstream's scheduler writes of its own defaults (`--write-config-to`), with every plugin and argument.
#[test]
fn upstreams_defaults_are_accepted_in_full() {
    let enabled = plugins::DEFAULTS.iter().map(|(name, weight)| match weight {
        0 => json!({"name": name}),
        weight => json!({"name": name, "weight": weight}),
    });
    let args = |kind: &str, args: Value| {
        let mut all = json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": format!("{kind}Args")});
        all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
        json!({"name": kind, "args": all})
    };
    let resources = json!([{"name": "cpu", "weight": 1}, {"name": "memory", "weight": 1}]);
    let file = json!({
        "clientConnection": {"acceptContentTypes": "", "burst": 100, "contentType": "application/vnd.kubernetes.protobuf", "kubeconfig": "/etc/x", "qps": 50},
        "enableContentionProfiling": true,
        "enableProfiling": true,
        "leaderElection": {"leaderElect": true, "leaseDuration": "15s", "renewDeadline": "10s", "resourceLock": "leases",
            "resourceName": "kube-scheduler", "resourceNamespace": "kube-system", "retryPeriod": "2s"},
        "parallelism": 16,
        "percentageOfNodesToScore": 0,
        "podInitialBackoffSeconds": 1,
        "podMaxBackoffSeconds": 10,
        "profiles": [{"schedulerName": "default-scheduler", "plugins": {"multiPoint": {"enabled": enabled.collect::<Vec<_>>()},
            "bind": {}, "filter": {}, "permit": {}, "postBind": {}, "postFilter": {}, "preBind": {}, "preEnqueue": {},
            "preFilter": {}, "preScore": {}, "queueSort": {}, "reserve": {}, "score": {}},
            "pluginConfig": [
                args("DefaultPreemption", json!({"minCandidateNodesAbsolute": 100, "minCandidateNodesPercentage": 10})),
                args("DynamicResources", json!({"filterTimeout": "10s", "bindingTimeout": "10m0s"})),
                args("InterPodAffinity", json!({"hardPodAffinityWeight": 1, "ignorePreferredTermsOfExistingPods": false})),
                args("NodeAffinity", json!({})),
                args("NodeResourcesBalancedAllocation", json!({"resources": resources})),
                args("NodeResourcesFit", json!({"scoringStrategy": {"type": "LeastAllocated", "resources": resources}})),
                args("PodTopologySpread", json!({"defaultingType": "System"})),
                args("VolumeBinding", json!({"bindTimeoutSeconds": 600})),
            ]}],
    });
    let configuration = load(file).unwrap();
    let defaults = Configuration::default();
    for point in [Point::Filter, Point::Score, Point::PostFilter, Point::Bind] {
        assert_eq!(at(&configuration.profiles[0], point), at(&defaults.profiles[0], point), "{point}");
    }
}
