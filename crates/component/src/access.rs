//! Who asks, and whether they may: how a component's own port decides.
//!
//! The decision itself is the API server's (TokenReview, SubjectAccessReview); `client` implements it.

use futures::future::BoxFuture;

/// Who a request comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    pub user: String,
    pub uid: String,
    pub groups: Vec<String>,
    /// Sorted by key; several values a key.
    pub extra: Vec<(String, Vec<String>)>,
}

impl Identity {
    pub fn anonymous() -> Self {
        Self { user: "system:anonymous".into(), groups: vec!["system:unauthenticated".into()], ..Self::default() }
    }
}

/// What is asked: a path, or a resource as the kubelet's API maps its paths to (`nodes/log`, …).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    Path(String),
    Node { name: String, subresource: String },
}

pub trait Access: Send + Sync + 'static {
    /// The identity behind a bearer token; `None` when it is not valid.
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Identity>>>;

    /// Whether `identity` may do `verb` (`get`, `create`, …).
    fn authorize<'a>(
        &'a self,
        identity: &'a Identity,
        verb: &'a str,
        target: &'a Target,
    ) -> BoxFuture<'a, anyhow::Result<bool>>;
}
