use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    object,
    peers::OwnerKind,
    testing::{Probe, cluster, pod_from},
};

/// Two zones of two nodes and a node without a zone.
fn nodes() -> Cluster {
    let node = |zone: Option<&str>, host: &str, size: &str| {
        let mut labels = json!({HOSTNAME: host, "size": size});
        if let Some(zone) = zone {
            labels[ZONE] = json!(zone);
        }
        json!({"metadata": {"labels": labels}})
    };
    cluster(&[
        node(Some("a"), "0", "s"),
        node(Some("a"), "1", "l"),
        node(Some("b"), "2", "s"),
        node(Some("b"), "3", "l"),
        node(None, "4", "s"),
    ])
}

fn constraint(key: &str, max_skew: i64, hard: bool) -> Value {
    json!({"topologyKey": key, "maxSkew": max_skew, "labelSelector": {"matchLabels": {"app": "web"}},
        "whenUnsatisfiable": if hard { "DoNotSchedule" } else { "ScheduleAnyway" }})
}

fn with(mut constraint: Value, key: &str, value: Value) -> Value {
    constraint[key] = value;
    constraint
}

fn web(constraints: Value) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"topologySpreadConstraints": constraints}})
}

fn place(cluster: &mut Cluster, name: &str, node: usize, pod: &Value) {
    let mut pod = pod_from(pod.clone());
    pod.metadata.uid = name.into();
    cluster.set_pod(&pod, &format!("n{node}"));
}

/// `.` it fits, `s` the skew would be too large, `k` the key is missing.
fn letters(probe: &mut Probe, cluster: &Cluster) -> String {
    let letter = |why: Option<&str>| match why {
        None => '.',
        Some(why) if why == SKEWED.reasons[0] => 's',
        Some(_) => 'k',
    };
    probe.verdicts(cluster).into_iter().map(letter).collect()
}

/// With so many pods of `app=web` on each node.
#[track_caller]
fn check(pod: Value, placed: [usize; 5], want: &str) {
    let mut cluster = nodes();
    for (node, count) in placed.into_iter().enumerate() {
        for n in 0..count {
            place(&mut cluster, &format!("{node}-{n}"), node, &web(json!([])));
        }
    }
    let mut probe = Probe::new(PodTopologySpread::default(), &pod_from(pod.clone()));
    assert_eq!(letters(&mut probe, &cluster), want, "{pod}");
}

#[test]
fn strict() {
    let hard = |key, skew| constraint(key, skew, true);
    check(web(json!([hard(ZONE, 1)])), [0, 0, 0, 0, 0], "....k");
    check(web(json!([hard(ZONE, 1)])), [1, 0, 0, 0, 0], "ss..k");
    check(web(json!([hard(ZONE, 2)])), [1, 0, 0, 0, 0], "....k");
    check(web(json!([hard(ZONE, 1)])), [1, 0, 0, 1, 9], "....k");
    check(web(json!([hard(HOSTNAME, 1)])), [1, 1, 1, 0, 1], "sss.s");
    check(web(json!([hard(ZONE, 1), hard(HOSTNAME, 1)])), [1, 0, 0, 0, 0], "ss..k");
    check(web(json!([hard(ZONE, 1), hard(HOSTNAME, 1)])), [1, 0, 1, 0, 0], "s.s.k");
    // Pods that the selector does not mean cost nothing, and neither does the pod itself then.
    let other =
        json!({"metadata": {"labels": {"app": "other"}}, "spec": {"topologySpreadConstraints": [hard(ZONE, 1)]}});
    check(other.clone(), [1, 0, 0, 0, 0], "....k");
    check(other, [2, 0, 0, 0, 0], "ss..k");
    let of_nobody = with(hard(ZONE, 1), "labelSelector", Value::Null);
    check(web(json!([of_nobody])), [5, 0, 0, 0, 0], "....k");
}

#[test]
fn too_few_domains_count_as_one_that_is_empty() {
    let at_least = |n: i64| web(json!([with(constraint(ZONE, 1, true), "minDomains", json!(n))]));
    check(at_least(2), [1, 0, 1, 0, 0], "....k");
    check(at_least(3), [1, 0, 1, 0, 0], "ssssk");
    check(at_least(3), [0, 0, 0, 0, 0], "....k");
}

