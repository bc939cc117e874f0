use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    object,
    testing::{Probe, cluster, pod_from},
};

const FAR: &str = "podAntiAffinity";
const NEAR: &str = "podAffinity";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Three nodes in two zones, the last one without a zone.
fn nodes() -> Cluster {
    let node = |zone: Option<&str>, host: &str| {
        let mut labels = json!({"host": host});
        if let Some(zone) = zone {
            labels["zone"] = json!(zone);
        }
        json!({"metadata": {"labels": labels}})
    };
    cluster(&[node(Some("a"), "0"), node(Some("a"), "1"), node(Some("b"), "2"), node(None, "3")])
}

fn term(app: &str, key: &str) -> Value {
    json!({"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key})
}

fn labelled(app: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}}, "spec": {}})
}

fn with(mut pod: Value, kind: &str, strength: &str, terms: Value) -> Value {
    pod["spec"]["affinity"][kind][strength] = terms;
    pod
}

fn with_more(mut pod: Value, key: &str, value: Value) -> Value {
    pod[key] = value;
    pod
}

fn place(cluster: &mut Cluster, name: &str, node: usize, pod: &Value) {
    let mut pod = pod_from(pod.clone());
    pod.metadata.name = name.into();
    pod.metadata.uid = name.into();
    cluster.set_pod(&pod, &format!("n{node}"));
}

/// `want`: for each node, `.` it fits, `a` affinity, `x` anti-affinity, `e` existing pods' anti-affinity.
#[track_caller]
fn check(pod: Value, placed: &[(usize, Value)], want: &str) {
    let mut cluster = nodes();
    for (n, (node, other)) in placed.iter().enumerate() {
        place(&mut cluster, &format!("placed-{n}"), *node, other);
    }
    assert_eq!(letters(&mut Probe::new(InterPodAffinity::default(), &pod_from(pod.clone())), &cluster), want, "{pod}");
}

fn letters(probe: &mut Probe, cluster: &Cluster) -> String {
    let letter = |why: Option<&str>| match why {
        None => '.',
        Some(why) if why == AFFINITY.reasons[0] => 'a',
        Some(why) if why == ANTI_AFFINITY.reasons[0] => 'x',
        Some(_) => 'e',
    };
    probe.verdicts(cluster).into_iter().map(letter).collect()
}

#[test]
fn required_affinity() {
    let near = |terms: Value| with(labelled("web"), NEAR, REQUIRED, terms);
    let db = labelled("db");
    check(near(json!([term("db", "zone")])), &[(0, db.clone())], "..aa");
    check(near(json!([term("db", "host")])), &[(0, db.clone())], ".aaa");
    check(near(json!([term("db", "zone"), term("db", "host")])), &[(1, db.clone())], "a.aa");
    // All terms must be met by one pod.
    check(near(json!([term("db", "zone"), term("other", "zone")])), &[(0, db.clone()), (0, labelled("other"))], "aaaa");
    check(near(json!([term("db", "zone")])), &[], "aaaa");
    // The first pod of a group that wants to be together, but not where the key is missing.
    check(near(json!([term("web", "zone")])), &[], "...a");
    check(near(json!([term("web", "zone")])), &[(2, labelled("web"))], "aa.a");
    // A pod where the key is missing is in no domain: the rule is as good as never met.
    check(near(json!([term("web", "zone")])), &[(3, labelled("web"))], "...a");
}

#[test]
fn anti_affinity_holds_both_ways() {
    let far = |app: &str, key: &str| with(labelled("web"), FAR, REQUIRED, json!([term(app, key)]));
    check(far("db", "zone"), &[(0, labelled("db"))], "xx..");
    check(far("db", "host"), &[(0, labelled("db")), (3, labelled("db"))], "x..x");
    check(labelled("web"), &[(2, with(labelled("db"), FAR, REQUIRED, json!([term("web", "zone")])))], "..e.");
    check(labelled("web"), &[(2, with(labelled("db"), FAR, REQUIRED, json!([term("db", "zone")])))], "....");
    check(labelled("web"), &[(3, with(labelled("db"), FAR, REQUIRED, json!([term("web", "zone")])))], "....");
    check(far("web", "host"), &[(1, far("web", "host"))], ".x..");
}

