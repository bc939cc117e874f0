use super::*;
use crate::samples::{at, exited, pod, running, sandbox, seen};

struct Probes {
    started: bool,
    failed: Option<Failed>,
}

impl Verdicts for Probes {
    fn started(&self, _: &str) -> bool {
        self.started
    }
    fn failed(&self, _: &str) -> Option<Failed> {
        self.failed
    }
}

const HEALTHY: Probes = Probes { started: true, failed: None };

/// One line per case: `sandbox | started… | killed… | waiting… | completed`.
fn check(pod: &Pod, seen: &PodSeen, probes: &Probes, backoffs: &Backoffs, want: &str) {
    let actions = compute(&Inputs { pod, seen, probes, backoffs, now: at(100) });
    let sandbox = match &actions.sandbox {
        Sandbox::None => "none".to_owned(),
        Sandbox::Keep(id) => format!("keep {id}"),
        Sandbox::Create { attempt } => format!("create {attempt}"),
    };
    let start: Vec<_> = actions.start.iter().map(|s| format!("{}#{}", s.name, s.attempt)).collect();
    let kill: Vec<_> = actions.kill.iter().map(|k| k.id.clone()).collect();
    let wait: Vec<_> = actions.waiting.iter().map(|w| w.name.clone()).collect();
    let end = if actions.completed { " | completed" } else { "" };
    let got = format!("{sandbox} | {} | {} | {}{end}", start.join(" "), kill.join(" "), wait.join(" "));
    assert_eq!(got, want);
}

#[test]
fn from_nothing_to_running() {
    let (pod, fresh) = (pod("Always", &["i", "j"], &["a", "b"]), Backoffs::default());
    check(&pod, &PodSeen::default(), &HEALTHY, &fresh, "create 0 | i#0 |  | ");
    check(&pod, &seen(vec![running("i", 0)]), &HEALTHY, &fresh, "keep s0 |  |  | ");
    check(&pod, &seen(vec![exited("i", 0, 0)]), &HEALTHY, &fresh, "keep s0 | j#0 |  | ");
    check(&pod, &seen(vec![exited("i", 0, 0), exited("j", 0, 0)]), &HEALTHY, &fresh, "keep s0 | a#0 b#0 |  | ");
    // Collected remains of init containers do not run them again.
    check(&pod, &seen(vec![running("a", 0), running("b", 0)]), &HEALTHY, &fresh, "keep s0 |  |  | ");
    check(&pod, &seen(vec![exited("j", 0, 0)]), &HEALTHY, &fresh, "keep s0 | a#0 b#0 |  | ");
}

#[test]
fn restart_policies() {
    let fresh = Backoffs::default();
    for (policy, code, want) in [
        ("Always", 0, "keep s0 | a#1 |  | "),
        ("Always", 1, "keep s0 | a#1 |  | "),
        ("OnFailure", 1, "keep s0 | a#1 |  | "),
        ("OnFailure", 0, "none |  |  |  | completed"),
        ("Never", 1, "none |  |  |  | completed"),
        ("Never", 0, "none |  |  |  | completed"),
    ] {
        check(&pod(policy, &[], &["a"]), &seen(vec![exited("a", 0, code)]), &HEALTHY, &fresh, want);
    }
}

#[test]
fn a_failed_init_container() {
    let fresh = Backoffs::default();
    check(&pod("Never", &["i"], &["a"]), &seen(vec![exited("i", 0, 1)]), &HEALTHY, &fresh, "none |  |  |  | completed");
    check(&pod("Always", &["i"], &["a"]), &seen(vec![exited("i", 0, 1)]), &HEALTHY, &fresh, "keep s0 | i#1 |  | ");
}

#[test]
fn back_off_holds_a_restart_in_upstreams_words() {
    let pod = pod("Always", &[], &["a"]);
    let mut backoffs = Backoffs::default();
    backoffs.tried(&backoff_key(&crate::samples::container("a")), at(95), at(95));
    let seen = seen(vec![exited("a", 1, 1)]);
    check(&pod, &seen, &HEALTHY, &backoffs, "keep s0 |  |  | a");
    let actions = compute(&Inputs { pod: &pod, seen: &seen, probes: &HEALTHY, backoffs: &backoffs, now: at(100) });
    assert_eq!(actions.waiting[0].message, "back-off 10s restarting failed container=a pod=web_default(u1)");
    assert_eq!(actions.waiting[0].until, at(110));
}

#[test]
fn probes_and_changes_kill() {
    let (mut pod, fresh) = (pod("Always", &[], &["a"]), Backoffs::default());
    let sick = Probes { started: true, failed: Some(Failed::Liveness) };
    check(&pod, &seen(vec![running("a", 0)]), &sick, &fresh, "keep s0 |  | a-0 | ");
    if let Some(spec) = pod.spec.as_mut() {
        spec.containers[0].image = Some("nginx".into());
    }
    check(&pod, &seen(vec![running("a", 0)]), &HEALTHY, &fresh, "keep s0 |  | a-0 | ");
}

#[test]
fn a_dead_sandbox_is_replaced_with_everything_in_it() {
    let (pod, fresh) = (pod("Always", &["i"], &["a"]), Backoffs::default());
    let mut dead = seen(vec![exited("i", 0, 0), exited("a", 0, 137)]);
    dead.sandboxes[0].ready = false;
    check(&pod, &dead, &HEALTHY, &fresh, "create 1 | i#1 |  | ");
    // In the new sandbox the old init container counts for nothing.
    let mut renewed = dead.clone();
    renewed.sandboxes.insert(0, sandbox("s1", 1, true));
    check(&pod, &renewed, &HEALTHY, &fresh, "keep s1 | i#1 |  | ");
    let never = crate::samples::pod("Never", &[], &["a"]);
    check(&never, &dead, &HEALTHY, &fresh, "none |  |  |  | completed");
}

#[test]
fn sidecars_start_first_stay_and_do_not_keep_a_pod_alive() {
    let (mut pod, fresh) = (pod("OnFailure", &["side"], &["a"]), Backoffs::default());
    if let Some(init) = pod.spec.as_mut().and_then(|s| s.init_containers.as_mut()) {
        init[0].restart_policy = Some("Always".into());
    }
    let starting = Probes { started: false, failed: None };
    check(&pod, &seen(vec![running("side", 0)]), &starting, &fresh, "keep s0 |  |  | ");
    check(&pod, &seen(vec![running("side", 0)]), &HEALTHY, &fresh, "keep s0 | a#0 |  | ");
    check(&pod, &seen(vec![exited("side", 0, 0), running("a", 0)]), &HEALTHY, &fresh, "keep s0 | side#1 |  | ");
    check(&pod, &seen(vec![running("side", 0), exited("a", 0, 0)]), &HEALTHY, &fresh, "none |  |  |  | completed");
}

#[test]
fn counts_go_on_when_the_runtime_forgot() {
    let mut pod = pod("Always", &[], &["a"]);
    pod.status = serde_json::from_value(serde_json::json!({"containerStatuses": [
        {"name": "a", "image": "x", "imageID": "", "ready": true, "restartCount": 4, "containerID": "containerd://x"}]}))
    .unwrap();
    check(&pod, &PodSeen::default(), &HEALTHY, &Backoffs::default(), "create 0 | a#5 |  | ");
}
