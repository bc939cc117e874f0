//! What each path answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode, Uri};

/// The server's state.
pub struct Hello {
    /// The pod's name.
    pub name: String,
    /// The image's version.
    pub version: String,
    ready: AtomicBool,
    healthy: AtomicBool,
}

impl Hello {
    pub fn new(name: Option<String>, version: Option<String>) -> Hello {
        Hello {
            name: name.unwrap_or_else(|| "hello".to_owned()),
            version: version.unwrap_or_else(|| "v1".to_owned()),
            ready: AtomicBool::new(true),
            healthy: AtomicBool::new(true),
        }
    }

    /// Says no to readiness probes for that long.
    pub fn ready_after(self: Arc<Self>, delay: Duration) {
        if delay.is_zero() {
            return;
        }
        self.ready.store(false, Ordering::Relaxed);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            self.ready.store(true, Ordering::Relaxed);
        });
    }

    /// | path | answer |
    /// |---|---|
    /// | `/ready`, `/healthz` | 200 or 503, as told |
    /// | `/ready/on`, `/ready/off`, `/healthz/on`, `/healthz/off` | tells it (any method: busybox's wget can only GET) |
    /// | `/exit?code=3` | ends the process, a moment after the answer |
    /// | `/delay?ms=500` | the greeting, later |
    /// | `/peer` | the address the request came from |
    /// | `/log?line=…` | writes a line to standard output |
    /// | anything else | the greeting: the pod's name and the version |
    pub async fn answer(&self, uri: &Uri, peer: SocketAddr) -> Response<Full<Bytes>> {
        let argument = |name: &str| -> Option<&str> {
            uri.query()?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        match uri.path() {
            "/ready" => probe(&self.ready),
            "/healthz" => probe(&self.healthy),
            "/ready/on" => switch(&self.ready, true),
            "/ready/off" => switch(&self.ready, false),
            "/healthz/on" => switch(&self.healthy, true),
            "/healthz/off" => switch(&self.healthy, false),
            "/exit" => {
                exit_after(Duration::from_millis(50), argument("code").and_then(|code| code.parse().ok()).unwrap_or(0));
                text(StatusCode::OK, "bye\n".to_owned())
            }
            "/delay" => {
                let ms = argument("ms").and_then(|ms| ms.parse().ok()).unwrap_or(1000);
                tokio::time::sleep(Duration::from_millis(ms)).await;
                self.greeting()
            }
            "/peer" => text(StatusCode::OK, format!("{}\n", peer.ip())),
            "/log" => {
                println!("{}", argument("line").unwrap_or_default());
                text(StatusCode::OK, "logged\n".to_owned())
            }
            _ => self.greeting(),
        }
    }

    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    fn greeting(&self) -> Response<Full<Bytes>> {
        text(StatusCode::OK, format!("Hello from {} ({})\n", self.name, self.version))
    }
}

/// Ends the process with that code, after that time.
pub fn exit_after(delay: Duration, code: i32) {
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        std::process::exit(code);
    });
}

fn probe(state: &AtomicBool) -> Response<Full<Bytes>> {
    match state.load(Ordering::Relaxed) {
        true => text(StatusCode::OK, "ok\n".to_owned()),
        false => text(StatusCode::SERVICE_UNAVAILABLE, "told to fail\n".to_owned()),
    }
}

fn switch(state: &AtomicBool, to: bool) -> Response<Full<Bytes>> {
    state.store(to, Ordering::Relaxed);
    text(StatusCode::OK, format!("{}\n", if to { "on" } else { "off" }))
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn paths_answer() {
        let hello = Hello::new(Some("pod-1".to_owned()), Some("v2".to_owned()));
        let peer = SocketAddr::from(([10, 0, 0, 7], 1234));
        let check = async |path: &'static str, status: u16, body: &str| {
            let answer = hello.answer(&Uri::from_static(path), peer).await;
            assert_eq!(answer.status(), status, "{path}");
            let bytes = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
            assert_eq!(bytes, body, "{path}");
        };
        check("/", 200, "Hello from pod-1 (v2)\n").await;
        check("/ready", 200, "ok\n").await;
        check("/ready/off", 200, "off\n").await;
        check("/ready", 503, "told to fail\n").await;
        check("/healthz", 200, "ok\n").await;
        check("/delay?ms=1", 200, "Hello from pod-1 (v2)\n").await;
        check("/peer", 200, "10.0.0.7\n").await;
    }
}
