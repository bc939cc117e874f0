//! A model of the API and of the other actors, for convergence tests: plans are carried out on it as the real executor
//! and the real server would, and any single write can be made to fail.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    object::{Resource, Watched},
    plan::{Failure, Pace, PatchStyle, Plan, Target, Write},
};
use jiff::{Timestamp, ToSpan};
use serde_json::{Map, Value, json};

type Place = (String, String, String);

#[derive(Clone, Debug)]
pub struct World {
    objects: BTreeMap<Place, Value>,
    revision: u64,
    pub now: Timestamp,
    /// Writes so far, and the one that fails.
    pub writes: usize,
    pub fail_at: Option<usize>,
}

impl World {
    pub fn new() -> Self {
        let now = Timestamp::from_second(1_000_000).unwrap();
        Self { objects: BTreeMap::new(), revision: 1, now, writes: 0, fail_at: None }
    }

    fn place(resource: &Resource, namespace: &str, name: &str) -> Place {
        (resource.plural.to_string(), namespace.to_owned(), name.to_owned())
    }

    /// Puts an object in, as a user would.
    pub fn put<K: Watched>(&mut self, mut object: Value) {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (text("namespace"), text("name"));
        object["metadata"]["generation"] = json!(1);
        self.stamp(&mut object);
        self.objects.insert(Self::place(&K::RESOURCE, &namespace, &name), object);
    }

    fn stamp(&mut self, object: &mut Value) {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{}", self.revision));
            object["metadata"]["creationTimestamp"] = json!(self.now);
        }
    }

    pub fn all<K: Watched>(&self) -> Vec<Arc<K>> {
        let decode = |value: &Value| Arc::new(serde_json::from_value(value.clone()).unwrap());
        self.objects.iter().filter(|((plural, ..), _)| *plural == K::RESOURCE.plural).map(|(_, o)| decode(o)).collect()
    }

    pub fn get<K: Watched>(&self, namespace: &str, name: &str) -> Option<K> {
        let value = self.objects.get(&Self::place(&K::RESOURCE, namespace, name))?;
        Some(serde_json::from_value(value.clone()).unwrap())
    }

    /// The object with all its fields.
    pub fn raw<K: Watched>(&self, namespace: &str, name: &str) -> &Value {
        &self.objects[&Self::place(&K::RESOURCE, namespace, name)]
    }

    /// Changes an object as its other actors do.
    pub fn change<K: Watched>(&mut self, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let place = Self::place(&K::RESOURCE, namespace, name);
        let mut object = self.objects[&place].clone();
        let before = object.clone();
        change(&mut object);
        if object["spec"] != before["spec"] {
            object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap_or_default() + 1);
        }
        if object != before {
            self.stamp(&mut object);
            self.objects.insert(place, object);
        }
    }

    pub fn remove<K: Watched>(&mut self, namespace: &str, name: &str) {
        self.objects.remove(&Self::place(&K::RESOURCE, namespace, name));
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now += seconds.seconds();
    }

    /// Carries a plan out, up to its first failure.
    pub fn run(&mut self, plan: &Plan) -> Result<(), Failure> {
        for stage in &plan.stages {
            let mut failure = None;
            for step in &stage.steps {
                if let Err(failed) = self.write(&step.write) {
                    failure = Some(failed);
                    if stage.pace != Pace::Together {
                        break;
                    }
                }
            }
            if let Some(failure) = failure {
                return Err(failure);
            }
        }
        Ok(())
    }

    fn write(&mut self, write: &Write) -> Result<(), Failure> {
        self.writes += 1;
        let failed = |code: u16, message: &str| Failure {
            verb: write.verb(),
            resource: write.resource().clone(),
            message: message.to_owned(),
            code,
        };
        if self.fail_at == Some(self.writes) {
            return Err(failed(500, "the disk is full"));
        }
        match write {
            Write::Create { resource, namespace, object } | Write::Ensure { resource, namespace, object } => {
                let mut object = object.clone();
                object["metadata"]["namespace"] = json!(namespace);
                if object["metadata"]["name"].is_null()
                    && let Some(prefix) = object["metadata"]["generateName"].as_str()
                {
                    object["metadata"]["name"] = json!(format!("{prefix}{}", self.revision));
                }
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                let place = Self::place(resource, namespace, &name);
                if self.objects.contains_key(&place) {
                    return if matches!(write, Write::Ensure { .. }) { Ok(()) } else { Err(failed(409, "exists")) };
                }
                object["metadata"]["generation"] = json!(1);
                self.stamp(&mut object);
                self.objects.insert(place, object);
                Ok(())
            }
            Write::Patch { target, subresource, style, body } => {
                let (place, old) = self.find(target).map_err(|code| failed(code, "precondition"))?;
                let mut new = old.clone();
                merge(&mut new, body, *style == PatchStyle::Strategic);
                self.store(place, old, new, *subresource);
                Ok(())
            }
            Write::Replace { target, subresource, object } => {
                let (place, old) = self.find(target).map_err(|code| failed(code, "precondition"))?;
                if object["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"] {
                    return Err(failed(409, "changed"));
                }
                self.store(place, old, object.clone(), *subresource);
                Ok(())
            }
            Write::Delete { target, grace_seconds, .. } => match self.find(target) {
                Err(404) => Ok(()),
                Err(code) => Err(failed(code, "precondition")),
                Ok((place, mut object)) => {
                    let graceful = place.0 == "pods" && *grace_seconds != Some(0);
                    if graceful {
                        object["metadata"]["deletionTimestamp"] = json!(self.now);
                        self.stamp(&mut object);
                        self.objects.insert(place, object);
                    } else {
                        self.objects.remove(&place);
                    }
                    Ok(())
                }
            },
            Write::Post { .. } => panic!("no controller posts"),
        }
    }

    fn find(&self, target: &Target) -> Result<(Place, Value), u16> {
        let place = Self::place(&target.resource, &target.namespace, &target.name);
        let object = self.objects.get(&place).ok_or(404_u16)?.clone();
        let differs = |wanted: &Option<String>, field: &str| {
            wanted.as_ref().is_some_and(|wanted| object["metadata"][field] != json!(wanted))
        };
        if differs(&target.uid, "uid") || differs(&target.resource_version, "resourceVersion") {
            return Err(409);
        }
        Ok((place, object))
    }

    fn store(&mut self, place: Place, old: Value, mut new: Value, subresource: Option<&str>) {
        // A status write changes the status (and annotations), another one everything else.
        let keep = if subresource == Some("status") { "spec" } else { "status" };
        new[keep] = old[keep].clone();
        if new[keep].is_null() {
            new.as_object_mut().unwrap().remove(keep);
        }
        if new["spec"] != old["spec"] {
            new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or_default() + 1);
        }
        if new != old {
            self.stamp(&mut new);
            self.objects.insert(place, new);
        }
    }
}

