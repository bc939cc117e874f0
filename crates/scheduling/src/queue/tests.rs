use proptest::prelude::*;

use super::*;

const NEVER: fn(&Waiting, PluginSet, &ClusterEvent) -> Help = |_, _, _| Help::No;
const ALWAYS: fn(&Waiting, PluginSet, &ClusterEvent) -> Help = |_, _, _| Help::All;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

fn queue() -> Queue {
    Queue::new(SignedDuration::from_secs(1), SignedDuration::from_secs(10))
}

fn pod(name: &str, priority: i32) -> Waiting {
    Waiting {
        uid: name.into(),
        namespace: "default".into(),
        name: name.into(),
        profile: 0,
        shape: shape(),
        peers: Arc::default(),
        volumes: None,
        priority,
        may_preempt: true,
        gates: Vec::new(),
    }
}

/// The same for all pods, as of one ReplicaSet.
fn shape() -> Arc<Shape> {
    static SHAPE: std::sync::OnceLock<Arc<Shape>> = std::sync::OnceLock::new();
    SHAPE.get_or_init(Arc::default).clone()
}

fn refused() -> Failure {
    let mut by = PluginSet::default();
    by.insert(3);
    Failure::Unschedulable(by)
}

fn event() -> ClusterEvent {
    let mut cluster = crate::cluster::Cluster::default();
    let crate::cluster::NodeUpdate::Added(id) = cluster.set_node(&crate::object::Node::default()) else { panic!() };
    ClusterEvent::NodeAdded(id)
}

fn pop(queue: &mut Queue, millis: i64) -> Option<String> {
    queue.pop(at(millis)).map(|p| p.pod.name.to_string())
}

#[test]
fn by_priority_then_by_time() {
    let mut q = queue();
    q.apply(pod("old", 0), false, at(0));
    q.apply(pod("new", 0), false, at(1));
    q.apply(pod("high", 9), false, at(2));
    let order: Vec<_> = std::iter::from_fn(|| pop(&mut q, 3)).collect();
    assert_eq!(order, ["high", "old", "new"]);
}

#[test]
fn an_error_backs_off_from_one_to_ten_seconds() {
    let mut q = queue();
    q.apply(pod("p", 0), false, at(0));
    let mut now = 0;
    for backoff in [1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
        assert_eq!(pop(&mut q, now).as_deref(), Some("p"));
        q.failed("p", Failure::Error, at(now), false, NEVER);
        assert_eq!(q.next_tick(), Some(at(now + backoff)));
        assert_eq!(pop(&mut q, now + backoff - 1), None);
        now += backoff;
    }
}

#[test]
fn a_refused_pod_waits_for_an_event_and_cools_off() {
    let mut q = queue();
    q.apply(pod("p", 0), false, at(0));
    q.pop(at(0));
    q.failed("p", refused(), at(0), false, NEVER);
    q.event(event(), at(10), NEVER);
    assert_eq!((q.counts().unschedulable, pop(&mut q, 20_000)), (1, None));
    q.event(event(), at(10), ALWAYS);
    assert_eq!(q.counts().backoff, 1);
    // Another pod goes first; only an idle scheduler takes one that cools off.
    q.apply(pod("other", -5), false, at(20));
    assert_eq!(pop(&mut q, 30).as_deref(), Some("other"));
    assert_eq!(pop(&mut q, 30).as_deref(), Some("p"));
}

#[test]
fn after_the_backoff_an_event_activates_at_once() {
    let mut q = queue();
    q.apply(pod("p", 0), false, at(0));
    q.pop(at(0));
    q.failed("p", refused(), at(0), false, NEVER);
    q.event(event(), at(1_000), ALWAYS);
    assert_eq!(q.counts().active, 1);
    assert_eq!(q.take_incoming().get(&("active", "NodeAdd")), Some(&1));
}

#[test]
fn nothing_stays_unschedulable_for_more_than_five_minutes() {
    let mut q = queue();
    q.apply(pod("p", 0), false, at(0));
    q.pop(at(0));
    q.failed("p", refused(), at(0), false, NEVER);
    assert_eq!(pop(&mut q, 299_999), None);
    assert_eq!(pop(&mut q, 300_000).as_deref(), Some("p"));
}

#[test]
fn an_event_during_the_attempt_is_not_lost() {
    let mut q = queue();
    for name in ["p", "q"] {
        q.apply(pod(name, 0), false, at(0));
        q.pop(at(0));
    }
    q.event(event(), at(1), NEVER);
    q.failed("p", refused(), at(2), false, ALWAYS);
    q.failed("q", refused(), at(2), false, NEVER);
    assert_eq!((q.counts().backoff, q.counts().unschedulable), (1, 1));
    assert!(q.events.is_empty() && q.in_flight.is_empty());
}

