//! The paths of a kind and what may be done there.

use serde_json::{Map, Value, json};

use super::schemas::{self, REF};
use crate::{
    kind::{Kind, Scope},
    kinds,
};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const ANSWERS: [&str; 2] = ["application/json", "application/yaml"];
const STREAMS: [&str; 2] = ["application/json", "application/json;stream=watch"];
const BODIES: [&str; 2] = ["application/json", "application/yaml"];
/// The last one is for kinds with Go types alone.
const PATCHES: [&str; 4] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// All paths of a kind; none if it is only a body.
pub fn of(kind: &dyn Kind) -> Map<String, Value> {
    let names = kind.names();
    let mut all = Map::new();
    if names.plural.is_empty() {
        return all;
    }
    let base = if names.group.is_empty() {
        format!("/api/{}", names.version)
    } else {
        format!("/apis/{}/{}", names.group, names.version)
    };
    let namespaced = kind.scope() == Scope::Namespaced;
    let collection = if namespaced {
        format!("{base}/namespaces/{{namespace}}/{}", names.plural)
    } else {
        format!("{base}/{}", names.plural)
    };
    let paths = Paths { kind, group: operation_group(names.group, names.version), namespaced };
    let verbs = kind.verbs();
    let mut put = |path: String, item: Map<String, Value>| {
        if !item.is_empty() {
            all.insert(path, Value::Object(item));
        }
    };
    put(collection.clone(), paths.collection(verbs));
    let item = format!("{collection}/{{name}}");
    put(item.clone(), paths.item(verbs));
    for sub in kind.subresources() {
        put(format!("{item}/{}", sub.name), paths.subresource(sub));
    }
    if namespaced && verbs.contains(&"list") {
        put(format!("{base}/{}", names.plural), paths.everywhere());
    }
    all
}

struct Paths<'a> {
    kind: &'a dyn Kind,
    /// `CoreV1`, `AppsV1`: the group as operation ids name it.
    group: String,
    namespaced: bool,
}

