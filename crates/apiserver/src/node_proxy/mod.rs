//! Requests that leave the API server: logs, exec, attach and port-forward go to the kubelet of the pod's node, `proxy`
//! subresources to a node, pod or Service.
//!
//! Upgraded connections are passed through as bytes wherever the kubelet's runtime speaks what the client does; the newer
//! protocols over WebSockets are translated (see [`upgrade`]).

mod container;
mod forward;
mod kubelet;
mod location;
mod remote_command;
mod spdy;
mod target;
mod upgrade;
mod websocket;

use std::sync::Arc;

use api_types::{GroupResource, Status};
use component::serve::Body;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::Value;
use store::Freshness;

use crate::{
    answer::{self, Answer},
    core::Core,
    query::{Query, unescape},
    request::{RequestInfo, User},
};

pub use kubelet::unchecked_tls;
pub use target::dial_error;

use forward::Translation;
use kubelet::Kubelets;
use upgrade::Way;

pub struct NodeProxy {
    core: Arc<Core>,
    kubelets: Kubelets,
}

impl NodeProxy {
    pub fn new(core: Arc<Core>) -> Self {
        let kubelets = Kubelets::new(Arc::clone(&core));
        Self { core, kubelets }
    }

    /// Answers a request for one of the streaming subresources; the user has been authorized for it.
    pub async fn serve(
        &self,
        request: Request<Incoming>,
        user: &User,
        info: RequestInfo<'_>,
    ) -> Result<Answer, Status> {
        tracing::debug!(user = user.name, path = info.path, "passed on");
        match (info.resource, info.subresource) {
            ("pods", "log") => self.log(request, info).await,
            ("pods", "exec" | "attach" | "portforward") => self.stream(request, info).await,
            (_, "proxy") => self.proxy(request, info).await,
            _ => Err(Status::path_not_found()),
        }
    }

    async fn log(&self, request: Request<Incoming>, info: RequestInfo<'_>) -> Result<Answer, Status> {
        only(info, &["get"])?;
        let pod = self.pod(info).await?;
        let query = request.uri().query().unwrap_or_default();
        let asked = Query::parse(query);
        let container = container::choose(&pod, asked.get("container"))?;
        let Some(node) = node_of(&pod) else {
            // Not scheduled yet: there is nothing to show, which is no error.
            return Ok(answer::with_body(StatusCode::OK, Body::Empty, "text/plain"));
        };
        let kept =
            ["follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream"];
        let query = upgrade::rewritten(query, |name| kept.contains(&name).then(|| name.to_owned()));
        let path = format!("/containerLogs/{}/{}/{container}{query}", info.namespace, info.name);
        let connection = self.kubelets.connect(node).await?;
        let response = connection.send(forward::outgoing(request, &path)).await?;
        if response.status().is_success() {
            Ok(forward::streamed(response))
        } else {
            Err(forward::refused(response).await)
        }
    }

    async fn stream(&self, mut request: Request<Incoming>, info: RequestInfo<'_>) -> Result<Answer, Status> {
        only(info, &["get", "create"])?;
        if !upgrade::is_wanted(request.headers()) {
            return Err(Status::bad_request("Upgrade request required"));
        }
        let way = upgrade::way(request.headers_mut());
        let pod = self.pod(info).await?;
        let node = node_of(&pod)
            .ok_or_else(|| Status::bad_request(format!("pod {} does not have a host assigned", info.name)))?;
        let query = request.uri().query().unwrap_or_default().to_owned();
        let (namespace, name) = (info.namespace, info.name);
        let path = if info.subresource == "portforward" {
            let query = upgrade::rewritten(&query, |name| matches!(name, "port" | "ports").then(|| name.to_owned()));
            format!("/portForward/{namespace}/{name}{query}")
        } else {
            let container = container::choose(&pod, Query::parse(&query).get("container"))?;
            let query = upgrade::rewritten(&query, upgrade::kubelet_parameter);
            format!("/{}/{namespace}/{name}/{container}{query}", info.subresource)
        };
        let connection = self.kubelets.connect(node).await?;
        let translation = match (way, info.subresource) {
            (Way::Messages, "portforward") => Translation::PortForward,
            (Way::Channels, "exec" | "attach") => {
                Translation::RemoteCommand(remote_command::Wanted::of(&Query::parse(&query)))
            }
            _ => return connection.upgrade(request, &path).await,
        };
        connection.translated(request, &path, translation).await
    }

    async fn proxy(&self, request: Request<Incoming>, info: RequestInfo<'_>) -> Result<Answer, Status> {
        let uri = request.uri().clone();
        let upgrades = upgrade::is_wanted(request.headers());
        // Relative links of what answers only work below its root.
        if info.rest.is_empty() && !uri.path().ends_with('/') && info.verb == "get" && !upgrades {
            return Ok(moved(&uri));
        }
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("/{}{query}", info.rest);
        let id = unescape(info.name);
        let connection = match info.resource {
            "nodes" => self.kubelets.connect_to(&target::Named::parse(&id, "node")?).await?,
            "pods" => target::pod(&self.core, info, &id).await?,
            "services" => target::service(&self.core, info, &id).await?,
            _ => return Err(Status::path_not_found()),
        };
        if upgrades {
            return connection.upgrade(request, &path).await;
        }
        let root = uri.path().strip_suffix(info.rest).unwrap_or_default().trim_end_matches('/').to_owned();
        let asked = request.headers().get(header::HOST).cloned();
        let mut passed = forward::outgoing(request, &path);
        location::tell(passed.headers_mut(), &root, info.rest, asked.as_ref());
        let backend = connection.authority().to_owned();
        let mut answer = forward::streamed(connection.send(passed).await?);
        location::rewrite(answer.headers_mut(), &root, &backend);
        Ok(answer)
    }

    async fn pod(&self, info: RequestInfo<'_>) -> Result<Value, Status> {
        find(&self.core, "pods", info.namespace, info.name).await
    }
}

/// The object in the core group at its newest, or 404.
async fn find(core: &Core, resource: &'static str, namespace: &str, name: &str) -> Result<Value, Status> {
    let missing = || Status::not_found(&GroupResource::new("", resource), name);
    let id = core.resource("", resource).ok_or_else(missing)?;
    let found = core.store.get(&id, namespace, name, Freshness::Latest).await.map_err(answer::store_error)?;
    found.map(|object| object.value()).ok_or_else(missing)
}

fn node_of(pod: &Value) -> Option<&str> {
    pod["spec"]["nodeName"].as_str().filter(|name| !name.is_empty())
}

fn only(info: RequestInfo, verbs: &[&str]) -> Result<(), Status> {
    if verbs.contains(&info.verb) {
        return Ok(());
    }
    Err(Status::method_not_supported(&info.group_resource(), info.verb))
}

fn moved(uri: &http::Uri) -> Response<Body> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::from_str(&format!("{}/{query}", uri.path())) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

#[cfg(test)]
mod tests;
