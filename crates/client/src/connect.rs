//! Connections to the API server: from a kubeconfig, from inside a pod, or over streams in memory.
//!
//! All requests and watches of one identity share one HTTP/2 connection, whose pings notice a dead peer; requests that
//! ask for an upgrade (exec, attach, port-forward) take an HTTP/1.1 connection each. Nothing here throttles: the
//! server does. Certificates and tokens read from files are read again when they change.

use std::{
    future::Future,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use anyhow::{Context, bail};
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use kube::client::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::BoxError;

use crate::{
    credentials::{self, Token, TokenSource},
    dial::{Dial, Dialer, Protocol},
};

/// A request other than a watch, a log that is followed or an upgrade has its answer's head by then.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const PING_EVERY: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Connects as the user of a kubeconfig's current context.
///
/// # Errors
/// When the file, or one it names, cannot be read or used. Nothing is connected yet: an API server that is away is no
/// error here.
pub fn connect(kubeconfig: &Path, user_agent: &str) -> anyhow::Result<kube::Client> {
    Ok(Connector::from_kubeconfig(kubeconfig, user_agent)?.client())
}

/// Connects with the service account of the pod that this process runs in.
pub fn connect_in_cluster(user_agent: &str) -> anyhow::Result<kube::Client> {
    Ok(Connector::in_cluster(user_agent)?.client())
}

/// A client over any tower service that answers API requests.
pub fn from_service<S, B>(service: S) -> kube::Client
where
    S: tower::Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: hyper::body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    kube::Client::new(service, "default")
}

/// How to reach one API server, for one or several identities.
#[derive(Clone)]
pub struct Connector(Arc<Inner>);

struct Inner {
    base: Base,
    user_agent: HeaderValue,
    namespace: String,
    token: Token,
    /// Presents the client certificate, if there is one.
    own: Channel,
    /// Presents none: for those who show a token.
    bare: Channel,
}

struct Base {
    scheme: http::uri::Scheme,
    authority: http::uri::Authority,
    /// Before every path; without a slash at its end.
    prefix: String,
}

#[derive(Clone)]
struct Channel {
    http2: legacy::Client<Dialer, Body>,
    http1: legacy::Client<Dialer, Body>,
}

impl Connector {
    pub fn from_kubeconfig(kubeconfig: &Path, user_agent: &str) -> anyhow::Result<Self> {
        let user = credentials::from_kubeconfig(kubeconfig)?;
        Self::new(user, user_agent)
    }

    pub fn in_cluster(user_agent: &str) -> anyhow::Result<Self> {
        Self::new(credentials::in_cluster()?, user_agent)
    }

    /// Every connection is a stream that `open` returns; HTTP is spoken over it without TLS.
    ///
    /// `open` is told whether the connection stands for the connector's own identity (as a client certificate would)
    /// or for holders of tokens.
    pub fn in_memory<F, Fut, S>(user_agent: &str, open: F) -> anyhow::Result<Self>
    where
        F: Fn(bool) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = std::io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let open = Arc::new(open);
        let dial = |own: bool| {
            let open = open.clone();
            Dial::streams(move || {
                let stream = open(own);
                Box::pin(async move { Ok(Box::new(stream.await?) as _) })
            })
        };
        Ok(Self(Arc::new(Inner {
            base: Base::parse("http://kubernetes")?,
            user_agent: HeaderValue::from_str(user_agent)?,
            namespace: "default".into(),
            token: Token::None,
            own: Channel::new(dial(true)),
            bare: Channel::new(dial(false)),
        })))
    }

    fn new(user: credentials::User, user_agent: &str) -> anyhow::Result<Self> {
        let base = Base::parse(&user.server)?;
        let (host, port) = (base.host(), base.port());
        let dial = |tls: Option<_>| Dial::network(host.clone(), port, tls);
        Ok(Self(Arc::new(Inner {
            user_agent: HeaderValue::from_str(user_agent).context("the user agent is not a header value")?,
            namespace: user.namespace,
            token: user.token,
            own: Channel::new(dial(user.tls.clone())),
            bare: Channel::new(dial(user.tls.map(|tls| tls.without_identity()))),
            base,
        })))
    }

    /// A client with the connector's own identity.
    pub fn client(&self) -> kube::Client {
        self.client_over(self.0.own.clone(), self.0.token.clone())
    }

    /// A client whose requests carry a token and nothing else of the connector's identity.
    pub fn client_with_token(&self, source: Arc<dyn TokenSource>) -> kube::Client {
        self.client_over(self.0.bare.clone(), Token::Source(source))
    }

    fn client_over(&self, channel: Channel, token: Token) -> kube::Client {
        kube::Client::new(Sender { connector: self.0.clone(), channel, token }, self.0.namespace.clone())
    }
}

