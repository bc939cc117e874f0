use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api_types::plan::{PatchStyle, Propagation, Write};
use serde_json::{Value, json};

use super::*;

const THINGS: Resource = Resource::new("", "v1", "Thing", "things", true);

/// The API: objects by name, and which write fails.
#[derive(Clone, Default)]
struct Api {
    objects: BTreeMap<String, Value>,
    revision: u64,
    writes: usize,
    fail_at: Option<usize>,
}

impl Api {
    fn put(&mut self, name: &str, owners: &[(&str, bool)]) {
        let owners: Vec<Value> = owners
            .iter()
            .map(|(owner, blocks)| {
                json!({"apiVersion": "v1", "kind": "Thing", "name": owner, "uid": format!("{owner}-uid"), "blockOwnerDeletion": blocks})
            })
            .collect();
        self.revision += 1;
        let object = json!({"metadata": {
            "name": name, "namespace": "n", "uid": format!("{name}-uid"), "ownerReferences": owners,
            "resourceVersion": self.revision.to_string(),
        }});
        self.objects.insert(name.to_owned(), object);
    }

    fn delete(&mut self, name: &str, propagation: Propagation) {
        let finalizer = match propagation {
            Propagation::Background => {
                self.objects.remove(name);
                return;
            }
            Propagation::Foreground => FOREGROUND,
            Propagation::Orphan => ORPHAN,
        };
        self.revision += 1;
        let metadata = &mut self.objects.get_mut(name).unwrap()["metadata"];
        metadata["finalizers"] = json!([finalizer]);
        metadata["deletionTimestamp"] = json!("2030-01-01T00:00:00Z");
        metadata["resourceVersion"] = json!(self.revision.to_string());
    }

    fn write(&mut self, write: &Write) -> bool {
        self.writes += 1;
        if self.fail_at == Some(self.writes) {
            return false;
        }
        let (Write::Patch { target, .. } | Write::Delete { target, .. }) = write else { panic!("{write:?}") };
        let Some(object) = self.objects.get_mut(&target.name) else { return matches!(write, Write::Delete { .. }) };
        let metadata = &mut object["metadata"];
        assert_eq!(metadata["uid"].as_str(), target.uid.as_deref());
        if metadata["resourceVersion"].as_str() != target.resource_version.as_deref() {
            return false;
        }
        match write {
            Write::Delete { propagation, .. } => self.delete(&target.name.clone(), propagation.unwrap()),
            Write::Patch { style: PatchStyle::Merge, body, .. } => {
                for (field, value) in body["metadata"].as_object().unwrap() {
                    metadata[field] = value.clone();
                }
                self.revision += 1;
                metadata["resourceVersion"] = json!(self.revision.to_string());
                if metadata["deletionTimestamp"].is_string() && metadata["finalizers"] == json!([]) {
                    self.objects.remove(&target.name);
                }
            }
            other => panic!("{other:?}"),
        }
        true
    }
}

/// The collector with its queue, and what it knows of the API.
#[derive(Default)]
struct Collector {
    graph: Graph,
    known: BTreeMap<String, Value>,
    queue: BTreeSet<Box<str>>,
}

impl Collector {
    fn watch(&mut self, api: &Api) {
        let gone: Vec<String> = self.known.keys().filter(|name| !api.objects.contains_key(*name)).cloned().collect();
        for name in gone {
            self.known.remove(&name);
            self.queue.extend(self.graph.removed(&format!("{name}-uid")));
        }
        for (name, value) in &api.objects {
            if self.known.get(name) != Some(value) {
                self.known.insert(name.clone(), value.clone());
                let object: Object = serde_json::from_value(value.clone()).unwrap();
                self.queue.extend(self.graph.seen(&Arc::new(THINGS), &Arc::new(object)));
            }
        }
    }

    /// Works until the queue is empty.
    fn run(&mut self, api: &mut Api) {
        let mapping = |_: &str, kind: &str| (kind == "Thing").then_some(THINGS);
        for _ in 0..1000 {
            self.watch(api);
            let Some(uid) = self.queue.pop_first() else { return };
            match self.graph.decide(&uid, &mapping) {
                Verdict::Ask(owner) => {
                    let exists = api
                        .objects
                        .get(&owner.name)
                        .is_some_and(|o| o["metadata"]["uid"].as_str() == owner.uid.as_deref());
                    if !exists {
                        self.graph.known_gone(&owner.uid.unwrap());
                    }
                    self.queue.insert(uid);
                }
                Verdict::Do(plan) => {
                    if !plan.writes().all(|write| api.write(write)) {
                        self.queue.insert(uid);
                    }
                }
            }
        }
        panic!("no end");
    }
}

