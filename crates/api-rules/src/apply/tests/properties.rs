//! What holds whatever is applied by whom.

use proptest::{collection::btree_map, prelude::*};

use super::*;
use crate::apply::{compare::compare, element::Element, extract::fields, fields_v1};

fn element() -> impl Strategy<Value = Element> {
    prop_oneof![
        "[ab\"/]{1,2}".prop_map(|name| Element::field(&name)),
        ("[ab]", 0..3i64)
            .prop_map(|(name, n): (String, i64)| Element::key(vec![(name.into(), n.into()), ("k".into(), "v".into())])),
        (0..3i64).prop_map(|n| Element::Value(n.into())),
        (0..3i64).prop_map(Element::Index),
    ]
}

fn a_set() -> impl Strategy<Value = Set> {
    proptest::collection::vec(proptest::collection::vec(element(), 1..4), 0..8).prop_map(|paths| {
        let mut set = Set::default();
        paths.into_iter().for_each(|path| set.insert(path));
        set
    })
}

fn written(set: &Set) -> String {
    let mut out = Vec::new();
    fields_v1::write(set, &mut out);
    String::from_utf8(out).unwrap()
}

/// A deployment's parts: labels, a set, containers with keyed lists in them.
fn config() -> impl Strategy<Value = Value> {
    let texts = || btree_map("[abc]", "[12]", 1..3);
    let container = (texts(), "[12]", btree_map(80..83, any::<bool>(), 0..3)).prop_map(|(env, image, ports)| {
        let env: Vec<_> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let ports: Vec<_> = ports
            .iter()
            .map(|(port, udp)| json!({"containerPort": port, "protocol": if *udp { "UDP" } else { "TCP" }}))
            .collect();
        json!({"image": image, "env": env, "ports": ports})
    });
    (texts(), btree_map("[ab]", container, 0..3), 1..4, texts()).prop_map(|(labels, containers, replicas, selector)| {
        let named = |(name, mut container): (String, Value)| {
            container["name"] = name.into();
            container
        };
        let containers: Vec<_> = containers.into_iter().map(named).collect();
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "labels": labels},
            "spec": {"replicas": replicas, "selector": {"matchLabels": selector}, "template": {"spec": {"containers": containers}}}})
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sets_survive_the_wire(set in a_set()) {
        prop_assert_eq!(fields_v1::parse(&written(&set)).unwrap(), set);
    }

    #[test]
    fn sets_obey_their_algebra(a in a_set(), b in a_set()) {
        let (union, both) = (a.union(&b), a.intersection(&b));
        prop_assert!(union.contains(&a) && union.contains(&b) && a.contains(&both));
        prop_assert_eq!(union.difference(&b).union(&b), union.clone());
        prop_assert_eq!(a.difference(&b).union(&both), a.clone());
        prop_assert_eq!(a.intersects(&b), !both.is_empty());
        prop_assert!(!a.difference(&b).intersects(&b));
        let in_place = |change: &dyn Fn(&mut Set)| {
            let mut set = a.clone();
            change(&mut set);
            set
        };
        prop_assert_eq!(in_place(&|set| set.add(&b)), union);
        prop_assert_eq!(in_place(&|set| set.subtract(&b)), a.difference(&b));
        prop_assert_eq!(in_place(&|set| set.subtract_recursively(&b)), a.recursive_difference(&b));
    }

    #[test]
    fn applying_twice_is_applying_once(first in config(), second in config()) {
        let mut state = State::default();
        state.apply(DEPLOYMENT, "other", first);
        state.force(DEPLOYMENT, "me", second.clone());
        let (object, managed) = (state.object.clone(), state.managed.clone());
        state.apply(DEPLOYMENT, "me", second);
        prop_assert_eq!((state.object, state.managed), (object, managed));
    }

    /// What an applier names it owns, has, and nobody takes from it by naming something else.
    #[test]
    fn a_configuration_is_in_the_object(first in config(), second in config()) {
        let typing = typing(DEPLOYMENT);
        let mut state = State::default();
        state.apply(DEPLOYMENT, "other", first.clone());
        state.force(DEPLOYMENT, "me", second.clone());
        let changes = compare(typing.root(), Some(&second), state.object()).unwrap();
        let named = fields(typing.root(), &second);
        prop_assert!(!changes.removed.intersects(&named), "{:?}", changes);
        prop_assert!(!changes.written.intersects(&named), "{:?}", changes);
    }

    /// Whoever stops naming everything leaves what the other named.
    #[test]
    fn leaving_takes_nothing_from_others(mine in config(), theirs in config()) {
        let mut alone = State::default();
        alone.apply(DEPLOYMENT, "them", theirs.clone());
        let mut state = State::default();
        state.apply(DEPLOYMENT, "me", mine);
        state.force(DEPLOYMENT, "them", theirs.clone());
        let nothing = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}});
        state.apply(DEPLOYMENT, "me", nothing);
        let typing = typing(DEPLOYMENT);
        let named = fields(typing.root(), &theirs);
        let changes = compare(typing.root(), Some(alone.object()), state.object()).unwrap();
        prop_assert!(!changes.removed.intersects(&named), "{:?}", changes);
        prop_assert_eq!(state.managers(), vec!["them Apply".to_owned()]);
    }
}
