//! A whole server in this process: the memory store below, an in-memory stream to it, a clock that tests may move.

use std::sync::Arc;

use apiserver::{Config, Parts, Running, random::Random};
use bytes::Bytes;
use clap::Parser;
use component::{
    Identity, Shutdown, TokioClock,
    serve::{self, Peer},
};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use store::memory::Memory;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    config: Config,
}

pub struct Api {
    running: Running,
    pub shutdown: Shutdown,
}

/// An answer that has been read to its end.
pub struct Answer {
    pub code: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    #[track_caller]
    pub fn expect(self, code: u16) -> Value {
        assert_eq!(self.code.as_u16(), code, "{}", self.body);
        self.body
    }
}

impl Api {
    /// Ready to serve, with the namespace `default` and its service account.
    pub async fn start() -> Self {
        Self::start_on(Memory::new()).await
    }

    /// The same, over what others have stored.
    pub async fn start_on(stored: Memory) -> Self {
        let clock = TokioClock::starting_at("2026-01-02T03:04:05Z".parse().unwrap());
        let parts = Parts { backend: Arc::new(stored), clock: Arc::new(clock), random: Arc::new(Random::seeded(1)) };
        let config = Flags::parse_from(["kogge-apiserver", "--advertise-address", "192.0.2.7"]).config;
        let shutdown = Shutdown::new();
        let api = Self { running: apiserver::run_with(parts, config, shutdown.clone()).await.unwrap(), shutdown };
        while api.get("/readyz").await.code != StatusCode::OK {
            tokio::task::yield_now().await;
        }
        let account = json!({"metadata": {"name": "default"}});
        api.post("/api/v1/namespaces/default/serviceaccounts", account).await.expect(201);
        api
    }

    /// Sends a request over a connection of its own.
    pub async fn open(&self, request: Request<Full<Bytes>>) -> http::Response<Incoming> {
        let (near, far) = tokio::io::duplex(64 << 10);
        let identity = Identity { user: "admin".into(), groups: vec!["system:masters".into()], ..Identity::default() };
        let peer = Peer { identity: Some(identity), ..Peer::default() };
        tokio::spawn(serve::stream(far, peer, self.running.server.clone(), self.shutdown.clone()));
        let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.unwrap()
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let (parts, body) = self.open(request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into());
        Answer { code: parts.status, headers: parts.headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(request("GET", path, &[], Bytes::new())).await
    }

    pub async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send(request("GET", path, &[("accept", accept)], Bytes::new())).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(request("POST", path, &[], body.to_string().into())).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(request("PUT", path, &[], body.to_string().into())).await
    }

    /// `kind` is `json`, `merge` or `strategic-merge`.
    pub async fn patch(&self, path: &str, kind: &str, body: Value) -> Answer {
        let content_type = format!("application/{kind}-patch+json");
        self.send(request("PATCH", path, &[("content-type", &content_type)], body.to_string().into())).await
    }

    pub async fn delete(&self, path: &str, options: Value) -> Answer {
        let body = if options.is_null() { Bytes::new() } else { options.to_string().into() };
        self.send(request("DELETE", path, &[], body)).await
    }

    pub async fn watch(&self, path: &str) -> Watch {
        let response = self.open(request("GET", path, &[], Bytes::new())).await;
        assert_eq!(response.status(), StatusCode::OK);
        Watch { body: response.into_body(), read: Vec::new() }
    }
}

pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header("host", "test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body)).unwrap()
}

/// A watch that is read line by line.
pub struct Watch {
    body: Incoming,
    read: Vec<u8>,
}

impl Watch {
    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.frame().await?.unwrap();
            self.read.extend_from_slice(&frame.into_data().unwrap());
        }
    }

    /// Type and name of the next event.
    pub async fn brief(&mut self) -> (String, String) {
        let event = self.next().await.expect("another event");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}
