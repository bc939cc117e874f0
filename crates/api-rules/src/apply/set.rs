//! Sets of fields: what a manager owns, what a write changed.

use std::cmp::Ordering;

use super::element::Element;

/// A set of paths as a tree. A path may be in the set without those above or below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Sorted by element, without such that hold nothing.
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub element: Element,
    /// Whether the path that ends here is in the set.
    pub member: bool,
    pub children: Set,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl Set {
    pub const fn new() -> Self {
        Self { nodes: Vec::new() }
    }

    /// A set of one path per slice of member names.
    pub fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            set.insert(path.iter().map(|name| Element::field(name)));
        }
        set
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Adds one path; the paths above it are not added. The empty path is nobody's.
    pub fn insert(&mut self, path: impl IntoIterator<Item = Element>) {
        let mut path = path.into_iter().peekable();
        let mut set = self;
        while let Some(element) = path.next() {
            let node = set.node(element);
            node.member |= path.peek().is_none();
            set = &mut node.children;
        }
    }

    /// The node of an element, made if it is missing. The caller puts something into it.
    fn node(&mut self, element: Element) -> &mut Node {
        let at = match self.nodes.binary_search_by(|node| node.element.cmp(&element)) {
            Ok(at) => at,
            Err(at) => {
                self.nodes.insert(at, Node { element, member: false, children: Self::default() });
                at
            }
        };
        &mut self.nodes[at]
    }

    /// Puts a subtree below an element; nothing if it is empty. Cheap when elements come in order.
    pub fn attach(&mut self, element: Element, member: bool, children: Self) {
        let node = Node { element, member, children };
        if node.is_empty() {
            return;
        }
        match self.nodes.last().map(|last| last.element.cmp(&node.element)) {
            None | Some(Ordering::Less) => self.nodes.push(node),
            _ => {
                let present = self.node(node.element);
                present.member |= node.member;
                present.children.add(&node.children);
            }
        }
    }

    pub fn get(&self, element: &Element) -> Option<&Node> {
        self.nodes.binary_search_by(|node| node.element.cmp(element)).ok().map(|at| &self.nodes[at])
    }

    /// The subtree below a member; nothing where there is none.
    pub fn field(&self, name: &str) -> Option<&Node> {
        let at = self.nodes.binary_search_by(|node| match &node.element {
            Element::Field(field) => field.as_ref().cmp(name),
            _ => Ordering::Greater,
        });
        at.ok().map(|at| &self.nodes[at])
    }

    pub fn has(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.get(last).is_some_and(|node| node.member),
            [first, rest @ ..] => self.get(first).is_some_and(|node| node.children.has(rest)),
        }
    }

    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, |pair| match pair {
            Pair::Left(a) => Some(a.clone()),
            Pair::Right(b) => Some(b.clone()),
            Pair::Both(a, b) => Some(Node {
                element: a.element.clone(),
                member: a.member || b.member,
                children: a.children.union(&b.children),
            }),
        })
    }

    pub fn intersection(&self, other: &Self) -> Self {
        self.zip(other, |pair| match pair {
            Pair::Both(a, b) => Some(Node {
                element: a.element.clone(),
                member: a.member && b.member,
                children: a.children.intersection(&b.children),
            }),
            _ => None,
        })
    }

    /// What is in this set and not in the other. Paths below one that is in the other stay.
    pub fn difference(&self, other: &Self) -> Self {
        self.zip(other, |pair| match pair {
            Pair::Left(a) => Some(a.clone()),
            Pair::Right(_) => None,
            Pair::Both(a, b) => Some(Node {
                element: a.element.clone(),
                member: a.member && !b.member,
                children: a.children.difference(&b.children),
            }),
        })
    }

    /// As [`Self::difference`], and without the paths below one that is in the other.
    pub fn recursive_difference(&self, other: &Self) -> Self {
        self.zip(other, |pair| match pair {
            Pair::Left(a) => Some(a.clone()),
            Pair::Right(_) => None,
            Pair::Both(_, b) if b.member => None,
            Pair::Both(a, b) => Some(Node {
                element: a.element.clone(),
                member: a.member,
                children: a.children.recursive_difference(&b.children),
            }),
        })
    }

    /// As [`Self::difference`], in place.
    pub fn subtract(&mut self, other: &Self) {
        self.cut(other, &|mine, theirs| {
            mine.member &= !theirs.member;
            mine.children.subtract(&theirs.children);
        });
    }

    /// As [`Self::recursive_difference`], in place.
    pub fn subtract_recursively(&mut self, other: &Self) {
        self.cut(other, &|mine, theirs| {
            if theirs.member {
                mine.member = false;
                mine.children.nodes.clear();
            } else {
                mine.children.subtract_recursively(&theirs.children);
            }
        });
    }

    /// Lets `cut` change the nodes that both have; those that hold nothing then go.
    fn cut(&mut self, other: &Self, cut: &dyn Fn(&mut Node, &Node)) {
        for theirs in &other.nodes {
            if let Ok(at) = self.nodes.binary_search_by(|node| node.element.cmp(&theirs.element)) {
                cut(&mut self.nodes[at], theirs);
                if self.nodes[at].is_empty() {
                    self.nodes.remove(at);
                }
            }
        }
    }

    /// As [`Self::union`], in place.
    pub fn add(&mut self, other: &Self) {
        for theirs in &other.nodes {
            match self.nodes.binary_search_by(|node| node.element.cmp(&theirs.element)) {
                Ok(at) => {
                    self.nodes[at].member |= theirs.member;
                    self.nodes[at].children.add(&theirs.children);
                }
                Err(at) => self.nodes.insert(at, theirs.clone()),
            }
        }
    }

    /// Whether the two have a path in common; nothing is copied to find out.
    pub fn intersects(&self, other: &Self) -> bool {
        let (mut left, mut right) = (self.nodes.iter().peekable(), other.nodes.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            match a.element.cmp(&b.element) {
                Ordering::Less => drop(left.next()),
                Ordering::Greater => drop(right.next()),
                Ordering::Equal => {
                    if (a.member && b.member) || a.children.intersects(&b.children) {
                        return true;
                    }
                    left.next();
                    right.next();
                }
            }
        }
        false
    }

    /// Whether every path of the other is in this set.
    pub fn contains(&self, other: &Self) -> bool {
        other.nodes.iter().all(|theirs| {
            self.get(&theirs.element)
                .is_some_and(|ours| (ours.member || !theirs.member) && ours.children.contains(&theirs.children))
        })
    }

    /// Calls `visit` on every path: at each level first those that end there, then those below.
    pub fn each(&self, visit: &mut dyn FnMut(&[Element])) {
        self.each_below(&mut Vec::new(), visit);
    }

    fn each_below(&self, path: &mut Vec<Element>, visit: &mut dyn FnMut(&[Element])) {
        for node in self.nodes.iter().filter(|node| node.member) {
            path.push(node.element.clone());
            visit(path);
            path.pop();
        }
        for node in self.nodes.iter().filter(|node| !node.children.is_empty()) {
            path.push(node.element.clone());
            node.children.each_below(path, visit);
            path.pop();
        }
    }

    fn zip(&self, other: &Self, choose: impl Fn(Pair) -> Option<Node>) -> Self {
        let (mut left, mut right) = (self.nodes.iter().peekable(), other.nodes.iter().peekable());
        let mut nodes = Vec::new();
        loop {
            let pair = match (left.peek(), right.peek()) {
                (None, None) => return Self { nodes },
                (Some(a), None) => Pair::Left(a),
                (None, Some(b)) => Pair::Right(b),
                (Some(a), Some(b)) => match a.element.cmp(&b.element) {
                    Ordering::Less => Pair::Left(a),
                    Ordering::Greater => Pair::Right(b),
                    Ordering::Equal => Pair::Both(a, b),
                },
            };
            if !matches!(pair, Pair::Right(_)) {
                left.next();
            }
            if !matches!(pair, Pair::Left(_)) {
                right.next();
            }
            nodes.extend(choose(pair).filter(|node| !node.is_empty()));
        }
    }
}

#[derive(Clone, Copy)]
enum Pair<'a> {
    Left(&'a Node),
    Right(&'a Node),
    Both(&'a Node, &'a Node),
}
