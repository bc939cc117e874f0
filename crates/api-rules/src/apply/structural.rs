//! Custom resources: the merge rules of a CustomResourceDefinition's `openAPIV3Schema`.
//!
//! Structural schemas say with `x-kubernetes-list-type`, `-list-map-keys` and `-map-type` what built-in types say in
//! upstream's Go tags. Whether a schema is structural is not judged here.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    built_in::Compiler,
    schema::{Key, ListKind, Member, Node, NodeId, Scalar, Struct, Typing},
};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// How objects merge whose version has this `openAPIV3Schema`; `null` stands for no schema at all.
pub fn structural(schema: &Value) -> Typing {
    let mut compiler = Compiler::default();
    let root = compiler.resource(schema);
    Typing::new(Arc::new(compiler.schema), root)
}

impl Compiler {
    /// An object with `apiVersion`, `kind` and `metadata`, whatever the schema says of them.
    fn resource(&mut self, schema: &Value) -> NodeId {
        let text = self.schema.add(Node::Scalar(Scalar::String));
        let metadata = match crate::schema::registry().find(OBJECT_META) {
            Some(type_) => self.type_(type_),
            None => self.schema.add(Node::Deduced),
        };
        let of_type = ["apiVersion", "kind", "metadata"];
        let mut members: Vec<_> =
            of_type.into_iter().zip([text, text, metadata]).map(|(n, id)| member(n, id)).collect();
        for (name, property) in properties(schema).filter(|(name, _)| !of_type.contains(&name.as_str())) {
            members.push(member(name, self.property(property)));
        }
        let rest = if schema.is_null() { Some(self.schema.add(Node::Deduced)) } else { self.rest(schema) };
        self.structure(members, rest, schema["x-kubernetes-map-type"] == "atomic")
    }

    fn property(&mut self, schema: &Value) -> NodeId {
        if schema["x-kubernetes-int-or-string"] == true {
            return self.schema.add(Node::Scalar(Scalar::Untyped));
        }
        if schema["x-kubernetes-embedded-resource"] == true {
            return self.resource(schema);
        }
        match schema["type"].as_str() {
            Some("object") => self.object(schema),
            Some("array") => self.list(schema),
            Some("string") => self.schema.add(Node::Scalar(Scalar::String)),
            Some("integer" | "number") => self.schema.add(Node::Scalar(Scalar::Number)),
            Some("boolean") => self.schema.add(Node::Scalar(Scalar::Bool)),
            _ => self.schema.add(Node::Deduced),
        }
    }

    fn object(&mut self, schema: &Value) -> NodeId {
        let atomic = schema["x-kubernetes-map-type"] == "atomic";
        let rest = self.rest(schema);
        if properties(schema).next().is_some() {
            let members = properties(schema).map(|(name, property)| member(name, self.property(property))).collect();
            return self.structure(members, rest, atomic);
        }
        match rest {
            Some(item) => self.schema.add(Node::Map { item, atomic }),
            None => self.structure(Vec::new(), None, atomic),
        }
    }

    fn structure(&mut self, members: Vec<Member>, rest: Option<NodeId>, atomic: bool) -> NodeId {
        let of = self.schema.reserve_struct();
        self.schema.set_struct(of, Struct { members, rest });
        self.schema.add(Node::Struct { of, atomic })
    }

    /// What members may be that are not listed.
    fn rest(&mut self, schema: &Value) -> Option<NodeId> {
        match &schema["additionalProperties"] {
            Value::Object(_) => Some(self.property(&schema["additionalProperties"])),
            Value::Bool(true) => Some(self.schema.add(Node::Deduced)),
            _ if schema["x-kubernetes-preserve-unknown-fields"] == true => Some(self.schema.add(Node::Deduced)),
            _ => None,
        }
    }

    fn list(&mut self, schema: &Value) -> NodeId {
        let items = &schema["items"];
        let kind = match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => ListKind::Set,
            Some("map") => {
                let names = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
                let key = |name: &str| {
                    let default = &items["properties"][name]["default"];
                    Key { name: name.into(), default: (!default.is_null()).then(|| default.clone()) }
                };
                ListKind::Map(names.filter_map(Value::as_str).map(key).collect())
            }
            _ => ListKind::Atomic,
        };
        let item = self.property(items);
        self.schema.add(Node::List { item, kind })
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flat_map(Map::iter)
}

fn member(name: &str, node: NodeId) -> Member {
    Member { name: name.into(), node, inherent: None }
}
