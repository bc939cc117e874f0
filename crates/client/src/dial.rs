//! Opening one connection: TCP and TLS, or a stream in memory.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{
    connect::{BoxedStream, Opening},
    credentials::ClientTls,
};

const OPEN_WITHIN: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) enum Dial {
    Network { host: String, port: u16, tls: Option<Arc<ClientTls>> },
    Streams(Arc<dyn Fn() -> Opening + Send + Sync>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// A [`Dial`] for connections of one protocol; hyper's connector.
#[derive(Clone)]
pub(crate) struct Dialer {
    dial: Dial,
    protocol: Protocol,
}

impl Dial {
    pub(crate) fn network(host: String, port: u16, tls: Option<ClientTls>) -> Self {
        Self::Network { host, port, tls: tls.map(Arc::new) }
    }

    pub(crate) fn streams(open: impl Fn() -> Opening + Send + Sync + 'static) -> Self {
        Self::Streams(Arc::new(open))
    }

    pub(crate) fn speaking(self, protocol: Protocol) -> Dialer {
        Dialer { dial: self, protocol }
    }
}

impl Dialer {
    async fn open(self) -> io::Result<BoxedStream> {
        match self.dial {
            Dial::Streams(open) => open().await,
            Dial::Network { host, port, tls } => {
                let tcp = TcpStream::connect((host.as_str(), port)).await?;
                tcp.set_nodelay(true)?;
                match tls {
                    None => Ok(Box::new(tcp)),
                    Some(tls) => Ok(Box::new(tls.handshake(tcp, &host, self.protocol).await?)),
                }
            }
        }
    }
}

impl tower::Service<Uri> for Dialer {
    type Response = TokioIo<Opened>;
    type Error = io::Error;
    type Future = futures::future::BoxFuture<'static, io::Result<TokioIo<Opened>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move {
            let stream = tokio::time::timeout(OPEN_WITHIN, dialer.open())
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the connection was not made in time"))??;
            Ok(TokioIo::new(Opened(stream)))
        })
    }
}

/// An open connection, as hyper's client pools it.
pub(crate) struct Opened(BoxedStream);

impl Connection for Opened {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Opened {
    fn poll_write(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        std::pin::Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        std::pin::Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}