impl Base {
    fn parse(server: &str) -> anyhow::Result<Self> {
        let uri: Uri = server.parse().with_context(|| format!("{server} is not a URL"))?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            bail!("{server} is not the URL of a server");
        };
        let prefix = parts.path_and_query.map(|p| p.path().trim_end_matches('/').to_owned()).unwrap_or_default();
        Ok(Self { scheme, authority, prefix })
    }

    fn host(&self) -> String {
        self.authority.host().trim_matches(['[', ']']).to_owned()
    }

    fn port(&self) -> u16 {
        let default = if self.scheme == http::uri::Scheme::HTTP { 80 } else { 443 };
        self.authority.port_u16().unwrap_or(default)
    }

    fn absolute(&self, uri: &Uri) -> Result<Uri, http::Error> {
        let rest = uri.path_and_query().map_or("/", |p| p.as_str());
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(format!("{}{rest}", self.prefix))
            .build()
    }
}

impl Channel {
    fn new(dial: Dial) -> Self {
        let mut http2 = legacy::Client::builder(TokioExecutor::new());
        http2
            .http2_only(true)
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW);
        let mut http1 = legacy::Client::builder(TokioExecutor::new());
        http1.pool_max_idle_per_host(0);
        Self {
            http2: http2.build(dial.clone().speaking(Protocol::Http2)),
            http1: http1.build(dial.speaking(Protocol::Http1)),
        }
    }
}

/// The tower service under a [`kube::Client`].
#[derive(Clone)]
struct Sender {
    connector: Arc<Inner>,
    channel: Channel,
    token: Token,
}

impl tower::Service<Request<Body>> for Sender {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let sender = self.clone();
        Box::pin(async move { sender.send(request).await })
    }
}

impl Sender {
    async fn send(self, mut request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        let lasting = is_lasting(request.uri());
        *request.uri_mut() = self.connector.base.absolute(request.uri())?;
        request.headers_mut().insert(header::USER_AGENT, self.connector.user_agent.clone());
        if let Some(bearer) = self.token.bearer().await? {
            request.headers_mut().insert(header::AUTHORIZATION, bearer);
        }
        if request.headers().contains_key(header::UPGRADE) {
            return Ok(self.channel.http1.request(request).await?);
        }
        let answer = self.channel.http2.request(request);
        let answer = if lasting {
            answer.await?
        } else {
            let late = |_| BoxError::from(format!("no answer within {ANSWER_WITHIN:?}"));
            tokio::time::timeout(ANSWER_WITHIN, answer).await.map_err(late)??
        };
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.token.rejected();
        }
        Ok(answer)
    }
}

fn is_lasting(uri: &Uri) -> bool {
    let asks = |pair: &str| matches!(pair, "watch=true" | "watch=1" | "follow=true" | "follow=1");
    uri.query().is_some_and(|query| query.split('&').any(asks))
}

pub(crate) type BoxedStream = Box<dyn Stream>;
pub(crate) type Opening = Pin<Box<dyn Future<Output = std::io::Result<BoxedStream>> + Send>>;

/// Anything HTTP can be spoken over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

#[cfg(test)]
mod tests {
    use api_types::k8s_openapi::api::core::v1::Node;
    use component::{
        Shutdown,
        serve::{self, Handler, Peer},
    };

    use super::*;
    use crate::Api;

    /// Answers with who asks and how.
    struct Echo;

    impl Handler for Echo {
        async fn handle(&self, request: Request<Incoming>, _: Arc<Peer>) -> Response<serve::Body> {
            let header = |name| request.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
            let name =
                format!("{:?} {} {}", request.version(), header(header::USER_AGENT), header(header::AUTHORIZATION));
            Response::new(serde_json::json!({"metadata": {"name": name}}).to_string().into())
        }
    }

    struct Secret;

    impl TokenSource for Secret {
        fn token(&self) -> BoxFuture<'_, anyhow::Result<Arc<str>>> {
            Box::pin(async { Ok("secret".into()) })
        }
    }

    #[tokio::test]
    async fn speaks_over_streams_in_memory() {
        let connector = Connector::in_memory("agent", |_| async {
            let (ours, theirs) = tokio::io::duplex(4096);
            tokio::spawn(serve::stream(theirs, Peer::default(), Arc::new(Echo), Shutdown::new()));
            Ok(ours)
        })
        .unwrap();
        let name = |client: kube::Client| async {
            Api::from(client).get::<Node>("", "n").await.unwrap().unwrap().metadata.name.unwrap()
        };
        assert_eq!(name(connector.client()).await, "HTTP/2.0 agent ");
        assert_eq!(name(connector.client_with_token(Arc::new(Secret))).await, "HTTP/2.0 agent Bearer secret");
    }

    #[test]
    fn paths_follow_the_servers_prefix() {
        let base = Base::parse("https://example.test:6443/clusters/a/").unwrap();
        let uri = base.absolute(&"/api/v1/pods?limit=5".parse().unwrap()).unwrap();
        assert_eq!(uri, "https://example.test:6443/clusters/a/api/v1/pods?limit=5");
        assert_eq!((base.host().as_str(), base.port()), ("example.test", 6443));
        assert_eq!(Base::parse("https://[::1]:6443").unwrap().host(), "::1");
        assert!(Base::parse("/no/server").is_err());
    }

    #[test]
    fn watches_may_last() {
        assert!(is_lasting(&"/api/v1/pods?limit=5&watch=true".parse().unwrap()));
        assert!(!is_lasting(&"/api/v1/pods?labelSelector=watch".parse().unwrap()));
    }
}
