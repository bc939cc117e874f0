//! Connections to kubelets, with the API server's own client certificate.
//!
//! The certificate files are read for each connection: they may be renewed while the server runs, and these requests are few.

use std::sync::Arc;

use anyhow::Context;
use api_rules::value;
use api_types::Status;
use component::tls;
use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{
    find,
    forward::Connection,
    target::{self, Named},
};
use crate::core::Core;

/// The kubelet's port if its node does not say.
const PORT: u64 = 10250;
/// A node that does not answer within this time is taken for unreachable.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

pub struct Kubelets {
    core: Arc<Core>,
}

impl Kubelets {
    pub fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    pub async fn connect(&self, node: &str) -> Result<Connection, Status> {
        self.connect_to(&Named { scheme: "", name: node, port: "" }).await
    }

    /// To the kubelet, or to another port of its node, which gets to see no certificate of ours.
    pub async fn connect_to(&self, target: &Named<'_>) -> Result<Connection, Status> {
        let node = target.name;
        let object = find(&self.core, "nodes", "", node).await?;
        let host = self.address(&object).ok_or_else(|| {
            let known: Vec<String> = value::items(&object, &["status", "addresses"])
                .iter()
                .map(|known| format!("{{{} {}}}", value::text(known, &["type"]), value::text(known, &["address"])))
                .collect();
            Status::unknown(format!("no preferred addresses found; known addresses: [{}]", known.join(" ")))
        })?;
        let port = object["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().unwrap_or(PORT);
        if !target.port.is_empty() && target.port != port.to_string() {
            return target::connect(target.scheme, &host, target.port).await;
        }
        let authority = format!("{host}:{port}");
        let failed = |why: anyhow::Error| {
            tracing::warn!(node, authority, "cannot reach the kubelet: {why:#}");
            Status::internal(format!("error dialing backend: {why:#}"))
        };
        let config = self.tls().map_err(failed)?;
        connect_tls(&authority, &host, config).await.map_err(failed)
    }

    /// The first address of the first preferred type.
    fn address(&self, node: &Value) -> Option<String> {
        let addresses = node["status"]["addresses"].as_array()?;
        let of_type = |wanted: &String| addresses.iter().find(|address| address["type"] == **wanted);
        let found = self.core.config.kubelet_preferred_address_types.iter().find_map(of_type)?;
        found["address"].as_str().map(str::to_owned)
    }

    fn tls(&self) -> anyhow::Result<ClientConfig> {
        let config = &self.core.config;
        let builder = ClientConfig::builder();
        let builder = match &config.kubelet_certificate_authority {
            Some(path) => builder.with_root_certificates(tls::roots(path)?),
            // As upstream: without an authority to check against, kubelets are taken at their word.
            None => builder.dangerous().with_custom_certificate_verifier(Arc::new(unchecked::Unchecked::default())),
        };
        match (&config.kubelet_client_certificate, &config.kubelet_client_key) {
            (Some(certificate), Some(key)) => builder
                .with_client_auth_cert(tls::certificates(certificate)?, tls::private_key(key)?)
                .context("the client certificate for kubelets"),
            _ => Ok(builder.with_no_client_auth()),
        }
    }
}

/// A connection to `authority` whose certificate must be valid for `host`.
pub async fn connect_tls(authority: &str, host: &str, config: ClientConfig) -> anyhow::Result<Connection> {
    let name = ServerName::try_from(host.to_owned()).with_context(|| format!("{host:?} is no host name"))?;
    let connecting = async {
        let tcp = TcpStream::connect(authority).await.with_context(|| format!("dial tcp {authority}"))?;
        tcp.set_nodelay(true)?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.context("TLS handshake")?;
        Connection::start(stream, authority.to_owned()).await
    };
    timeout(PATIENCE, connecting).await.with_context(|| format!("dial tcp {authority}: i/o timeout"))?
}

/// A client that shows no certificate and asks for no proof, for `https:` targets of the proxy subresources.
pub fn unchecked_tls() -> ClientConfig {
    let verifier = Arc::new(unchecked::Unchecked::default());
    ClientConfig::builder().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
}

mod unchecked {
    //! Accepts every server certificate; signatures within the handshake are still checked.

    use std::sync::Arc;

    use rustls::{
        DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
    };

    #[derive(Debug)]
    pub struct Unchecked(Arc<CryptoProvider>);

    impl Default for Unchecked {
        fn default() -> Self {
            Self(Arc::new(aws_lc_rs::default_provider()))
        }
    }

    impl ServerCertVerifier for Unchecked {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
