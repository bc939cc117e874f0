use std::collections::HashSet;

use store::Outcome;

use super::*;
use crate::test_core::core;

fn service(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default", "uid": name}, "spec": spec})
}

/// Stores a Service as the server does: claims and object in one transaction, tried again while refused.
async fn create(allocator: &ServiceAllocator, service: Value) -> Result<Value, String> {
    write(allocator, service, None).await
}

async fn write(allocator: &ServiceAllocator, service: Value, old: Option<&Value>) -> Result<Value, String> {
    let core = &allocator.core;
    let id = core.resource("", "services").unwrap();
    let key = core.store.key(&id, "default", service["metadata"]["name"].as_str().unwrap());
    for _ in 0..20 {
        let mut new = service.clone();
        let claims = allocator.claim(&mut new, old).await.map_err(|status| status.message)?;
        let mut writes = claims.writes;
        writes.push(Write::put(key.clone(), api_rules::encode(&new)));
        let transaction = store::Transaction { checks: claims.checks, writes };
        if let Outcome::Committed { .. } = core.store.commit(transaction).await.unwrap() {
            return Ok(new);
        }
    }
    Err("refused too often".to_owned())
}

async fn delete(allocator: &ServiceAllocator, service: &Value) {
    let core = &allocator.core;
    let id = core.resource("", "services").unwrap();
    let key = core.store.key(&id, "default", service["metadata"]["name"].as_str().unwrap());
    let mut writes = allocator.release(service).await.unwrap().writes;
    writes.push(Write::delete(key));
    core.store.commit(store::Transaction { checks: Vec::new(), writes }).await.unwrap();
}

async fn allocator(addresses: &str, ports: &str) -> ServiceAllocator {
    let mut config = crate::test_core::config();
    config.service_cluster_ip_range = addresses.to_owned();
    config.service_node_port_range = ports.to_owned();
    ServiceAllocator::new(core(config).await).unwrap()
}

fn address(service: &Value) -> String {
    service["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_address_is_given_and_one_asked_for_is_kept() {
    let allocator = allocator("10.96.0.0/16", "30000-32767").await;
    let first = create(&allocator, service("a", json!({}))).await.unwrap();
    let given: Ipv4Addr = address(&first).parse().unwrap();
    assert!(u32::from(given) > u32::from(Ipv4Addr::new(10, 96, 1, 0)), "{given} is in the static band");
    assert_eq!(first["spec"]["clusterIPs"], json!([given.to_string()]));
    assert_eq!(first["spec"]["ipFamilies"], json!(["IPv4"]));
    let dns = create(&allocator, service("dns", json!({"clusterIP": "10.96.0.10"}))).await.unwrap();
    assert_eq!(address(&dns), "10.96.0.10");
    let again = create(&allocator, service("b", json!({"clusterIP": "10.96.0.10"}))).await.unwrap_err();
    assert_eq!(
        again,
        r#"Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.10"]: failed to allocate IP 10.96.0.10: provided IP is already allocated"#
    );
    let outside = create(&allocator, service("c", json!({"clusterIP": "10.97.0.1"}))).await.unwrap_err();
    assert!(
        outside
            .ends_with("the provided IP (10.97.0.1) is not in the valid range. The range of valid IPs is 10.96.0.0/16")
    );
    let held = allocator.core.cached("networking.k8s.io", "ipaddresses", "", "10.96.0.10").unwrap().value();
    assert_eq!(held["spec"]["parentRef"]["name"], "dns");
    let headless = create(&allocator, service("d", json!({"clusterIP": "None"}))).await.unwrap();
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
}

#[tokio::test]
async fn node_ports() {
    let allocator = allocator("10.96.0.0/16", "30000-32767").await;
    let ports = json!([{"port": 80}, {"port": 80, "protocol": "UDP"}, {"port": 81}]);
    let web = create(&allocator, service("web", json!({"type": "NodePort", "ports": ports}))).await.unwrap();
    let numbers: Vec<_> =
        web["spec"]["ports"].as_array().unwrap().iter().map(|port| port["nodePort"].as_u64().unwrap()).collect();
    assert_eq!(numbers[0], numbers[1]);
    assert_ne!(numbers[0], numbers[2]);
    let taken = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": numbers[2]}]});
    let refused = create(&allocator, service("other", taken)).await.unwrap_err();
    assert_eq!(
        refused,
        format!(
            r#"Service "other" is invalid: spec.ports[0].nodePort: Invalid value: {}: provided port is already allocated"#,
            numbers[2]
        )
    );
    let low = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]});
    let refused = create(&allocator, service("other", low)).await.unwrap_err();
    assert!(
        refused.ends_with("provided port is not in the valid range. The range of valid ports is 30000-32767"),
        "{refused}"
    );
}

