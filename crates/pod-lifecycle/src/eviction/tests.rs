use super::{thresholds::Given, *};
use crate::samples::{self, at};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn parse(
    hard: &[(&str, &str)],
    soft: &[(&str, &str, u64)],
    reclaim: &[(&str, &str)],
) -> Result<Vec<Threshold>, String> {
    let grace = soft.iter().map(|(k, _, s)| ((*k).to_owned(), Duration::from_secs(*s))).collect();
    let soft: Vec<_> = soft.iter().map(|(k, v, _)| (*k, *v)).collect();
    let given = Given { hard: &map(hard), soft: &map(&soft), soft_grace: &grace, minimum_reclaim: &map(reclaim) };
    thresholds::parse(given).map_err(|e| e.to_string())
}

fn manager(hard: &[(&str, &str)], soft: &[(&str, &str, u64)], reclaim: &[(&str, &str)]) -> Manager {
    let thresholds = parse(hard, soft, reclaim).unwrap();
    Manager::new(Settings { thresholds, transition: Duration::from_secs(300), max_pod_grace: 60 })
}

fn seen(signal: Signal, available: u64) -> Observations {
    BTreeMap::from([(signal, Observation { available, capacity: 1000 })])
}

#[test]
fn configurations() {
    assert_eq!(parse(&[("memory.available", "0")], &[], &[]), Ok(vec![]), "nothing switches a signal off");
    assert_eq!(parse(&[("nodefs.available", "10%")], &[], &[]).unwrap()[0].amount.of(1000), 100);
    for (wrong, want) in [
        (parse(&[("memory.free", "1")], &[], &[]), "unknown eviction signal memory.free"),
        (parse(&[("memory.available", "x")], &[], &[]), "eviction threshold memory.available: \"x\" is no amount"),
        (
            parse(&[("memory.available", "101%")], &[], &[]),
            "eviction threshold memory.available: \"101%\" is no amount",
        ),
        (parse(&[], &[], &[("memory.free", "1")]), "unknown eviction signal memory.free"),
        (
            parse(&[], &[("memory.available", "1", 0)], &[]),
            "invalid eviction grace period specified: memory.available, must be a positive value",
        ),
    ] {
        assert_eq!(wrong.unwrap_err(), want);
    }
}

#[test]
fn a_hard_threshold_acts_at_once_and_its_condition_stays_a_while() {
    let mut manager = manager(&[("memory.available", "100")], &[], &[]);
    let low = seen(Signal::MemoryAvailable, 99);
    let outcome = manager.look(&low, at(0));
    assert_eq!(outcome.conditions, BTreeSet::from([Condition::MemoryPressure]));
    assert_eq!(outcome.relieve.unwrap().signal, Signal::MemoryAvailable);
    let enough = seen(Signal::MemoryAvailable, 100);
    for (second, shown) in [(10, 1), (299, 1), (300, 0)] {
        let outcome = manager.look(&enough, at(second));
        assert_eq!((outcome.conditions.len(), outcome.relieve), (shown, None), "at {second}");
    }
}

#[test]
fn a_soft_threshold_waits_for_its_grace() {
    let mut manager = manager(&[], &[("nodefs.available", "10%", 30)], &[]);
    let low = seen(Signal::NodeFsAvailable, 50);
    assert_eq!(manager.look(&low, at(0)).relieve, None);
    assert_eq!(manager.look(&low, at(0)).conditions.len(), 1, "the condition does not wait");
    assert_eq!(manager.look(&low, at(29)).relieve, None);
    let threshold = manager.look(&low, at(30)).relieve.unwrap();
    assert_eq!((manager.grace(&threshold, 5), manager.grace(&threshold, 600)), (5, 60));
    manager.look(&seen(Signal::NodeFsAvailable, 500), at(40));
    assert_eq!(manager.look(&low, at(50)).relieve, None, "it begins anew");
}

#[test]
fn what_was_acted_on_ends_with_its_minimum_reclaimed() {
    let mut manager = manager(&[("nodefs.available", "100")], &[], &[("nodefs.available", "50")]);
    let at_mark = seen(Signal::NodeFsAvailable, 120);
    assert_eq!(manager.look(&at_mark, at(0)).relieve, None);
    assert!(manager.look(&seen(Signal::NodeFsAvailable, 99), at(1)).relieve.is_some());
    assert!(!manager.relieved(&at_mark));
    assert!(manager.look(&at_mark, at(2)).relieve.is_some());
    assert!(manager.relieved(&seen(Signal::NodeFsAvailable, 150)));
    assert_eq!(manager.look(&seen(Signal::NodeFsAvailable, 150), at(3)).relieve, None);
    assert_eq!(manager.look(&at_mark, at(4)).relieve, None);
}

