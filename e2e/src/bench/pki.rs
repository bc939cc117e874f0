//! The certificates of a measurement: an authority, the API server, and who asks it.

use std::{fs, path::Path};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// (file name, common name, organization).
const CLIENTS: [(&str, &str, &str); 2] =
    [("admin", "kubernetes-admin", "system:masters"), ("scheduler", "system:kube-scheduler", "")];

/// Makes everything in `dir`, under the names that a cluster has.
pub fn make(dir: &Path) -> anyhow::Result<()> {
    let write = |name: &str, text: String| fs::write(dir.join(name), text).with_context(|| format!("writing {name}"));
    let mut params = named("kogge-bench", "");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    write("ca.crt", authority.pem())?;

    let mut server = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    server.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    let clients = CLIENTS.map(|(file, name, organization)| {
        let mut params = named(name, organization);
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        (file, params)
    });
    for (file, params) in clients.into_iter().chain([("apiserver", server)]) {
        let key = KeyPair::generate()?;
        write(&format!("{file}.crt"), params.signed_by(&key, &authority)?.pem())?;
        write(&format!("{file}.key"), key.serialize_pem())?;
    }
    let key = KeyPair::generate()?;
    write("sa.key", key.serialize_pem())?;
    write("sa.pub", key.public_key_pem())
}

fn named(common_name: &str, organization: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if !organization.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}
