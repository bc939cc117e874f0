use super::*;
use crate::test_core;

#[tokio::test]
async fn a_second_start_writes_signs_of_life_alone() {
    let core = test_core::core(test_core::config()).await;
    let services = ServiceAllocator::new(Arc::clone(&core)).unwrap();
    run(&core, &services).await.unwrap();
    core.store.ping().await.unwrap();
    let revision = newest(&core).await;
    run(&core, &services).await.unwrap();
    // The key of the living and the identity's Lease.
    assert_eq!(newest(&core).await, revision + 2);
}

#[tokio::test]
async fn what_a_cluster_starts_with() {
    let core = test_core::core(test_core::config()).await;
    let services = ServiceAllocator::new(Arc::clone(&core)).unwrap();
    run(&core, &services).await.unwrap();
    newest(&core).await;
    let get = |group: &str, resource: &str, namespace: &str, name: &str| {
        let found = core.cached(group, resource, namespace, name);
        found.unwrap_or_else(|| panic!("no {resource} {namespace}/{name}")).value()
    };
    assert_eq!(get("", "namespaces", "", "kube-node-lease")["status"]["phase"], "Active");
    assert_eq!(get("", "services", "default", "kubernetes")["spec"]["clusterIP"], "10.96.0.1");
    assert_eq!(get("", "endpoints", "default", "kubernetes")["subsets"][0]["addresses"][0]["ip"], "192.0.2.7");
    assert_eq!(get("discovery.k8s.io", "endpointslices", "default", "kubernetes")["ports"][0]["port"], 6443);
    assert_eq!(get("scheduling.k8s.io", "priorityclasses", "", "system-node-critical")["value"], 2_000_001_000);
    let flow = "flowcontrol.apiserver.k8s.io";
    assert_eq!(get(flow, "prioritylevelconfigurations", "", "exempt")["spec"]["type"], "Exempt");
    assert_eq!(get(flow, "flowschemas", "", "catch-all")["spec"]["matchingPrecedence"], 10_000);
    let range = get("networking.k8s.io", "servicecidrs", "", "kubernetes");
    assert_eq!(
        (&range["spec"]["cidrs"], &range["status"]["conditions"][0]["type"]),
        (&json!(["10.96.0.0/16"]), &json!("Ready"))
    );
    let local = get("apiregistration.k8s.io", "apiservices", "", "v1.apps");
    assert_eq!(local["status"]["conditions"][0]["reason"], "Local");
    let rbac = "rbac.authorization.k8s.io";
    assert_eq!(get(rbac, "clusterrolebindings", "", "cluster-admin")["subjects"][0]["name"], "system:masters");
    let rules = |name: &str| get(rbac, "clusterroles", "", name)["rules"].as_array().map_or(0, Vec::len);
    assert!(rules("admin") > rules("edit") && rules("edit") > rules("view") && rules("view") > 5);
}

#[tokio::test]
async fn the_way_to_the_api_comes_back() {
    let core = test_core::core(test_core::config()).await;
    let services = Arc::new(ServiceAllocator::new(Arc::clone(&core)).unwrap());
    run(&core, &services).await.unwrap();
    let (kept, allocator) = (Arc::clone(&core), Arc::clone(&services));
    let keeper = tokio::spawn(async move { keep(&kept, &allocator).await });
    tokio::task::yield_now().await;
    let id = core.resource("", "services").unwrap();
    let mut watcher = core
        .store
        .watch(&id, store::Filter::everything(), store::WatchFrom::State(store::Freshness::Latest))
        .await
        .unwrap();
    let mut writes = vec![store::Write::delete(core.store.key(&id, "default", "kubernetes"))];
    let old = core.cached("", "services", "default", "kubernetes").unwrap();
    writes.extend(crate::claims::Claimant::release(&*services, &old.value()).await.unwrap().writes);
    core.store.commit(store::Transaction { checks: Vec::new(), writes }).await.unwrap();
    let back = async {
        loop {
            if let store::Step::Events(events) = watcher.next().await.unwrap()
                && events.iter().any(|event| event.object.uid() != old.uid())
            {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), back).await.expect("the Service is made again");
    keeper.abort();
}

#[tokio::test(start_paused = true)]
async fn clients_are_led_to_the_servers_that_live() {
    let backend = Arc::new(store::memory::Memory::new());
    let server = async |address: &str| {
        let config = crate::Config { advertise_address: Some(address.parse().unwrap()), ..test_core::config() };
        let core = test_core::core_on(config, backend.clone()).await;
        let services = Arc::new(ServiceAllocator::new(Arc::clone(&core)).unwrap());
        run(&core, &services).await.unwrap();
        let (kept, allocator) = (Arc::clone(&core), Arc::clone(&services));
        let keeper = tokio::spawn(async move { keep(&kept, &allocator).await });
        (core, services, keeper)
    };
    let (first, _, keeper) = server("192.0.2.7").await;
    let (second, services, second_keeper) = server("192.0.2.8").await;
    until_led_to(&first, &["192.0.2.7", "192.0.2.8"]).await;
    second_keeper.abort();
    leave(&second, &services).await.unwrap();
    until_led_to(&first, &["192.0.2.7"]).await;
    let (_, _, third_keeper) = server("192.0.2.9").await;
    until_led_to(&first, &["192.0.2.7", "192.0.2.9"]).await;
    third_keeper.abort();
    until_led_to(&first, &["192.0.2.7"]).await;
    let identities = first.cached_list("coordination.k8s.io", "leases").unwrap();
    assert_eq!(identities.iter().filter(|lease| lease.name().starts_with("apiserver-")).count(), 3);
    keeper.abort();
}

/// Waits, on a clock that runs ahead, until Endpoints and EndpointSlice name exactly these.
async fn until_led_to(core: &Core, addresses: &[&str]) {
    let named = || -> Option<[Vec<String>; 2]> {
        let endpoints = core.cached("", "endpoints", "default", "kubernetes")?.value();
        let slice = core.cached("discovery.k8s.io", "endpointslices", "default", "kubernetes")?.value();
        let texts = |list: &Value, pointer: &str| {
            let items = list.as_array().into_iter().flatten();
            items.filter_map(|item| item.pointer(pointer)?.as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        Some([texts(&endpoints["subsets"][0]["addresses"], "/ip"), texts(&slice["endpoints"], "/addresses/0")])
    };
    let reached = async {
        while named().is_none_or(|named| named.iter().any(|named| named != addresses)) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), reached).await;
    assert!(waited.is_ok(), "led to {:?} instead of {addresses:?}", named());
}

/// The revision after a consistent read: the cache has everything.
async fn newest(core: &Core) -> i64 {
    let id = core.resource("", "namespaces").unwrap();
    core.store.get(&id, "", "default", store::Freshness::Latest).await.unwrap();
    core.store.revision()
}