#[test]
fn whom_a_term_means() {
    let far = |more: Value| {
        let mut term = term("db", "host");
        term.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        with(labelled("web"), FAR, REQUIRED, json!([term]))
    };
    let elsewhere = with_more(labelled("db"), "metadata", json!({"namespace": "other", "labels": {"app": "db"}}));
    check(far(json!({})), &[(0, elsewhere.clone())], "....");
    check(far(json!({"namespaces": ["other"]})), &[(0, elsewhere.clone()), (1, labelled("db"))], "x...");
    check(far(json!({"namespaceSelector": {}})), &[(0, elsewhere.clone()), (1, labelled("db"))], "xx..");
    check(far(json!({"labelSelector": null})), &[(0, labelled("db"))], "....");
    check(far(json!({"labelSelector": {}})), &[(0, labelled("db")), (1, labelled("web"))], "xx..");
    let versioned = |pod: Value, v: &str| {
        let app = pod["metadata"]["labels"]["app"].clone();
        with_more(pod, "metadata", json!({"labels": {"app": app, "v": v}}))
    };
    let placed = [(0, versioned(labelled("db"), "1")), (1, versioned(labelled("db"), "2"))];
    check(versioned(far(json!({"matchLabelKeys": ["v"]})), "1"), &placed, "x...");
    check(versioned(far(json!({"mismatchLabelKeys": ["v"]})), "1"), &placed, ".x..");
    // Of a key that the pod lacks nothing is asked.
    check(far(json!({"matchLabelKeys": ["v"]})), &placed, "xx..");
}

#[test]
fn labels_of_namespaces_count_and_may_change() {
    let mut cluster = nodes();
    let namespace = |labels: Value| -> object::Namespace {
        serde_json::from_value(json!({"metadata": {"name": "other", "labels": labels}})).unwrap()
    };
    let mut rule = term("db", "host");
    rule["namespaceSelector"] = json!({"matchLabels": {"team": "x"}});
    let elsewhere = with_more(labelled("db"), "metadata", json!({"namespace": "other", "labels": {"app": "db"}}));
    place(&mut cluster, "db", 0, &elsewhere);
    let mut probe =
        Probe::new(InterPodAffinity::default(), &pod_from(with(labelled("web"), FAR, REQUIRED, json!([rule]))));
    assert_eq!(letters(&mut probe, &cluster), "....");
    assert!(cluster.set_namespace(&namespace(json!({"team": "x"}))));
    assert_eq!(letters(&mut probe, &cluster), "x...");
    assert!(!cluster.set_namespace(&namespace(json!({"team": "x"}))));
    cluster.remove_namespace("other");
    assert_eq!(letters(&mut probe, &cluster), "....");
}

#[test]
fn scores() {
    let wish = |weight: i64, app: &str, key: &str| json!({"weight": weight, "podAffinityTerm": term(app, key)});
    let check = |plugin: InterPodAffinity, pod: Value, placed: &[(usize, Value)], want: [i64; 4]| {
        let mut cluster = nodes();
        for (n, (node, other)) in placed.iter().enumerate() {
            place(&mut cluster, &format!("placed-{n}"), *node, other);
        }
        let live = cluster.live().to_vec();
        assert_eq!(Probe::new(plugin, &pod_from(pod.clone())).scores(&cluster, &live), want, "{pod}");
    };
    let default = InterPodAffinity::default;
    let likes = |terms: Value| with(labelled("web"), NEAR, PREFERRED, terms);
    let db = labelled("db");
    check(default(), likes(json!([wish(8, "db", "zone")])), &[(0, db.clone())], [100, 100, 0, 0]);
    check(default(), likes(json!([wish(8, "db", "zone"), wish(2, "db", "host")])), &[(0, db.clone())], [100, 80, 0, 0]);
    check(
        default(),
        likes(json!([wish(8, "db", "zone")])),
        &[(0, db.clone()), (0, db.clone()), (2, db.clone())],
        [100, 100, 50, 0],
    );
    let avoids = with(labelled("web"), FAR, PREFERRED, json!([wish(5, "db", "zone")]));
    check(default(), avoids, &[(2, db.clone())], [100, 100, 0, 100]);
    // Wishes and requirements of pods that are there already.
    let wants_web = with(db.clone(), NEAR, PREFERRED, json!([wish(5, "web", "host")]));
    check(default(), labelled("web"), &[(1, wants_web.clone())], [0, 100, 0, 0]);
    let ignoring = || InterPodAffinity { ignore_preferred_terms_of_existing_pods: true, ..default() };
    check(ignoring(), labelled("web"), &[(1, wants_web.clone())], [0, 0, 0, 0]);
    let needs_web = with(db, NEAR, REQUIRED, json!([term("web", "host")]));
    check(default(), labelled("web"), &[(1, needs_web.clone()), (0, wants_web)], [100, 20, 0, 0]);
    let unweighted = InterPodAffinity { hard_pod_affinity_weight: 0, ..default() };
    check(unweighted, labelled("web"), &[(1, needs_web)], [0, 0, 0, 0]);
}

