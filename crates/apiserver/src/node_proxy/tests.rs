//! A client, the server's passing on, and a backend, over streams in memory.

use std::convert::Infallible;

use http_body_util::{BodyExt, Empty};
use hyper::{client::conn::http1 as client, server::conn::http1 as server, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::{forward::Connection, *};

/// Sends `request` to a server that passes it on to `backend`, and answers what comes back.
async fn passed_on(backend: DuplexStream, request: Request<Empty<bytes::Bytes>>) -> Response<Incoming> {
    let (near, far) = duplex(1 << 16);
    let backend = std::sync::Mutex::new(Some(backend));
    let service = service_fn(move |request: Request<Incoming>| {
        let backend = backend.lock().unwrap().take().unwrap();
        async move {
            let connection = Connection::start(backend, "node:10250".to_owned()).await.unwrap();
            let answer = match upgrade::is_wanted(request.headers()) {
                true => connection.upgrade(request, "/exec/n/p/c?command=cat").await.unwrap(),
                false => forward::streamed(connection.send(forward::outgoing(request, "/logs")).await.unwrap()),
            };
            Ok::<_, Infallible>(answer)
        }
    });
    tokio::spawn(
        async move { server::Builder::new().serve_connection(TokioIo::new(far), service).with_upgrades().await },
    );
    let (mut sender, connection) = client::handshake(TokioIo::new(near)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await.unwrap()
}

/// Reads a request's head.
async fn head(stream: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

#[tokio::test]
async fn an_upgraded_stream_is_carried_both_ways() {
    let (mut kubelet, backend) = duplex(1 << 16);
    let kubelet = tokio::spawn(async move {
        let head = head(&mut kubelet).await;
        kubelet.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n").await.unwrap();
        let mut said = [0; 5];
        kubelet.read_exact(&mut said).await.unwrap();
        kubelet.write_all(b"world").await.unwrap();
        (head, said)
    });
    let request = Request::post("/api/v1/namespaces/n/pods/p/exec?command=cat")
        .header("host", "api")
        .header("authorization", "Bearer secret")
        .header("connection", "Upgrade")
        .header("upgrade", "SPDY/3.1")
        .header("x-stream-protocol-version", "v4.channel.k8s.io")
        .body(Empty::new())
        .unwrap();
    let answer = passed_on(backend, request).await;
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(answer.headers()["x-stream-protocol-version"], "v4.channel.k8s.io");
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut said = [0; 5];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"world");
    let (head, said) = kubelet.await.unwrap();
    assert_eq!(&said, b"hello");
    assert!(head.starts_with("post /exec/n/p/c?command=cat http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nupgrade: spdy/3.1\r\n") && head.contains("\r\nhost: node:10250\r\n"), "{head}");
    assert!(!head.contains("secret"), "{head}");
}

#[tokio::test]
async fn a_body_is_sent_on_as_it_comes() {
    let (mut kubelet, backend) = duplex(1 << 16);
    tokio::spawn(async move {
        head(&mut kubelet).await;
        kubelet
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            .await
            .unwrap();
        kubelet.write_all(b"4\r\n two\r\n0\r\n\r\n").await.unwrap();
        kubelet
    });
    let request = Request::get("/api/v1/namespaces/n/pods/p/log").header("host", "api").body(Empty::new()).unwrap();
    let answer = passed_on(backend, request).await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/plain");
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "one two");
}
