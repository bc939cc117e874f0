//! What merging has to know of a type: which parts are one value, which have members or items with owners of their own.
//!
//! Built-in types and custom resources are compiled into the same form ([`built_in`], [`super::structural`]); whoever
//! merges, compares or extracts cannot tell them apart.

use std::sync::Arc;

use serde_json::Value;

/// Index of a node within its schema.
pub type NodeId = u32;

/// The nodes of the types that one or more kinds reach. Nodes refer to each other, so types may be recursive.
#[derive(Debug, Default)]
pub struct Schema {
    nodes: Vec<Node>,
    structs: Vec<Struct>,
}

/// How the values of one place merge.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Scalar(Scalar),
    List {
        item: NodeId,
        kind: ListKind,
    },
    Map {
        item: NodeId,
        atomic: bool,
    },
    Struct {
        /// Index into the schema's structs.
        of: u32,
        atomic: bool,
    },
    /// Nothing is known: objects merge by member, everything else is one value.
    Deduced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    String,
    Number,
    Bool,
    /// Any of them: quantities, int-or-string, times.
    Untyped,
}

/// `x-kubernetes-list-type`.
#[derive(Clone, Debug, PartialEq)]
pub enum ListKind {
    Atomic,
    Set,
    /// Items are told apart by these members.
    Map(Vec<Key>),
}

/// A member that tells the items of a list apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub name: Box<str>,
    /// What an item that does not name it has.
    pub default: Option<Value>,
}

/// The members of an object.
#[derive(Clone, Debug, Default)]
pub struct Struct {
    /// Sorted by name.
    pub members: Vec<Member>,
    /// What other members are; `None` if there may be none.
    pub rest: Option<NodeId>,
}

#[derive(Clone, Debug)]
pub struct Member {
    pub name: Box<str>,
    pub node: NodeId,
    pub inherent: Option<Inherent>,
}

/// What Go writes for a member that it holds by value and that is unset: it is never absent where its parent is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inherent {
    Empty,
    Null,
}

impl Schema {
    pub fn node(&self, at: NodeId) -> Node {
        self.nodes[at as usize].clone()
    }

    pub fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        (self.nodes.len() - 1) as NodeId
    }

    /// Reserves a struct, so that its own members may refer to it.
    pub fn reserve_struct(&mut self) -> u32 {
        self.structs.push(Struct::default());
        (self.structs.len() - 1) as u32
    }

    pub fn set_struct(&mut self, at: u32, mut content: Struct) {
        content.members.sort_by(|a, b| a.name.cmp(&b.name));
        self.structs[at as usize] = content;
    }
}

/// A schema and the node that describes a kind's objects.
#[derive(Clone, Debug)]
pub struct Typing {
    schema: Arc<Schema>,
    root: NodeId,
}

impl Typing {
    pub fn new(schema: Arc<Schema>, root: NodeId) -> Self {
        Self { schema, root }
    }

    pub fn root(&self) -> Type<'_> {
        Type { schema: &self.schema, node: self.root }
    }
}

/// A place in a schema.
#[derive(Clone, Copy, Debug)]
pub struct Type<'a> {
    schema: &'a Schema,
    node: NodeId,
}

impl<'a> Type<'a> {
    pub fn node(self) -> &'a Node {
        &self.schema.nodes[self.node as usize]
    }

    pub fn at(self, node: NodeId) -> Self {
        Self { node, ..self }
    }

    /// The members of a struct; `None` for anything else.
    pub fn members(self) -> Option<&'a Struct> {
        match self.node() {
            Node::Struct { of, .. } => Some(&self.schema.structs[*of as usize]),
            _ => None,
        }
    }

    /// Whether a value of this type has one owner as a whole.
    pub fn is_leaf(self) -> bool {
        match self.node() {
            Node::Scalar(_) | Node::List { kind: ListKind::Atomic, .. } => true,
            Node::Map { atomic, .. } | Node::Struct { atomic, .. } => *atomic,
            Node::List { .. } | Node::Deduced => false,
        }
    }

    /// The type of a member, and whether the schema names it; `None` if there can be no such member.
    pub fn member(self, name: &str) -> Option<Place<'a>> {
        match self.node() {
            Node::Struct { of, .. } => self.schema.structs[*of as usize].member(name).map(|found| match found {
                Found::Named(member) => Place { type_: self.at(member.node), named: true, inherent: member.inherent },
                Found::Rest(node) => Place { type_: self.at(node), named: false, inherent: None },
            }),
            Node::Map { item, .. } => Some(Place { type_: self.at(*item), named: false, inherent: None }),
            Node::Deduced => Some(Place { type_: self, named: false, inherent: None }),
            Node::Scalar(_) | Node::List { .. } => None,
        }
    }
}

/// A member as its parent's type describes it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub type_: Type<'a>,
    /// A member of a struct rather than an entry of a map.
    pub named: bool,
    pub inherent: Option<Inherent>,
}

enum Found<'a> {
    Named(&'a Member),
    Rest(NodeId),
}

impl Struct {
    fn member(&self, name: &str) -> Option<Found<'_>> {
        match self.members.binary_search_by(|member| member.name.as_ref().cmp(name)) {
            Ok(at) => Some(Found::Named(&self.members[at])),
            Err(_) => self.rest.map(Found::Rest),
        }
    }

    /// The members that are never absent.
    pub fn inherent(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.inherent.is_some())
    }
}
