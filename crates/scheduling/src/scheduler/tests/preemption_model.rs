//! Preemption against the rules as the documentation states them, by trying every node with plain lists.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const APPS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
struct Placed {
    name: String,
    node: usize,
    priority: i32,
    cpu: i64,
    app: usize,
    started: i64,
}

/// A pod that waits for a node that it is meant for.
#[derive(Clone, Debug)]
struct Meant {
    node: usize,
    priority: i32,
    cpu: i64,
}

#[derive(Clone, Debug)]
struct Incoming {
    priority: i32,
    cpu: i64,
    /// No pod of this app may be on its node.
    avoids: Option<usize>,
}

#[derive(Clone, Debug)]
struct Case {
    /// Their processors.
    nodes: Vec<i64>,
    pods: Vec<Placed>,
    meant: Vec<Meant>,
    /// By app, the disruptions that its budget allows.
    budgets: BTreeMap<usize, i64>,
    incoming: Incoming,
}

impl Case {
    fn on(&self, node: usize) -> Vec<&Placed> {
        self.pods.iter().filter(|pod| pod.node == node).collect()
    }

    /// With and without the pods that are meant for the node and matter no less.
    fn fits(&self, node: usize, present: &[&Placed]) -> bool {
        let used: i64 = present.iter().map(|pod| pod.cpu).sum();
        let meant = self.meant.iter().filter(|pod| pod.node == node && pod.priority >= self.incoming.priority);
        let beside: i64 = meant.map(|pod| pod.cpu).sum();
        let alone = self.incoming.avoids.is_none_or(|app| present.iter().all(|pod| pod.app != app));
        alone && used + beside + self.incoming.cpu <= self.nodes[node]
    }

    /// Those who have to leave a node, the most important first, and how many of them break a budget.
    fn sacrifice(&self, node: usize) -> Option<(Vec<&Placed>, usize)> {
        let (mut lower, mut stay): (Vec<_>, Vec<_>) =
            self.on(node).into_iter().partition(|pod| pod.priority < self.incoming.priority);
        if lower.is_empty() || !self.fits(node, &stay) {
            return None;
        }
        lower.sort_by_key(|pod| (-pod.priority, pod.started));
        let mut left = self.budgets.clone();
        let breaks: Vec<bool> = lower
            .iter()
            .map(|pod| match left.get_mut(&pod.app) {
                Some(left) => {
                    *left -= 1;
                    *left < 0
                }
                None => false,
            })
            .collect();
        let mut gone = BTreeSet::new();
        for guarded in [true, false] {
            for at in (0..lower.len()).filter(|at| breaks[*at] == guarded) {
                stay.push(lower[at]);
                if !self.fits(node, &stay) {
                    stay.pop();
                    gone.insert(at);
                }
            }
        }
        let broken = gone.iter().filter(|at| breaks[**at]).count();
        Some((gone.into_iter().map(|at| lower[at]).collect(), broken))
    }

    /// The nodes between which nothing but chance decides, after each rule has left the best of those before.
    fn best(&self) -> Vec<usize> {
        let mut left: Vec<(usize, Vec<&Placed>, usize)> = (0..self.nodes.len())
            .filter_map(|node| self.sacrifice(node).map(|(victims, broken)| (node, victims, broken)))
            .collect();
        let highest = |victims: &[&Placed]| i64::from(victims.iter().map(|pod| pod.priority).max().unwrap_or(i32::MIN));
        let sum = |victims: &[&Placed]| victims.iter().map(|pod| i64::from(pod.priority) + (1 << 31)).sum::<i64>();
        let earliest = |victims: &[&Placed]| {
            let top = victims.iter().filter(|pod| i64::from(pod.priority) == highest(victims));
            top.map(|pod| pod.started).min().unwrap_or(i64::MAX)
        };
        type Rule<'a> = &'a dyn Fn(&(usize, Vec<&Placed>, usize)) -> i64;
        let rules: [Rule<'_>; 5] = [
            &|(_, _, broken)| *broken as i64,
            &|(_, victims, _)| highest(victims),
            &|(_, victims, _)| sum(victims),
            &|(_, victims, _)| victims.len() as i64,
            &|(_, victims, _)| -earliest(victims),
        ];
        for rule in rules {
            let least = left.iter().map(rule).min();
            left.retain(|candidate| Some(rule(candidate)) == least);
        }
        left.into_iter().map(|(node, ..)| node).collect()
    }

