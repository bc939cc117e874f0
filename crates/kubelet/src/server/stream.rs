//! exec, attach and port-forward: the request is handed to the runtime's streaming server, and then only bytes pass.
//!
//! That server speaks SPDY/3.1 and version 4 of the channel protocol over WebSockets. Who asks for version 5 is refused: the API
//! server translates it for its clients.

use std::sync::Arc;
use std::time::Duration;

use component::serve::Body;
use cri::v1;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use super::query::Query;
use super::route::{ContainerRef, PodRef};
use super::{Answer, Refusal, containers, refuse, runtime_failed, text};
use crate::context::Context;

/// The protocols inside WebSockets that the runtime cannot speak.
const REFUSED: [&str; 2] = ["v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io"];

/// The runtime's server is on this machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of an error's text no more is passed on.
const LONGEST_ERROR: usize = 16 << 10;

/// The headers of an upgrade; everything else concerned only the connection to us.
const PASSED: [HeaderName; 7] = [
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_EXTENSIONS,
    HeaderName::from_static("x-stream-protocol-version"),
];

/// Which streams a client wants.
struct Wanted {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

impl Wanted {
    fn parse(query: &Query) -> Result<Wanted, Refusal> {
        let tty = query.is_set("tty");
        // A terminal has one stream for both.
        let stderr = query.is_set("error") && !tty;
        let wanted = Wanted { stdin: query.is_set("input"), stdout: query.is_set("output"), stderr, tty };
        match wanted.stdin || wanted.stdout || wanted.stderr {
            true => Ok(wanted),
            false => Err(refuse(StatusCode::BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr")),
        }
    }
}

pub async fn exec(context: &Arc<Context>, wanted: &ContainerRef, query: &Query, request: Request<Incoming>) -> Answer {
    let container = containers::running(context, wanted)?;
    let Wanted { stdin, stdout, stderr, tty } = Wanted::parse(query)?;
    let cmd: Vec<_> = query.all("command").map(str::to_owned).collect();
    if cmd.is_empty() {
        return Err(refuse(StatusCode::BAD_REQUEST, "you must specify at least 1 command"));
    }
    let exec = v1::ExecRequest { container_id: container.id, cmd, tty, stdin, stdout, stderr };
    let url = context.runtime.exec(exec).await.map_err(|error| runtime_failed(&error))?;
    tunnel(&url, request).await
}

pub async fn attach(
    context: &Arc<Context>,
    wanted: &ContainerRef,
    query: &Query,
    request: Request<Incoming>,
) -> Answer {
    let container = containers::running(context, wanted)?;
    let Wanted { stdin, stdout, stderr, tty } = Wanted::parse(query)?;
    let attach = v1::AttachRequest { container_id: container.id, stdin, tty, stdout, stderr };
    let url = context.runtime.attach(attach).await.map_err(|error| runtime_failed(&error))?;
    tunnel(&url, request).await
}

pub async fn port_forward(context: &Arc<Context>, wanted: &PodRef, request: Request<Incoming>) -> Answer {
    let entry = containers::pod(context, wanted)?;
    let missing = || refuse(StatusCode::NOT_FOUND, format!("pod {:?} has no running sandbox", wanted.name));
    let sandbox = entry.sandbox().ok_or_else(missing)?.to_owned();
    let ports = Query::parse(request.uri().query().unwrap_or_default());
    let port = ports.all("ports").chain(ports.all("port")).flat_map(|list| list.split(','));
    let port = port.filter_map(|port| port.parse().ok()).collect();
    let forward = v1::PortForwardRequest { pod_sandbox_id: sandbox, port };
    let url = context.runtime.port_forward(forward).await.map_err(|error| runtime_failed(&error))?;
    tunnel(&url, request).await
}

/// Runs a command to its end and answers with what it wrote.
pub async fn run(context: &Arc<Context>, wanted: &ContainerRef, query: &Query) -> Answer {
    let container = containers::running(context, wanted)?;
    let command = query.get("cmd").unwrap_or_default().split(' ').map(str::to_owned).collect();
    let ran = context.runtime.exec_sync(&container.id, command, Duration::ZERO).await;
    let ran = ran.map_err(|error| runtime_failed(&error))?;
    let mut said = ran.stdout;
    said.extend(ran.stderr);
    Ok(text(StatusCode::OK, String::from_utf8_lossy(&said)))
}

/// Repeats the upgrade at the runtime's server, and joins the two connections if that grants it.
async fn tunnel(url: &str, mut request: Request<Incoming>) -> Answer {
    let headers = passed(request.headers())?;
    let failed =
        |why: String| refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("the container runtime's streams: {why}"));
    let uri: Uri = url.parse().map_err(|_| failed(format!("{url} is no address")))?;
    let authority = uri.authority().ok_or_else(|| failed(format!("{url} is no address")))?.as_str().to_owned();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());