/// JSON merge patch; with the lists of strategic merge that controllers use (by uid or by type).
fn merge(into: &mut Value, patch: &Value, strategic: bool) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    for (key, value) in patch {
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = value.as_array().unwrap();
            into[list].as_array_mut().unwrap().retain(|item| !gone.contains(item));
        } else if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else if strategic && let Value::Array(items) = value {
            let by = if key == "ownerReferences" { "uid" } else { "type" };
            let list = &mut into[key.as_str()];
            if list.is_null() {
                *list = json!([]);
            }
            let list = list.as_array_mut().unwrap();
            for item in items {
                if item.is_string() {
                    if !list.contains(item) {
                        list.push(item.clone());
                    }
                    continue;
                }
                let known = list.iter().position(|known| known[by] == item[by]);
                match (known, item["$patch"] == "delete") {
                    (Some(index), true) => drop(list.remove(index)),
                    (Some(index), false) => merge(&mut list[index], item, true),
                    (None, false) => list.push(item.clone()),
                    (None, true) => {}
                }
            }
        } else {
            merge(&mut into[key.as_str()], value, strategic);
        }
    }
}

/// Repeats `round` until it has nothing more to write; then it must stay so.
///
/// The same from the start with every single write failing once. `round` plans, carries out, and lets the other actors
/// act; it returns whether anything happened.
pub fn converges(start: &World, rounds: usize, mut round: impl FnMut(&mut World) -> bool, check: impl Fn(&World)) {
    let mut undisturbed = start.clone();
    settle(&mut undisturbed, rounds, &mut round);
    check(&undisturbed);
    for number in 1..=undisturbed.writes {
        let mut world = World { fail_at: Some(start.writes + number), ..start.clone() };
        settle(&mut world, rounds + 5, &mut round);
        check(&world);
    }
}

fn settle(world: &mut World, rounds: usize, round: &mut impl FnMut(&mut World) -> bool) {
    for _ in 0..rounds {
        let quiet = !round(world);
        world.pass(1);
        if quiet {
            let before = world.objects.clone();
            assert!(!round(world), "quiet, and then again not");
            assert_eq!(before, world.objects);
            return;
        }
    }
    panic!("no fixed point after {rounds} rounds: {:#?}", world.objects);
}
