//! The parts of a running server, put together once.

use std::sync::Arc;

use component::{
    Shutdown,
    health::{Checks, Flag},
};

use crate::{
    admission::Chain,
    authn::Authenticator,
    authz::Authorizer,
    claims::Claimant,
    core::{Core, Served},
    discovery::Discovery,
    node_proxy::NodeProxy,
    openapi::OpenApi,
    quota::Quotas,
    reviews::Reviews,
    service_alloc::ServiceAllocator,
    tokens::Tokens,
    turns::Turns,
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
    pub quotas: Quotas,
    pub checks: Arc<Checks>,
    /// Whether the custom resources defined at the start are served.
    pub definitions: Flag,
    pub shutdown: Shutdown,
    /// Of answers that are large.
    pub(crate) turns: Arc<Turns>,
}

impl App {
    /// Starts the parts that follow the store; they end with `shutdown`.
    ///
    /// # Errors
    /// When a key or a range of the configuration cannot be used.
    pub fn assemble(core: Arc<Core>, checks: Arc<Checks>, shutdown: Shutdown) -> anyhow::Result<Arc<Self>> {
        let tokens = Arc::new(Tokens::new(core.clone())?);
        let authorizer = Authorizer::start(&core, &shutdown);
        let services = Arc::new(ServiceAllocator::new(core.clone())?);
        Ok(Arc::new(Self {
            authenticator: Authenticator::new(core.clone(), tokens.clone()),
            admission: Chain::new(core.clone(), authorizer.clone()),
            reviews: Reviews::new(core.clone(), tokens.clone(), authorizer.clone()),
            discovery: Discovery::new(&server_address(&core)),
            openapi: OpenApi::new(),
            node_proxy: NodeProxy::new(core.clone()),
            quotas: Quotas::new(core.clone()),
            authorizer,
            services,
            tokens,
            core,
            definitions: checks.flag("crd-informer-synced"),
            checks,
            shutdown,
            turns: Arc::default(),
        }))
    }

    /// Who claims something in the transactions of a kind.
    pub fn claimant(&self, served: &Served) -> Option<&dyn Claimant> {
        let resource = &served.group_resource;
        (resource.group.is_empty() && resource.resource == "services").then_some(&*self.services as &dyn Claimant)
    }
}

/// Where clients reach this server, as discovery tells them.
fn server_address(core: &Core) -> String {
    let address = core.config.advertise_address.unwrap_or(core.config.bind_address);
    std::net::SocketAddr::new(address, core.config.secure_port).to_string()
}
