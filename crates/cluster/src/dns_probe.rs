//! One question to the cluster's DNS over the Service's address: the last thing that a new cluster has to show.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

const PATIENCE: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(10);

/// Returns when `name` has an address.
pub async fn answered(server: Ipv4Addr, name: &str) {
    loop {
        if let Ok(Ok(true)) = tokio::time::timeout(PATIENCE, ask(server, name)).await {
            return;
        }
        // Until the Service has an endpoint the refusal comes at once.
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(server: Ipv4Addr, name: &str) -> std::io::Result<bool> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect(SocketAddr::from((server, 53))).await?;
    socket.send(&query(name)).await?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).await?;
    Ok(has_answer(&answer[..length]))
}

/// A question for an A record with recursion desired (RFC 1035, section 4).
fn query(name: &str) -> Vec<u8> {
    let mut message = vec![0x4b, 0x67, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap_or_default());
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

fn has_answer(message: &[u8]) -> bool {
    matches!(message, [0x4b, 0x67, flags, code, _, _, count_high, count_low, ..]
        if flags & 0x80 != 0 && code & 0x0f == 0 && (*count_high, *count_low) != (0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_as_rfc_1035_says() {
        let expected = b"\x4b\x67\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x02bc\x00\x00\x01\x00\x01";
        assert_eq!(query("a.bc"), expected);
    }

    #[test]
    fn only_an_answer_with_records_counts() {
        let message = |flags, code, answers| [0x4b, 0x67, flags, code, 0, 1, 0, answers, 0, 0, 0, 0];
        assert!(has_answer(&message(0x85, 0x80, 1)));
        assert!(!has_answer(&message(0x85, 0x80, 0)), "no record");
        assert!(!has_answer(&message(0x85, 0x83, 1)), "NXDOMAIN");
        assert!(!has_answer(&message(0x05, 0x80, 1)), "a question");
    }
}
