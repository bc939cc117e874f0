//! Named health checks behind `/livez`, `/readyz` and `/healthz`, in upstream's form.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{Response, StatusCode, header};
use parking_lot::RwLock;

use crate::serve::Body;

type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

struct Named {
    name: String,
    check: Check,
    /// Whether a failure means that the process should be restarted.
    live: bool,
}

/// The checks of one component.
#[derive(Default)]
pub struct Checks {
    checks: RwLock<Vec<Named>>,
}

/// A check that is set from elsewhere; starts out failing.
#[derive(Clone, Debug, Default)]
pub struct Flag(Arc<AtomicBool>);

impl Flag {
    pub fn set(&self, good: bool) {
        self.0.store(good, Ordering::Release);
    }

    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Checks {
    /// With `ping`, which always holds.
    pub fn new() -> Arc<Self> {
        let checks = Self::default();
        checks.add_live("ping", || Ok(()));
        Arc::new(checks)
    }

    /// A check of readiness alone.
    pub fn add(&self, name: &str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.push(name, Arc::new(check), false);
    }

    /// A check of liveness and of readiness.
    pub fn add_live(&self, name: &str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.push(name, Arc::new(check), true);
    }

    /// A readiness check that holds once the flag is set.
    pub fn flag(&self, name: &str) -> Flag {
        let flag = Flag::default();
        let seen = flag.clone();
        self.add(name, move || if seen.get() { Ok(()) } else { Err("not ready".into()) });
        flag
    }

    fn push(&self, name: &str, check: Check, live: bool) {
        self.checks.write().push(Named { name: name.to_owned(), check, live });
    }

    /// Answers `/livez`, `/readyz`, `/healthz` and `/<one of them>/<check>`; `None` for every other path.
    pub fn answer(&self, path: &str, query: Option<&str>) -> Option<Response<Body>> {
        let path = path.trim_start_matches('/');
        let (endpoint, one) = path.split_once('/').unwrap_or((path, ""));
        if !matches!(endpoint, "livez" | "readyz" | "healthz") {
            return None;
        }
        let parameters: Vec<_> = query.unwrap_or("").split('&').map(|p| p.split_once('=').unwrap_or((p, ""))).collect();
        let verbose = parameters.iter().any(|(name, _)| *name == "verbose");
        let excluded: Vec<_> = parameters.iter().filter(|(name, _)| *name == "exclude").map(|(_, v)| *v).collect();
        let wanted = |c: &&Named| (endpoint != "livez" || c.live) && (one.is_empty() || c.name == one);
        let checks: Vec<(String, Check)> =
            self.checks.read().iter().filter(wanted).map(|c| (c.name.clone(), c.check.clone())).collect();
        if checks.is_empty() {
            return Some(text(StatusCode::NOT_FOUND, format!("unknown check {one:?}\n")));
        }
        let mut lines = String::new();
        let mut failed = vec![];
        for (name, check) in checks {
            if excluded.contains(&name.as_str()) {
                lines += &format!("[+]{name} excluded: ok\n");
                continue;
            }
            match check() {
                Ok(()) => lines += &format!("[+]{name} ok\n"),
                Err(why) => {
                    tracing::debug!(check = %name, %why, "health check failed");
                    lines += &format!("[-]{name} failed: reason withheld\n");
                    failed.push(name);
                }
            }
        }
        Some(if !failed.is_empty() {
            text(StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}{endpoint} check failed\n"))
        } else if verbose {
            text(StatusCode::OK, format!("{lines}{endpoint} check passed\n"))
        } else {
            text(StatusCode::OK, "ok".into())
        })
    }
}

fn text(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-content-type-options", http::HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-cache, private"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(checks: &Checks, path: &str, query: Option<&str>, status: u16) {
        assert_eq!(checks.answer(path, query).unwrap().status().as_u16(), status, "{path}");
    }

    #[test]
    fn readiness_is_more_than_liveness() {
        let checks = Checks::new();
        let flag = checks.flag("informers");
        check(&checks, "/livez", None, 200);
        check(&checks, "/readyz", None, 500);
        check(&checks, "/readyz", Some("exclude=informers"), 200);
        check(&checks, "/readyz/ping", None, 200);
        check(&checks, "/readyz/nothing", None, 404);
        flag.set(true);
        check(&checks, "/readyz", Some("verbose"), 200);
        assert!(checks.answer("/metrics", None).is_none());
    }
}
