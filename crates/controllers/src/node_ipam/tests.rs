use super::*;

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn small() -> Allocator {
    Allocator::new(&[cidr("10.0.0.0/22")], (24, 64), &[]).unwrap()
}

#[test]
fn gives_each_node_its_own() {
    let mut ranges = small();
    let all: BTreeSet<Cidr> = (0..4).flat_map(|node| ranges.choose(&node.to_string()).unwrap()).collect();
    assert_eq!(all.len(), 4);
    assert_eq!(ranges.choose("one more"), None);
    let again = ranges.choose("2").unwrap();
    assert_eq!(ranges.choose("2").unwrap(), again);
    ranges.gone("2");
    assert_eq!(ranges.choose("one more"), Some(again));
}

#[test]
fn respects_what_nodes_have() {
    let mut ranges = Allocator::new(&[cidr("10.0.0.0/22")], (24, 64), &[cidr("10.0.3.0/28")]).unwrap();
    ranges.seen("a", &[cidr("10.0.0.0/24")]);
    ranges.seen("b", &[cidr("10.0.1.0/24")]);
    assert_eq!(ranges.choose("c"), Some(vec![cidr("10.0.2.0/24")]));
    assert_eq!(ranges.choose("d"), None, "the rest is excluded");
}

#[test]
fn a_range_given_twice_by_others_is_free_when_both_are_gone() {
    let mut ranges = Allocator::new(&[cidr("10.0.0.0/24")], (24, 64), &[]).unwrap();
    ranges.seen("a", &[cidr("10.0.0.0/24")]);
    ranges.seen("b", &[cidr("10.0.0.0/24")]);
    ranges.gone("a");
    assert_eq!(ranges.choose("c"), None);
    ranges.gone("b");
    assert!(ranges.choose("c").is_some());
}

#[test]
fn both_families_or_none() {
    let mut ranges = Allocator::new(&[cidr("10.0.0.0/24"), cidr("fd00::/56")], (24, 64), &[]).unwrap();
    assert_eq!(ranges.choose("a"), Some(vec![cidr("10.0.0.0/24"), cidr("fd00::/64")]));
    assert_eq!(ranges.choose("b"), None);
}

#[test]
fn refuses_what_cannot_work() {
    assert_eq!(
        Allocator::new(&[cidr("10.0.0.0/24")], (16, 64), &[]).unwrap_err(),
        ConfigError::Prefix(cidr("10.0.0.0/24"), 16)
    );
    let twice = [cidr("10.0.0.0/16"), cidr("10.1.0.0/16")];
    assert_eq!(Allocator::new(&twice, (24, 64), &[]).unwrap_err(), ConfigError::Families);
}

/// Whatever the order of nodes coming and going, and of writes refused, no two nodes ever have one range.
#[test]
fn never_twice() {
    let mut state = 1_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut ranges = small();
    let mut stored: BTreeMap<String, Vec<Cidr>> = BTreeMap::new();
    for _ in 0..10_000 {
        let node = random(7).to_string();
        match random(4) {
            0 => {
                ranges.gone(&node);
                stored.remove(&node);
            }
            1 => {
                // The server refused the write.
                if ranges.choose(&node).is_some() && !stored.contains_key(&node) {
                    ranges.gone(&node);
                }
            }
            2 => {
                // The answer was lost; the write happened.
                if let Some(chosen) = ranges.choose(&node) {
                    stored.insert(node.clone(), chosen);
                }
            }
            _ => {
                if let Some(chosen) = ranges.choose(&node) {
                    stored.insert(node.clone(), chosen.clone());
                    ranges.seen(&node, &chosen);
                }
            }
        }
        let all: Vec<&Cidr> = stored.values().flatten().collect();
        let different: BTreeSet<&Cidr> = all.iter().copied().collect();
        assert_eq!(all.len(), different.len(), "{stored:?}");
    }
}
