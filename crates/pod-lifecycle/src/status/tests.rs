use super::*;
use crate::samples::{at, exited, pod, running, seen};
use serde_json::json;

struct All(bool);

impl Healths for All {
    fn ready(&self, _: &str) -> bool {
        self.0
    }
    fn started(&self, _: &str) -> bool {
        true
    }
}

fn make(pod: &Pod, seen: &PodSeen, ready: bool, over: bool, waiting: &[(&str, &str, &str)]) -> PodStatus {
    let waiting = waiting.iter().map(|(n, r, m)| ((*n).to_owned(), ((*r).to_owned(), (*m).to_owned()))).collect();
    let hosts = ["192.168.0.1".to_owned()];
    let health = All(ready);
    let verdict = None;
    generate(&Inputs {
        pod,
        seen,
        waiting: &waiting,
        health: &health,
        host_ips: &hosts,
        runtime: "containerd",
        over,
        verdict,
        resize: &View::default(),
        now: at(7),
    })
}

/// `phase condition=status…`, conditions in short: S(andbox) I(nitialized) R(eady) C(ontainersReady).
fn summary(status: &PodStatus) -> String {
    let mut text = status.phase.clone().unwrap_or_default();
    for (short, name) in
        [("S", "PodReadyToStartContainers"), ("I", "Initialized"), ("R", "Ready"), ("C", "ContainersReady")]
    {
        let found = status.conditions.iter().flatten().find(|c| c.type_ == name).unwrap();
        let reason = found.reason.as_deref().map(|r| format!(":{r}")).unwrap_or_default();
        text += &format!(" {short}{}{reason}", if found.status == "True" { "+" } else { "-" });
    }
    text
}

#[test]
fn phases_and_conditions() {
    let none = PodSeen::default();
    let always = pod("Always", &[], &["a"]);
    let never = pod("Never", &[], &["a"]);
    let init = pod("Never", &["i"], &["a"]);
    let rows: Vec<(&Pod, PodSeen, bool, bool, &str)> = vec![
        (&always, none.clone(), true, false, "Pending S- I+ R-:ContainersNotReady C-:ContainersNotReady"),
        (&always, seen(vec![running("a", 0)]), true, false, "Running S+ I+ R+ C+"),
        (
            &always,
            seen(vec![running("a", 0)]),
            false,
            false,
            "Running S+ I+ R-:ContainersNotReady C-:ContainersNotReady",
        ),
        (
            &always,
            seen(vec![exited("a", 0, 1)]),
            true,
            false,
            "Running S+ I+ R-:ContainersNotReady C-:ContainersNotReady",
        ),
        (
            &always,
            seen(vec![exited("a", 0, 0)]),
            true,
            true,
            "Succeeded S- I+:PodCompleted R-:PodCompleted C-:PodCompleted",
        ),
        (
            &never,
            seen(vec![exited("a", 0, 0)]),
            true,
            false,
            "Succeeded S+ I+:PodCompleted R-:PodCompleted C-:PodCompleted",
        ),
        (&never, seen(vec![exited("a", 0, 3)]), true, false, "Failed S+ I+ R-:PodFailed C-:PodFailed"),
        (
            &init,
            seen(vec![running("i", 0)]),
            true,
            false,
            "Pending S+ I-:ContainersNotInitialized R-:ContainersNotReady C-:ContainersNotReady",
        ),
        (
            &init,
            seen(vec![exited("i", 0, 1)]),
            true,
            false,
            "Failed S+ I-:ContainersNotInitialized R-:PodFailed C-:PodFailed",
        ),
        (&always, none.clone(), true, true, "Failed S- I+ R-:PodFailed C-:PodFailed"),
    ];
    for (pod, seen, ready, over, want) in rows {
        assert_eq!(summary(&make(pod, &seen, ready, over, &[])), want);
    }
}

