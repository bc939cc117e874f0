use component::TokioClock;
use jiff::Timestamp;

use super::*;
use crate::fake::Fake;

const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/l";

struct Candidate {
    leadership: Leadership,
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

fn candidate(fake: &Fake, identity: &str) -> Candidate {
    let clock = Arc::new(TokioClock::starting_at(Timestamp::UNIX_EPOCH));
    let lease = LeaseName { namespace: "kube-system".into(), name: "l".into() };
    let elector = LeaderElector::new(fake.client(), lease, identity, clock);
    let shutdown = Shutdown::new();
    Candidate { leadership: elector.leadership(), task: tokio::spawn(elector.run(shutdown.clone())), shutdown }
}

async fn within(seconds: u64, event: impl Future<Output = ()>) -> Duration {
    let begun = Instant::now();
    tokio::time::timeout(Duration::from_secs(seconds), event).await.expect("in time");
    begun.elapsed()
}

fn holder(fake: &Fake) -> String {
    fake.get(PATH).unwrap()["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_free_lease_is_taken_at_once_and_kept() {
    let fake = Fake::new();
    let mut a = candidate(&fake, "a");
    assert!(within(1, a.leadership.gained()).await < Duration::from_millis(100));
    let b = candidate(&fake, "b");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(a.leadership.leads() && !b.leadership.leads());
    assert_eq!(holder(&fake), "a");
}

#[tokio::test(start_paused = true)]
async fn who_held_it_before_takes_it_at_once() {
    let fake = Fake::new();
    let mut a = candidate(&fake, "a");
    a.leadership.gained().await;
    a.task.abort();
    let mut again = candidate(&fake, "a");
    assert!(within(1, again.leadership.gained()).await < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_dead_holder_is_followed_after_its_time() {
    let fake = Fake::new();
    let mut a = candidate(&fake, "a");
    a.leadership.gained().await;
    let mut b = candidate(&fake, "b");
    tokio::time::sleep(Duration::from_secs(30)).await;
    a.task.abort();
    let waited = within(25, b.leadership.gained()).await;
    assert!(waited >= Duration::from_secs(12), "{waited:?}");
    assert_eq!(fake.get(PATH).unwrap()["spec"]["leaseTransitions"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_ends_lets_the_next_one_in() {
    let fake = Fake::new();
    let mut a = candidate(&fake, "a");
    a.leadership.gained().await;
    let mut b = candidate(&fake, "b");
    tokio::time::sleep(Duration::from_secs(10)).await;
    a.shutdown.begin();
    a.task.await.unwrap();
    assert!(!a.leadership.leads());
    assert!(within(10, b.leadership.gained()).await <= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_cannot_renew_stops_before_another_may_begin() {
    let fake = Fake::new();
    let mut a = candidate(&fake, "a");
    a.leadership.gained().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    fake.set_down(true);
    let waited = within(15, a.leadership.lost()).await;
    assert!(waited < LeaseTimings::default().lease_duration, "{waited:?}");
    fake.set_down(false);
    within(5, a.leadership.gained()).await;
}

#[tokio::test(start_paused = true)]
async fn never_two_at_once() {
    let fake = Fake::new();
    let candidates: Vec<Candidate> = ["a", "b", "c"].iter().map(|identity| candidate(&fake, identity)).collect();
    for second in 0..300 {
        fake.set_down(second % 50 > 20 && second % 50 < 40);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(candidates.iter().filter(|candidate| candidate.leadership.leads()).count() <= 1);
    }
}