#[tokio::test]
async fn what_a_service_gives_up_is_free_again() {
    let allocator = allocator("10.96.0.0/30", "30000-30000").await;
    let spec = json!({"type": "NodePort", "ports": [{"port": 80}]});
    let first = create(&allocator, service("a", spec.clone())).await.unwrap();
    create(&allocator, service("b", json!({}))).await.unwrap();
    assert_eq!(
        create(&allocator, service("c", json!({}))).await.unwrap_err(),
        "Internal error occurred: failed to allocate a serviceIP: range is full"
    );
    let mut plain = first.clone();
    plain["spec"]["type"] = json!("ClusterIP");
    let plain = write(&allocator, plain, Some(&first)).await.unwrap();
    assert_eq!(plain["spec"]["ports"], json!([{"port": 80}]));
    let mut outside = plain.clone();
    outside["spec"]["type"] = json!("ExternalName");
    let outside = write(&allocator, outside, Some(&plain)).await.unwrap();
    assert_eq!(address(&outside), "");
    let next = create(&allocator, service("c", spec.clone())).await.unwrap();
    assert_eq!(next["spec"]["ports"][0]["nodePort"], 30000);
    delete(&allocator, &next).await;
    create(&allocator, service("d", spec)).await.unwrap();
}

/// Two servers with memories of their own over one store: every number goes out once, and all go out.
#[tokio::test]
async fn never_twice_under_concurrency() {
    let first = Arc::new(allocator("10.96.0.0/26", "30000-30061").await);
    let second = Arc::new(ServiceAllocator::new(Arc::clone(&first.core)).unwrap());
    let mut tasks = Vec::new();
    for index in 0..62 {
        let allocator = Arc::clone(if index % 2 == 0 { &first } else { &second });
        tasks.push(tokio::spawn(async move {
            let spec = json!({"type": "NodePort", "ports": [{"port": 80}]});
            create(&allocator, service(&format!("s{index}"), spec)).await
        }));
    }
    let (mut addresses, mut ports) = (HashSet::new(), HashSet::new());
    for task in tasks {
        let service = task.await.unwrap().unwrap();
        assert!(addresses.insert(address(&service)), "{} twice", address(&service));
        assert!(ports.insert(service["spec"]["ports"][0]["nodePort"].as_u64().unwrap()));
    }
    assert_eq!((addresses.len(), ports.len()), (62, 62));
    assert!(create(&second, service("late", json!({}))).await.unwrap_err().ends_with("range is full"));
}

#[tokio::test]
async fn missing_claims_are_written_at_start() {
    let allocator = allocator("10.96.0.0/16", "30000-32767").await;
    let core = &allocator.core;
    let id = core.resource("", "services").unwrap();
    let old = service("old", json!({"clusterIP": "10.96.3.3", "clusterIPs": ["10.96.3.3"]}));
    let put = Write::put(core.store.key(&id, "default", "old"), api_rules::encode(&old));
    core.store.commit(store::Transaction { checks: Vec::new(), writes: vec![put] }).await.unwrap();
    allocator.repair().await.unwrap();
    let check = Check::absent(address_key(core, Ipv4Addr::new(10, 96, 3, 3)));
    let outcome = core.store.commit(store::Transaction { checks: vec![check], writes: Vec::new() }).await.unwrap();
    assert!(matches!(outcome, Outcome::Refused { .. }));
}
