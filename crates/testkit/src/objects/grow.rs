//! One more member at a random place of an object.

use api_rules::schema::{Field, Shape, Type};
use serde_json::{Map, Value, json};

use super::random::Random;

/// What new members are made of goes no deeper.
const DEPTH: usize = 4;
/// Texts that mean something somewhere.
const TEXTS: [&str; 40] = [
    "a",
    "b-1",
    "x.example.com",
    "example.com/x",
    "/a/b",
    "a/b",
    "10.0.0.9",
    "192.0.2.0/24",
    "IPv4",
    "TCP",
    "UDP",
    "https://192.0.2.1/y",
    "Always",
    "Never",
    "IfNotPresent",
    "OnFailure",
    "None",
    "Cluster",
    "Local",
    "In",
    "Exists",
    "Equal",
    "NoSchedule",
    "NoExecute",
    "RuntimeDefault",
    "Ignore",
    "Fail",
    "Delete",
    "Retain",
    "Filesystem",
    "ReadOnlyMany",
    "Default",
    "File",
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "metadata.name",
    "ScheduleAnyway",
    "All",
    "Orphan",
    "true",
];
const QUANTITIES: [&str; 5] = ["1", "100m", "2Gi", "0", "15"];
/// Members that never grow: the server's own, a name that is only another's alias, and, for some kinds, what other objects
/// would have to exist for.
const EVERYWHERE: [&str; 5] = ["apiVersion", "kind", "metadata", "serviceAccount", "status"];
const OF_KINDS: [(&str, &[&str]); 12] = [
    (
        "Pod",
        &[
            "ephemeralContainers",
            "nodeName",
            "overhead",
            "preemptionPolicy",
            "priority",
            "priorityClassName",
            "resourceClaims",
            "runtimeClassName",
            "schedulingGates",
            "schedulingGroup",
            "serviceAccount",
            "serviceAccountName",
        ],
    ),
    (
        "Service",
        &[
            "clusterIP",
            "clusterIPs",
            "externalIPs",
            "healthCheckNodePort",
            "ipFamilies",
            "ipFamilyPolicy",
            "nodePort",
            "sessionAffinityConfig",
            "type",
        ],
    ),
    ("CertificateSigningRequest", &["extra", "groups", "uid", "username"]),
    ("PriorityClass", &["globalDefault", "value"]),
    ("PersistentVolumeClaim", &["dataSource", "dataSourceRef"]),
    ("Namespace", &["spec"]),
    ("Node", &["podCIDR", "podCIDRs"]),
    // The series of an event and its older form are two ways to say the same.
    (
        "Event",
        &[
            "series",
            "count",
            "deprecatedCount",
            "deprecatedSource",
            "source",
            "firstTimestamp",
            "lastTimestamp",
            "deprecatedFirstTimestamp",
            "deprecatedLastTimestamp",
        ],
    ),
    ("CustomResourceDefinition", &["spec"]),
    // Upstream does not validate them either, and fills some in.
    ("StatefulSet", &["volumeClaimTemplates"]),
    // Entries without a name, which are valid, cannot be merged by it.
    ("ServiceAccount", &["secrets"]),
    // Roles are granted only by who holds them; the rules that grow would be anybody's.
    ("ClusterRole", &["aggregationRule"]),
];

/// Adds a member somewhere in `object`, or changes nothing.
pub fn once(object: &mut Value, kind: &str, type_: &Type, random: &mut Random) {
    let own = OF_KINDS.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, members)| members);
    let may_grow = |field: &&Field| {
        let name = field.name.as_str();
        !EVERYWHERE.contains(&name) && !own.contains(&name)
    };
    let fields: Vec<_> = type_.fields().iter().filter(may_grow).collect();
    let (Some(members), false) = (object.as_object_mut(), fields.is_empty()) else { return };
    let field = *random.of(&fields);
    match members.get_mut(&field.name) {
        None => {
            members.insert(field.name.clone(), value(&field.shape, random, DEPTH));
        }
        Some(present) => within(present, &field.shape, kind, random),
    }
}

/// Goes on below a member that is there.
fn within(present: &mut Value, shape: &Shape, kind: &str, random: &mut Random) {
    match (shape, present) {
        (Shape::Object(_), present) => {
            if let Some(type_) = shape.type_of_items() {
                once(present, kind, type_, random);
            }
        }
        (Shape::List(item), Value::Array(items)) => {
            if items.is_empty() || random.chance(20) {
                items.push(value(item, random, DEPTH));
            } else {
                let place = random.below(items.len());
                within(&mut items[place], item, kind, random);
            }
        }
        (Shape::Map(item), Value::Object(members)) if random.chance(30) => {
            members.insert((*random.of(&TEXTS)).to_owned(), value(item, random, DEPTH));
        }
        (_, present) if random.chance(20) => *present = value(shape, random, DEPTH),
        _ => {}
    }
}

/// Something of a shape, with all that its type requires and now and then more.
fn value(shape: &Shape, random: &mut Random, depth: usize) -> Value {
    match shape {
        Shape::String => (*random.of(&TEXTS)).into(),
        Shape::Bool => random.chance(50).into(),
        Shape::Int32 | Shape::Int64 => (*random.of(&[0, 1, 2, 30, 80, 443, 1000])).into(),
        Shape::Float => 0.5.into(),
        Shape::Bytes => "Yg==".into(),
        Shape::Time => "2026-01-02T03:04:05Z".into(),
        Shape::MicroTime => "2026-01-02T03:04:05.000006Z".into(),
        Shape::Quantity => (*random.of(&QUANTITIES)).into(),
        Shape::IntOrString => random.of(&[json!(1), json!("50%"), json!("http")]).clone(),
        Shape::List(item) => json!([value(item, random, depth)]),
        Shape::Map(item) => json!({*random.of(&TEXTS): value(item, random, depth)}),
        Shape::Any => json!({"a": 1}),
        Shape::Object(_) => {
            let mut members = Map::new();
            let fields = shape.type_of_items().map_or(&[][..], Type::fields);
            for field in fields.iter().filter(|_| depth > 0) {
                if field.required || random.chance(8) {
                    members.insert(field.name.clone(), value(&field.shape, random, depth - 1));
                }
            }
            members.into()
        }
    }
}