impl Paths<'_> {
    fn collection(&self, verbs: &[&str]) -> Map<String, Value> {
        let own = schemas::name_of(self.kind);
        let mut item = self.shared(false);
        if verbs.contains(&"list") {
            let list = schemas::list_name_of(self.kind);
            item.insert("get".into(), self.operation("list", "list", "", &list, LIST, None));
        }
        if verbs.contains(&"create") {
            item.insert("post".into(), self.operation("post", "create", "", &own, WRITE, Some((&own, &BODIES))));
        }
        if verbs.contains(&"deletecollection") {
            let parameters: Vec<_> = DELETE
                .iter()
                .chain(LIST.iter().filter(|p| p.0 != "watch" && p.0 != "allowWatchBookmarks"))
                .copied()
                .collect();
            let options = format!("{META}.DeleteOptions");
            let mut operation = self.operation(
                "deletecollection",
                "delete",
                "",
                &format!("{META}.Status"),
                &parameters,
                Some((&options, &BODIES)),
            );
            operation["operationId"] = format!("delete{}Collection{}", self.group, self.subject("")).into();
            item.insert("delete".into(), operation);
        }
        if item.len() == 1 { Map::new() } else { item }
    }

    fn item(&self, verbs: &[&str]) -> Map<String, Value> {
        let own = schemas::name_of(self.kind);
        let mut item = self.shared(true);
        self.get_put_patch(&mut item, verbs, "", &own);
        if verbs.contains(&"delete") {
            let options = format!("{META}.DeleteOptions");
            item.insert(
                "delete".into(),
                self.operation("delete", "delete", "", &format!("{META}.Status"), DELETE, Some((&options, &BODIES))),
            );
        }
        if item.len() == 1 { Map::new() } else { item }
    }

    fn get_put_patch(&self, item: &mut Map<String, Value>, verbs: &[&str], sub: &str, body: &str) {
        if verbs.contains(&"get") {
            item.insert("get".into(), self.operation("get", "read", sub, body, &[], None));
        }
        if verbs.contains(&"update") {
            item.insert("put".into(), self.operation("put", "replace", sub, body, WRITE, Some((body, &BODIES))));
        }
        if verbs.contains(&"patch") {
            let parameters: Vec<_> = WRITE.iter().chain(FORCE).copied().collect();
            let patches = if self.kind.schema().is_some() { &PATCHES[..] } else { &PATCHES[..3] };
            item.insert(
                "patch".into(),
                self.operation("patch", "patch", sub, body, &parameters, Some((&format!("{META}.Patch"), patches))),
            );
        }
    }

    fn subresource(&self, sub: &crate::kind::Subresource) -> Map<String, Value> {
        let mut item = self.shared(true);
        let suffix = capitalised(sub.name);
        let own = self.kind.names();
        let body = if (sub.group, sub.version, sub.kind) == (own.group, own.version, own.kind) {
            Some(self.kind)
        } else {
            kinds::find_kind(sub.group, sub.version, sub.kind).map(|kind| kind as &dyn Kind)
        };
        let Some(body) = body else {
            self.connect(&mut item, sub, &suffix);
            return item;
        };
        let (name, names) = (schemas::name_of(body), body.names());
        if sub.name == "log" {
            let mut read = self.operation("get", "read", &suffix, &name, LOG, None);
            read["responses"]["200"]["content"] = json!({"text/plain": {"schema": {"type": "string"}}});
            item.insert("get".into(), read);
            return item;
        }
        self.get_put_patch(&mut item, sub.verbs, &suffix, &name);
        if sub.verbs.contains(&"create") {
            item.insert("post".into(), self.operation("post", "create", &suffix, &name, WRITE, Some((&name, &BODIES))));
        }
        for operation in item.values_mut().filter(|v| v.is_object()) {
            operation["x-kubernetes-group-version-kind"] = schemas::gvk(names);
        }
        item
    }

    /// Streams that are passed through to the node.
    fn connect(&self, item: &mut Map<String, Value>, sub: &crate::kind::Subresource, suffix: &str) {
        let methods = [("get", "get"), ("create", "post"), ("update", "put"), ("patch", "patch"), ("delete", "delete")];
        for (_, method) in methods.into_iter().filter(|(verb, _)| sub.verbs.contains(verb)) {
            let mut operation = self.operation("connect", "connect", suffix, "", &[], None);
            let id = format!("connect{}{}{}{suffix}", self.group, capitalised(method), self.subject(""));
            operation["operationId"] = id.into();
            operation["responses"] =
                json!({"200": {"description": "OK", "content": {"*/*": {"schema": {"type": "string"}}}}});
            operation["x-kubernetes-group-version-kind"] =
                json!({"group": sub.group, "kind": sub.kind, "version": sub.version});
            item.insert(method.to_owned(), operation);
        }
    }

    /// The list over all namespaces.
    fn everywhere(&self) -> Map<String, Value> {
        let list = schemas::list_name_of(self.kind);
        let mut operation = self.operation("list", "list", "", &list, LIST, None);
        operation["operationId"] = format!("list{}{}ForAllNamespaces", self.group, self.kind.names().kind).into();
        Map::from_iter([("get".to_owned(), operation), ("parameters".to_owned(), json!([parameter(PRETTY)]))])
    }

    /// What all operations at a path take.
    fn shared(&self, named: bool) -> Map<String, Value> {
        let in_path = |name: &str, description: String| json!({"name": name, "in": "path", "required": true, "description": description, "schema": {"type": "string", "uniqueItems": true}});
        let mut parameters = Vec::new();
        if named {
            parameters.push(in_path("name", format!("name of the {}", self.kind.names().kind)));
        }
        if self.namespaced {
            parameters
                .push(in_path("namespace", "object name and auth scope, such as for teams and projects".to_owned()));
        }
        parameters.push(parameter(PRETTY));
        Map::from_iter([("parameters".to_owned(), parameters.into())])
    }

    /// `NamespacedPodStatus`.
    fn subject(&self, sub: &str) -> String {
        format!("{}{}{sub}", if self.namespaced { "Namespaced" } else { "" }, self.kind.names().kind)
    }

    fn operation(
        &self,
        action: &str,
        verb: &str,
        sub: &str,
        answer: &str,
        parameters: &[Parameter],
        body: Option<(&str, &[&str])>,
    ) -> Value {
        let names = self.kind.names();
        let media: &[&str] = if action == "list" { &STREAMS } else { &ANSWERS };
        let content: Map<String, Value> =
            media.iter().map(|m| ((*m).to_owned(), json!({"schema": {"$ref": format!("{REF}{answer}")}}))).collect();
        let of = if sub.is_empty() {
            "the specified".to_owned()
        } else {
            format!("{} of the specified", sub.to_lowercase())
        };
        let what = match action {
            "list" => format!("list or watch objects of kind {}", names.kind),
            "post" => format!(
                "create a {}{}",
                names.kind,
                if sub.is_empty() { String::new() } else { format!(" ({})", sub.to_lowercase()) }
            ),
            "deletecollection" => format!("delete collection of {}", names.kind),
            "patch" => format!("partially update {of} {}", names.kind),
            "connect" => format!("connect requests to {} of {}", sub.to_lowercase(), names.kind),
            _ => format!("{verb} {of} {}", names.kind),
        };
        let mut responses =
            json!({"200": {"description": "OK", "content": content.clone()}, "401": {"description": "Unauthorized"}});
        if matches!(action, "post" | "put" | "patch") {
            responses["201"] = json!({"description": "Created", "content": content.clone()});
        }
        if matches!(action, "post" | "delete") {
            responses["202"] = json!({"description": "Accepted", "content": content});
        }
        let mut operation = json!({
            "description": what,
            "operationId": format!("{verb}{}{}", self.group, self.subject(sub)),
            "parameters": parameters.iter().map(|p| parameter(*p)).collect::<Vec<_>>(),
            "responses": responses,
            "tags": [format!("{}{}", self.group[..1].to_lowercase(), &self.group[1..]).replace("V1", "_v1").replace("V2", "_v2")],
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": schemas::gvk(names),
        });
        if let Some((body, media)) = body {
            let content: Map<String, Value> =
                media.iter().map(|m| ((*m).to_owned(), json!({"schema": {"$ref": format!("{REF}{body}")}}))).collect();
            operation["requestBody"] = json!({"content": content});
            if matches!(action, "post" | "put" | "patch") {
                operation["requestBody"]["required"] = true.into();
            }
        }
        operation
    }
}