    fn world(&self) -> World {
        let mut world = World::new(&[]);
        for (n, cpu) in self.nodes.iter().enumerate() {
            let mut node = node(&cpu.to_string());
            node["metadata"] = json!({"labels": {"host": n.to_string()}});
            world.node(&format!("n{n}"), node);
        }
        for (app, allowed) in &self.budgets {
            super::preemption::budget(&mut world, APPS[*app], *allowed);
        }
        for pod in &self.pods {
            let started = Timestamp::from_second(pod.started).unwrap().to_string();
            let mut spec = super::preemption::at_priority(pod.priority, &pod.cpu.to_string());
            spec["nodeName"] = json!(format!("n{}", pod.node));
            let metadata =
                json!({"name": pod.name, "namespace": "default", "uid": pod.name, "labels": {"app": APPS[pod.app]}});
            let pod = json!({"metadata": metadata, "spec": spec, "status": {"startTime": started}});
            world.scheduler.apply_pod(&serde_json::from_value(pod).unwrap(), world.now);
        }
        for (n, pod) in self.meant.iter().enumerate() {
            let mut spec = super::preemption::at_priority(pod.priority, &pod.cpu.to_string());
            // It is not its turn.
            spec["schedulingGates"] = json!([{"name": "test"}]);
            world.pod_with(&format!("meant-{n}"), spec, json!({"nominatedNodeName": format!("n{}", pod.node)}));
        }
        let mut spec = super::preemption::at_priority(self.incoming.priority, &self.incoming.cpu.to_string());
        if let Some(app) = self.incoming.avoids {
            spec["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"labelSelector": {"matchLabels": {"app": APPS[app]}}, "topologyKey": "host"}]}});
        }
        world.pod("incoming", spec);
        world
    }

    fn check(&self, tie: u64) -> Result<(), TestCaseError> {
        let mut world = self.world();
        let attempt = world.scheduler.next(world.now, tie, &mut |_| {});
        let free = (0..self.nodes.len()).any(|node| self.fits(node, &self.on(node)));
        match attempt {
            Some(Attempt::Placed(placement)) => {
                let node = self.number(&placement.node);
                prop_assert!(self.fits(node, &self.on(node)), "placed on {node}, where it does not fit");
            }
            Some(Attempt::Unschedulable { nomination: Nomination::Evict(room), .. }) => {
                prop_assert!(!free, "preempts though there is room");
                let node = self.number(&room.node);
                prop_assert!(self.best().contains(&node), "node {node}, not one of {:?}", self.best());
                let (victims, _) = self.sacrifice(node).unwrap_or_default();
                let wanted: Vec<&str> = victims.iter().map(|pod| &*pod.name).collect();
                prop_assert_eq!(room.victims.iter().map(|pod| &*pod.name).collect::<Vec<_>>(), wanted);
                self.check_minimal(node, &victims)?;
                let less = |pod: &&Meant| pod.node == node && pod.priority < self.incoming.priority;
                prop_assert_eq!(room.displaced.len(), self.meant.iter().filter(less).count());
                let meant_for = world.scheduler.cluster().nominated_node("incoming");
                prop_assert_eq!(meant_for, world.scheduler.cluster().find(&room.node));
            }
            Some(Attempt::Unschedulable { nomination: Nomination::Keep | Nomination::Clear, .. }) => {
                prop_assert!(!free, "waits though there is room");
                prop_assert!(self.best().is_empty(), "preempts nobody, though nodes {:?} would do", self.best());
            }
            other => prop_assert!(false, "{other:?}"),
        }
        Ok(())
    }

    /// None of the victims could have stayed.
    fn check_minimal(&self, node: usize, victims: &[&Placed]) -> Result<(), TestCaseError> {
        for spared in victims {
            let leave = |pod: &&Placed| victims.iter().any(|gone| gone.name == pod.name) && pod.name != spared.name;
            let present: Vec<_> = self.on(node).into_iter().filter(|pod| !leave(pod)).collect();
            prop_assert!(!self.fits(node, &present), "{} need not have left", spared.name);
        }
        Ok(())
    }

    fn number(&self, node: &str) -> usize {
        node[1..].parse().unwrap()
    }
}

prop_compose! {
    fn any_case()(
        nodes in proptest::collection::vec(2..7_i64, 1..5),
        pods in proptest::collection::vec((0..4_usize, -1..5_i32, 1..4_i64, 0..3_usize, 0..3_i64), 1..14),
        meant in proptest::collection::vec((0..4_usize, 0..6_i32, 1..3_i64), 0..3),
        budgets in proptest::collection::btree_map(0..2_usize, 0..3_i64, 0..3),
        incoming in (0..6_i32, 1..7_i64, proptest::option::weighted(0.3, 0..3_usize)),
    ) -> Case {
        let placed = |(n, (node, priority, cpu, app, started)): (usize, (usize, i32, i64, usize, i64))| Placed {
            name: format!("p{n}"),
            node: node % nodes.len(),
            priority,
            cpu,
            app,
            // No two the same, or chance would decide whom to spare.
            started: started * 100 + n as i64,
        };
        let (priority, cpu, avoids) = incoming;
        Case {
            pods: pods.into_iter().enumerate().map(placed).collect(),
            meant: meant.into_iter().map(|(node, priority, cpu)| Meant { node: node % nodes.len(), priority, cpu }).collect(),
            budgets,
            incoming: Incoming { priority, cpu, avoids },
            nodes,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
    #[test]
    fn agrees_with_the_naive_model(case in any_case(), tie in any::<u64>()) {
        case.check(tie)?;
    }
}