#[test]
fn a_refused_pod_says_nothing_of_its_containers() {
    let pod = pod("Always", &[], &["a"]);
    let verdict = Verdict::rejected("OutOfcpu", "too big");
    let (waiting, health, seen) = (BTreeMap::new(), All(true), PodSeen::default());
    let status = generate(&Inputs {
        pod: &pod,
        seen: &seen,
        waiting: &waiting,
        health: &health,
        host_ips: &[],
        runtime: "containerd",
        over: true,
        verdict: Some(&verdict),
        resize: &View::default(),
        now: at(7),
    });
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("OutOfcpu")));
    assert_eq!((status.container_statuses, verdict.event_reason()), (None, "OutOfcpu"));
}

#[test]
fn a_crash_loop_shows_the_last_end() {
    let pod = pod("Always", &[], &["a"]);
    let status = make(&pod, &seen(vec![exited("a", 2, 3)]), true, false, &[("a", "CrashLoopBackOff", "back-off 10s")]);
    let container = &status.container_statuses.as_ref().unwrap()[0];
    assert_eq!(container.restart_count, 2);
    let waiting = container.state.as_ref().unwrap().waiting.as_ref().unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("CrashLoopBackOff"));
    let last = container.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (3, Some("Error")));
    assert_eq!(last.container_id.as_deref(), Some("containerd://a-2"));
    assert_eq!(status.phase.as_deref(), Some("Running"));
}

#[test]
fn waiting_reasons_by_default() {
    for (init, want) in [(&[][..], "ContainerCreating"), (&["i"][..], "PodInitializing")] {
        let status = make(&pod("Always", init, &["a"]), &PodSeen::default(), true, false, &[]);
        let state = status.container_statuses.unwrap()[0].state.clone().unwrap();
        assert_eq!(state.waiting.unwrap().reason.as_deref(), Some(want));
    }
}

#[test]
fn addresses_generation_and_class() {
    let status = make(&pod("Always", &[], &["a"]), &seen(vec![running("a", 0)]), true, false, &[]);
    assert_eq!(status.pod_ip.as_deref(), Some("10.0.0.5"));
    assert_eq!(status.host_ip.as_deref(), Some("192.168.0.1"));
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
    assert_eq!(status.start_time, Some(Time(at(7))));
}

#[test]
fn readiness_gates_hold_the_pod_unready() {
    let mut pod = pod("Always", &[], &["a"]);
    pod.spec.as_mut().unwrap().readiness_gates = serde_json::from_value(json!([{"conditionType": "x.io/up"}])).unwrap();
    let status = make(&pod, &seen(vec![running("a", 0)]), true, false, &[]);
    assert_eq!(summary(&status), "Running S+ I+ R-:ReadinessGatesNotReady C+");
}

/// Generating again from one's own result, with nothing new, changes nothing.
#[test]
fn is_a_fixed_point() {
    for containers in [vec![], vec![running("a", 1)], vec![exited("a", 1, 1), exited("a", 0, 1)]] {
        let mut pod = pod("Always", &[], &["a"]);
        let seen = seen(containers);
        let first = make(&pod, &seen, true, false, &[]);
        pod.status = Some(first.clone());
        let again = make(&pod, &seen, true, false, &[]);
        assert!(!differs(Some(&first), &again), "{first:?} {again:?}");
    }
}

#[test]
fn the_patch_holds_only_what_changed() {
    let mut pod = pod("Always", &[], &["a"]);
    let before = make(&pod, &seen(vec![running("a", 0)]), false, false, &[]);
    pod.status = Some(before.clone());
    let after = make(&pod, &seen(vec![running("a", 0)]), true, false, &[]);
    let patch = patch(&pod, Some(&before), &after).unwrap();
    assert_eq!(patch["metadata"]["uid"], "u1");
    let status = patch["status"].as_object().unwrap();
    assert_eq!(status.keys().collect::<Vec<_>>(), ["conditions", "containerStatuses"]);
    let ready = &status["conditions"][0];
    assert_eq!((&ready["type"], &ready["status"], &ready["reason"]), (&json!("Ready"), &json!("True"), &json!(null)));
    assert_eq!(super::patch(&pod, Some(&after), &after), None);
}
