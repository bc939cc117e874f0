//! The certificates of a server and its administrator, for one test.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// Writes `ca.crt`, `apiserver.{crt,key}`, `admin.{crt,key}` and `sa.key`.
pub fn write(dir: &Path) -> anyhow::Result<()> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "linear-ca");
    fs::write(dir.join("ca.crt"), params.self_signed(&key)?.pem())?;
    let authority = Issuer::new(params, key);

    let mut server = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.distinguished_name.push(DnType::CommonName, "apiserver");
    let mut admin = CertificateParams::default();
    admin.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    admin.distinguished_name.push(DnType::CommonName, "admin");
    admin.distinguished_name.push(DnType::OrganizationName, "system:masters");
    for (name, params) in [("apiserver", server), ("admin", admin)] {
        let key = KeyPair::generate()?;
        fs::write(dir.join(format!("{name}.crt")), params.signed_by(&key, &authority)?.pem())?;
        fs::write(dir.join(format!("{name}.key")), key.serialize_pem())?;
    }
    fs::write(dir.join("sa.key"), KeyPair::generate()?.serialize_pem())?;
    Ok(())
}
