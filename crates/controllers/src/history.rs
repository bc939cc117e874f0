//! ControllerRevisions: the templates that a StatefulSet or a DaemonSet has had, numbered, so that it can go back.
//!
//! Decides which revision is the one of a template, what a new one holds and is called, and which may be forgotten.
//! Two revisions are the same when their templates are, whatever their names say; the text that is hashed is the one
//! that upstream's controllers write, so that a set taken over from them keeps its revisions and its pods.

use std::{cmp::Ordering, sync::Arc};

use api_types::{
    k8s_openapi::{
        api::{apps::v1::ControllerRevision, core::v1::PodTemplateSpec},
        apimachinery::pkg::{apis::meta::v1::ObjectMeta, runtime::RawExtension},
    },
    object::Watched,
    plan::{PatchStyle, Step, Target, Write},
};
use serde_json::{Map, Value, json};

use crate::adoption::controller_reference;

/// Names a revision by the hash of its template.
pub const HASH_LABEL: &str = "controller.kubernetes.io/hash";
/// On pods: of which revision they are. A StatefulSet's have the revision's name, a DaemonSet's its hash.
pub const POD_LABEL: &str = "controller-revision-hash";
/// Without vowels and look-alikes, so that no hash is a word.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// A revision's name has room for a hash and a dash behind this many bytes.
const PREFIX: usize = 223;

/// What a revision holds: the template as a patch of the workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Data(Value);

impl Data {
    pub fn of(template: &PodTemplateSpec) -> Self {
        // A template always encodes: it came as JSON.
        let mut template = json!(template);
        for list in ["containers", "initContainers"] {
            for container in template["spec"][list].as_array_mut().into_iter().flatten() {
                // Go writes this field whether it is set or not.
                if container["resources"].is_null() {
                    container["resources"] = json!({});
                }
            }
        }
        template["$patch"] = json!("replace");
        let mut data = json!({"spec": {"template": without_nulls(template)}});
        data.sort_all_objects();
        Self(data)
    }

    /// The bytes that are hashed: keys in order, and escaped as Go's encoder does.
    fn text(&self) -> String {
        let mut text = String::new();
        for c in self.0.to_string().chars() {
            match c {
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => text.push_str(&format!("\\u{:04x}", c as u32)),
                c => text.push(c),
            }
        }
        text
    }

    /// FNV-1, as StatefulSets name their revisions.
    pub fn hash(&self, collisions: Option<i32>) -> String {
        let step = |hash: u32, byte: &u8| hash.wrapping_mul(FNV_PRIME) ^ u32::from(*byte);
        let hash = self.text().as_bytes().iter().fold(FNV_BASIS, step);
        let salt = collisions.map(|count| count.to_string()).unwrap_or_default();
        encoded(salt.as_bytes().iter().fold(hash, step))
    }

    /// Whether a stored revision has this template.
    fn is_of(&self, revision: &ControllerRevision) -> bool {
        let Some(RawExtension(stored)) = &revision.data else { return false };
        comparable(&self.0) == comparable(stored)
    }
}

const FNV_BASIS: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

fn encoded(hash: u32) -> String {
    hash.to_string().bytes().map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).collect()
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// What means the same is equal: nulls, and resources that ask for nothing, are left out.
fn comparable(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let says_nothing = |(key, value): &(&String, &Value)| {
                value.is_null() || key.as_str() == "resources" && value.as_object().is_some_and(Map::is_empty)
            };
            Value::Object(
                fields
                    .iter()
                    .filter(|field| !says_nothing(field))
                    .map(|(key, value)| (key.clone(), comparable(value)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(comparable).collect()),
        other => other.clone(),
    }
}

/// The template that a revision keeps.
pub fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let RawExtension(data) = revision.data.as_ref()?;
    serde_json::from_value(data["spec"]["template"].clone()).ok()
}

/// The revisions of one workload, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct Revisions(Vec<Arc<ControllerRevision>>);

/// Which revision a template is.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// The newest there is.
    Newest(Arc<ControllerRevision>),
    /// A former one, which becomes the newest.
    Former(Arc<ControllerRevision>),
    Unknown,
}

impl Revisions {
    pub fn new(mut owned: Vec<Arc<ControllerRevision>>) -> Self {
        owned.sort_by(|a, b| compare(a, b));
        Self(owned)
    }

    pub fn all(&self) -> &[Arc<ControllerRevision>] {
        &self.0
    }

    /// The number of a revision that follows all there are.
    pub fn next(&self) -> i64 {
        self.0.last().map_or(1, |newest| newest.revision + 1)
    }

    pub fn named(&self, name: &str) -> Option<&Arc<ControllerRevision>> {
        self.0.iter().find(|revision| revision.metadata.name.as_deref() == Some(name))
    }

    /// Of several equal ones the newest counts.
    pub fn place(&self, data: &Data) -> Place {
        let Some(index) = self.0.iter().rposition(|revision| data.is_of(revision)) else { return Place::Unknown };
        let found = self.0[index].clone();
        if index + 1 == self.0.len() { Place::Newest(found) } else { Place::Former(found) }
    }

