//! The certificate of the kubelet's own port.

use crate::{
    bootstrap::{self, Kind},
    config::Config,
};
use std::{fs, io::Write, net::IpAddr, os::unix::fs::OpenOptionsExt, path::Path};

/// The configured certificate, or one signed by itself for whoever does not check. With `serverTLSBootstrap` that one
/// only serves until the API's signer has made another.
pub fn ensure_certificate(config: &mut Config, addresses: &[IpAddr]) -> anyhow::Result<()> {
    if config.file.tls_cert_file.is_some() && config.file.tls_private_key_file.is_some() {
        config.file.server_tls_bootstrap = false;
        return Ok(());
    }
    if config.file.server_tls_bootstrap {
        let current = Kind::Server.current(&config.cert_dir);
        if !current.exists() {
            let made = self_signed(config, addresses)?;
            let key = made.signing_key.serialize_pem();
            bootstrap::install(Kind::Server, &config.cert_dir, made.cert.pem().as_bytes(), &key)?;
        }
        config.file.tls_cert_file = Some(current.clone());
        config.file.tls_private_key_file = Some(current);
        return Ok(());
    }
    let (cert, key) = (config.cert_dir.join("kubelet.crt"), config.cert_dir.join("kubelet.key"));
    if !cert.exists() || !key.exists() {
        fs::create_dir_all(&config.cert_dir)?;
        let made = self_signed(config, addresses)?;
        write(&key, 0o600, &made.signing_key.serialize_pem())?;
        write(&cert, 0o644, &made.cert.pem())?;
    }
    config.file.tls_cert_file = Some(cert);
    config.file.tls_private_key_file = Some(key);
    Ok(())
}

fn self_signed(config: &Config, addresses: &[IpAddr]) -> anyhow::Result<rcgen::CertifiedKey<rcgen::KeyPair>> {
    let mut names = vec![config.node_name.clone()];
    names.extend(addresses.iter().map(ToString::to_string));
    Ok(rcgen::generate_simple_self_signed(names)?)
}

fn write(path: &Path, mode: u32, text: &str) -> std::io::Result<()> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?.write_all(text.as_bytes())
}