/// The rules as the documentation states them, by looking at every pod for every node.
mod naive {
    use api_types::selector::Selector;

    use super::*;

    pub type Pods<'a> = &'a [(usize, object::Pod)];

    fn means(term: &object::PodAffinityTerm, owner: &object::Pod, other: &object::Pod) -> bool {
        let namespace = if term.namespace_selector.is_some() {
            true
        } else if term.namespaces.is_empty() {
            owner.metadata.namespace == other.metadata.namespace
        } else {
            term.namespaces.iter().any(|n| **n == *other.metadata.namespace)
        };
        let selector = term.label_selector.as_ref().map(|s| Selector::from_label_selector(s).unwrap());
        namespace && selector.is_some_and(|s| s.matches(&other.metadata.labels))
    }

    fn rules(pod: &object::Pod, near: bool) -> Option<&object::PodAffinity> {
        let affinity = pod.spec.affinity.as_ref()?;
        if near { affinity.pod_affinity.as_ref() } else { affinity.pod_anti_affinity.as_ref() }
    }

    fn required(pod: &object::Pod, near: bool) -> &[object::PodAffinityTerm] {
        rules(pod, near).map_or(&[], |r| &r.required_during_scheduling_ignored_during_execution)
    }

    fn same_domain(cluster: &Cluster, key: &str, a: usize, b: usize) -> bool {
        let value = |n: usize| cluster.node(cluster.live()[n]).label(key);
        value(a).is_some() && value(a) == value(b)
    }

    pub fn verdict(cluster: &Cluster, pods: Pods<'_>, pod: &object::Pod, node: usize) -> char {
        let near = required(pod, true);
        let has_key =
            |t: &object::PodAffinityTerm, n: usize| cluster.node(cluster.live()[n]).label(&t.topology_key).is_some();
        let all = |other: &object::Pod| near.iter().all(|t| means(t, pod, other));
        let met = near
            .iter()
            .all(|t| pods.iter().any(|(at, other)| all(other) && same_domain(cluster, &t.topology_key, *at, node)));
        let nobody = !pods.iter().any(|(at, other)| all(other) && near.iter().any(|t| has_key(t, *at)));
        if !near.iter().all(|t| has_key(t, node)) || !(met || nobody && all(pod)) {
            return 'a';
        }
        let broken = |owner: &object::Pod, other: &object::Pod, at: usize| {
            required(owner, false)
                .iter()
                .any(|t| means(t, owner, other) && same_domain(cluster, &t.topology_key, at, node))
        };
        if pods.iter().any(|(at, other)| broken(pod, other, *at)) {
            return 'x';
        }
        if pods.iter().any(|(at, other)| broken(other, pod, *at)) {
            return 'e';
        }
        '.'
    }

