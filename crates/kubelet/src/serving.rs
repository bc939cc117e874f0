//! The certificate of the kubelet's own port.

use crate::config::Config;
use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

/// The configured certificate, or one signed by itself for whoever does not check.
pub fn ensure_certificate(config: &mut Config) -> anyhow::Result<()> {
    if config.file.tls_cert_file.is_some() && config.file.tls_private_key_file.is_some() {
        return Ok(());
    }
    let (cert, key) = (config.cert_dir.join("kubelet.crt"), config.cert_dir.join("kubelet.key"));
    if !cert.exists() || !key.exists() {
        fs::create_dir_all(&config.cert_dir)?;
        let mut names = vec![config.node_name.clone()];
        names.extend(config.node_ips.iter().map(ToString::to_string));
        let made = rcgen::generate_simple_self_signed(names)?;
        write(&key, 0o600, &made.signing_key.serialize_pem())?;
        write(&cert, 0o644, &made.cert.pem())?;
    }
    config.file.tls_cert_file = Some(cert);
    config.file.tls_private_key_file = Some(key);
    Ok(())
}

fn write(path: &Path, mode: u32, text: &str) -> std::io::Result<()> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?.write_all(text.as_bytes())
}
