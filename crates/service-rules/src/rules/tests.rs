use proptest::prelude::*;
use serde_json::json;

use super::*;

fn rules() -> Rules {
    Rules::new(Settings {
        table: "t".into(),
        node_name: "here".into(),
        node_port_addresses: vec!["192.168.0.1".parse().unwrap()],
        cluster_cidrs: vec!["10.0.0.0/8".parse().unwrap()],
        ..Settings::default()
    })
}

fn service(name: &str, ip: &str, external: &[&str], affinity: bool) -> Arc<Service> {
    let spec = json!({"clusterIP": ip, "externalIPs": external, "ports": [{"port": 80}],
        "sessionAffinity": if affinity { "ClientIP" } else { "None" }});
    Arc::new(serde_json::from_value(json!({"metadata": {"name": name, "namespace": "n"}, "spec": spec})).unwrap())
}

fn slice(service: &str, endpoints: &[u8]) -> Arc<EndpointSlice> {
    let endpoints: Vec<_> =
        endpoints.iter().map(|n| json!({"addresses": [format!("10.0.0.{n}")], "nodeName": "there"})).collect();
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {"name": format!("{service}-1"), "namespace": "n", "labels": {"kubernetes.io/service-name": service}},
            "endpoints": endpoints, "ports": [{"port": 8080}]}))
        .unwrap(),
    )
}

#[test]
fn a_change_is_a_few_elements() {
    let mut rules = rules();
    rules.everything(false);
    rules.apply_service(service("a", "10.96.0.1", &[], false));
    rules.apply_slice(slice("a", &[1, 2]));
    let text = rules.changes().text;
    assert_eq!(
        text,
        "add chain ip t pick-2\n\
         flush chain ip t pick-2\n\
         add rule ip t pick-2 dnat ip to ip daddr . tcp dport . numgen random mod 2 map @endpoints-tcp\n\
         add rule ip t pick-2 dnat ip to ip daddr . udp dport . numgen random mod 2 map @endpoints-udp\n\
         add rule ip t pick-2 dnat ip to ip daddr . sctp dport . numgen random mod 2 map @endpoints-sctp\n\
         add rule ip t pick-2 drop\n\
         add element ip t cluster-ips { 10.96.0.1 }\n\
         add element ip t frontends { 10.96.0.1 . tcp . 80 : goto pick-2 }\n\
         add element ip t endpoints-tcp { 10.96.0.1 . 80 . 0 : 10.0.0.1 . 8080, 10.96.0.1 . 80 . 1 : 10.0.0.2 . 8080 }\n"
    );
    rules.apply_slice(slice("a", &[1, 3]));
    assert_eq!(
        rules.changes().text,
        "delete element ip t endpoints-tcp { 10.96.0.1 . 80 . 1 }\n\
         add element ip t endpoints-tcp { 10.96.0.1 . 80 . 1 : 10.0.0.3 . 8080 }\n"
    );
    rules.apply_slice(slice("a", &[1, 3]));
    assert_eq!(rules.changes(), Transaction { text: String::new(), udp: false });
    rules.remove_service("n", "a");
    rules.remove_slice(&slice("a", &[]));
    let gone = rules.changes().text;
    assert!(gone.lines().all(|line| line.starts_with("delete element")), "{gone}");
    assert_eq!(rules.services.len(), 0);
}

#[test]
fn the_first_has_what_two_claim() {
    let mut rules = rules();
    rules.apply_service(service("b", "10.96.0.2", &["1.2.3.4"], false));
    rules.apply_slice(slice("b", &[2]));
    rules.everything(false);
    let key = Key::PortSlot(Frontend { ip: "1.2.3.4".parse().unwrap(), protocol: Protocol::Tcp, port: 80 }, 0);
    let at = |rules: &Rules| rules.shadow.get(Table::Endpoints(Protocol::Tcp), key).map(|value| value.to_string());
    rules.apply_service(service("a", "10.96.0.1", &["1.2.3.4"], false));
    rules.apply_slice(slice("a", &[1]));
    rules.changes();
    let owner = at(&rules);
    assert_eq!(owner.as_deref(), Some(" : 10.0.0.2 . 8080"), "who has it keeps it");
    rules.remove_service("n", "b");
    rules.changes();
    assert_eq!(at(&rules).as_deref(), Some(" : 10.0.0.1 . 8080"));
}

#[test]
fn ranges() {
    let check = |range: &str, ip: &str, want: bool| {
        assert_eq!(range.parse::<Cidr>().unwrap().contains(ip.parse().unwrap()), want, "{ip} in {range}");
    };
    check("10.0.0.0/8", "10.255.0.1", true);
    check("10.0.0.0/8", "11.0.0.1", false);
    check("0.0.0.0/0", "11.0.0.1", true);
    check("0.0.0.0/0", "::1", false);
    check("fd00::/64", "fd00::1:2", true);
    check("1.2.3.4/32", "1.2.3.5", false);
}

/// The kernel, as far as elements go. It refuses what nft would refuse.
#[derive(Default, Debug, PartialEq)]
struct Model(BTreeMap<(String, String), String>);

impl Model {
    fn apply(&mut self, text: &str) {
        for line in text.lines() {
            let words: Vec<_> = line.splitn(6, ' ').collect();
            let [verb, kind, family, _, name, rest] = words[..] else { continue };
            let table = format!("{family} {name}");
            match (verb, kind) {
                ("flush", _) => {}
                (_, "element") => {
                    for element in rest.trim_start_matches("{ ").trim_end_matches(" }").split(", ") {
                        let (key, value) = element.split_once(" : ").unwrap_or((element, ""));
                        let at = (table.clone(), key.to_owned());
                        if verb == "add" {
                            assert!(self.0.insert(at, value.to_owned()).is_none(), "{element} is there already");
                        } else {
                            assert!(self.0.remove(&at).is_some(), "{element} is not there");
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

proptest! {
    /// Differences lead to exactly what everything at once leads to, and never add twice or delete what is not there.
    #[test]
    fn differences_add_up(steps in proptest::collection::vec(
        (0..4_usize, 0..4_usize, proptest::collection::vec(1..6_u8, 0..4), any::<bool>()), 1..40,
    )) {
        const NAMES: [&str; 4] = ["a", "b", "c", "d"];
        let mut rules = rules();
        let mut kernel = Model::default();
        kernel.apply(&rules.everything(false).text);
        for (n, (which, kind, endpoints, flag)) in steps.into_iter().enumerate() {
            let name = NAMES[which];
            match kind {
                0 => rules.apply_service(service(name, &format!("10.96.0.{which}"), if flag { &["1.2.3.4"] } else { &[] }, endpoints.len() % 2 == 1)),
                1 if flag => rules.remove_service("n", name),
                2 if flag => rules.remove_slice(&slice(name, &[])),
                _ => rules.apply_slice(slice(name, &endpoints)),
            }
            if n % 3 == 0 {
                kernel.apply(&rules.changes().text);
            }
        }
        kernel.apply(&rules.changes().text);
        let mut whole = Model::default();
        whole.apply(&rules.everything(false).text);
        prop_assert_eq!(kernel, whole);
    }
}
