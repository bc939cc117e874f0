//! The built-in types in the form that merging goes by, compiled once from `crate::schema`.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use super::schema::{Inherent, Key, ListKind, Member, Node, NodeId, Scalar, Schema, Struct, Typing};
use crate::schema::{Field, Merge, Shape, Type};

/// Of the members that tell items apart, those with a default: type, member, value.
const KEY_DEFAULTS: [(&str, &str, &str); 3] =
    [("ContainerPort", "protocol", "TCP"), ("ServicePort", "protocol", "TCP"), ("LocalObjectReference", "name", "")];

/// How objects of a built-in type merge.
pub fn built_in(type_: &Type) -> Typing {
    static TYPES: OnceLock<(Arc<Schema>, HashMap<String, NodeId>)> = OnceLock::new();
    let (schema, roots) = TYPES.get_or_init(|| {
        let mut compiler = Compiler::default();
        for type_ in crate::schema::registry().types() {
            compiler.type_(type_);
        }
        (Arc::new(compiler.schema), compiler.known)
    });
    let root = roots.get(&type_.name).copied();
    Typing::new(schema.clone(), root.expect("every type comes from the registry"))
}

/// Adds built-in types to a schema, each once.
#[derive(Default)]
pub struct Compiler {
    pub schema: Schema,
    known: HashMap<String, NodeId>,
}

impl Compiler {
    /// The node of a type, with all that it reaches.
    pub fn type_(&mut self, type_: &Type) -> NodeId {
        if let Some(node) = self.known.get(&type_.name) {
            return *node;
        }
        let of = self.schema.reserve_struct();
        let node = self.schema.add(Node::Struct { of, atomic: type_.atomic });
        self.known.insert(type_.name.clone(), node);
        let members = type_.fields().iter().map(|field| self.member(type_, field)).collect();
        self.schema.set_struct(of, Struct { members, rest: None });
        node
    }

    fn member(&mut self, owner: &Type, field: &Field) -> Member {
        let inherent = match &field.shape {
            _ if field.pointer => None,
            Shape::Object(_) => Some(Inherent::Empty),
            // Left out when unset since v1.34.
            Shape::Time if owner.short_name() == "ObjectMeta" => None,
            Shape::Time | Shape::MicroTime => Some(Inherent::Null),
            Shape::List(_) | Shape::Map(_) if field.required => Some(Inherent::Null),
            _ => None,
        };
        Member { name: field.name.as_str().into(), node: self.shape(&field.shape, &field.merge), inherent }
    }

    fn shape(&mut self, shape: &Shape, merge: &Merge) -> NodeId {
        let node = match shape {
            Shape::String | Shape::Bytes => Node::Scalar(Scalar::String),
            Shape::Bool => Node::Scalar(Scalar::Bool),
            Shape::Int32 | Shape::Int64 | Shape::Float => Node::Scalar(Scalar::Number),
            Shape::Time | Shape::MicroTime | Shape::Quantity | Shape::IntOrString => Node::Scalar(Scalar::Untyped),
            Shape::Any => Node::Deduced,
            Shape::Map(item) => {
                Node::Map { item: self.shape(item, &Merge::default()), atomic: merge.map_type == Some("atomic") }
            }
            Shape::List(item) => Node::List { item: self.shape(item, &Merge::default()), kind: list_kind(item, merge) },
            Shape::Object(_) => return self.struct_(shape, merge),
        };
        self.schema.add(node)
    }

    fn struct_(&mut self, shape: &Shape, merge: &Merge) -> NodeId {
        let type_ = shape.type_of_items().expect("an object shape has a type");
        let node = self.type_(type_);
        let atomic = match merge.map_type {
            Some(map_type) => map_type == "atomic",
            None => type_.atomic,
        };
        if atomic == type_.atomic {
            return node;
        }
        match self.schema.node(node) {
            Node::Struct { of, .. } => self.schema.add(Node::Struct { of, atomic }),
            _ => node,
        }
    }
}

/// The list type, or else what the strategy of patches says, as upstream.
fn list_kind(item: &Shape, merge: &Merge) -> ListKind {
    let keys = |names: &str| {
        let default = |name: &str| {
            let owner = item.type_of_items()?.short_name();
            let row = KEY_DEFAULTS.iter().find(|row| (row.0, row.1) == (owner, name))?;
            Some(row.2.into())
        };
        ListKind::Map(names.split(',').map(|name| Key { name: name.into(), default: default(name) }).collect())
    };
    match (merge.list_type, merge.list_map_keys, merge.patch_merge_key) {
        (Some("map"), Some(names), _) => keys(names),
        (Some("set"), ..) => ListKind::Set,
        (None, _, Some(key)) if merge.merges() => keys(key),
        (None, _, None) if merge.merges() => ListKind::Set,
        _ => ListKind::Atomic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(type_: &str, path: &[&str]) -> Node {
        let typing = built_in(crate::schema::registry().find(type_).unwrap());
        let place = path.iter().fold(typing.root(), |type_, name| match type_.node() {
            Node::List { item, .. } => type_.at(*item).member(name).unwrap().type_,
            _ => type_.member(name).unwrap().type_,
        });
        place.node().clone()
    }

    const POD: &str = "io.k8s.api.core.v1.Pod";

    #[test]
    fn lists_and_maps_are_as_the_table_says() {
        let kind = |path: &[&str]| match node(POD, path) {
            Node::List { kind, .. } => kind,
            other => panic!("{other:?}"),
        };
        let key = |name: &str, default: Option<&str>| Key { name: name.into(), default: default.map(Into::into) };
        assert_eq!(kind(&["spec", "containers"]), ListKind::Map(vec![key("name", None)]));
        assert_eq!(
            kind(&["spec", "containers", "ports"]),
            ListKind::Map(vec![key("containerPort", None), key("protocol", Some("TCP"))])
        );
        assert_eq!(kind(&["spec", "imagePullSecrets"]), ListKind::Map(vec![key("name", Some(""))]));
        assert_eq!(kind(&["spec", "tolerations"]), ListKind::Atomic);
        assert_eq!(kind(&["metadata", "finalizers"]), ListKind::Set);
        assert!(matches!(node(POD, &["spec", "nodeSelector"]), Node::Map { atomic: true, .. }));
        assert!(matches!(node(POD, &["metadata", "labels"]), Node::Map { atomic: false, .. }));
        assert!(matches!(node(POD, &["spec", "affinity"]), Node::Struct { atomic: false, .. }));
        assert!(matches!(
            node("io.k8s.api.apps.v1.Deployment", &["spec", "selector"]),
            Node::Struct { atomic: true, .. }
        ));
    }

    #[test]
    fn members_held_by_value_are_never_absent() {
        let typing = built_in(crate::schema::registry().find(POD).unwrap());
        let member = |name: &str| typing.root().member(name).unwrap().inherent;
        assert_eq!(
            (member("spec"), member("metadata"), member("kind")),
            (Some(Inherent::Empty), Some(Inherent::Empty), None)
        );
    }
}
