//! UDP flows that the kernel remembers although the rules say otherwise by now.
//!
//! UDP has no end of a connection: a client that keeps sending from one port keeps its old translation alive for ever,
//! be it to an endpoint that is gone, or none at all from a time when the service had no endpoints. Such flows are
//! deleted after the rules have changed. All flows are compared with all that is wanted, so that none is forgotten.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use crate::frontend::{Endpoint, Family, Frontend, Protocol};

/// All flows of a frontend that are answered by `source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stale {
    pub frontend: Frontend,
    pub source: IpAddr,
}

impl Stale {
    /// The arguments with which `conntrack` deletes them.
    pub fn arguments(&self) -> Vec<String> {
        let family = if Family::of(self.frontend.ip) == Family::V4 { "ipv4" } else { "ipv6" };
        let (ip, port, source) =
            (self.frontend.ip.to_string(), self.frontend.port.to_string(), self.source.to_string());
        ["-D", "-f", family, "-p", "udp", "--orig-dst", &ip, "--orig-port-dst", &port, "--reply-src", &source]
            .map(str::to_owned)
            .into()
    }
}

/// The arguments with which `conntrack` lists what [`stale`] reads.
pub fn list_arguments(family: Family) -> [&'static str; 5] {
    ["-L", "-f", if family == Family::V4 { "ipv4" } else { "ipv6" }, "-p", "udp"]
}

/// What contradicts `wanted`, out of the lines of `conntrack -L -p udp`. Flows to anything else are not ours.
pub fn stale(lines: &str, wanted: &HashMap<Frontend, Vec<Endpoint>>) -> BTreeSet<Stale> {
    lines.lines().filter_map(|line| stale_flow(line, wanted)).collect()
}

fn stale_flow(line: &str, wanted: &HashMap<Frontend, Vec<Endpoint>>) -> Option<Stale> {
    // The original direction comes first, then the answer's.
    let mut fields = line.split_whitespace().filter_map(|word| word.split_once('='));
    let mut next = |name: &str| fields.by_ref().find(|(key, _)| *key == name).map(|(_, value)| value);
    let ip: IpAddr = next("dst")?.parse().ok()?;
    let port = next("dport")?.parse().ok()?;
    let source: IpAddr = next("src")?.parse().ok()?;
    let source_port: u16 = next("sport")?.parse().ok()?;
    let frontend = Frontend { ip, protocol: Protocol::Udp, port };
    let endpoints = wanted.get(&frontend)?;
    (!endpoints.contains(&Endpoint { ip: source, port: source_port })).then_some(Stale { frontend, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, stale_source: Option<&str>) {
        let frontend = Frontend { ip: "10.96.0.10".parse().unwrap(), protocol: Protocol::Udp, port: 53 };
        let endpoint = Endpoint { ip: "10.244.0.5".parse().unwrap(), port: 5353 };
        let got = stale(line, &[(frontend, vec![endpoint])].into());
        let want = stale_source.map(|source| Stale { frontend, source: source.parse().unwrap() });
        assert_eq!(got, want.into_iter().collect(), "{line}");
    }

    #[test]
    fn flows() {
        let line = |dst: &str, src: &str, sport: u16| {
            format!(
                "udp      17 29 src=10.1.2.3 dst={dst} sport=40000 dport=53 [UNREPLIED] src={src} dst=10.1.2.3 sport={sport} dport=40000 mark=0 use=1"
            )
        };
        check(&line("10.96.0.10", "10.244.0.5", 5353), None);
        check(&line("10.96.0.10", "10.244.0.6", 5353), Some("10.244.0.6"));
        check(&line("10.96.0.10", "10.244.0.5", 53), Some("10.244.0.5"));
        // Remembered untranslated, from before there were rules.
        check(&line("10.96.0.10", "10.96.0.10", 53), Some("10.96.0.10"));
        check(&line("10.96.0.11", "10.244.0.6", 53), None);
        check("conntrack v1.4.7 (conntrack-tools): 3 flow entries have been shown.", None);
    }

    #[test]
    fn deletes_exactly_these() {
        let frontend = Frontend { ip: "10.96.0.10".parse().unwrap(), protocol: Protocol::Udp, port: 53 };
        let arguments = Stale { frontend, source: "10.244.0.6".parse().unwrap() }.arguments().join(" ");
        assert_eq!(arguments, "-D -f ipv4 -p udp --orig-dst 10.96.0.10 --orig-port-dst 53 --reply-src 10.244.0.6");
    }
}