    /// Those that nothing holds on to, beyond the newest `limit` of them: to be deleted, the oldest first.
    pub fn forgotten(&self, limit: Option<i32>, in_use: impl Fn(&ControllerRevision) -> bool) -> Vec<Step> {
        let limit = usize::try_from(limit.unwrap_or(10)).unwrap_or_default();
        let idle: Vec<_> = self.0.iter().filter(|revision| !in_use(revision)).collect();
        let excess = idle.len().saturating_sub(limit);
        let delete = |revision: &&Arc<ControllerRevision>| {
            Step::from(Write::Delete { target: Target::of(&***revision), propagation: None, grace_seconds: None })
        };
        idle.iter().take(excess).map(delete).collect()
    }
}

fn compare(a: &ControllerRevision, b: &ControllerRevision) -> Ordering {
    let created = |revision: &ControllerRevision| revision.metadata.creation_timestamp.as_ref().map(|time| time.0);
    a.revision
        .cmp(&b.revision)
        .then_with(|| created(a).cmp(&created(b)))
        .then_with(|| a.metadata.name.cmp(&b.metadata.name))
}

/// The revision that is to be made of a template.
pub struct Fresh<'a, O> {
    pub owner: &'a O,
    pub metadata: &'a ObjectMeta,
    pub template: &'a PodTemplateSpec,
    pub data: &'a Data,
    /// The label that holds the hash.
    pub label: &'static str,
    pub hash: &'a str,
    pub number: i64,
}

/// `owner-hash`.
pub fn name(owner: &str, hash: &str) -> String {
    let end = (0..=PREFIX.min(owner.len())).rev().find(|end| owner.is_char_boundary(*end)).unwrap_or_default();
    format!("{}-{hash}", &owner[..end])
}

impl<O: Watched> Fresh<'_, O> {
    pub fn write(&self) -> Write {
        let mut labels = self.template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
        labels.insert(self.label.to_owned(), self.hash.to_owned());
        let namespace = self.owner.namespace().to_owned();
        let object = json!({
            "apiVersion": ControllerRevision::RESOURCE.api_version(),
            "kind": ControllerRevision::RESOURCE.kind,
            "metadata": {
                "name": name(self.owner.name(), self.hash),
                "namespace": namespace,
                "labels": labels,
                "annotations": self.metadata.annotations.clone().unwrap_or_default(),
                "ownerReferences": [controller_reference(self.owner)],
            },
            "data": self.data.0,
            "revision": self.number,
        });
        Write::Create { resource: ControllerRevision::RESOURCE, namespace, object }
    }
}

/// Makes a former revision the newest.
pub fn renumber(revision: &ControllerRevision, number: i64) -> Write {
    let version = revision.metadata.resource_version.as_deref().unwrap_or_default();
    let target = Target::of(revision).unchanged(version);
    Write::Patch { target, subresource: None, style: PatchStyle::Merge, body: json!({"revision": number}) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(image: &str) -> PodTemplateSpec {
        serde_json::from_value(json!({
            "metadata": {"labels": {"app": "a"}},
            "spec": {"containers": [{"name": "c", "image": image}]},
        }))
        .unwrap()
    }

    fn revision(number: i64, data: Value) -> Arc<ControllerRevision> {
        let metadata = ObjectMeta { name: Some(format!("r{number}")), ..ObjectMeta::default() };
        Arc::new(ControllerRevision { metadata, revision: number, data: Some(RawExtension(data)) })
    }

    #[test]
    fn hashes_what_upstream_hashes() {
        let data = Data::of(&template("<one>"));
        assert_eq!(
            data.text(),
            r#"{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"a"}},"spec":{"containers":[{"image":"\u003cone\u003e","name":"c","resources":{}}]}}}}"#
        );
        // FNV-1 of 32 bits has known answers.
        let fnv =
            |text: &str| text.bytes().fold(FNV_BASIS, |hash, byte| hash.wrapping_mul(FNV_PRIME) ^ u32::from(byte));
        assert_eq!((fnv(""), fnv("a"), fnv("foobar")), (0x811c_9dc5, 0x050c_5d7e, 0x31f0_b262));
        assert_eq!(encoded(0), "4");
        assert_eq!(data.hash(Some(0)), data.hash(Some(0)));
        assert_ne!(data.hash(Some(0)), data.hash(Some(1)));
    }

    #[test]
    fn finds_a_template_again_however_it_is_written() {
        let (one, two) = (Data::of(&template("one")), Data::of(&template("two")));
        let foreign = json!({"spec": {"template": {
            "spec": {"containers": [{"name": "c", "image": "one"}]},
            "metadata": {"creationTimestamp": null, "labels": {"app": "a"}},
            "$patch": "replace",
        }}});
        let revisions = Revisions::new(vec![revision(2, two.0.clone()), revision(1, foreign)]);
        assert!(matches!(revisions.place(&one), Place::Former(found) if found.revision == 1));
        assert!(matches!(revisions.place(&two), Place::Newest(found) if found.revision == 2));
        assert_eq!(revisions.place(&Data::of(&template("three"))), Place::Unknown);
        assert_eq!(revisions.next(), 3);
        assert_eq!(super::template(&revisions.all()[1]).unwrap().spec.unwrap().containers[0].image, Some("two".into()));
    }

    #[test]
    fn forgets_the_oldest_that_are_idle() {
        let all = (1..=5).map(|number| revision(number, json!({}))).collect();
        let revisions = Revisions::new(all);
        let forgotten = revisions.forgotten(Some(1), |revision| matches!(revision.revision, 2 | 5));
        let names: Vec<&str> = forgotten
            .iter()
            .map(|step| match &step.write {
                Write::Delete { target, .. } => &*target.name,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(names, ["r1", "r3"]);
    }
}
