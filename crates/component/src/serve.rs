//! An HTTP/1.1 and HTTP/2 server over TCP, TLS or any stream, that ends gracefully.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, Stream, future::BoxFuture};
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    access::Identity,
    shutdown::Shutdown,
    tls::{self, ServerTls},
};

/// A peer must finish its TLS handshake, and its request's head, within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// HTTP/2 peers that do not answer a ping are gone (a dead peer is noticed within 30 s).
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer that wait for a peer who reads slowly, in each of HTTP's and TLS's buffers; and a request's head.
const BUFFER: usize = 32 << 10;
/// Streams a peer may have open on one HTTP/2 connection, as upstream.
const STREAMS: u32 = 250;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
#[derive(Default)]
pub enum Body {
    #[default]
    Empty,
    Full(Bytes),
    /// Sent as it is produced; an error ends the connection so that the peer notices.
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>),
}

impl Body {
    pub fn stream(stream: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> Self {
        Self::Stream(Box::pin(stream))
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self::Full(bytes.into())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(_) => match std::mem::take(&mut *self) {
                Self::Full(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Self::Stream(stream) => stream.as_mut().poll_next(cx).map(|next| next.map(|chunk| chunk.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// None for in-memory streams.
    pub address: Option<SocketAddr>,
    /// From a client certificate that our client authority signed.
    pub identity: Option<Identity>,
    /// That certificate, DER.
    pub certificate: Option<Bytes>,
}

pub trait Handler: Send + Sync + 'static {
    fn handle(&self, request: Request<Incoming>, peer: Arc<Peer>) -> impl Future<Output = Response<Body>> + Send;
}

/// A [`Handler`] without its type, so that there is one copy of HTTP in a program, and idle connections keep no place
/// for the state of requests.
trait Answer: Send + Sync {
    fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Arc<Peer>) -> BoxFuture<'static, Response<Body>>;
}

impl<H: Handler> Answer for H {
    fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Arc<Peer>) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move { self.handle(request, peer).await })
    }
}

/// A connection of whatever kind.
trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Accepts connections until shutdown begins, then lets open requests finish for at most `drain`.
pub async fn listen(
    listener: TcpListener,
    tls: Option<ServerTls>,
    handler: Arc<impl Handler>,
    shutdown: Shutdown,
    drain: Duration,
) {
    accept(listener, tls, handler, shutdown, drain).await;
}

async fn accept(
    listener: TcpListener,
    tls: Option<ServerTls>,
    handler: Arc<dyn Answer>,
    shutdown: Shutdown,
    drain: Duration,
) {
    let graceful = Arc::new(GracefulShutdown::new());
    while let Some(accepted) = shutdown.or(listener.accept()).await {
        let (tcp, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors or the like: the listener itself is good, so try again shortly.
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (tls, handler, watcher) = (tls.clone(), handler.clone(), graceful.watcher());
        tokio::spawn(async move {
            if let Err(error) = tcp.set_nodelay(true) {
                tracing::debug!(%error, "cannot set TCP_NODELAY");
            }
            match tls {
                None => run(Box::new(tcp), Peer { address: Some(address), ..Peer::default() }, handler, watcher).await,
                Some(tls) => match handshake(tcp, address, &tls).await {
                    Ok((stream, peer)) => run(stream, peer, handler, watcher).await,
                    Err(error) => tracing::debug!(%address, "TLS handshake failed: {error:#}"),
                },
            }
        });
    }
    drop(listener);
    if let Some(graceful) = Arc::into_inner(graceful)
        && timeout(drain, graceful.shutdown()).await.is_err()
    {
        tracing::warn!("some connections did not drain within {drain:?}");
    }
}

/// Serves one stream, of whatever kind, until it ends or shutdown begins.
pub async fn stream(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    handler: Arc<impl Handler>,
    shutdown: Shutdown,
) {
    let graceful = GracefulShutdown::new();
    let watcher = graceful.watcher();
    let connection = tokio::spawn(run(Box::new(io), peer, handler, watcher));
    let aborted = connection.abort_handle();
    tokio::select! {
        _ = connection => {}
        () = shutdown.cancelled() => {
            if timeout(PATIENCE, graceful.shutdown()).await.is_err() {
                aborted.abort();
            }
        }
    }
}

async fn handshake(tcp: TcpStream, address: SocketAddr, tls: &ServerTls) -> anyhow::Result<(Box<dyn Io>, Peer)> {
    let mut stream = timeout(PATIENCE, TlsAcceptor::from(tls.config()).accept(tcp)).await??;
    stream.get_mut().1.set_buffer_limit(Some(BUFFER));
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let identity = certificate.map(tls::identity).transpose()?;
    let certificate = certificate.map(|c| Bytes::copy_from_slice(c));
    Ok((Box::new(stream), Peer { address: Some(address), identity, certificate }))
}

async fn run(io: Box<dyn Io>, peer: Peer, handler: Arc<dyn Answer>, watcher: hyper_util::server::graceful::Watcher) {
    let peer = Arc::new(peer);
    let service = service_fn(move |request| handler.clone().answer(request, peer.clone()).map(Ok::<_, Infallible>));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE).half_close(true).max_buf_size(BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_send_buf_size(BUFFER)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(io), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!("connection ended: {error}");
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};
    use hyper::client::conn::http1;

    use super::*;

    struct Echo;

    impl Handler for Echo {
        async fn handle(&self, request: Request<Incoming>, peer: Arc<Peer>) -> Response<Body> {
            let parts = vec![
                Ok(Bytes::from(request.uri().path().to_owned())),
                Ok(Bytes::from(peer.address.is_none().to_string())),
            ];
            Response::new(Body::stream(futures::stream::iter(parts)))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn serves_streams_in_memory_until_shutdown() {
        let (near, far) = tokio::io::duplex(1024);
        let shutdown = Shutdown::new();
        let server = tokio::spawn(stream(far, Peer::default(), Arc::new(Echo), shutdown.clone()));
        let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await.unwrap();
        let client = tokio::spawn(connection);
        let request = Request::get("/a").header("host", "x").body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "/atrue");
        shutdown.begin();
        server.await.unwrap();
        client.await.unwrap().unwrap();
    }
}