#[test]
fn memory_goes_before_disk() {
    let mut manager = manager(&[("nodefs.available", "100"), ("memory.available", "100")], &[], &[]);
    let mut both = seen(Signal::NodeFsAvailable, 1);
    both.extend(seen(Signal::MemoryAvailable, 1));
    assert_eq!(manager.look(&both, at(0)).relieve.unwrap().signal, Signal::MemoryAvailable);
}

proptest! {
    /// Whatever was seen before: what is short now is shown now, and nothing is done that is not shown.
    #[test]
    fn what_is_short_is_shown(history in prop::collection::vec((0u64..200, 0u64..200, 1i64..400), 1..30)) {
        let mut manager = manager(&[("memory.available", "100")], &[("nodefs.available", "100", 60)], &[("memory.available", "20")]);
        let mut now = 0;
        for (memory, disk, pause) in history {
            now += pause;
            let mut both = seen(Signal::MemoryAvailable, memory);
            both.extend(seen(Signal::NodeFsAvailable, disk));
            let outcome = manager.look(&both, at(now));
            prop_assert!(memory >= 100 || outcome.conditions.contains(&Condition::MemoryPressure));
            prop_assert!(disk >= 100 || outcome.conditions.contains(&Condition::DiskPressure));
            if let Some(threshold) = outcome.relieve {
                prop_assert!(outcome.conditions.contains(&threshold.signal.condition()));
                prop_assert!(!manager.relieved(&both));
            }
        }
    }

    /// An order is total: whoever is compared with whom, in whatever order they come.
    #[test]
    fn ranking_does_not_depend_on_the_order(sizes in prop::collection::vec((0u64..4, 0i32..3, 0u64..3), 1..8), signal in 0usize..6) {
        let signal = Signal::ALL[signal];
        let pods: Vec<(Pod, Usage)> = sizes.iter().map(|(memory, priority, request)| sample(*memory, *priority, *request)).collect();
        let order = |reverse: bool| {
            let mut all: Vec<_> = pods.iter().map(|(pod, usage)| rank::Candidate { pod, usage: Some(usage) }).collect();
            if reverse { all.reverse(); }
            rank::rank(&mut all, signal);
            all.iter().map(|c| (c.usage.unwrap().memory(), c.pod.spec.as_ref().unwrap().priority, resources(c.pod))).collect::<Vec<_>>()
        };
        if signal == Signal::MemoryAvailable {
            let keys = |order: Vec<(u64, Option<i32>, i64)>| order.into_iter().map(|(m, p, r)| (m as i64 > r, p, m as i64 - r)).collect::<Vec<_>>();
            prop_assert_eq!(keys(order(false)), keys(order(true)));
        }
    }
}

fn resources(pod: &Pod) -> i64 {
    crate::resources::pod_requests(pod).get("memory").map_or(0, |q| q.value())
}

fn sample(memory: u64, priority: i32, request: u64) -> (Pod, Usage) {
    let mut pod = samples::pod("Always", &[], &["a"]);
    let spec = pod.spec.as_mut().unwrap();
    spec.priority = Some(priority);
    spec.containers[0].resources = serde_json::from_value(
        json!({"requests": {"memory": request.to_string(), "ephemeral-storage": request.to_string()}}),
    )
    .unwrap();
    let used = ContainerUsage { memory, root: memory, logs: 0 };
    (pod, Usage { containers: BTreeMap::from([("a".into(), used)]), processes: memory, ..Usage::default() })
}

/// Pods are named by their place; `want` is the order in which they go.
fn check_rank(signal: Signal, pods: &[(u64, i32, u64)], want: &[usize]) {
    let pods: Vec<_> = pods.iter().map(|(memory, priority, request)| sample(*memory, *priority, *request)).collect();
    let mut all: Vec<_> = pods.iter().map(|(pod, usage)| rank::Candidate { pod, usage: Some(usage) }).collect();
    rank::rank(&mut all, signal);
    let got: Vec<_> = all.iter().map(|c| pods.iter().position(|(pod, _)| std::ptr::eq(pod, c.pod)).unwrap()).collect();
    assert_eq!(got, want, "{signal:?}");
}

