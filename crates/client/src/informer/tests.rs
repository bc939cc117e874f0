use api_types::k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::*;
use crate::fake::Fake;

const PATH: &str = "/api/v1/namespaces/n/configmaps";
const LIST: &str = "GET /api/v1/configmaps";
const WATCH: &str = "WATCH /api/v1/configmaps";

fn object(name: &str, value: &str) -> serde_json::Value {
    json!({"metadata": {"name": name, "namespace": "n"}, "data": {"k": value}})
}

fn value(store: &Store<ConfigMap>, name: &str) -> Option<String> {
    store.get("n", name)?.data.as_ref()?.get("k").cloned()
}

async fn start(fake: &Fake) -> (Informers, Store<ConfigMap>) {
    let informers = Informers::new(fake.client(), 1, Shutdown::new());
    let store = informers.store::<ConfigMap>();
    store.synced().await;
    (informers, store)
}

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn lists_and_follows() {
    let fake = Fake::new();
    fake.set(&format!("{PATH}/a"), Some(object("a", "1")));
    let (_informers, store) = start(&fake).await;
    assert_eq!(value(&store, "a").as_deref(), Some("1"));
    let revision = fake.set(&format!("{PATH}/a"), Some(object("a", "2")));
    assert!(store.wait_revision(revision, SOON).await);
    assert_eq!(value(&store, "a").as_deref(), Some("2"));
    let revision = fake.set(&format!("{PATH}/a"), None);
    assert!(store.wait_revision(revision, SOON).await);
    assert!(store.is_empty());
    assert!(store.wait_revision(fake.bookmark(), SOON).await, "bookmarks count");
}

#[tokio::test(start_paused = true)]
async fn resumes_without_listing_again() {
    let fake = Fake::new();
    let (_informers, store) = start(&fake).await;
    fake.set_down(true);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let revision = fake.set(&format!("{PATH}/a"), Some(object("a", "while away")));
    fake.set_down(false);
    assert!(store.wait_revision(revision, Duration::from_secs(6)).await);
    assert_eq!(value(&store, "a").as_deref(), Some("while away"));
    assert_eq!(fake.requests(LIST), 1);
}

#[tokio::test(start_paused = true)]
async fn lists_again_when_the_past_is_gone() {
    let fake = Fake::new();
    fake.set(&format!("{PATH}/a"), Some(object("a", "1")));
    let (_informers, store) = start(&fake).await;
    fake.set_down(true);
    fake.set(&format!("{PATH}/a"), None);
    let revision = fake.set(&format!("{PATH}/b"), Some(object("b", "1")));
    fake.compact();
    fake.set_down(false);
    assert!(store.wait_revision(revision, Duration::from_secs(6)).await);
    assert_eq!((value(&store, "a"), value(&store, "b").as_deref()), (None, Some("1")));
    assert_eq!(fake.requests(LIST), 2);
}

#[tokio::test(start_paused = true)]
async fn one_watch_for_all_who_ask() {
    let fake = Fake::new();
    let (informers, first) = start(&fake).await;
    let second = informers.store::<ConfigMap>();
    let revision = fake.set(&format!("{PATH}/a"), Some(object("a", "1")));
    assert!(first.wait_revision(revision, SOON).await && second.wait_revision(revision, SOON).await);
    assert_eq!((fake.requests(LIST), fake.requests(WATCH)), (1, 1));
    drop((first, second));
    let third = informers.store::<ConfigMap>();
    third.synced().await;
    assert_eq!(fake.requests(LIST), 2, "the last handle ends the watch");
}

#[tokio::test(start_paused = true)]
async fn an_idle_watch_asks_for_nothing() {
    let fake = Fake::new();
    let (_informers, _store) = start(&fake).await;
    tokio::time::sleep(Duration::from_secs(250)).await;
    assert_eq!((fake.requests(LIST), fake.requests(WATCH)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn retries_are_spaced_out() {
    let fake = Fake::new();
    fake.set_down(true);
    let informers = Informers::new(fake.client(), 1, Shutdown::new());
    let store = informers.store::<ConfigMap>();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!store.has_synced());
    fake.set_down(false);
    tokio::time::timeout(LONGEST_PAUSE, store.synced()).await.expect("synced soon after the server is back");
}

#[test]
fn encodes_selectors() {
    let mut query = String::from("a=b");
    append(&mut query, "labelSelector", "app in (x,y),!z");
    assert_eq!(query, "a=b&labelSelector=app%20in%20%28x%2Cy%29%2C%21z");
}
