use api_types::k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::*;

fn object(name: &str, uid: &str, version: u64) -> Arc<dyn Cached> {
    let object: ConfigMap = serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "n", "uid": uid, "resourceVersion": version.to_string()},
    }))
    .unwrap();
    Arc::new(object)
}

fn store() -> Store<ConfigMap> {
    let watch = tokio_util::sync::CancellationToken::new().drop_guard();
    Store::new(Arc::new(Cache::new()), Arc::new(watch))
}

/// What a subscriber is told, in short.
fn told(subscription: &mut Subscription<ConfigMap>) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(event) = subscription.try_next() {
        let version = |object: &ConfigMap| object.resource_version().to_owned();
        told.push(match event {
            Event::Applied { old: None, new } => format!("+{}@{}", new.name(), version(&new)),
            Event::Applied { old: Some(old), new } => format!("{}@{}>{}", new.name(), version(&old), version(&new)),
            Event::Deleted(old) => format!("-{}@{}", old.name(), version(&old)),
        });
    }
    told
}

#[test]
fn subscribers_see_what_is_there_and_what_changes() {
    let store = store();
    store.cache.replace(vec![object("a", "1", 1), object("b", "2", 2)], 5);
    let mut subscription = store.subscribe();
    assert_eq!(told(&mut subscription), ["+a@1", "+b@2"]);
    store.cache.apply(object("a", "1", 6));
    store.cache.delete(&*object("b", "2", 7));
    assert_eq!(told(&mut subscription), ["a@1>6", "-b@2"]);
    assert_eq!(store.revision(), 7);
}

#[test]
fn changes_that_wait_are_merged() {
    let store = store();
    store.cache.replace(vec![object("a", "1", 1)], 1);
    let mut subscription = store.subscribe();
    told(&mut subscription);
    for version in 2..100 {
        store.cache.apply(object("a", "1", version));
    }
    store.cache.apply(object("new", "3", 100));
    store.cache.delete(&*object("new", "3", 101));
    assert_eq!(told(&mut subscription), ["a@1>99"]);
    // Made again under the same name: another object.
    store.cache.delete(&*object("a", "1", 102));
    store.cache.apply(object("a", "9", 103));
    assert_eq!(told(&mut subscription), ["-a@99", "+a@103"]);
}

#[test]
fn a_list_tells_only_the_difference() {
    let store = store();
    store.cache.replace(vec![object("a", "1", 1), object("b", "2", 2), object("c", "3", 3)], 5);
    let mut subscription = store.subscribe();
    told(&mut subscription);
    store.cache.replace(vec![object("a", "1", 1), object("b", "2", 8), object("d", "4", 9)], 9);
    assert_eq!(told(&mut subscription), ["-c@3", "b@2>8", "+d@9"]);
    store.cache.replace(vec![object("b", "other", 4)], 4);
    assert_eq!(store.revision(), 4, "a restored etcd begins again at an older revision");
    assert_eq!(told(&mut subscription), ["-a@1", "-d@9", "-b@8", "+b@4"]);
}

#[test]
fn indexes_follow() {
    let store = store();
    store.cache.replace(vec![object("a", "1", 1)], 1);
    let by_uid = store.index(|object| vec![object.uid().to_owned()]);
    store.cache.apply(object("b", "1", 2));
    assert_eq!(by_uid.get("1").len(), 2);
    store.cache.apply(object("a", "7", 3));
    assert_eq!((by_uid.get("1").len(), by_uid.get("7").len()), (1, 1));
    store.cache.delete(&*object("b", "1", 4));
    assert!(by_uid.get("1").is_empty());
    assert_eq!(store.list_in("n").len(), 1);
    assert!(store.list_in("other").is_empty());
}

#[test]
fn a_subscription_that_is_gone_is_forgotten() {
    let store = store();
    drop(store.subscribe());
    store.cache.apply(object("a", "1", 1));
    assert!(store.cache.listeners() == 0);
}

#[tokio::test(start_paused = true)]
async fn waits_for_revisions_and_for_ends() {
    let store = store();
    store.cache.replace(vec![object("a", "1", 1)], 1);
    let short = Duration::from_secs(1);
    assert!(!store.wait_revision(2, short).await);
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.wait_revision(2, short).await && store.wait_gone("n", "a", "1", short).await }
    });
    tokio::task::yield_now().await;
    store.cache.reach(2);
    tokio::task::yield_now().await;
    store.cache.delete(&*object("a", "1", 3));
    assert!(waiting.await.unwrap());
    assert!(store.wait_gone("n", "a", "other uid", short).await);
}

#[tokio::test(start_paused = true)]
async fn short_gaps_do_not_make_deaf() {
    let store = store();
    assert_eq!(store.listening_for(), None);
    store.cache.heard();
    tokio::time::advance(Duration::from_secs(60)).await;
    store.cache.lost();
    tokio::time::advance(Duration::from_secs(1)).await;
    store.cache.heard();
    assert_eq!(store.listening_for(), Some(Duration::from_secs(61)));
    store.cache.lost();
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(store.listening_for(), None);
    store.cache.heard();
    assert_eq!(store.listening_for(), Some(Duration::ZERO));
}
