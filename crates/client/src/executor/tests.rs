use api_types::{
    k8s_openapi::api::core::v1::ConfigMap,
    object::Watched,
    plan::{Target, Verb},
};
use component::{Shutdown, TokioClock};
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::{
    Informers,
    fake::{Fake, Fault},
};

const PATH: &str = "/api/v1/namespaces/n/configmaps";

struct Bench {
    fake: Fake,
    executor: Executor,
    store: Store<ConfigMap>,
    _informers: Informers,
}

async fn bench() -> Bench {
    let fake = Fake::new();
    let client = fake.client();
    let clock = Arc::new(TokioClock::starting_at(Timestamp::UNIX_EPOCH));
    let recorder = Recorder::new(client.clone(), "test", "", clock, Shutdown::new());
    let informers = Informers::new(client.clone(), 1, Shutdown::new());
    let store = informers.store::<ConfigMap>();
    store.synced().await;
    let executor = Executor::new(client, recorder);
    executor.observe(&ConfigMap::RESOURCE, &store);
    Bench { fake, executor, store, _informers: informers }
}

fn create(name: &str) -> Step {
    Step::from(Write::Create {
        resource: ConfigMap::RESOURCE,
        namespace: "n".into(),
        object: json!({"metadata": {"name": name, "namespace": "n"}}),
    })
}

fn plan(pace: Pace, steps: impl IntoIterator<Item = Step>) -> Plan {
    let mut plan = Plan::default();
    plan.stage(pace, steps);
    plan
}

#[tokio::test(start_paused = true)]
async fn our_own_writes_are_in_the_cache_afterwards() {
    let Bench { executor, store, .. } = bench().await;
    executor.run(&plan(Pace::Together, ["a", "b", "c"].map(create))).await.unwrap();
    assert_eq!(store.len(), 3);
    let object = store.get("n", "a").unwrap();
    let delete = Write::Delete { target: Target::of(&*object), propagation: None, grace_seconds: None };
    executor.run(&plan(Pace::InOrder, [delete.into()])).await.unwrap();
    assert_eq!(store.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_fails_ends_the_plan() {
    let Bench { executor, fake, .. } = bench().await;
    fake.fault(Fault::Refuse(500));
    let mut plan = plan(Pace::InOrder, ["a", "b"].map(create));
    plan.stage(Pace::InOrder, [create("c")]);
    let error = executor.run(&plan).await.unwrap_err();
    assert_eq!((error.failure.verb, error.failure.code), (Verb::Create, 500));
    assert_eq!(fake.requests("POST"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_start_asks_once_when_all_is_refused() {
    let Bench { executor, fake, .. } = bench().await;
    let pods: Vec<Step> = (0..100).map(|number| create(&number.to_string())).collect();
    fake.fault(Fault::Refuse(403));
    assert!(executor.run(&plan(Pace::SlowStart, pods.clone())).await.is_err());
    assert_eq!(fake.requests("POST"), 1);
    executor.run(&plan(Pace::SlowStart, pods)).await.unwrap();
    assert_eq!(fake.requests("POST"), 101);
}

#[tokio::test(start_paused = true)]
async fn after_an_unknown_outcome_the_cache_is_listed_again() {
    let Bench { executor, fake, store, .. } = bench().await;
    fake.fault(Fault::LoseAnswer);
    let error = executor.run(&plan(Pace::InOrder, [create("a")])).await.unwrap_err();
    assert_eq!(error.failure.code, 0);
    assert!(store.get("n", "a").is_some(), "it happened, and we know");
    assert_eq!(fake.requests("GET /api/v1/configmaps"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_there_or_gone_already_is_as_good() {
    let Bench { executor, fake, .. } = bench().await;
    fake.set(&format!("{PATH}/a"), Some(json!({"metadata": {"name": "a", "namespace": "n"}})));
    let ensure = Write::Ensure {
        resource: ConfigMap::RESOURCE,
        namespace: "n".into(),
        object: json!({"metadata": {"name": "a"}}),
    };
    executor.run(&plan(Pace::InOrder, [ensure.into()])).await.unwrap();
    let target = Target::named(ConfigMap::RESOURCE, "n", "nobody");
    let delete = Write::Delete { target, propagation: None, grace_seconds: None };
    executor.run(&plan(Pace::InOrder, [delete.into()])).await.unwrap();
    assert!(executor.run(&plan(Pace::InOrder, [create("a")])).await.unwrap_err().source.already_exists());
}

#[tokio::test(start_paused = true)]
async fn reports_what_was_done() {
    let Bench { executor, fake, store, .. } = bench().await;
    let regarding = api_types::plan::reference(&*Arc::new(ConfigMap::default()));
    let step = create("a").done(Note::normal(regarding.clone(), "SuccessfulCreate", "Created: {name}"));
    executor.run(&plan(Pace::InOrder, [step])).await.unwrap();
    fake.fault(Fault::Refuse(500));
    let step = create("b").failed(Note::warning(regarding, "FailedCreate", "Error creating: {error}"));
    executor.run(&plan(Pace::InOrder, [step])).await.unwrap_err();
    // The events' own revisions come through the same log.
    while fake.requests("POST /api/v1/namespaces/default/events") < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(store.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_start_gathers_speed_without_waiting_for_batches() {
    let Bench { executor, fake, store, .. } = bench().await;
    let begun = tokio::time::Instant::now();
    fake.set_answer_time(Duration::from_millis(100));
    executor.run(&plan(Pace::SlowStart, (0..500).map(|number| create(&number.to_string())))).await.unwrap();
    assert_eq!(store.len(), 500);
    // Six doublings to 64 at once, and the rest at that pace.
    assert!(begun.elapsed() < Duration::from_millis(1700), "{:?}", begun.elapsed());
}
