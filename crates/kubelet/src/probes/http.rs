//! HTTP GET as probes and hooks do it: any certificate will do, redirects on the same host are
//! followed, 200 to 399 is success.

use super::check::{SHOWN, authority, words};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use pod_lifecycle::core::HTTPGetAction;
use std::sync::{Arc, LazyLock};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

const MAX_REDIRECTS: usize = 10;

pub fn url(get: &HTTPGetAction, own: &str, port: u16) -> String {
    let host = get.host.as_deref().filter(|h| !h.is_empty()).unwrap_or(own);
    format!("{}://{}{}", scheme(get), authority(host, port), path(get))
}

fn scheme(get: &HTTPGetAction) -> String {
    get.scheme.as_deref().unwrap_or("HTTP").to_lowercase()
}

fn path(get: &HTTPGetAction) -> String {
    let path = get.path.as_deref().unwrap_or("/");
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

pub async fn get(get: &HTTPGetAction, own: &str, port: u16, agent: &str) -> Result<(), String> {
    let host = get.host.as_deref().filter(|h| !h.is_empty()).unwrap_or(own);
    let mut target = path(get);
    for _ in 0..=MAX_REDIRECTS {
        let shown = format!("{}://{}{target}", scheme(get), authority(host, port));
        let answer = send(get, host, port, &target, agent).await.map_err(|error| format!("Get {shown:?}: {error}"))?;
        let status = answer.status().as_u16();
        let location = answer.headers().get(http::header::LOCATION).and_then(|l| l.to_str().ok()).map(str::to_owned);
        match (status, location) {
            (300..400, Some(location)) => match same_host(&location, host) {
                Some(next) => target = next,
                // Another host's health is not this container's.
                None => return Ok(()),
            },
            (200..400, _) => return Ok(()),
            _ => {
                drop(answer.into_body().collect().await.map(|b| b.to_bytes().slice(..0)));
                return Err(format!("HTTP probe failed with statuscode: {status}"));
            }
        }
    }
    Err(format!("Get {:?}: stopped after {MAX_REDIRECTS} redirects", url(get, own, port)))
}

/// The path of a redirect that stays where it is.
fn same_host(location: &str, host: &str) -> Option<String> {
    if location.starts_with('/') {
        return Some(location.to_owned());
    }
    let uri: http::Uri = location.parse().ok()?;
    let same = uri.host().is_some_and(|h| h.trim_matches(['[', ']']) == host);
    same.then(|| uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string))
}

async fn send(
    get: &HTTPGetAction,
    host: &str,
    port: u16,
    target: &str,
    agent: &str,
) -> Result<Response<Incoming>, String> {
    let mut request = Request::get(target);
    let headers = get.http_headers.as_deref().unwrap_or_default();
    let given = |name: &str| headers.iter().any(|h| h.name.eq_ignore_ascii_case(name));
    if !given("host") {
        request = request.header("host", authority(host, port));
    }
    if !given("user-agent") {
        request = request.header("user-agent", agent);
    }
    if !given("accept") {
        request = request.header("accept", "*/*");
    }
    for header in headers.iter().filter(|h| !h.value.is_empty()) {
        request = request.header(&header.name, &header.value);
    }
    let request = request.header("connection", "close").body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
    let place = authority(host, port);
    let tcp =
        TcpStream::connect((host, port)).await.map_err(|e| format!("dial tcp {place}: connect: {}", words(&e)))?;
    if scheme(get) == "https" {
        let connector = tokio_rustls::TlsConnector::from(TLS.clone());
        let name = rustls::pki_types::ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
        let tls = connector.connect(name, tcp).await.map_err(|e| e.to_string())?;
        return over(tls, request).await;
    }
    over(tcp, request).await
}

async fn over(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(|e| e.to_string())?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::trace!(%error, "a probe's connection broke off");
        }
    });
    sender.send_request(request).await.map_err(|e| e.to_string().chars().take(SHOWN).collect())
}

/// A probe asks whether the container serves, not who it is.
static TLS: LazyLock<Arc<rustls::ClientConfig>> = LazyLock::new(|| {
    component::tls::install_provider();
    let config = rustls::ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    Arc::new(config)
});

#[derive(Debug)]
struct Anyone;

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_on_the_host() {
        assert_eq!(same_host("/x?y", "10.0.0.1"), Some("/x?y".into()));
        assert_eq!(same_host("http://10.0.0.1:80/z", "10.0.0.1"), Some("/z".into()));
        assert_eq!(same_host("http://example.org/z", "10.0.0.1"), None);
    }

    #[tokio::test]
    async fn answers_and_refusals() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            for answer in ["200 OK", "500 Oops"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 1024];
                let read = stream.read(&mut buffer).await.unwrap();
                assert!(String::from_utf8_lossy(&buffer[..read]).starts_with("GET /healthz HTTP/1.1"));
                stream.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await.unwrap();
            }
        });
        let action = HTTPGetAction { path: Some("/healthz".into()), ..HTTPGetAction::default() };
        assert_eq!(get(&action, "127.0.0.1", port, "test").await, Ok(()));
        assert_eq!(get(&action, "127.0.0.1", port, "test").await, Err("HTTP probe failed with statuscode: 500".into()));
        server.await.unwrap();
        let refused = get(&action, "127.0.0.1", port, "test").await.unwrap_err();
        assert!(refused.ends_with("connect: connection refused"), "{refused}");
    }
}
