//! The cluster's own registry: serves the archives in the state directory, read-only, by the distribution protocol.
//!
//! The nodes' containerd asks it first for images of docker.io and goes on to the real one for what it does not have,
//! so `image: busybox` with its implied pull policy `Always` runs on a machine without a network.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use component::serve::{Body, Handler, Peer};
use component::tls::{ServerTls, TlsFiles};
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use crate::archive::{self, Archive};
use crate::layout::Layout;
use crate::processes::IMAGES_PORT;
use crate::status;

const CHUNK: usize = 256 << 10;
const DRAIN: Duration = Duration::from_secs(1);

/// Serves the images of the cluster in `dir` on the first node's address until told to stop.
pub async fn serve_images(dir: &Path) -> anyhow::Result<()> {
    let (layout, spec) = status::existing(dir)?;
    let host = spec.nodes.first().context("a cluster without nodes")?;
    let address = SocketAddr::from((spec.address(host), IMAGES_PORT));
    let listener = tokio::net::TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    let pki = |suffix| layout.pki().join(format!("images.{suffix}"));
    component::tls::install_provider();
    let tls = ServerTls::new(TlsFiles { cert: pki("crt"), key: pki("key"), client_ca: None })?;
    let shutdown = component::Shutdown::on_signals()?;
    component::serve::listen(listener, Some(tls), Arc::new(Registry { layout }), shutdown, DRAIN).await;
    Ok(())
}

struct Registry {
    layout: Layout,
}

impl Handler for Registry {
    async fn handle(&self, request: Request<Incoming>, _peer: Arc<Peer>) -> Response<Body> {
        let dir = self.layout.images();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answered = tokio::task::spawn_blocking(move || answer(&dir, &method, &path)).await;
        match answered {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::error!("{error:#}");
                status_only(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Err(_) => status_only(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked<'a> {
    Version,
    Manifest { repository: &'a str, reference: &'a str },
    Blob { digest: &'a str },
}

fn asked(path: &str) -> Option<Asked<'_>> {
    let rest = path.strip_prefix("/v2/")?;
    if rest.is_empty() {
        return Some(Asked::Version);
    }
    if let Some((repository, reference)) = rest.rsplit_once("/manifests/") {
        return Some(Asked::Manifest { repository, reference });
    }
    rest.rsplit_once("/blobs/").map(|(_, digest)| Asked::Blob { digest })
}

fn answer(dir: &Path, method: &Method, path: &str) -> anyhow::Result<Response<Body>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Ok(status_only(StatusCode::METHOD_NOT_ALLOWED));
    }
    let digest = match asked(path) {
        None => return Ok(status_only(StatusCode::NOT_FOUND)),
        Some(Asked::Version) => return Ok(status_only(StatusCode::OK)),
        Some(Asked::Blob { digest }) => digest.to_owned(),
        Some(Asked::Manifest { reference, .. }) if reference.contains(':') => reference.to_owned(),
        Some(Asked::Manifest { repository, reference }) => {
            let name = format!("docker.io/{repository}:{reference}");
            match archives(dir)?.into_iter().find_map(|(_, archive)| archive.images.get(&name).cloned()) {
                Some(digest) => digest,
                None => return Ok(status_only(StatusCode::NOT_FOUND)),
            }
        }
    };
    let manifest = matches!(asked(path), Some(Asked::Manifest { .. }));
    for (file, archive) in archives(dir)? {
        if let Some(range) = archive.blob(&digest) {
            let mut file = File::open(&file)?;
            file.seek(SeekFrom::Start(range.offset))?;
            return blob(file.take(range.size), range.size, &digest, manifest, *method == Method::HEAD);
        }
    }
    Ok(status_only(StatusCode::NOT_FOUND))
}

fn blob(
    mut content: io::Take<File>,
    size: u64,
    digest: &str,
    manifest: bool,
    head: bool,
) -> anyhow::Result<Response<Body>> {
    let mut response = Response::builder()
        .header(header::CONTENT_LENGTH, size)
        .header("Docker-Content-Digest", digest)
        .header("Docker-Distribution-Api-Version", "registry/2.0");
    let mut text = vec![];
    if manifest {
        content.read_to_end(&mut text)?;
        response = response.header(header::CONTENT_TYPE, archive::media_type(&text)?);
    } else {
        response = response.header(header::CONTENT_TYPE, "application/octet-stream");
    }
    let body = match (head, manifest) {
        (true, _) => Body::Empty,
        (false, true) => Body::from(text),
        (false, false) => Body::stream(futures::stream::unfold(content, chunk)),
    };
    Ok(response.body(body)?)
}

type Chunk = Result<bytes::Bytes, Box<dyn std::error::Error + Send + Sync>>;

async fn chunk(mut content: io::Take<File>) -> Option<(Chunk, io::Take<File>)> {
    let read = tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; CHUNK];
        let read = content.read(&mut buffer);
        (
            read.map(|length| {
                buffer.truncate(length);
                buffer
            }),
            content,
        )
    });
    match read.await {
        Ok((Ok(buffer), _)) if buffer.is_empty() => None,
        Ok((read, content)) => Some((read.map(Into::into).map_err(Into::into), content)),
        Err(_) => None,
    }
}

/// Read anew for every manifest: archives come and go, and there are only a few, of which only the headers are read.
fn archives(dir: &Path) -> anyhow::Result<Vec<(PathBuf, Archive)>> {
    let mut found = vec![];
    for path in crate::images::archives(dir)? {
        match Archive::read(&mut File::open(&path)?) {
            Ok(archive) => found.push((path, archive)),
            Err(error) => tracing::warn!(archive = %path.display(), "{error:#}"),
        }
    }
    Ok(found)
}

fn status_only(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_protocol() {
        assert_eq!(asked("/v2/"), Some(Asked::Version));
        let manifest = Asked::Manifest { repository: "library/busybox", reference: "latest" };
        assert_eq!(asked("/v2/library/busybox/manifests/latest"), Some(manifest));
        assert_eq!(asked("/v2/a/b/c/blobs/sha256:00"), Some(Asked::Blob { digest: "sha256:00" }));
        assert_eq!(asked("/v1/"), None);
        assert_eq!(asked("/v2/_catalog"), None);
    }

    #[test]
    fn tags_blobs_and_what_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let digest = archive::tests::write(&dir.path().join("a.tar"), "docker.io/library/a:1");
        let get = |path: &str| answer(dir.path(), &Method::GET, path).unwrap();
        let tag = get("/v2/library/a/manifests/1");
        assert_eq!(tag.headers()["Docker-Content-Digest"], digest.as_str());
        assert_eq!(tag.headers()["Content-Type"], "application/vnd.oci.image.manifest.v1+json");
        assert_eq!(get(&format!("/v2/library/a/manifests/{digest}")).status(), StatusCode::OK);
        assert_eq!(get(&format!("/v2/library/a/blobs/{digest}")).status(), StatusCode::OK);
        assert_eq!(get("/v2/library/a/manifests/2").status(), StatusCode::NOT_FOUND);
        assert_eq!(get("/v2/library/b/manifests/1").status(), StatusCode::NOT_FOUND);
        let posted = answer(dir.path(), &Method::POST, "/v2/library/a/blobs/uploads/").unwrap();
        assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
