//! Asking the cluster for a certificate: a CertificateSigningRequest, and waiting until it is signed.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::TryStreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kube::api::{Api, PostParams};
use kube::runtime::watcher;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

/// How long a request may wait for somebody to approve it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A certificate to ask for.
pub struct Wanted<'a> {
    pub signer: &'a str,
    pub common_name: &'a str,
    pub organization: Option<&'a str>,
    pub server: Option<(&'a str, IpAddr)>,
}

/// A certificate and its key, in PEM.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

/// The kubelet's own identity.
pub fn kubelet(name: &str) -> Wanted<'_> {
    let signer = "kubernetes.io/kube-apiserver-client-kubelet";
    Wanted { signer, common_name: name, organization: Some("system:nodes"), server: None }
}

/// Of the kubelet's port, by the node's name and address.
pub fn serving<'a>(user: &'a str, node: &'a str, address: IpAddr) -> Wanted<'a> {
    let signer = "kubernetes.io/kubelet-serving";
    Wanted { signer, common_name: user, organization: Some("system:nodes"), server: Some((node, address)) }
}

/// Of what runs beside the kubelet.
pub fn component(user: &str) -> Wanted<'_> {
    Wanted { signer: "kubernetes.io/kube-apiserver-client", common_name: user, organization: None, server: None }
}

/// Makes a key, asks for a certificate of it, and waits for that.
pub async fn request(client: &kube::Client, wanted: &Wanted<'_>) -> anyhow::Result<Identity> {
    let key = KeyPair::generate()?;
    let asked = csr(wanted, &key)?;
    let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
    let made = requests.create(&PostParams::default(), &asked).await.map_err(crate::addons::in_a_line)?;
    let name = made.metadata.name.context("the request has no name")?;
    let certificate = tokio::time::timeout(PATIENCE, signed(requests, &name)).await.with_context(|| {
        format!("nobody approved it within {} s (`kctl describe csr {name}`)", PATIENCE.as_secs())
    })??;
    Ok(Identity { certificate, key: key.serialize_pem() })
}

fn csr(wanted: &Wanted<'_>, key: &KeyPair) -> anyhow::Result<CertificateSigningRequest> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(organization) = wanted.organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params.distinguished_name.push(DnType::CommonName, wanted.common_name);
    if let Some((name, address)) = wanted.server {
        params.subject_alt_names = vec![SanType::DnsName(name.try_into()?), SanType::IpAddress(address)];
    }
    let usage = if wanted.server.is_some() { "server auth" } else { "client auth" };
    let mut csr = CertificateSigningRequest {
        spec: CertificateSigningRequestSpec {
            request: ByteString(params.serialize_request(key)?.pem()?.into_bytes()),
            signer_name: wanted.signer.to_owned(),
            usages: Some(["digital signature", usage].map(str::to_owned).to_vec()),
            ..CertificateSigningRequestSpec::default()
        },
        ..CertificateSigningRequest::default()
    };
    csr.metadata.generate_name = Some("csr-".into());
    Ok(csr)
}

async fn signed(requests: Api<CertificateSigningRequest>, name: &str) -> anyhow::Result<String> {
    let mut changes = std::pin::pin!(watcher::watch_object(requests, name));
    loop {
        let seen = match changes.try_next().await {
            Ok(Some(seen)) => seen,
            Ok(None) => bail!("the watch has ended"),
            // The watcher tries again by itself.
            Err(error) => {
                tracing::debug!(%error, "watching {name}");
                continue;
            }
        };
        let Some(status) = seen.and_then(|csr| csr.status) else { continue };
        let refused = status.conditions.iter().flatten().find(|c| c.type_ == "Denied" || c.type_ == "Failed");
        if let Some(refused) = refused {
            bail!("the request {name} was refused: {}", refused.message.as_deref().unwrap_or(&refused.type_));
        }
        if let Some(certificate) = status.certificate.filter(|certificate| !certificate.0.is_empty()) {
            return String::from_utf8(certificate.0).context("the certificate is not PEM");
        }
    }
}
