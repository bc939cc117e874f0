//! `kctl cluster renew`: certificates that end soon are made anew. A timer runs it daily; the kubelet renews its own
//! client certificate by itself, and every component reads a certificate again that has changed.

use std::path::Path;

use anyhow::Context;
use component::Clock;

use super::files::{KUBELET_KUBECONFIG, PKI};
use super::record::{Installation, Root};
use super::request::{self, Wanted};
use super::write;

/// Returns how many certificates were made.
pub async fn renew(root: &Path) -> anyhow::Result<usize> {
    component::tls::install_provider();
    let root = Root(root.to_owned());
    let of = Installation::load(&root)?.context("this machine is in no cluster")?;
    if of.is_control_plane() {
        return write::control_plane_certificates_now(&root, &of);
    }
    let client = client::connect(&root.at(KUBELET_KUBECONFIG), "kctl")?;
    of_node(&root, &of, &client).await
}

/// The certificates of a node that are missing or end soon, asked for as that node.
pub async fn of_node(root: &Root, of: &Installation, client: &kube::Client) -> anyhow::Result<usize> {
    let user = format!("system:node:{}", of.node.name);
    let all: [(&str, Wanted<'_>); 3] = [
        ("kubelet", request::serving(&user, &of.node.name, of.node.address.into())),
        ("proxy", request::component("system:kube-proxy")),
        ("cni-agent", request::component("system:kogge:cni-agent")),
    ];
    let mut made = 0;
    for (name, wanted) in all {
        if write::is_good(&root.at(PKI).join(name).with_extension("crt"), component::SystemClock.now())? {
            continue;
        }
        let identity = request::request(client, &wanted).await.with_context(|| format!("the certificate {name}"))?;
        write::certificate(root, name, &identity.certificate, &identity.key)?;
        made += 1;
    }
    Ok(made)
}
