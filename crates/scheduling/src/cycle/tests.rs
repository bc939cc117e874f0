use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    config::Configuration,
    framework::Verdict,
    shape::Shape,
    testing::{cluster, pod, waiting},
};

#[test]
fn how_many_nodes_are_enough() {
    for (nodes, percentage, want) in [
        (0, 0, 0),
        (99, 10, 99),
        (100, 0, 100),
        (1000, 0, 420),
        (5000, 0, 500),
        (20_000, 0, 1000),
        (1000, 30, 300),
        (1000, 5, 100),
        (1000, 100, 1000),
        (1000, 300, 1000),
    ] {
        assert_eq!(enough(nodes, percentage), want, "{nodes} nodes, {percentage} %");
    }
}

#[test]
fn ties_are_broken_by_the_seed_and_evenly() {
    let picks: Vec<_> = (0..6).map(|tie| best(&[1, 5, 3, 5, 5], tie)).collect();
    assert_eq!(picks, [1, 3, 4, 1, 3, 4]);
}

#[test]
fn large_clusters_are_looked_at_in_turns() {
    let profile = &Configuration::default().profiles[0];
    let nodes: Vec<_> = (0..1000).map(|_| node(4000, 0)).collect();
    let (mut cluster, pod, mut cycle) = (cluster(&nodes), waiting(&pod(cpu(100))), Cycle::default());
    for start in [420, 840, 260] {
        cycle.run(profile, pod.to_plugins(), &mut cluster, 0, &mut |_| {}).unwrap();
        assert_eq!(cycle.start, start);
    }
}

fn node(milli_cpu: i64, taints: usize) -> Value {
    let taints: Vec<_> = (0..taints)
        .map(|i| json!({"key": format!("k{i}"), "effect": if i == 0 {"PreferNoSchedule"} else {"NoSchedule"}}))
        .collect();
    json!({"metadata": {"labels": {"size": if milli_cpu > 2000 {"large"} else {"small"}}}, "spec": {"taints": taints},
        "status": {"allocatable": {"cpu": format!("{milli_cpu}m"), "memory": "8Gi", "pods": "5"}}})
}

fn cpu(milli: i64) -> Value {
    json!({"containers": [{"resources": {"requests": {"cpu": format!("{milli}m")}}}]})
}

/// The cycle without any of its short cuts.
fn naive(profile: &Profile, shape: &Shape, cluster: &Cluster) -> Vec<(NodeId, i64)> {
    let fits = |id: &&NodeId| {
        profile
            .at(Point::Filter)
            .filter(|(_, e)| !e.plugin.tracks())
            .all(|(_, e)| e.plugin.filter(shape, cluster.node(**id)) == Verdict::Fits)
    };
    let nodes: Vec<_> = cluster.live().iter().filter(fits).copied().collect();
    let mut totals = vec![0; nodes.len()];
    for (_, enabled) in profile.at(Point::Score).filter(|(_, e)| !e.plugin.tracks() && e.plugin.pre_score(shape)) {
        let mut scores: Vec<_> = nodes.iter().map(|id| enabled.plugin.score(shape, cluster.node(*id))).collect();
        enabled.plugin.normalize(&mut scores);
        totals.iter_mut().zip(scores).for_each(|(total, score)| *total += enabled.weight * score);
    }
    nodes.into_iter().zip(totals).collect()
}

proptest! {
    /// Remembered verdicts and scores never differ from fresh ones, while nodes and pods come, change and go.
    #[test]
    fn agrees_with_the_naive_model(
        sizes in proptest::collection::vec((500..4000_i64, 0..3_usize), 1..12),
        steps in proptest::collection::vec((0..4_usize, 0..12_usize, 500..4000_i64, any::<u64>()), 1..60),
    ) {
        let profile = &Configuration::default().profiles[0];
        let mut cluster = cluster(&sizes.iter().map(|(cpu, taints)| node(*cpu, *taints)).collect::<Vec<_>>());
        let mut affine = cpu(200);
        affine["affinity"] = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 5, "preference": {"matchExpressions": [{"key": "size", "operator": "In", "values": ["large"]}]}}]}});
        let mut tolerant = cpu(300);
        tolerant["tolerations"] = json!([{"operator": "Exists"}]);
        let mut selective = cpu(0);
        selective["nodeSelector"] = json!({"size": "small"});
        let pods = [cpu(100), affine, tolerant, selective].map(|spec| waiting(&pod(spec)));
        let mut cycle = Cycle::default();
        for (n, (kind, target, cpu, tie)) in steps.into_iter().enumerate() {
            match n % 5 {
                3 => {
                    let mut changed: crate::object::Node = serde_json::from_value(node(cpu, kind)).unwrap();
                    changed.metadata.name = format!("n{target}").into();
                    cluster.set_node(&changed);
                }
                4 if tie % 3 == 0 => cluster.remove_node(&format!("n{target}")),
                4 => { cluster.remove_pod(&format!("p{}", n - 3)); }
                _ => {
                    let pod = &pods[kind];
                    let want = naive(profile, &pod.shape, &cluster);
                    match cycle.run(profile, pod.to_plugins(), &mut cluster, tie, &mut |_| {}) {
                        Ok(id) => {
                            let largest = want.iter().map(|(_, score)| *score).max();
                            let got = want.iter().find(|(node, _)| *node == id).map(|(_, score)| *score);
                            prop_assert_eq!(got, largest);
                            let mut resident = pod.resident();
                            resident.uid = format!("p{n}").into();
                            cluster.assume(resident, id);
                        }
                        Err(_) => prop_assert!(want.is_empty()),
                    }
                }
            }
        }
    }
}
