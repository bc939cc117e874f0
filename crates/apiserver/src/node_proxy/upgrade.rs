//! Upgrades: which are passed on, under which parameters, and the tunnel they become.
//!
//! The runtime's streaming server speaks SPDY/3.1 and the fourth version of the channel protocol over WebSockets. The fifth
//! adds the closing of a single channel, which cannot be expressed in the fourth: taking one for the other would leave
//! `echo x | kubectl exec -i -- cat` waiting forever. Nor are SPDY bytes within WebSocket messages unpacked. Both are refused;
//! clients then use SPDY itself.

use api_types::Status;
use http::{HeaderMap, HeaderValue, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use crate::query::unescape;

const REFUSED: [&str; 2] = ["v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io"];
/// Subprotocols of this form are credentials for us.
const CREDENTIALS: &str = "base64url.bearer.authorization.k8s.io.";

pub fn is_wanted(headers: &HeaderMap) -> bool {
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named = connection.flat_map(|list| list.split(',')).any(|one| one.trim().eq_ignore_ascii_case("upgrade"));
    named && headers.contains_key(header::UPGRADE)
}

/// Takes off the list of WebSocket subprotocols what cannot be served; 400 if nothing of it is left.
pub fn narrow_protocols(headers: &mut HeaderMap) -> Result<(), Status> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let offered: Vec<String> = values.flat_map(|list| list.split(',')).map(|one| one.trim().to_owned()).collect();
    let kept: Vec<_> = offered
        .iter()
        .filter(|one| !REFUSED.contains(&one.as_str()) && !one.starts_with(CREDENTIALS))
        .cloned()
        .collect();
    if kept.len() == offered.len() {
        return Ok(());
    }
    headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
    if kept.is_empty() && offered.iter().any(|one| REFUSED.contains(&one.as_str())) {
        return Err(Status::bad_request(format!("unable to upgrade: none of the protocols {offered:?} is supported")));
    }
    if let (false, Ok(value)) = (kept.is_empty(), HeaderValue::from_str(&kept.join(", "))) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
    }
    Ok(())
}

/// What the kubelet calls a parameter of exec or attach; `None` for those it does not take.
pub fn kubelet_parameter(name: &str) -> Option<String> {
    let name = match name {
        "stdin" => "input",
        "stdout" => "output",
        "stderr" => "error",
        "tty" | "command" => name,
        _ => return None,
    };
    Some(name.to_owned())
}

/// A query with other names, values as they came but for truths, which the kubelet wants as `1`. With its question mark.
pub fn rewritten(query: &str, rename: impl Fn(&str) -> Option<String>) -> String {
    let mut rewritten = String::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(new) = rename(&unescape(name)) else { continue };
        let value = match (new.as_str(), value) {
            ("input" | "output" | "error" | "tty", "true") => "1",
            ("input" | "output" | "error" | "tty", "false") => continue,
            (_, value) => value,
        };
        rewritten.push(if rewritten.is_empty() { '?' } else { '&' });
        rewritten += &format!("{new}={value}");
    }
    rewritten
}

/// Carries bytes both ways until either side ends.
pub async fn tunnel(ours: OnUpgrade, theirs: OnUpgrade) {
    let (ours, theirs) = match tokio::try_join!(ours, theirs) {
        Ok(both) => both,
        Err(why) => {
            tracing::debug!("an upgrade came to nothing: {why}");
            return;
        }
    };
    let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
    if let Err(why) = copy_bidirectional(&mut ours, &mut theirs).await {
        tracing::debug!("a stream ended: {why}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        let check = |query: &str, expected: &str| assert_eq!(rewritten(query, kubelet_parameter), expected);
        check(
            "command=echo&command=a%20b&container=c&stdin=true&stdout=true",
            "?command=echo&command=a%20b&input=1&output=1",
        );
        check("stderr=false&tty=true", "?tty=1");
        check("container=c", "");
        check("", "");
    }

    #[test]
    fn protocols() {
        let check = |offered: &str, expected: Result<Option<&str>, ()>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offered.parse().unwrap());
            let outcome = narrow_protocols(&mut headers).map_err(|_| ());
            let left = headers.get(header::SEC_WEBSOCKET_PROTOCOL).map(|value| value.to_str().unwrap());
            assert_eq!(outcome.map(|()| left), expected, "{offered}");
        };
        check("v4.channel.k8s.io", Ok(Some("v4.channel.k8s.io")));
        check("v5.channel.k8s.io,v4.channel.k8s.io", Ok(Some("v4.channel.k8s.io")));
        check("v5.channel.k8s.io", Err(()));
        check("SPDY/3.1+portforward.k8s.io", Err(()));
        check("base64url.bearer.authorization.k8s.io.abc, v4.channel.k8s.io", Ok(Some("v4.channel.k8s.io")));
        check("base64url.bearer.authorization.k8s.io.abc", Ok(None));
        assert!(narrow_protocols(&mut HeaderMap::new()).is_ok());
    }

    #[test]
    fn wishes() {
        let check = |connection: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONNECTION, connection.parse().unwrap());
            headers.insert(header::UPGRADE, "SPDY/3.1".parse().unwrap());
            assert_eq!(is_wanted(&headers), expected, "{connection}");
        };
        check("Upgrade", true);
        check("keep-alive, upgrade", true);
        check("keep-alive", false);
    }
}