#[test]
fn more_events_than_are_kept_count_as_helpful() {
    let mut q = queue();
    q.apply(pod("p", 0), false, at(0));
    q.pop(at(0));
    for _ in 0..=MAX_EVENTS {
        q.event(event(), at(1), NEVER);
    }
    assert_eq!(q.events.len(), MAX_EVENTS);
    q.failed("p", refused(), at(2), false, NEVER);
    assert_eq!(q.counts().backoff, 1);
}

#[test]
fn a_change_of_the_pod_itself_helps_whenever_it_comes() {
    let mut q = queue();
    q.apply(pod("p", 0), false, at(0));
    q.pop(at(0));
    q.failed("p", refused(), at(0), false, NEVER);
    q.apply(pod("p", 0), false, at(1));
    assert_eq!(q.counts().unschedulable, 1);
    q.apply(pod("p", 1), false, at(5_000));
    assert_eq!(pop(&mut q, 5_000).as_deref(), Some("p"));
    q.apply(pod("p", 2), false, at(5_001));
    q.failed("p", refused(), at(5_002), false, NEVER);
    assert_eq!(q.counts().backoff, 1);
}

#[derive(Clone, Debug)]
enum Op {
    Add(u8, i32),
    Gate(u8),
    Remove(u8),
    Pop,
    Refuse(u8),
    Error(u8),
    Event(bool),
    Later(u16),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        (0..6_u8, 0..3_i32).prop_map(|(p, n)| Op::Add(p, n)),
        (0..6_u8).prop_map(Op::Gate),
        (0..6_u8).prop_map(Op::Remove),
        Just(Op::Pop),
        (0..6_u8).prop_map(Op::Refuse),
        (0..6_u8).prop_map(Op::Error),
        any::<bool>().prop_map(Op::Event),
        (0..5_000_u16).prop_map(Op::Later),
    ];
    proptest::collection::vec(op, 0..80)
}

proptest! {
    /// Whatever happens in whatever order: each pod is in exactly one place, and every pod that may be tried is tried
    /// again, with or without helpful events, within six minutes of quiet.
    #[test]
    fn no_pod_is_ever_lost(ops in ops()) {
        let mut q = queue();
        let mut now = 0;
        let mut in_flight: BTreeSet<String> = BTreeSet::new();
        let mut gated: BTreeMap<String, bool> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Add(p, priority) => { gated.insert(p.to_string(), false); q.apply(pod(&p.to_string(), priority), false, at(now)); }
                Op::Gate(p) => {
                    let mut waiting = pod(&p.to_string(), 0);
                    waiting.gates.push(SchedulingGate { name: "g".into() });
                    gated.insert(p.to_string(), true);
                    q.apply(waiting, true, at(now));
                }
                Op::Remove(p) => { gated.remove(&p.to_string()); in_flight.remove(&p.to_string()); q.remove(&p.to_string()); }
                Op::Pop => if let Some(name) = pop(&mut q, now) { prop_assert!(in_flight.insert(name)); },
                Op::Refuse(p) | Op::Error(p) => {
                    let name = p.to_string();
                    if in_flight.remove(&name) {
                        let failure = if matches!(op, Op::Error(_)) { Failure::Error } else { refused() };
                        q.failed(&name, failure, at(now), gated[&name], NEVER);
                    }
                }
                Op::Event(helps) => q.event(event(), at(now), |_, _, _| if helps { Help::All } else { Help::No }),
                Op::Later(millis) => now += i64::from(millis),
            }
            let c = q.counts();
            prop_assert_eq!(c.active + c.backoff + c.unschedulable + c.gated + in_flight.len(), q.entries.len());
            prop_assert_eq!(q.entries.len(), gated.len());
            prop_assert_eq!(in_flight.is_empty(), q.in_flight.is_empty());
        }
        for name in &in_flight {
            q.failed(name, refused(), at(now), gated[name], NEVER);
        }
        prop_assert!(q.events.is_empty());
        let tried: BTreeSet<_> = std::iter::from_fn(|| pop(&mut q, now + 360_000)).collect();
        let want: BTreeSet<_> = gated.iter().filter(|(_, gated)| !**gated).map(|(name, _)| name.clone()).collect();
        prop_assert_eq!(tried, want);
    }
}
