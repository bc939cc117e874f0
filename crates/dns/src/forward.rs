//! Asking other servers what is not this cluster's, with a cache, and without making anybody wait for the dead.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::{Resolver, TokioResolver};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Time that a server has for an answer. A client asks again after five seconds; it must have heard of us by then.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Silences in a row after which the servers are thought to be away.
const SILENCES: u32 = 2;
/// Time for which servers that are away are not asked, but for one question after it.
const AWAY: Duration = Duration::from_secs(5);
const CACHED: u64 = 10_000;

/// What other servers have said.
#[derive(Debug)]
pub struct Reply {
    pub code: ResponseCode,
    pub answers: Vec<Record>,
    /// The SOA of a negative answer, with the time that it may be kept.
    pub authority: Vec<Record>,
}

impl Reply {
    fn empty(code: ResponseCode) -> Self {
        Self { code, answers: vec![], authority: vec![] }
    }
}

pub struct Forwarder {
    /// None when there is no server to ask.
    resolver: Option<TokioResolver>,
    silence: Mutex<Silence>,
}

#[derive(Default)]
struct Silence {
    in_a_row: u32,
    until: Option<Instant>,
}

impl Silence {
    /// Whether to ask now. When the time is over one asks; the others wait for what it finds.
    fn may_ask(&mut self, now: Instant) -> bool {
        match self.until {
            Some(until) if now < until => false,
            Some(_) => {
                self.until = Some(now + AWAY);
                true
            }
            None => true,
        }
    }

    fn heard(&mut self) {
        *self = Self::default();
    }

    fn not_heard(&mut self, now: Instant) {
        self.in_a_row += 1;
        if self.in_a_row >= SILENCES {
            self.until = Some(now + AWAY);
        }
    }
}

impl Forwarder {
    pub fn new(servers: &[IpAddr]) -> Result<Self, NetError> {
        let resolver = match servers.is_empty() {
            true => None,
            false => {
                let servers = servers.iter().map(|address| NameServerConfig::udp_and_tcp(*address)).collect();
                let config = ResolverConfig::from_parts(None, vec![], servers);
                let mut options = ResolverOpts::default();
                options.timeout = PATIENCE;
                options.attempts = 1;
                options.ndots = 0;
                options.cache_size = CACHED;
                options.use_hosts_file = ResolveHosts::Never;
                let builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
                Some(builder.with_options(options).build()?)
            }
        };
        Ok(Self { resolver, silence: Mutex::default() })
    }

    /// Always answers within [`PATIENCE`], if only with SERVFAIL.
    pub async fn ask(&self, name: &Name, kind: RecordType) -> Reply {
        let Some(resolver) = &self.resolver else { return Reply::empty(ResponseCode::Refused) };
        if !self.silence.lock().may_ask(Instant::now()) {
            return Reply::empty(ResponseCode::ServFail);
        }
        match tokio::time::timeout(PATIENCE, resolver.lookup(name.clone(), kind)).await {
            Ok(Ok(lookup)) => {
                self.silence.lock().heard();
                Reply { code: ResponseCode::NoError, answers: lookup.answers().to_vec(), authority: vec![] }
            }
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none)))) => {
                self.silence.lock().heard();
                let soa = none.soa.map(|soa| (*soa).into_record_of_rdata());
                Reply { code: none.response_code, answers: vec![], authority: soa.into_iter().collect() }
            }
            Ok(Err(error)) => {
                tracing::debug!(%name, %error, "forwarding");
                self.silence.lock().not_heard(Instant::now());
                Reply::empty(ResponseCode::ServFail)
            }
            Err(_) => {
                self.silence.lock().not_heard(Instant::now());
                Reply::empty(ResponseCode::ServFail)
            }
        }
    }
}

/// The servers of this machine or pod; none if there is no such file.
pub fn system_servers() -> Vec<IpAddr> {
    parse(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

fn parse(resolv_conf: &str) -> Vec<IpAddr> {
    let servers = resolv_conf.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers.filter_map(|server| server.trim().split('%').next()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_a_resolv_conf() {
        let text = "# comment\nsearch a b\nnameserver 192.0.2.1\nnameserver  fe80::1%eth0\noptions ndots:5\n";
        let expected: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap(), "fe80::1".parse().unwrap()];
        assert_eq!(parse(text), expected);
    }

    #[test]
    fn the_dead_are_asked_by_one_at_a_time() {
        let (mut silence, now) = (Silence::default(), Instant::now());
        silence.not_heard(now);
        assert!(silence.may_ask(now));
        silence.not_heard(now);
        assert!(!silence.may_ask(now));
        assert!(silence.may_ask(now + AWAY));
        assert!(!silence.may_ask(now + AWAY));
        silence.heard();
        assert!(silence.may_ask(now + AWAY));
    }

    #[tokio::test]
    async fn without_a_server_the_answer_is_immediate() {
        let forwarder = Forwarder::new(&[]).unwrap();
        let name = Name::from_ascii("example.org.").unwrap();
        assert_eq!(forwarder.ask(&name, RecordType::A).await.code, ResponseCode::Refused);
    }
}
