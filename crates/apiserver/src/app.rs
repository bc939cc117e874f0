//! The parts of a running server, put together once.

use std::sync::Arc;

use component::{Shutdown, health::Checks};

use crate::{
    admission::Chain,
    authn::Authenticator,
    authz::Authorizer,
    claims::Claimant,
    core::{Core, Served},
    discovery::Discovery,
    node_proxy::NodeProxy,
    openapi::OpenApi,
    reviews::Reviews,
    service_alloc::ServiceAllocator,
    tokens::Tokens,
};

/// Shared by all requests.
pub struct App {
    pub core: Arc<Core>,
    pub authenticator: Authenticator,
    pub authorizer: Arc<Authorizer>,
    pub admission: Chain,
    pub tokens: Arc<Tokens>,
    pub reviews: Reviews,
    pub discovery: Discovery,
    pub openapi: OpenApi,
    pub node_proxy: NodeProxy,
    pub services: Arc<ServiceAllocator>,
    pub checks: Arc<Checks>,
    pub shutdown: Shutdown,
}

impl App {
    /// Who claims something in the transactions of a kind.
    pub fn claimant(&self, served: &Served) -> Option<&dyn Claimant> {
        let resource = &served.group_resource;
        (resource.group.is_empty() && resource.resource == "services").then_some(&*self.services as &dyn Claimant)
    }
}