    let mut theirs = Request::builder().method(request.method()).uri(path).body(Empty::<Bytes>::new());
    if let (Ok(theirs), Ok(host)) = (&mut theirs, HeaderValue::from_str(&authority)) {
        *theirs.headers_mut() = headers;
        theirs.headers_mut().insert(header::HOST, host);
    }
    let theirs = theirs.map_err(|error| failed(error.to_string()))?;
    let answered = tokio::time::timeout(PATIENCE, ask(&authority, theirs)).await;
    let mut response =
        answered.map_err(|_| failed("no answer".to_owned()))?.map_err(|error| failed(format!("{error:#}")))?;

    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        let said = Limited::new(response.into_body(), LONGEST_ERROR).collect().await;
        let said = said.map(|said| said.to_bytes()).unwrap_or_default();
        return Err(refuse(status, String::from_utf8_lossy(&said)));
    }
    let (near, far) = (hyper::upgrade::on(&mut request), hyper::upgrade::on(&mut response));
    tokio::spawn(async move {
        match tokio::try_join!(near, far) {
            Ok((near, far)) => {
                // Either side may just go away, as a closed laptop does.
                copy_bidirectional(&mut TokioIo::new(near), &mut TokioIo::new(far)).await.ok();
            }
            Err(error) => tracing::debug!(%error, "an upgrade came to nothing"),
        }
    });
    let (parts, _) = response.into_parts();
    Ok(Response::from_parts(parts, Body::Empty))
}

async fn ask(authority: &str, request: Request<Empty<Bytes>>) -> anyhow::Result<Response<Incoming>> {
    let tcp = TcpStream::connect(authority).await?;
    tcp.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a stream to the container runtime ended");
        }
    });
    Ok(sender.send_request(request).await?)
}

/// The headers to pass on; 400 when it is no upgrade, or none that the runtime speaks.
fn passed(headers: &HeaderMap) -> Result<HeaderMap, Refusal> {
    if !headers.contains_key(header::UPGRADE) {
        return Err(refuse(StatusCode::BAD_REQUEST, "Upgrade request required"));
    }
    let mut passed = HeaderMap::new();
    for name in PASSED {
        for value in headers.get_all(&name) {
            passed.append(name.clone(), value.clone());
        }
    }
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let offered: Vec<_> = offered.flat_map(|list| list.split(',')).map(str::trim).collect();
    if offered.iter().any(|one| REFUSED.contains(one)) {
        let kept: Vec<_> = offered.iter().copied().filter(|one| !REFUSED.contains(one)).collect();
        let kept = HeaderValue::from_str(&kept.join(",")).ok().filter(|kept| !kept.is_empty());
        let none = || refuse(StatusCode::BAD_REQUEST, format!("unable to upgrade: unsupported protocols {offered:?}"));
        passed.insert(header::SEC_WEBSOCKET_PROTOCOL, kept.ok_or_else(none)?);
    }
    Ok(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols() {
        let check = |offered: &[&'static str], want: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
            for one in offered {
                headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(one));
            }
            let got = passed(&headers).ok();
            assert!(got.as_ref().is_none_or(|got| !got.contains_key(header::AUTHORIZATION)));
            let got = got.map(|got| got.get(header::SEC_WEBSOCKET_PROTOCOL).unwrap().to_str().unwrap().to_owned());
            assert_eq!(got.as_deref(), want, "{offered:?}");
        };
        check(&["v4.channel.k8s.io"], Some("v4.channel.k8s.io"));
        check(&["v5.channel.k8s.io, v4.channel.k8s.io"], Some("v4.channel.k8s.io"));
        check(&["v5.channel.k8s.io"], None);
        assert!(passed(&HeaderMap::new()).is_err());
    }

    #[test]
    fn streams() {
        let check = |query: &str, want: Option<(bool, bool, bool, bool)>| {
            let got = Wanted::parse(&Query::parse(query)).ok();
            assert_eq!(got.map(|got| (got.stdin, got.stdout, got.stderr, got.tty)), want, "{query}");
        };
        check("output=1&error=1", Some((false, true, true, false)));
        check("input=1&output=1&error=1&tty=1", Some((true, true, false, true)));
        check("tty=1", None);
    }
}