/// Name, type, description.
type Parameter = (&'static str, &'static str, &'static str);

const PRETTY: Parameter = ("pretty", "string", "If 'true', then the output is pretty printed.");
const LIST: &[Parameter] = &[
    ("allowWatchBookmarks", "boolean", "allowWatchBookmarks requests watch events with type \"BOOKMARK\"."),
    ("continue", "string", "The continue option should be set when retrieving more results from the server."),
    (
        "fieldSelector",
        "string",
        "A selector to restrict the list of returned objects by their fields. Defaults to everything.",
    ),
    (
        "labelSelector",
        "string",
        "A selector to restrict the list of returned objects by their labels. Defaults to everything.",
    ),
    ("limit", "integer", "limit is a maximum number of responses to return for a list call."),
    (
        "resourceVersion",
        "string",
        "resourceVersion sets a constraint on what resource versions a request may be served from.",
    ),
    ("resourceVersionMatch", "string", "resourceVersionMatch determines how resourceVersion is applied to list calls."),
    ("sendInitialEvents", "boolean", "`sendInitialEvents=true` may be set together with `watch=true`."),
    ("timeoutSeconds", "integer", "Timeout for the list/watch call."),
    (
        "watch",
        "boolean",
        "Watch for changes to the described resources and return them as a stream of add, update, and remove notifications.",
    ),
];
const WRITE: &[Parameter] = &[
    (
        "dryRun",
        "string",
        "When present, indicates that modifications should not be persisted. Valid values are: - All: all dry run stages will be processed",
    ),
    (
        "fieldManager",
        "string",
        "fieldManager is a name associated with the actor or entity that is making these changes.",
    ),
    (
        "fieldValidation",
        "string",
        "fieldValidation instructs the server on how to handle objects in the request (POST/PUT/PATCH) containing unknown or duplicate fields. Valid values are: Ignore, Warn, Strict.",
    ),
];
const FORCE: &[Parameter] = &[(
    "force",
    "boolean",
    "Force is going to \"force\" Apply requests. It means user will re-acquire conflicting fields owned by other people.",
)];
const DELETE: &[Parameter] = &[
    (
        "dryRun",
        "string",
        "When present, indicates that modifications should not be persisted. Valid values are: - All: all dry run stages will be processed",
    ),
    (
        "gracePeriodSeconds",
        "integer",
        "The duration in seconds before the object should be deleted. Value must be non-negative integer. The value zero indicates delete immediately.",
    ),
    (
        "orphanDependents",
        "boolean",
        "Deprecated: please use the PropagationPolicy. Should the dependent objects be orphaned.",
    ),
    (
        "propagationPolicy",
        "string",
        "Whether and how garbage collection will be performed. Acceptable values are: 'Orphan', 'Background', 'Foreground'.",
    ),
];
const LOG: &[Parameter] = &[
    (
        "container",
        "string",
        "The container for which to stream logs. Defaults to only container if there is one container in the pod.",
    ),
    ("follow", "boolean", "Follow the log stream of the pod. Defaults to false."),
    ("limitBytes", "integer", "If set, the number of bytes to read from the server before terminating the log output."),
    ("previous", "boolean", "Return previous terminated container logs. Defaults to false."),
    ("sinceSeconds", "integer", "A relative time in seconds before the current time from which to show logs."),
    ("tailLines", "integer", "If set, the number of lines from the end of the logs to show."),
    (
        "timestamps",
        "boolean",
        "If true, add an RFC3339 or RFC3339Nano timestamp at the beginning of every line of log output.",
    ),
];

fn parameter((name, type_, description): Parameter) -> Value {
    json!({"name": name, "in": "query", "description": description, "schema": {"type": type_, "uniqueItems": true}})
}

/// `CoreV1`, `RbacAuthorizationV1`.
fn operation_group(group: &str, version: &str) -> String {
    let group = if group.is_empty() { "core" } else { group.strip_suffix(".k8s.io").unwrap_or(group) };
    let words: String = group.split('.').map(capitalised).collect();
    format!("{words}{}", capitalised(version))
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
