//! Who sends a request: a client certificate first, a bootstrap or service account token next, and nobody for health checks
//! and the one document that joining machines read before they have a credential.
//!
//! What the user may do is not decided here, except for whether they may be taken for somebody else
//! ([`impersonation`]), which needs the authorizer.

mod bearer;
pub mod bootstrap_token;
pub mod impersonation;

use std::sync::Arc;

use api_rules::authz::{SYSTEM_AUTHENTICATED, User};
use api_types::Status;
use component::{Identity, serve::Peer};
use http::request::Parts;

use crate::{core::Core, tokens::Tokens};

/// Signed with every bootstrap token, so that whoever knows one can trust it; RBAC still says who may read it.
const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";

pub struct Authenticator {
    core: Arc<Core>,
    tokens: Arc<Tokens>,
}

impl Authenticator {
    pub fn new(core: Arc<Core>, tokens: Arc<Tokens>) -> Self {
        Self { core, tokens }
    }

    /// The sender of a request; 401 for credentials that do not hold, or none where some are needed.
    pub async fn authenticate(&self, parts: &Parts, peer: &Peer) -> Result<Arc<User>, Status> {
        if let Some(identity) = &peer.identity {
            return Ok(Arc::new(of_certificate(identity)));
        }
        if let Some(token) = bearer::token(&parts.headers) {
            return self.of_token(&token).await;
        }
        if is_open(parts.uri.path()) { Ok(Arc::new(User::anonymous())) } else { Err(Status::unauthorized()) }
    }

    async fn of_token(&self, token: &str) -> Result<Arc<User>, Status> {
        if bootstrap_token::split(token).is_some() {
            return bootstrap_token::authenticate(&self.core, token).await.ok_or_else(Status::unauthorized);
        }
        match self.tokens.authenticate(token, self.tokens.audiences()).await {
            Ok(holder) => Ok(holder.user),
            Err(why) => {
                tracing::debug!("unable to authenticate the request: {why}");
                Err(Status::unauthorized())
            }
        }
    }
}

fn of_certificate(identity: &Identity) -> User {
    let mut user = User::new(identity.user.clone(), identity.groups.iter().cloned());
    user.uid.clone_from(&identity.uid);
    user.extra = identity.extra.iter().cloned().collect();
    if !user.is_in(SYSTEM_AUTHENTICATED) {
        user.groups.push(SYSTEM_AUTHENTICATED.to_owned());
    }
    user
}

/// The only paths on which nobody in particular is heard at all.
fn is_open(path: &str) -> bool {
    let health = |open: &&str| path.strip_prefix(*open).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    path == CLUSTER_INFO || ["/livez", "/readyz", "/healthz"].iter().any(health)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_gets_health_checks_and_cluster_info_only() {
        for (path, open) in [
            ("/livez", true),
            ("/readyz/etcd", true),
            ("/healthz", true),
            ("/healthzz", false),
            ("/version", false),
            ("/api", false),
            ("/metrics", false),
            ("/", false),
            ("/api/v1/namespaces/kube-public/configmaps/cluster-info", true),
            ("/api/v1/namespaces/kube-public/configmaps", false),
            ("/api/v1/namespaces/kube-public/configmaps/cluster-info/x", false),
        ] {
            assert_eq!(is_open(path), open, "{path}");
        }
    }

    #[test]
    fn a_certificate_names_user_and_groups() {
        let identity = Identity { user: "ann".into(), groups: vec!["devs".into()], ..Identity::default() };
        assert_eq!(of_certificate(&identity), User::new("ann", ["devs", "system:authenticated"]));
    }
}