#[test]
fn who_goes_first() {
    // (uses, priority, requests)
    check_rank(Signal::MemoryAvailable, &[(50, 0, 100), (20, 1000, 10), (30, 0, 10), (90, 0, 10)], &[3, 2, 1, 0]);
    check_rank(Signal::NodeFsAvailable, &[(5, 0, 10), (20, 0, 10)], &[1, 0]);
    check_rank(Signal::PidAvailable, &[(900, 5, 0), (1, 0, 0), (2, 0, 0)], &[2, 1, 0]);
    let (a, b) = (sample(100, 0, 0), sample(0, 9, 0));
    let mut all = [rank::Candidate { pod: &a.0, usage: Some(&a.1) }, rank::Candidate { pod: &b.0, usage: None }];
    rank::rank(&mut all, Signal::MemoryAvailable);
    assert!(all[0].usage.is_none(), "one that cannot be measured goes first");
}

#[test]
fn messages() {
    let (pod, mut usage) = sample(2 << 20, 0, 1 << 20);
    let threshold = parse(&[("memory.available", "100Mi")], &[], &[]).unwrap().remove(0);
    let seen = Observation { available: 90 << 20, capacity: 1 << 30 };
    assert_eq!(
        message::evicted(&pod, Some(&usage), &threshold, seen),
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. \
         Container a was using 2Mi, request is 1048576, has larger consumption of memory. "
    );
    usage.containers.clear();
    let threshold = parse(&[("nodefs.inodesFree", "50%")], &[], &[]).unwrap().remove(0);
    assert_eq!(
        message::evicted(&pod, Some(&usage), &threshold, Observation { available: 1, capacity: 4096 }),
        "The node was low on resource: inodes. Threshold quantity: 2Ki, available: 1. "
    );
}

fn with(spec: Value) -> Pod {
    let mut pod = samples::pod("Always", &[], &["a"]);
    let mut whole = serde_json::to_value(pod.spec.take()).unwrap();
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod.spec = serde_json::from_value(whole).unwrap();
    pod
}

#[test]
fn own_limits_of_disk() {
    let check = |spec: Value, usage: Usage, want: Option<&str>| {
        let pod = with(spec);
        assert_eq!(local_storage::exceeded(&pod, &usage).as_deref(), want);
        assert!(want.is_none() || local_storage::is_limited(&pod));
    };
    let used = |root: u64, volume: u64| Usage {
        containers: BTreeMap::from([("a".into(), ContainerUsage { root, ..ContainerUsage::default() })]),
        empty_dirs: BTreeMap::from([("v".into(), volume)]),
        ..Usage::default()
    };
    let volume = json!({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Ki"}}]});
    check(volume.clone(), used(9999, 1024), None);
    check(volume, used(0, 1025), Some("Usage of EmptyDir volume \"v\" exceeds the limit \"1Ki\". "));
    let limit = json!({"containers": [{"name": "a", "resources": {"limits": {"ephemeral-storage": "1Ki"}}}]});
    check(limit.clone(), used(1000, 0), None);
    check(
        limit,
        used(1000, 100),
        Some("Pod ephemeral local storage usage exceeds the total limit of containers 1Ki. "),
    );
    let two = json!({"containers": [
        {"name": "a", "resources": {"limits": {"ephemeral-storage": "1Ki"}}},
        {"name": "b", "resources": {"limits": {"ephemeral-storage": "1Mi"}}}]});
    check(two, used(2000, 0), Some("Container a exceeded its local ephemeral storage limit \"1Ki\". "));
    assert!(!local_storage::is_limited(&with(json!({"volumes": [{"name": "v", "emptyDir": {}}]}))));
}

#[test]
fn pods_refused_under_pressure() {
    let check = |spec: Value, conditions: &[Condition], want: Option<&str>| {
        let got = admit(&with(spec), &conditions.iter().copied().collect());
        assert_eq!(got.err().map(|v| format!("{}: {}", v.reason, v.message)).as_deref(), want);
    };
    use Condition::{DiskPressure, MemoryPressure};
    let memory = Some("Evicted: Pod was rejected: The node had condition: [MemoryPressure]. ");
    let burstable = json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}]});
    let tolerant = json!({"tolerations": [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]});
    check(json!({}), &[], None);
    check(json!({}), &[MemoryPressure], memory);
    check(burstable.clone(), &[MemoryPressure], None);
    check(tolerant.clone(), &[MemoryPressure], None);
    check(json!({"priority": 2_000_000_000}), &[DiskPressure], None);
    check(burstable, &[DiskPressure], Some("Evicted: Pod was rejected: The node had condition: [DiskPressure]. "));
    check(
        tolerant,
        &[MemoryPressure, DiskPressure],
        Some("Evicted: Pod was rejected: The node had condition: [MemoryPressure DiskPressure]. "),
    );
}
