//! What users may do: RBAC and the Node authorizer of `api-rules`, fed from the watch cache.
//!
//! Members of `system:masters` pass before anything is looked up. Whoever is refused learns why in upstream's words.

mod feed;

use std::sync::Arc;

use api_rules::authz::{Attributes, Decision, Rule, SYSTEM_MASTERS, User, node::NodeAuthorizer, rbac::Rbac};
use api_types::{GroupResource, Status, selector::FieldSelector};
use component::Shutdown;
use parking_lot::RwLock;

use crate::{bootstrap, core::Core, query::unescape, request};

pub struct Authorizer {
    rbac: RwLock<Rbac>,
    nodes: RwLock<NodeAuthorizer>,
    feed: feed::Progress,
}

impl Authorizer {
    /// Starts to follow roles, bindings and pods; [`Authorizer::ready`] tells when all are known.
    pub fn start(core: &Arc<Core>, shutdown: &Shutdown) -> Arc<Self> {
        let authorizer = Arc::new(Self {
            rbac: RwLock::default(),
            nodes: RwLock::new(NodeAuthorizer::new(bootstrap::node_rules())),
            feed: feed::Progress::default(),
        });
        feed::start(core, &authorizer, shutdown);
        authorizer
    }

    /// Resolves when everything that decides has been loaded once.
    pub async fn ready(&self) {
        self.feed.done().await;
    }

    pub fn decide(&self, user: &User, asked: &Attributes) -> Decision {
        if user.is_in(SYSTEM_MASTERS) {
            return Decision::allow();
        }
        let by_node = self.nodes.read().authorize(user, asked);
        if by_node.is_allowed() {
            return by_node;
        }
        match (self.rbac.read().authorize(user, asked), by_node) {
            (Decision::NoOpinion(last), Decision::NoOpinion(first)) => Decision::NoOpinion(joined(&first, &last)),
            (allowed, _) => allowed,
        }
    }

    /// The decision on a request.
    pub fn authorize(&self, asked: &request::Attributes) -> Decision {
        if asked.user.is_in(SYSTEM_MASTERS) {
            return Decision::allow();
        }
        let selector = field_selector(&asked.info, asked.query);
        self.decide(asked.user, &attributes(&asked.info, selector.as_ref()))
    }

    /// 403 unless the request is allowed.
    pub fn check(&self, asked: &request::Attributes) -> Result<(), Status> {
        if let Decision::NoOpinion(reason) = self.authorize(asked) {
            return Err(forbidden(asked.user, &attributes(&asked.info, None), &reason));
        }
        if !enters_pod_by_get(&asked.info) {
            return Ok(());
        }
        let info = request::RequestInfo { verb: "create", ..asked.info };
        match self.authorize(&request::Attributes { info, ..*asked }) {
            Decision::Allow(_) => Ok(()),
            Decision::NoOpinion(reason) => Err(forbidden(asked.user, &attributes(&info, None), &reason)),
        }
    }

    /// All rules that hold for a user in a namespace, and what was wrong on the way.
    pub fn rules_for(&self, user: &User, namespace: &str) -> (Vec<Rule>, Option<String>) {
        self.rbac.read().rules_for(user, namespace)
    }

    /// The rules behind a binding's reference; `None` if there is no such role.
    pub fn rules_of(&self, namespace: &str, role: &api_rules::authz::rbac::RoleRef) -> Option<Arc<[Rule]>> {
        self.rbac.read().rules(namespace, role).cloned()
    }
}

/// WebSockets begin with a GET; what may be done through them must not be had for the right to read (v1.35).
fn enters_pod_by_get(info: &request::RequestInfo) -> bool {
    info.is_resource
        && (info.group, info.resource, info.verb) == ("", "pods", "get")
        && matches!(info.subresource, "exec" | "attach" | "portforward")
}