/// What is left after `act`, whatever single write fails.
fn check(objects: &[(&str, &[(&str, bool)])], act: impl Fn(&mut Api), expected: &[&str]) {
    let mut writes = 0;
    let mut fail_at = 0;
    while fail_at <= writes {
        let (mut api, mut collector) = (Api::default(), Collector::default());
        for (name, owners) in objects {
            api.put(name, owners);
        }
        collector.run(&mut api);
        act(&mut api);
        api.writes = 0;
        api.fail_at = (fail_at > 0).then_some(fail_at);
        collector.run(&mut api);
        writes = writes.max(api.writes);
        let left: Vec<&str> = api.objects.keys().map(String::as_str).collect();
        assert_eq!(left, expected, "write {fail_at} failed");
        fail_at += 1;
    }
}

const CHAIN: &[(&str, &[(&str, bool)])] = &[("a", &[]), ("b", &[("a", true)]), ("c", &[("b", true)]), ("other", &[])];

#[test]
fn background() {
    check(CHAIN, |api| api.delete("a", Propagation::Background), &["other"]);
}

#[test]
fn foreground() {
    check(CHAIN, |api| api.delete("a", Propagation::Foreground), &["other"]);
}

#[test]
fn orphan() {
    check(CHAIN, |api| api.delete("a", Propagation::Orphan), &["b", "c", "other"]);
}

#[test]
fn one_of_two_owners_is_enough() {
    let objects: &[(&str, &[(&str, bool)])] = &[("a", &[]), ("b", &[]), ("c", &[("a", true), ("b", false)])];
    check(objects, |api| api.delete("a", Propagation::Background), &["b", "c"]);
    check(objects, |api| api.delete("a", Propagation::Foreground), &["b", "c"]);
    let both = |api: &mut Api| {
        api.delete("a", Propagation::Background);
        api.delete("b", Propagation::Background);
    };
    check(objects, both, &[]);
}

#[test]
fn an_owner_that_never_was_is_asked_for() {
    check(&[("a", &[("nobody", true)])], |_| {}, &[]);
}

#[test]
fn an_owner_of_an_unknown_kind_is_not_taken_for_absent() {
    let mut api = Api::default();
    api.put("a", &[("x", true)]);
    api.objects.get_mut("a").unwrap()["metadata"]["ownerReferences"][0]["kind"] = json!("Custom");
    Collector::default().run(&mut api);
    assert_eq!(api.objects.len(), 1);
}

#[test]
fn a_dependent_that_does_not_block_holds_nobody_up() {
    let (mut api, mut collector) = (Api::default(), Collector::default());
    api.put("a", &[]);
    api.put("b", &[("a", false)]);
    api.objects.get_mut("b").unwrap()["metadata"]["finalizers"] = json!(["held/up"]);
    collector.run(&mut api);
    api.delete("a", Propagation::Foreground);
    collector.run(&mut api);
    assert!(!api.objects.contains_key("a"));
}

#[test]
fn the_same_name_with_another_uid_is_not_the_owner() {
    let (mut api, mut collector) = (Api::default(), Collector::default());
    api.put("a", &[]);
    api.put("b", &[("a", true)]);
    api.objects.get_mut("a").unwrap()["metadata"]["uid"] = json!("made-again");
    collector.run(&mut api);
    assert_eq!(api.objects.keys().collect::<Vec<_>>(), ["a"]);
}

/// A kind that is served later was never taken for absent, and is asked for as soon as that is possible.
#[test]
fn kinds_come_and_go() {
    const WIDGETS: Resource = Resource::new("example.com", "v1", "Widget", "widgets", true);
    let object = |name: &str, owner: Option<&str>| -> Object {
        let owners: Vec<Value> = owner
            .iter()
            .map(|owner| json!({"apiVersion": "example.com/v1", "kind": "Widget", "name": owner, "uid": format!("{owner}-uid")}))
            .collect();
        let metadata = json!({"name": name, "namespace": "n", "uid": format!("{name}-uid"), "ownerReferences": owners});
        serde_json::from_value(json!({ "metadata": metadata })).unwrap()
    };
    let mut graph = Graph::default();
    graph.seen(&Arc::new(THINGS), &Arc::new(object("dependent", Some("owner"))));
    let unknown = |_: &str, _: &str| None;
    assert_eq!(graph.decide("dependent-uid", &unknown), Verdict::Do(Plan::default()));
    assert_eq!(graph.watched(&THINGS), Vec::<Box<str>>::new());
    assert_eq!(graph.watched(&WIDGETS), ["dependent-uid".into()]);
    let known = |_: &str, _: &str| Some(WIDGETS);
    assert!(matches!(graph.decide("dependent-uid", &known), Verdict::Ask(owner) if owner.name == "owner"));

    graph.seen(&Arc::new(WIDGETS), &Arc::new(object("owner", None)));
    assert_eq!(graph.watched(&WIDGETS), Vec::<Box<str>>::new());
    graph.unwatched(&WIDGETS);
    assert_eq!(graph.len(), 1);
    assert_eq!(graph.decide("dependent-uid", &unknown), Verdict::Do(Plan::default()), "not known is not gone");
}
