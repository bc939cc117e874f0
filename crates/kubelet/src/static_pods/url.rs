//! Manifests behind a URL, asked for once per period.

use super::MANIFEST_MAX;
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use pod_lifecycle::static_pods::Origin;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{collections::BTreeMap, time::Duration};

/// One answer may take so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// The authorities that this machine trusts, as Debian and most others keep them.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

pub struct Watched {
    url: String,
    header: BTreeMap<String, Vec<String>>,
    every: Duration,
}

impl Watched {
    pub fn new(url: &str, header: BTreeMap<String, Vec<String>>, every: Duration) -> Self {
        Self { url: url.to_owned(), header, every }
    }

    pub async fn read(&self) -> anyhow::Result<Vec<(Origin, String)>> {
        let text = tokio::time::timeout(PATIENCE, self.get()).await;
        let text = text.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {PATIENCE:?}")));
        Ok(vec![(Origin::Url(self.url.clone()), text.with_context(|| format!("cannot get {}", self.url))?)])
    }

    pub async fn changed(&mut self) {
        tokio::time::sleep(self.every).await;
    }

    async fn get(&self) -> anyhow::Result<String> {
        let mut request = Request::get(self.url.parse::<Uri>()?);
        for (name, value) in self.header.iter().flat_map(|(name, values)| values.iter().map(move |v| (name, v))) {
            request = request.header(name, value);
        }
        let connector =
            hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(trust()).https_or_http().enable_http1().build();
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
        let answer = client.request(request.body(Empty::new())?).await?;
        ensure!(answer.status().is_success(), "{}", answer.status());
        let body = Limited::new(answer.into_body(), MANIFEST_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
        ensure!(!body.is_empty(), "zero-length data received");
        Ok(String::from_utf8(body.to_vec())?)
    }
}

fn trust() -> ClientConfig {
    component::tls::install_provider();
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(AUTHORITIES).into_iter().flatten().flatten();
    roots.add_parsable_certificates(found);
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    #[tokio::test]
    async fn an_answer_is_a_manifest() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/pod", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let mut heads = vec![];
            for answer in ["200 OK\r\ncontent-length: 2\r\n\r\nok", "404 Not Found\r\ncontent-length: 0\r\n\r\n"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await.unwrap();
                heads.push(String::from_utf8_lossy(&head[..read]).to_lowercase());
                stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await.unwrap();
            }
            heads
        });
        let header = BTreeMap::from([("X-Node".to_owned(), vec!["n".to_owned()])]);
        let watched = Watched::new(&url, header, Duration::ZERO);
        assert_eq!(watched.read().await.unwrap(), vec![(Origin::Url(url.clone()), "ok".to_owned())]);
        assert!(format!("{:#}", watched.read().await.unwrap_err()).contains("404"));
        assert!(serving.await.unwrap()[0].contains("x-node: n"));
    }
}
