//! containerd, or any other CRI v1 runtime, behind its socket.
//!
//! Every call but a pull is bounded in time. The connection is made when first needed and made again after the
//! runtime restarted, so a value of [`Containerd`] outlives any number of runtimes behind the same path.

mod call;
mod events;
mod import;
mod tar;

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

/// containerd's namespace of everything that CRI makes.
const NAMESPACE: &str = "k8s.io";

/// The largest answer taken: a list of some ten thousand containers, or an exec's two streams of 16 MiB.
const MAX_ANSWER: usize = 64 << 20;

/// A runtime behind a socket. Cheap to clone.
#[derive(Clone)]
pub struct Containerd {
    socket: PathBuf,
    channel: Channel,
    runtime: RuntimeServiceClient<Channel>,
    image: ImageServiceClient<Channel>,
    timeout: Duration,
}

impl Containerd {
    /// Calls that take longer than this have failed, unless [`Containerd::with_timeout`] says otherwise.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

    /// The runtime at that path. Nothing is sent yet: a runtime that is not there makes the first call fail.
    ///
    /// The path may have the form of KubeletConfiguration's `containerRuntimeEndpoint`, `unix:///run/…`.
    pub fn new(endpoint: impl AsRef<Path>) -> Containerd {
        let endpoint = endpoint.as_ref();
        let socket = endpoint.strip_prefix("unix://").map_or(endpoint.to_owned(), |rest| Path::new("/").join(rest));
        let path = socket.clone();
        let channel =
            Endpoint::from_static("http://localhost").connect_with_connector_lazy(tower::service_fn(move |_| {
                let path = path.clone();
                async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
            }));
        Containerd {
            socket,
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(MAX_ANSWER),
            image: ImageServiceClient::new(channel.clone()).max_decoding_message_size(MAX_ANSWER),
            channel,
            timeout: Self::DEFAULT_TIMEOUT,
        }
    }

    /// Bounds calls with another time (KubeletConfiguration's `runtimeRequestTimeout`).
    pub fn with_timeout(self, timeout: Duration) -> Containerd {
        Containerd { timeout, ..self }
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}