fn joined(first: &Arc<str>, last: &Arc<str>) -> Arc<str> {
    match (first.is_empty(), last.is_empty()) {
        (true, _) => Arc::clone(last),
        (false, true) => Arc::clone(first),
        (false, false) => format!("{first}, {last}").into(),
    }
}

fn attributes<'a>(info: &request::RequestInfo<'a>, field_selector: Option<&'a FieldSelector>) -> Attributes<'a> {
    if !info.is_resource {
        return Attributes { verb: info.verb, path: info.path, ..Attributes::default() };
    }
    Attributes {
        verb: info.verb,
        namespace: info.namespace,
        api_group: info.group,
        api_version: info.version,
        resource: info.resource,
        subresource: info.subresource,
        name: info.name,
        path: info.path,
        field_selector,
    }
}

/// Only the verbs on collections have one; an invalid one selects nothing that could allow more.
fn field_selector(info: &request::RequestInfo, query: &str) -> Option<FieldSelector> {
    if !info.is_resource || !matches!(info.verb, "list" | "watch" | "deletecollection") {
        return None;
    }
    let raw = query.split('&').find_map(|pair| pair.strip_prefix("fieldSelector="))?;
    FieldSelector::parse(&unescape(raw)).ok()
}

/// The refusal of a request, in upstream's words.
pub fn forbidden(user: &User, asked: &Attributes, reason: &str) -> Status {
    let who = &user.name;
    let resource = GroupResource::new(asked.api_group.to_owned(), asked.resource.to_owned());
    let why = if asked.is_resource() {
        let slash = if asked.subresource.is_empty() { "" } else { "/" };
        let scope = match asked.namespace {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {namespace:?}"),
        };
        format!(
            "User {who:?} cannot {} resource \"{}{slash}{}\" in API group {:?} {scope}",
            asked.verb, asked.resource, asked.subresource, asked.api_group
        )
    } else {
        format!("User {who:?} cannot {} path {:?}", asked.verb, asked.path)
    };
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    Status::forbidden(&resource, asked.name, format!("{why}{reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_read_as_upstreams() {
        let check = |asked: Attributes, reason: &str, expected: &str| {
            assert_eq!(forbidden(&User::new("x", ["g"]), &asked, reason).message, expected);
        };
        let list = Attributes { verb: "list", resource: "pods", namespace: "default", ..Attributes::default() };
        check(
            list,
            "",
            r#"pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default""#,
        );
        let patch = Attributes {
            verb: "patch",
            api_group: "apps",
            resource: "deployments",
            subresource: "scale",
            name: "web",
            ..Attributes::default()
        };
        check(
            patch,
            "no luck",
            r#"deployments.apps "web" is forbidden: User "x" cannot patch resource "deployments/scale" in API group "apps" at the cluster scope: no luck"#,
        );
        let path = Attributes { verb: "get", path: "/metrics", ..Attributes::default() };
        check(path, "", r#"forbidden: User "x" cannot get path "/metrics""#);
    }

    #[test]
    fn entering_a_pod_is_more_than_reading() {
        let check = |subresource, verb, expected| {
            let info =
                request::RequestInfo { verb, is_resource: true, resource: "pods", subresource, ..Default::default() };
            assert_eq!(enters_pod_by_get(&info), expected, "{verb} {subresource}");
        };
        check("exec", "get", true);
        check("portforward", "get", true);
        check("exec", "create", false);
        check("log", "get", false);
        check("", "get", false);
    }

    #[test]
    fn a_kubelets_selector_is_read_from_the_query() {
        let info = request::RequestInfo { verb: "watch", is_resource: true, resource: "pods", ..Default::default() };
        for query in ["fieldSelector=spec.nodeName%3Da&watch=1", "watch=1&fieldSelector=spec.nodeName=a"] {
            assert_eq!(field_selector(&info, query).unwrap().exact("spec.nodeName"), Some("a"), "{query}");
        }
        assert!(
            field_selector(&request::RequestInfo { verb: "get", ..info }, "fieldSelector=spec.nodeName=a").is_none()
        );
    }
}
