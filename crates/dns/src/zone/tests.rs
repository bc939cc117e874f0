//! Questions and answers, one line each.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

/// A cluster of a few objects.
#[derive(Default)]
struct Known {
    services: Vec<Arc<Service>>,
    slices: Vec<Arc<EndpointSlice>>,
}

impl View for Known {
    fn has_namespace(&self, name: &str) -> bool {
        ["default", "kube-system"].contains(&name)
    }
    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        let named = |one: &&Arc<Service>| &*one.metadata.namespace == namespace && &*one.metadata.name == name;
        self.services.iter().find(named).cloned()
    }
    fn services_at(&self, address: IpAddr) -> Vec<Arc<Service>> {
        self.services.iter().filter(|one| one.addresses().contains(&address)).cloned().collect()
    }
    fn slices_of(&self, namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>> {
        let of = |one: &&Arc<EndpointSlice>| &*one.metadata.namespace == namespace && one.service() == Some(service);
        self.slices.iter().filter(of).cloned().collect()
    }
    fn slices_at(&self, address: IpAddr) -> Vec<Arc<EndpointSlice>> {
        let has = |one: &&Arc<EndpointSlice>| {
            one.endpoints.iter().any(|endpoint| endpoint.addresses().any(|other| other == address))
        };
        self.slices.iter().filter(has).cloned().collect()
    }
}

fn service(namespace: &str, name: &str, spec: Value) -> Arc<Service> {
    let object = json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec});
    serde_json::from_value(object).unwrap()
}

fn slice(service: &str, ports: Value, endpoints: Value) -> Arc<EndpointSlice> {
    let labels = BTreeMap::from([("kubernetes.io/service-name", service)]);
    let metadata = json!({"namespace": "default", "name": format!("{service}-x"), "labels": labels});
    serde_json::from_value(json!({"metadata": metadata, "ports": ports, "endpoints": endpoints})).unwrap()
}

fn cluster() -> Known {
    let http = json!([{"name": "http", "port": 80, "protocol": "TCP"}, {"port": 9000, "protocol": "UDP"}]);
    Known {
        services: vec![
            service("kube-system", "kube-dns", json!({"clusterIP": "10.96.0.10"})),
            service("default", "web", json!({"clusterIP": "10.96.1.1", "ports": http})),
            service("default", "dual", json!({"clusterIP": "10.96.1.2", "clusterIPs": ["10.96.1.2", "fd00::2"]})),
            service("default", "db", json!({"clusterIP": "None", "ports": [{"name": "sql", "port": 5432}]})),
            service("default", "empty", json!({"clusterIP": "None"})),
            service("default", "out", json!({"type": "ExternalName", "externalName": "example.org"})),
        ],
        slices: vec![
            slice("web", json!([{"name": "http", "port": 8080}]), json!([{"addresses": ["10.244.0.9"]}])),
            slice(
                "db",
                json!([{"name": "sql", "port": 5432, "protocol": "TCP"}]),
                json!([
                    {"addresses": ["10.244.0.5"], "hostname": "db-0"},
                    {"addresses": ["10.244.1.6"], "conditions": {"ready": true}},
                    {"addresses": ["10.244.1.7"], "conditions": {"ready": false}, "hostname": "db-2"},
                ]),
            ),
            slice("empty", json!([]), json!([{"addresses": ["10.244.1.8"], "conditions": {"ready": false}}])),
        ],
    }
}

/// Asks `TYPE name`; the answer is its data, `alias …`, or how it is missing.
fn check(question: &str, expected: &str) {
    let (kind, name) = question.split_once(' ').unwrap();
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    let zone = Zone::new("cluster.local").unwrap();
    let answer = match zone.answer(&cluster(), &name, kind.parse().unwrap()).unwrap() {
        Answer::Records(records) => {
            assert!(records.iter().all(|record| record.name == name), "{question}");
            records.iter().map(|record| record.data.to_string()).collect::<Vec<_>>().join(", ")
        }
        Answer::Alias { target, .. } => format!("alias {target}"),
        Answer::NoData => "no data".into(),
        Answer::NoName => "no name".into(),
        Answer::Elsewhere => "elsewhere".into(),
    };
    assert_eq!(answer, expected, "{question}");
}

#[test]
fn services() {
    check("A web.default.svc.cluster.local", "10.96.1.1");
    check("AAAA web.default.svc.cluster.local", "no data");
    check("TXT web.default.svc.cluster.local", "no data");
    check("A dual.default.svc.cluster.local", "10.96.1.2");
    check("AAAA dual.default.svc.cluster.local", "fd00::2");
    check("A nothing.default.svc.cluster.local", "no name");
    check("A web.other.svc.cluster.local", "no name");
}

