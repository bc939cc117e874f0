//! Where things are, seen from both sides of a `proxy` subresource: what is passed on learns under which path the client
//! sees it, and redirects back to itself lead through the proxy again.

use http::{HeaderMap, HeaderName, HeaderValue, header};

const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// `root` is the path that ends with `/proxy`.
pub fn tell(headers: &mut HeaderMap, root: &str, rest: &str, host: Option<&HeaderValue>) {
    if let Ok(uri) = HeaderValue::from_str(&format!("{root}/{rest}")) {
        headers.insert(FORWARDED_URI, uri);
    }
    if let Some(host) = host {
        headers.insert(FORWARDED_HOST, host.clone());
    }
}

/// Lets a redirect to a path of the backend's lead below `root`.
pub fn rewrite(headers: &mut HeaderMap, root: &str, backend: &str) {
    let Some(location) = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()) else { return };
    if let Some(Ok(new)) = rewritten(location, root, backend).map(|new| HeaderValue::from_str(&new)) {
        headers.insert(header::LOCATION, new);
    }
}

/// `None` for what leads elsewhere, is relative, or leads through the proxy already.
fn rewritten(location: &str, root: &str, backend: &str) -> Option<String> {
    let path = match location.split_once("://") {
        Some((_, rest)) => {
            let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            let same = host == backend || Some(host) == backend.rsplit_once(':').map(|(host, _)| host);
            if !same {
                return None;
            }
            path
        }
        None if location.starts_with("//") => return None,
        None => location,
    };
    let absolute = path.starts_with('/') || (path.is_empty() && location != path);
    (absolute && !path.starts_with(root)).then(|| format!("{root}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        let check = |location: &str, wanted: Option<&str>| {
            let found = rewritten(location, "/api/v1/namespaces/n/pods/p/proxy", "10.0.0.1:80");
            assert_eq!(found.as_deref(), wanted, "{location}");
        };
        check("/login?next=/", Some("/api/v1/namespaces/n/pods/p/proxy/login?next=/"));
        check("http://10.0.0.1:80/x", Some("/api/v1/namespaces/n/pods/p/proxy/x"));
        check("http://10.0.0.1/", Some("/api/v1/namespaces/n/pods/p/proxy/"));
        check("https://example.com/x", None);
        check("//example.com/x", None);
        check("x/y", None);
        check("/api/v1/namespaces/n/pods/p/proxy/x", None);
    }
}
