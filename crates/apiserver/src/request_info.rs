//! From method, path and query to [`RequestInfo`], as upstream's `RequestInfoFactory`.

use crate::request::RequestInfo;

/// Subresources of namespaces which are not taken for a resource inside one.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

/// Parses without copying. `path` is taken as it came: names of objects contain nothing that needs escaping.
pub fn parse<'a>(method: &'a http::Method, path: &'a str, query: &'a str) -> RequestInfo<'a> {
    let other = RequestInfo { verb: lower(method), path, ..RequestInfo::default() };
    let mut parts = path.trim_start_matches('/').split('/').filter(|part| !part.is_empty());
    let (group, version) = match parts.next() {
        Some("api") => ("", parts.next()),
        Some("apis") => (parts.next().unwrap_or(""), parts.next()),
        _ => return other,
    };
    let (Some(version), Some(mut first)) = (version, parts.next()) else { return other };
    let mut info =
        RequestInfo { path, is_resource: true, group, version, verb: verb_of(method), ..RequestInfo::default() };
    // The deprecated form /api/v1/watch/…
    if first == "watch" {
        let Some(next) = parts.next() else { return other };
        info.verb = "watch";
        first = next;
    }
    if first == "namespaces"
        && let Some(namespace) = parts.next()
    {
        info.namespace = namespace;
        match parts.next() {
            Some(resource) if !NAMESPACE_SUBRESOURCES.contains(&resource) => first = resource,
            subresource => {
                info.resource = "namespaces";
                info.name = namespace;
                info.subresource = subresource.unwrap_or("");
                return finish(info, query);
            }
        }
    }
    info.resource = first;
    info.name = parts.next().unwrap_or("");
    info.subresource = parts.next().unwrap_or("");
    if info.subresource == "proxy" {
        let lead = format!("/{}/{}/proxy", info.resource, info.name);
        let end = path.find(&lead).map_or(path.len(), |at| at + lead.len());
        info.rest = path[end..].trim_start_matches('/');
    }
    finish(info, query)
}

fn finish<'a>(mut info: RequestInfo<'a>, query: &'a str) -> RequestInfo<'a> {
    if info.name.is_empty() {
        info.verb = match info.verb {
            "get" if flag(query, "watch") => "watch",
            "get" => "list",
            "delete" => "deletecollection",
            verb => verb,
        };
        // A list or watch of the one object that a field selector names counts as asking for that name.
        if matches!(info.verb, "list" | "watch") {
            info.name = selected_name(query).unwrap_or("");
        }
    }
    info
}

/// The name fixed by `fieldSelector=metadata.name=x`, where nothing in it is escaped beyond the separators.
fn selected_name(query: &str) -> Option<&str> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("fieldSelector="))?;
    let name = ["metadata.name=", "metadata.name%3D"].iter().find_map(|lead| value.strip_prefix(lead))?;
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'_'));
    plain.then_some(name)
}

fn flag(query: &str, name: &str) -> bool {
    query.split('&').any(|pair| match pair.split_once('=') {
        Some((key, value)) => key == name && !matches!(value, "0" | "false"),
        None => pair == name,
    })
}

fn verb_of(method: &http::Method) -> &'static str {
    match method.as_str() {
        "POST" => "create",
        "GET" | "HEAD" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    }
}

fn lower(method: &http::Method) -> &'static str {
    match method.as_str() {
        "POST" => "post",
        "GET" => "get",
        "HEAD" => "head",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, query: &str, expected: (&str, &str, &str, &str, &str, &str)) {
        let method = http::Method::from_bytes(method.as_bytes()).unwrap();
        let info = parse(&method, path, query);
        assert!(info.is_resource, "{path}");
        let found = (info.verb, info.group, info.namespace, info.resource, info.name, info.subresource);
        assert_eq!(found, expected, "{method} {path}?{query}");
    }

    #[test]
    fn resources() {
        check("GET", "/api/v1/namespaces", "", ("list", "", "", "namespaces", "", ""));
        check("GET", "/api/v1/namespaces/a", "", ("get", "", "a", "namespaces", "a", ""));
        check("PUT", "/api/v1/namespaces/a/finalize", "", ("update", "", "a", "namespaces", "a", "finalize"));
        check("GET", "/api/v1/namespaces/a/pods", "watch=true", ("watch", "", "a", "pods", "", ""));
        check("GET", "/api/v1/namespaces/a/pods", "watch=0", ("list", "", "a", "pods", "", ""));
        check("GET", "/api/v1/namespaces/a/pods/p/log", "", ("get", "", "a", "pods", "p", "log"));
        check("POST", "/api/v1/namespaces/a/pods/p/binding", "", ("create", "", "a", "pods", "p", "binding"));
        check(
            "DELETE",
            "/apis/apps/v1/namespaces/a/deployments",
            "",
            ("deletecollection", "apps", "a", "deployments", "", ""),
        );
        check("GET", "/api/v1/watch/pods", "", ("watch", "", "", "pods", "", ""));
        check("GET", "/api/v1/nodes/n/proxy/a/b", "", ("get", "", "", "nodes", "n", "proxy"));
        check("GET", "/api/v1/pods", "fieldSelector=metadata.name%3Dx&watch=1", ("watch", "", "", "pods", "x", ""));
        check("GET", "/api/v1/pods", "fieldSelector=spec.nodeName%3Dx", ("list", "", "", "pods", "", ""));
    }

    #[test]
    fn what_is_behind_a_proxy() {
        let rest = |path: &str| parse(&http::Method::GET, path, "").rest.to_owned();
        assert_eq!(rest("/api/v1/nodes/n/proxy"), "");
        assert_eq!(rest("/api/v1/nodes/n/proxy/a/b/"), "a/b/");
        assert_eq!(rest("/api/v1/namespaces/proxy/pods/proxy/proxy/proxy/x"), "proxy/x");
        assert_eq!(rest("/api/v1/namespaces/d/services/https:web:443/proxy/x"), "x");
    }

    #[test]
    fn paths() {
        for path in ["/healthz", "/api", "/apis/apps/v1", "/openapi/v2", "/"] {
            let info = parse(&http::Method::GET, path, "");
            assert_eq!((info.is_resource, info.verb, info.path), (false, "get", path));
        }
    }
}