#[test]
fn headless_services() {
    check("A db.default.svc.cluster.local", "10.244.0.5, 10.244.1.6");
    check("A db-0.db.default.svc.cluster.local", "10.244.0.5");
    check("A 10-244-1-6.db.default.svc.cluster.local", "10.244.1.6");
    check("A db-2.db.default.svc.cluster.local", "no name");
    check("A empty.default.svc.cluster.local", "no name");
}

#[test]
fn endpoints_of_other_services_have_names_too() {
    check("A 10-244-0-9.web.default.svc.cluster.local", "10.244.0.9");
}

#[test]
fn ports() {
    check("SRV _http._tcp.web.default.svc.cluster.local", "0 100 80 web.default.svc.cluster.local.");
    check("A _http._tcp.web.default.svc.cluster.local", "no data");
    check("SRV _http._udp.web.default.svc.cluster.local", "no name");
    check("SRV _none._tcp.web.default.svc.cluster.local", "no name");
    check(
        "SRV _sql._tcp.db.default.svc.cluster.local",
        "0 50 5432 10-244-1-6.db.default.svc.cluster.local., 0 50 5432 db-0.db.default.svc.cluster.local.",
    );
    check(
        "SRV web.default.svc.cluster.local",
        "0 50 80 web.default.svc.cluster.local., 0 50 9000 web.default.svc.cluster.local.",
    );
    check("SRV http.tcp.web.default.svc.cluster.local", "no name");
}

#[test]
fn external_names_are_aliases() {
    check("A out.default.svc.cluster.local", "alias example.org.");
    check("CNAME out.default.svc.cluster.local", "alias example.org.");
    check("SRV out.default.svc.cluster.local", "no data");
    check("A x.out.default.svc.cluster.local", "no name");
}

#[test]
fn pods() {
    check("A 10-244-0-5.default.pod.cluster.local", "10.244.0.5");
    check("AAAA 10-244-0-5.default.pod.cluster.local", "no data");
    check("AAAA fd00--5.default.pod.cluster.local", "fd00::5");
    check("A 10-244-0-5.other.pod.cluster.local", "no name");
    check("A 10-244-0.default.pod.cluster.local", "no name");
}

#[test]
fn addresses_have_names() {
    check("PTR 1.1.96.10.in-addr.arpa", "web.default.svc.cluster.local.");
    check("PTR 5.0.244.10.in-addr.arpa", "db-0.db.default.svc.cluster.local.");
    check("PTR 9.0.244.10.in-addr.arpa", "10-244-0-9.web.default.svc.cluster.local.");
    check("PTR 1.2.0.192.in-addr.arpa", "elsewhere");
    let dual = format!("2.{}0.0.d.f.ip6.arpa", "0.".repeat(27));
    check(&format!("PTR {dual}"), "dual.default.svc.cluster.local.");
}

#[test]
fn the_zone_itself() {
    check("TXT dns-version.cluster.local", "1.1.0");
    check("A dns-version.cluster.local", "no data");
    check("NS cluster.local", "ns.dns.cluster.local.");
    check("A ns.dns.cluster.local", "10.96.0.10");
    check("A cluster.local", "no data");
    check("A svc.cluster.local", "no data");
    check("A default.svc.cluster.local", "no data");
    check("A other.svc.cluster.local", "no name");
    check("A anything.cluster.local", "no name");
    check("A a.b.c.d.e.f.svc.cluster.local", "no name");
}

#[test]
fn the_rest_is_not_ours() {
    check("A example.org", "elsewhere");
    check("A web.default.svc.cluster.local.example.org", "elsewhere");
    check("A local", "elsewhere");
}

#[test]
fn absence_is_kept_for_thirty_seconds() {
    let soa = Zone::new("cluster.local").unwrap().soa().unwrap();
    assert_eq!(soa.ttl, 30);
    assert!(soa.data.to_string().ends_with(" 30"), "{}", soa.data);
}

#[test]
fn no_question_makes_it_panic() {
    let zone = Zone::new("cluster.local").unwrap();
    for label in ["", "-", "_", "__", "a-", "--", "0", "255-255-255-256", "\\255"] {
        for tail in ["cluster.local", "svc.cluster.local", "default.pod.cluster.local", "in-addr.arpa", "ip6.arpa"] {
            for depth in 1..6 {
                let name = format!("{}.{tail}", vec![label; depth].join("."));
                let Ok(name) = Name::from_ascii(&name) else { continue };
                for kind in [RecordType::A, RecordType::SRV, RecordType::PTR, RecordType::ANY] {
                    let _ = zone.answer(&cluster(), &name, kind);
                }
            }
        }
    }
}
