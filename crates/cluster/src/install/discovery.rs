//! How a machine that has nothing but a token comes to trust an API server.
//!
//! The server's `cluster-info` is read from whoever answers. It is believed because it is signed with the token, which
//! was never sent, and because the authority in it has the public key that the person was told the digest of. Then it
//! is read once more from a server that this authority vouches for.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::config::Kubeconfig;
use serde::Deserialize;

use super::tokens::{ca_hash, split};

const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
/// A new token's signature comes a moment after the token.
const RETRY: Duration = Duration::from_millis(500);

/// What a joining machine believes.
#[derive(Debug)]
pub struct Discovered {
    pub server: String,
    /// The cluster's authority (PEM).
    pub ca: String,
}

/// Asks `address` until its answer is signed with the token. `pins` are digests as `ca_hash` makes them; none accepts
/// every authority.
pub async fn discover(address: &str, token: &str, pins: &[String]) -> anyhow::Result<Discovered> {
    let (id, secret) = split(token)?;
    let url = format!("https://{address}");
    let insecure = connect(&url, None)?;
    let (kubeconfig, found) = loop {
        let info = read(&insecure).await.with_context(|| format!("reading cluster-info from {address}"))?;
        match signature(&info, id) {
            Some(signature) => {
                let kubeconfig = kubeconfig(&info)?;
                verify(signature, id, secret, kubeconfig)?;
                let found = parse(kubeconfig)?;
                break (kubeconfig.to_owned(), found);
            }
            None => tokio::time::sleep(RETRY).await,
        }
    };
    check_pin(&found.ca, pins)?;
    let trusted = connect(&url, Some(&found.ca))?;
    let again =
        read(&trusted).await.with_context(|| format!("{address} is not vouched for by the cluster's authority"))?;
    ensure!(self::kubeconfig(&again)? == kubeconfig, "cluster-info from {address} has changed while it was read");
    Ok(found)
}

fn connect(url: &str, ca: Option<&str>) -> anyhow::Result<kube::Client> {
    let mut config = kube::Config::new(url.parse().with_context(|| format!("{url} is not an address"))?);
    match ca {
        Some(ca) => {
            let (_, pem) = x509_parser::pem::parse_x509_pem(ca.as_bytes()).context("the authority's certificate")?;
            config.root_cert = Some(vec![pem.contents]);
        }
        // Only what is signed is believed of this answer.
        None => config.accept_invalid_certs = true,
    }
    Ok(kube::Client::try_from(config)?)
}

async fn read(client: &kube::Client) -> anyhow::Result<ConfigMap> {
    let request = http::Request::get(CLUSTER_INFO).body(vec![])?;
    client.request(request).await.map_err(crate::addons::in_a_line)
}

fn kubeconfig(info: &ConfigMap) -> anyhow::Result<&str> {
    let data = info.data.as_ref().and_then(|data| data.get("kubeconfig"));
    data.map(String::as_str).context("there is no kubeconfig in the cluster-info ConfigMap")
}

fn signature<'a>(info: &'a ConfigMap, id: &str) -> Option<&'a str> {
    info.data.as_ref()?.get(&format!("jws-kubeconfig-{id}")).map(String::as_str)
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

/// Checks a JWS without its payload, which is `content`.
fn verify(jws: &str, id: &str, secret: &str, content: &str) -> anyhow::Result<()> {
    let parts: Vec<&str> = jws.split('.').collect();
    let [header, "", signature] = parts.as_slice() else { bail!("cluster-info is not signed in the form expected") };
    let read: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header)?).context("the signature's header")?;
    ensure!(read.alg == "HS256" && read.kid == id, "cluster-info is signed with {} of {}", read.alg, read.kid);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = URL_SAFE_NO_PAD.decode(signature).context("the signature")?;
    hmac::verify(&key, signed.as_bytes(), &signature).map_err(|_| {
        anyhow::anyhow!("failed to verify JWS signature of received cluster info object, can't trust this API Server")
    })
}

fn parse(kubeconfig: &str) -> anyhow::Result<Discovered> {
    let parsed = Kubeconfig::from_yaml(kubeconfig).context("the kubeconfig in cluster-info")?;
    let cluster = parsed.clusters.into_iter().find_map(|cluster| cluster.cluster).context("it names no cluster")?;
    let ca = cluster.certificate_authority_data.context("it has no authority")?;
    let ca = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(ca)?)?;
    Ok(Discovered { server: cluster.server.context("it names no server")?, ca })
}

fn check_pin(ca: &str, pins: &[String]) -> anyhow::Result<()> {
    let hash = ca_hash(ca.as_bytes())?;
    ensure!(
        pins.is_empty() || pins.iter().any(|pin| pin.eq_ignore_ascii_case(&hash)),
        "cluster CA found in cluster-info ConfigMap is invalid: none of the public keys \"{hash}\" are pinned"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef";

    fn sign(header: &str, content: &str) -> String {
        let header = URL_SAFE_NO_PAD.encode(header);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        format!("{header}..{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())))
    }

    #[test]
    fn only_who_knows_the_token_is_believed() {
        let good = sign(r#"{"alg":"HS256","kid":"abcdef"}"#, "x");
        let check = |jws: &str, secret: &str, content: &str| verify(jws, "abcdef", secret, content).is_ok();
        assert!(check(&good, SECRET, "x"));
        assert!(!check(&good, SECRET, "y"));
        assert!(!check(&good, "fedcba9876543210", "x"));
        assert!(!check(&sign(r#"{"alg":"none","kid":"abcdef"}"#, "x"), SECRET, "x"));
        assert!(!check(&sign(r#"{"alg":"HS256","kid":"fedcba"}"#, "x"), SECRET, "x"));
        for junk in ["", "a.b.c", "..", "a"] {
            assert!(!check(junk, SECRET, "x"), "{junk}");
        }
    }

    #[test]
    fn cluster_info_is_read_back() {
        let found = parse(&crate::config::cluster_info("https://192.0.2.1:6443", "PEM")).unwrap();
        assert_eq!((found.server.as_str(), found.ca.as_str()), ("https://192.0.2.1:6443", "PEM"));
        assert!(parse("apiVersion: v1\nkind: Config\nclusters: []\n").is_err());
    }

    #[test]
    fn another_authority_is_refused() {
        let made = rcgen::generate_simple_self_signed(vec!["a".into()]).unwrap();
        let pem = made.cert.pem();
        let hash = ca_hash(pem.as_bytes()).unwrap();
        assert!(check_pin(&pem, &[]).is_ok());
        assert!(check_pin(&pem, &["sha256:00".into(), hash.to_uppercase()]).is_ok());
        assert!(check_pin(&pem, &["sha256:00".into()]).unwrap_err().to_string().contains("none of the public keys"));
    }
}