#[test]
fn policies_say_which_nodes_count() {
    let mut small = web(json!([constraint(HOSTNAME, 1, true)]));
    small["spec"]["nodeSelector"] = json!({"size": "s"});
    // The large nodes are empty, but the pod cannot go there.
    check(small.clone(), [1, 0, 1, 0, 1], ".....");
    let ignoring = with(constraint(HOSTNAME, 1, true), "nodeAffinityPolicy", json!("Ignore"));
    small["spec"]["topologySpreadConstraints"] = json!([ignoring]);
    check(small, [1, 0, 1, 0, 1], "s.s.s");

    let mut cluster = nodes();
    let tainted = json!({"metadata": {"name": "n4", "labels": {HOSTNAME: "4"}},
        "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    cluster.set_node(&serde_json::from_value(tainted).unwrap());
    for node in 0..4 {
        place(&mut cluster, &node.to_string(), node, &web(json!([])));
    }
    let verdicts = |policy: &str, cluster: &Cluster| {
        let pod = web(json!([with(constraint(HOSTNAME, 1, true), "nodeTaintsPolicy", json!(policy))]));
        letters(&mut Probe::new(PodTopologySpread::default(), &pod_from(pod)), cluster)
    };
    assert_eq!(verdicts("Honor", &cluster), ".....");
    assert_eq!(verdicts("Ignore", &cluster), "ssss.");
}

#[test]
fn match_label_keys_and_pods_that_leave() {
    let mut cluster = nodes();
    let version = |pod: Value, v: &str| with(pod, "metadata", json!({"labels": {"app": "web", "v": v}}));
    for node in 0..2 {
        place(&mut cluster, &node.to_string(), node, &version(web(json!([])), "1"));
    }
    let keyed = web(json!([with(constraint(HOSTNAME, 1, true), "matchLabelKeys", json!(["v", "missing"]))]));
    let ask = |v: &str, cluster: &Cluster| {
        letters(&mut Probe::new(PodTopologySpread::default(), &pod_from(version(keyed.clone(), v))), cluster)
    };
    assert_eq!((ask("1", &cluster), ask("2", &cluster)), ("ss...".into(), ".....".into()));
    let leaving =
        json!({"metadata": {"labels": {"app": "web", "v": "1"}, "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    place(&mut cluster, "0", 0, &leaving);
    assert_eq!(ask("1", &cluster), ".s...");
}

fn scores(plugin: PodTopologySpread, pod: Value, placed: [usize; 5], cluster: &mut Cluster) -> Vec<i64> {
    for (node, count) in placed.into_iter().enumerate() {
        for n in 0..count {
            place(cluster, &format!("{node}-{n}"), node, &web(json!([])));
        }
    }
    let live = cluster.live().to_vec();
    Probe::new(plugin, &pod_from(pod)).scores(cluster, &live)
}

#[test]
fn by_score() {
    let check = |constraints: Value, placed, want: [i64; 5]| {
        assert_eq!(scores(PodTopologySpread::default(), web(constraints), placed, &mut nodes()), want);
    };
    let soft = |key, skew| constraint(key, skew, false);
    check(json!([soft(ZONE, 1)]), [0, 0, 0, 0, 0], [100, 100, 100, 100, 0]);
    // Two zones: ln 4 for each pod, so 3 against 1 when rounded; 100 * (3 + 1 - 3) / 3.
    check(json!([soft(ZONE, 1)]), [1, 1, 1, 0, 0], [33, 33, 100, 100, 0]);
    check(json!([soft(HOSTNAME, 1)]), [4, 2, 1, 0, 0], [0, 50, 75, 100, 100]);
    check(json!([soft(ZONE, 1), soft(HOSTNAME, 1)]), [2, 0, 0, 0, 0], [0, 50, 100, 100, 0]);
}

#[test]
fn services_and_controllers_give_the_default() {
    let system = PodTopologySpread::default;
    let bare = json!({"metadata": {"labels": {"app": "web"}}});
    let mut cluster = nodes();
    assert_eq!(scores(system(), bare.clone(), [3, 0, 0, 0, 0], &mut cluster), [0; 5]);
    let service = json!({"metadata": {"namespace": "default", "name": "s"}, "spec": {"selector": {"app": "web"}}});
    cluster.set_service(&serde_json::from_value(service).unwrap());
    // Five hosts (ln 7 a pod, skew 3) and three kinds of zones (ln 5 a pod, skew 5): 17, 11, 6, 6; a node without a zone
    // is scored by its host name alone: 2.
    assert_eq!(scores(system(), bare.clone(), [3, 0, 0, 0, 0], &mut cluster), [11, 47, 76, 76, 100]);
    cluster.remove_service("default", "s");
    assert_eq!(scores(system(), bare.clone(), [3, 0, 0, 0, 0], &mut cluster), [0; 5]);

    let owned = json!({"metadata": {"labels": {"app": "web"}, "ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "r", "controller": true}]}});
    assert_eq!(scores(system(), owned.clone(), [3, 0, 0, 0, 0], &mut cluster), [0; 5]);
    let set = json!({"metadata": {"namespace": "default", "name": "r"}, "spec": {"selector": {"matchLabels": {"app": "web"}}}});
    cluster.set_controller(OwnerKind::ReplicaSet, &serde_json::from_value(set).unwrap());
    assert_eq!(scores(system(), owned, [3, 0, 0, 0, 0], &mut cluster), [11, 47, 76, 76, 100]);

    let list = PodTopologySpread {
        defaults: vec![DefaultConstraint { max_skew: 1, topology_key: ZONE.into(), hard: true }],
        system_defaulted: false,
    };
    let service = json!({"metadata": {"namespace": "default", "name": "s"}, "spec": {"selector": {"app": "web"}}});
    cluster.set_service(&serde_json::from_value(service).unwrap());
    assert_eq!(letters(&mut Probe::new(list, &pod_from(bare)), &cluster), "ss..k");
}

/// The rules as the documentation states them, by looking at every pod for every node.
mod naive {
    use super::*;

    pub fn matches(c: &Value, labels: &std::collections::BTreeMap<String, String>) -> bool {
        labels.get("app").map(String::as_str) == c["labelSelector"]["matchLabels"]["app"].as_str()
    }

    pub fn verdict(
        cluster: &Cluster,
        pods: &[(usize, object::Pod)],
        pod: &object::Pod,
        constraints: &[Value],
        node: usize,
    ) -> char {
        let label = |n: usize, key: &str| cluster.node(cluster.live()[n]).label(key);
        let key = |c: &Value| c["topologyKey"].as_str().unwrap().to_owned();
        let counted: Vec<usize> =
            (0..cluster.live().len()).filter(|n| constraints.iter().all(|c| label(*n, &key(c)).is_some())).collect();
        for c in constraints {
            let Some(own) = label(node, &key(c)) else { return 'k' };
            let mut domains: std::collections::BTreeMap<&str, i64> = Default::default();
            for n in &counted {
                let here = pods.iter().filter(|(at, p)| at == n && p.metadata.namespace == pod.metadata.namespace);
                let here = here.filter(|(_, p)| matches(c, &p.metadata.labels)).count() as i64;
                *domains.entry(label(*n, &key(c)).unwrap()).or_default() += here;
            }
            let enough = domains.len() as i64 >= c["minDomains"].as_i64().unwrap_or(1);
            let least = if enough { domains.values().copied().min().unwrap_or(0) } else { 0 };
            let itself = i64::from(matches(c, &pod.metadata.labels));
            if domains.get(own).copied().unwrap_or(0) + itself - least > c["maxSkew"].as_i64().unwrap() {
                return 's';
            }
        }
        '.'
    }
}

prop_compose! {
    fn any_constraint()(key in 0..2_usize, skew in 1..4_i64, least in 1..4_i64, app in any::<bool>()) -> Value {
        let mut c = with(constraint([ZONE, HOSTNAME][key], skew, true), "minDomains", json!(least));
        if app {
            c["labelSelector"]["matchLabels"]["app"] = json!("db");
        }
        c
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    /// Running counts and a look at every pod agree on every node and reason, whatever comes and goes.
    #[test]
    fn agrees_with_the_naive_model(
        constraints in proptest::collection::vec(any_constraint(), 1..3),
        steps in proptest::collection::vec((0..5_usize, 0..8_usize, any::<bool>(), any::<bool>()), 1..40),
    ) {
        let mut cluster = nodes();
        let incoming = pod_from(web(json!(constraints)));
        let mut probe = Probe::new(PodTopologySpread::default(), &incoming);
        let mut pods: Vec<(usize, object::Pod)> = Vec::new();
        for (n, (node, act, app, namespace)) in steps.into_iter().enumerate() {
            if act < 2 && !pods.is_empty() {
                let (_, gone) = pods.swap_remove(node % pods.len());
                cluster.remove_pod(&gone.metadata.uid);
            } else if act == 2 {
                let moved = json!({"metadata": {"name": format!("n{node}"), "labels": {HOSTNAME: node.to_string(), ZONE: if app { "a" } else { "c" }}}});
                cluster.set_node(&serde_json::from_value(moved).unwrap());
            } else {
                let mut pod = pod_from(json!({"metadata": {"name": format!("p{n}"), "labels": {"app": if app { "web" } else { "db" }}}}));
                if namespace && act == 3 {
                    pod.metadata.namespace = "other".into();
                }
                cluster.set_pod(&pod, &format!("n{node}"));
                pods.push((node, pod));
            }
            let want: String = (0..5).map(|node| naive::verdict(&cluster, &pods, &incoming, &constraints, node)).collect();
            prop_assert_eq!(letters(&mut probe, &cluster), want);
        }
    }
}