    pub fn score(cluster: &Cluster, pods: Pods<'_>, pod: &object::Pod, node: usize) -> i64 {
        let mut sum = 0;
        for (at, other) in pods {
            let near = |t: &object::PodAffinityTerm| same_domain(cluster, &t.topology_key, *at, node);
            for (owner, target) in [(pod, other), (other, pod)] {
                for (positive, sign) in [(true, 1), (false, -1)] {
                    let wishes = rules(owner, positive)
                        .map_or(&[][..], |r| &r.preferred_during_scheduling_ignored_during_execution);
                    let heeded = wishes
                        .iter()
                        .filter(|w| means(&w.pod_affinity_term, owner, target) && near(&w.pod_affinity_term));
                    sum += sign * heeded.map(|w| w.weight).sum::<i64>();
                }
            }
            sum += required(other, true).iter().filter(|t| means(t, other, pod) && near(t)).count() as i64;
        }
        sum
    }

    pub fn normalized(raw: &[i64]) -> Vec<i64> {
        let (least, most) = (raw.iter().min().unwrap(), raw.iter().max().unwrap());
        let stretch = |score: &i64| (100.0 * ((score - least) as f64 / (most - least) as f64)) as i64;
        raw.iter().map(|score| if least == most { 0 } else { stretch(score) }).collect()
    }
}

prop_compose! {
    fn any_term()(app in 0..3_usize, key in 0..3_usize, spread in 0..4_usize) -> Value {
        let mut term = term(["a", "b", "c"][app], ["zone", "host", "rack"][key]);
        match spread {
            0 => term["namespaces"] = json!(["other"]),
            1 => term["namespaceSelector"] = json!({}),
            _ => {}
        }
        term
    }
}

prop_compose! {
    fn any_pod()(
        app in 0..3_usize,
        other in any::<bool>(),
        terms in proptest::collection::vec((0..6_usize, any_term(), 1..10_i64), 0..3),
    ) -> Value {
        let mut pod = labelled(["a", "b", "c"][app]);
        pod["metadata"]["namespace"] = json!(if other { "other" } else { "default" });
        for (kind, term, weight) in terms {
            let (field, strength) = [(NEAR, REQUIRED), (FAR, REQUIRED), (NEAR, PREFERRED), (FAR, PREFERRED), (FAR, REQUIRED), (NEAR, PREFERRED)][kind];
            let entry = if strength == PREFERRED { json!({"weight": weight, "podAffinityTerm": term}) } else { term };
            let list = &mut pod["spec"]["affinity"][field][strength];
            match list.as_array_mut() {
                Some(list) => list.push(entry),
                None => *list = json!([entry]),
            }
        }
        pod
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    /// Running counts and a look at every pod agree on every node, reason and score, whatever comes and goes.
    #[test]
    fn agrees_with_the_naive_model(
        incoming in any_pod(),
        steps in proptest::collection::vec((any_pod(), 0..6_usize, 0..8_usize), 1..25),
    ) {
        let mut cluster = nodes();
        let incoming = pod_from(incoming);
        let mut probe = Probe::new(InterPodAffinity::default(), &incoming);
        let mut pods: Vec<(usize, object::Pod)> = Vec::new();
        for (n, (pod, node, act)) in steps.into_iter().enumerate() {
            if act < 2 && !pods.is_empty() {
                let (_, gone) = pods.swap_remove(node % pods.len());
                cluster.remove_pod(&gone.metadata.uid);
            } else if act == 2 {
                let rack = json!({"metadata": {"name": format!("n{}", node % 4), "labels": {"zone": "b", "rack": node.to_string()}}});
                cluster.set_node(&serde_json::from_value(rack).unwrap());
            } else {
                let mut pod = pod_from(pod);
                pod.metadata.uid = format!("p{n}").into();
                cluster.set_pod(&pod, &format!("n{}", node % 4));
                pods.push((node % 4, pod));
            }
            let want: String = (0..4).map(|node| naive::verdict(&cluster, &pods, &incoming, node)).collect();
            prop_assert_eq!(letters(&mut probe, &cluster), want);
            let raw: Vec<_> = (0..4).map(|node| naive::score(&cluster, &pods, &incoming, node)).collect();
            let live = cluster.live().to_vec();
            prop_assert_eq!(probe.scores(&cluster, &live), naive::normalized(&raw));
        }
    }
}
