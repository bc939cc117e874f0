//! The verbs on resources, each in a file of its own. Here: what they all know of a request, and which one answers it.

use std::sync::Arc;

use api_rules::{Context, FieldValidation, Requester};
use api_types::Status;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use hyper::upgrade::OnUpgrade;
use parking_lot::Mutex;
use store::{Filter, Freshness, Object, ResourceRef};

use crate::{
    answer::{self, Answer},
    app::App,
    core::{Core, Served},
    negotiate::Form,
    query::Query,
    render,
    request::{RequestInfo, User},
};

pub mod answered;
pub mod apply;
pub mod component_status;
pub mod create;
pub mod delete;
pub mod delete_collection;
pub mod delete_options;
pub mod get;
pub mod list;
mod list_body;
mod list_options;
mod list_protobuf;
pub mod ownership;
mod page;
pub mod patch;
pub mod pod_binding;
pub mod pod_eviction;
pub mod scale;
pub mod update;
pub mod watch;
mod watch_events;
mod watch_socket;
pub mod write;

/// One request to a resource, authenticated and authorized.
pub struct Call<'a> {
    pub app: &'a Arc<App>,
    pub served: &'a Arc<Served>,
    pub user: &'a User,
    pub info: RequestInfo<'a>,
    pub query: Query<'a>,
    pub headers: &'a HeaderMap,
    pub body: Bytes,
    /// Texts for `Warning` headers, gathered on the way.
    pub warnings: &'a Mutex<Vec<String>>,
    /// The connection itself, if the client asks for another protocol on it.
    pub upgrade: Option<OnUpgrade>,
}

impl<'a> Call<'a> {
    /// The same request, for another object of the resource.
    pub fn of<'b>(&'b self, namespace: &'b str, name: &'b str) -> Call<'b>
    where
        'a: 'b,
    {
        self.of_resource(self.served, namespace, name)
    }

    /// The same request, for an object of another resource.
    pub fn of_resource<'b>(&'b self, served: &'b Arc<Served>, namespace: &'b str, name: &'b str) -> Call<'b>
    where
        'a: 'b,
    {
        let names = served.kind.names();
        let (group, version, resource) = (names.group, names.version, names.plural);
        let info = RequestInfo { group, version, resource, namespace, name, subresource: "", ..self.info };
        Call {
            app: self.app,
            served,
            user: self.user,
            info,
            query: Query::default(),
            headers: self.headers,
            body: Bytes::new(),
            warnings: self.warnings,
            upgrade: None,
        }
    }

    /// The same request, for the object itself.
    pub fn without_subresource(&self) -> Call<'_> {
        self.of(self.info.namespace, self.info.name)
    }

    /// Adds texts for `Warning` headers.
    pub fn warn(&self, texts: Vec<String>) {
        let mut warnings = self.warnings.lock();
        for text in texts {
            if !warnings.contains(&text) {
                warnings.push(text);
            }
        }
    }

    pub fn core(&self) -> &Core {
        &self.app.core
    }

    pub fn id(&self) -> Result<&ResourceRef, Status> {
        self.served.id.as_ref().ok_or_else(|| self.not_supported())
    }

    pub fn not_supported(&self) -> Status {
        Status::method_not_supported(&self.served.group_resource, self.info.verb)
    }

    pub fn not_found(&self) -> Status {
        Status::not_found(&self.served.group_resource, self.info.name)
    }

    /// The namespace of the objects meant; empty in cluster scope, where namespaces name themselves.
    pub fn namespace(&self) -> &str {
        if self.served.is_namespaced() { self.info.namespace } else { "" }
    }

    pub fn subresource(&self) -> Option<&str> {
        Some(self.info.subresource).filter(|name| !name.is_empty())
    }

    pub fn form(&self) -> Result<Form, Status> {
        Form::of(self.headers, &self.query, self.served.message.is_some())
    }

    pub fn context(&self) -> Context<'_> {
        let user = Requester {
            name: &self.user.name,
            uid: &self.user.uid,
            groups: &self.user.groups,
            extra: &self.user.extra,
        };
        Context { now: self.core().clock.now(), user }
    }

    pub fn field_validation(&self) -> Result<FieldValidation, Status> {
        match self.query.get("fieldValidation") {
            None | Some("Warn") => Ok(FieldValidation::Warn),
            Some("Strict") => Ok(FieldValidation::Strict),
            Some("Ignore") => Ok(FieldValidation::Ignore),
            Some(other) => Err(Status::bad_request(format!(
                "unsupported fieldValidation value {other:?}, supported values are Ignore, Strict and Warn"
            ))),
        }
    }

    /// The stored object at its newest.
    pub async fn current(&self, freshness: Freshness) -> Result<Arc<Object>, Status> {
        let found = self.core().store.get(self.id()?, self.namespace(), self.info.name, freshness).await;
        found.map_err(answer::store_error)?.ok_or_else(|| self.not_found())
    }

    /// One object, given as stored, in the form the client accepts.
    pub fn answer(&self, code: StatusCode, json: &Bytes, form: Form) -> Answer {
        let now = self.core().clock.now();
        answer::document(code, render::object(self.served, form, json, now), form)
    }

    /// What lists, watches and deletions of collections select.
    pub fn filter(&self) -> Result<Filter, Status> {
        list::filter(self)
    }
}

/// Answers a request for a resource, but for subresources that are no part of the stored object.
pub async fn serve(call: &Call<'_>) -> Result<Answer, Status> {
    if let Some(text) = call.served.kind.deprecation() {
        call.warn(vec![text.to_owned()]);
    }
    let names = call.served.kind.names();
    match (names.group, names.plural, call.info.subresource) {
        ("", "pods", "binding") | ("", "bindings", "") => return pod_binding::create(call).await,
        ("", "pods", "eviction") => return pod_eviction::create(call).await,
        ("", "serviceaccounts", "token") => return answered::token(call).await,
        (_, _, "scale") if call.served.kind.scale_paths().is_some() => return scale::serve(call).await,
        _ => {}
    }
    check_verb(call)?;
    if (names.group, names.plural) == ("", "componentstatuses") {
        return component_status::serve(call).await;
    }
    if call.served.id.is_none() {
        return answered::review(call).await;
    }
    match call.info.verb {
        "get" => get::get(call).await,
        "list" => list::list(call).await,
        "watch" => watch::watch(call).await,
        "create" => create::create(call).await,
        "update" => update::update(call).await,
        "patch" => patch::patch(call).await,
        "delete" => delete::delete(call).await,
        "deletecollection" => delete_collection::delete(call).await,
        _ => Err(call.not_supported()),
    }
}

fn check_verb(call: &Call<'_>) -> Result<(), Status> {
    let verbs = match call.subresource() {
        None => call.served.kind.verbs(),
        Some(name) => {
            let found = call.served.kind.subresources().iter().find(|sub| sub.name == name);
            found.ok_or_else(Status::path_not_found)?.verbs
        }
    };
    // A verb that needs a name was sent to a collection, or one that needs a collection to an object.
    let is_collection = matches!(call.info.verb, "list" | "watch" | "create" | "deletecollection");
    let misplaced = match call.info.verb {
        "create" => call.subresource().is_none() && !call.info.name.is_empty(),
        _ => !is_collection && call.info.name.is_empty(),
    };
    if verbs.contains(&call.info.verb) && !misplaced { Ok(()) } else { Err(call.not_supported()) }
}
