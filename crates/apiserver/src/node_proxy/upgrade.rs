//! Upgrades: how each is served, under which parameters, and the tunnel it becomes.
//!
//! SPDY/3.1 and the fourth version of the channel protocol over WebSockets pass as bytes. The fifth version, which can
//! close a single channel, and SPDY within WebSocket messages are translated to SPDY.

use http::{HeaderMap, HeaderValue, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::{remote_command, websocket};
use crate::query::unescape;

/// SPDY within the messages of a WebSocket.
pub const TUNNELED: &str = "SPDY/3.1+portforward.k8s.io";
/// Subprotocols of this form are credentials for us.
const CREDENTIALS: &str = "base64url.bearer.authorization.k8s.io.";

pub fn is_wanted(headers: &HeaderMap) -> bool {
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named = connection.flat_map(|list| list.split(',')).any(|one| one.trim().eq_ignore_ascii_case("upgrade"));
    named && headers.contains_key(header::UPGRADE)
}

/// The way of an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As bytes.
    Through,
    /// Version 5 of the channel protocol.
    Channels,
    /// SPDY in messages.
    Messages,
}

/// Chooses the newest protocol offered, and takes credentials off the list.
pub fn way(headers: &mut HeaderMap) -> Way {
    let offered = websocket::offered(headers);
    if offered.iter().any(|one| one == remote_command::V5) {
        return Way::Channels;
    }
    if offered.iter().any(|one| one == TUNNELED) {
        return Way::Messages;
    }
    let kept: Vec<_> = offered.iter().filter(|one| !one.starts_with(CREDENTIALS)).cloned().collect();
    if kept.len() < offered.len() {
        headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
        if let (false, Ok(value)) = (kept.is_empty(), HeaderValue::from_str(&kept.join(", "))) {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
        }
    }
    Way::Through
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
        let check = |offered: &str, expected: Way, left: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offered.parse().unwrap());
            assert_eq!(way(&mut headers), expected, "{offered}");
            let kept = headers.get(header::SEC_WEBSOCKET_PROTOCOL).map(|value| value.to_str().unwrap());
            assert_eq!(kept, left, "{offered}");
        };
        check("v4.channel.k8s.io", Way::Through, Some("v4.channel.k8s.io"));
        check("v5.channel.k8s.io,v4.channel.k8s.io", Way::Channels, Some("v5.channel.k8s.io,v4.channel.k8s.io"));
        check("SPDY/3.1+portforward.k8s.io", Way::Messages, Some("SPDY/3.1+portforward.k8s.io"));
        check("base64url.bearer.authorization.k8s.io.abc, v4.channel.k8s.io", Way::Through, Some("v4.channel.k8s.io"));
        check("base64url.bearer.authorization.k8s.io.abc", Way::Through, None);
        assert_eq!(way(&mut HeaderMap::new()), Way::Through);
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
