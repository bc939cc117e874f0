//! The part of a kubeconfig that one connection needs, in the form that client-go writes.
//!
//! Relative paths in it are relative to its folder. Merging several files is kubectl's business, not a component's.

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Kubeconfig {
    pub current_context: String,
    pub contexts: Vec<NamedContext>,
    pub clusters: Vec<NamedCluster>,
    pub users: Vec<NamedUser>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct NamedContext {
    pub name: String,
    #[serde(default)]
    pub context: Context,
}

#[derive(Clone, Debug, Deserialize)]
pub struct NamedCluster {
    pub name: String,
    #[serde(default)]
    pub cluster: Cluster,
}

#[derive(Clone, Debug, Deserialize)]
pub struct NamedUser {
    pub name: String,
    #[serde(default)]
    pub user: User,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Context {
    pub cluster: String,
    pub user: String,
    pub namespace: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Cluster {
    pub server: String,
    pub certificate_authority: Option<String>,
    pub certificate_authority_data: Option<String>,
    pub tls_server_name: Option<String>,
    pub insecure_skip_tls_verify: bool,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct User {
    pub client_certificate: Option<String>,
    pub client_certificate_data: Option<String>,
    pub client_key: Option<String>,
    pub client_key_data: Option<String>,
    pub token: Option<String>,
    #[serde(rename = "tokenFile")]
    pub token_file: Option<String>,
    /// Asks for a credential plugin.
    pub exec: Option<serde_json::Value>,
    pub auth_provider: Option<serde_json::Value>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").finish_non_exhaustive()
    }
}

impl Kubeconfig {
    /// # Errors
    /// When the text is not the YAML or JSON of a kubeconfig.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(serde_saphyr::from_str(text)?)
    }

    pub fn context(&self, name: &str) -> Option<&Context> {
        self.contexts.iter().find(|named| named.name == name).map(|named| &named.context)
    }

    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|named| named.name == name).map(|named| &named.cluster)
    }

    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|named| named.name == name).map(|named| &named.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_client_go_writes() {
        let config = Kubeconfig::parse(
            r"
apiVersion: v1
kind: Config
current-context: a@b
contexts: [{name: a@b, context: {cluster: b, user: a, namespace: n}}]
clusters: [{name: b, cluster: {server: 'https://localhost:1', certificate-authority: ca.crt}}]
users: [{name: a, user: {client-certificate: a.crt, client-key: a.key, tokenFile: t}}]
preferences: {}
",
        )
        .unwrap();
        let context = config.context(&config.current_context).unwrap();
        assert_eq!(config.cluster(&context.cluster).unwrap().server, "https://localhost:1");
        assert_eq!(config.user("a").unwrap().token_file.as_deref(), Some("t"));
    }
}
