//! The DNS server: a question in, the zone's answer or another server's out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use component::Shutdown;
use hickory_proto::op::{Edns, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{LowerName, Name, Record, RecordType};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::Instant;

use crate::forward::Forwarder;
use crate::metrics;
use crate::view::Caches;
use crate::zone::{Answer, Zone};

/// A connection without a question for so long is closed.
const IDLE: Duration = Duration::from_secs(10);
const TCP_BUFFER: usize = 64;
/// Aliases followed before a chain of them is given up.
const ALIASES: usize = 8;
/// What a datagram may hold without being cut into fragments on usual networks (DNS flag day 2020).
const PAYLOAD: u16 = 1232;

pub struct Handler {
    pub zone: Zone,
    pub view: Caches,
    pub forwarder: Forwarder,
    /// Turns the order of addresses, so that clients that take the first spread over all.
    pub turn: AtomicUsize,
}

/// An answer before it is written.
struct Outcome {
    code: ResponseCode,
    authoritative: bool,
    answers: Vec<Record>,
    authority: Vec<Record>,
}

impl Outcome {
    fn failed(code: ResponseCode) -> Self {
        Self { code, authoritative: false, answers: vec![], authority: vec![] }
    }
}

/// Serves until shutdown begins.
pub async fn run(handler: Arc<Handler>, udp: UdpSocket, tcp: TcpListener, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut server = Server::new(Shared(handler));
    server.register_socket(udp);
    server.register_listener(tcp, IDLE, TCP_BUFFER);
    shutdown.cancelled().await;
    server.shutdown_gracefully().await?;
    Ok(())
}

struct Shared(Arc<Handler>);

#[async_trait::async_trait]
impl RequestHandler for Shared {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut to: R) -> ResponseInfo {
        let begun = Instant::now();
        let outcome = match request.request_info() {
            Ok(info) if info.metadata.op_code == OpCode::Query && info.metadata.message_type == MessageType::Query => {
                self.0.resolve(info.query.name(), info.query.query_type()).await
            }
            Ok(_) => Outcome::failed(ResponseCode::NotImp),
            Err(_) => Outcome::failed(ResponseCode::FormErr),
        };
        metrics::answered(outcome.code, begun.elapsed());
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = outcome.code;
        metadata.authoritative = outcome.authoritative;
        metadata.recursion_available = true;
        let mut edns = Edns::new();
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(asked) = &request.edns {
            edns.set_max_payload(asked.max_payload().clamp(512, PAYLOAD));
            builder.edns(&edns);
        }
        let response = builder.build(metadata, &outcome.answers, &outcome.authority, [], []);
        match to.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                // The client has gone, or its answer fits nowhere: nobody is left to be told.
                tracing::debug!(%error, "answering");
                ResponseInfo::from(failed_header(request))
            }
        }
    }
}

fn failed_header(request: &Request) -> hickory_proto::op::Header {
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.response_code = ResponseCode::ServFail;
    hickory_proto::op::Header { metadata, counts: Default::default() }
}

impl Handler {
    async fn resolve(&self, name: &LowerName, kind: RecordType) -> Outcome {
        let mut name = Name::from(name);
        let mut aliases = vec![];
        for _ in 0..ALIASES {
            if self.zone.is_below(&name) && !self.view.is_synced() {
                return Outcome::failed(ResponseCode::ServFail);
            }
            let Ok(answer) = self.zone.answer(&self.view, &name, kind) else {
                return Outcome::failed(ResponseCode::ServFail);
            };
            match answer {
                Answer::Records(records) => {
                    aliases.extend(self.turned(records));
                    return self.own(ResponseCode::NoError, aliases);
                }
                Answer::Alias { record, target } => {
                    aliases.push(*record);
                    if kind == RecordType::CNAME {
                        return self.own(ResponseCode::NoError, aliases);
                    }
                    name = target.to_lowercase();
                }
                Answer::NoData => return self.own(ResponseCode::NoError, aliases),
                Answer::NoName => return self.own(ResponseCode::NXDomain, aliases),
                Answer::Elsewhere => return self.ask_elsewhere(&name, kind, aliases).await,
            }
        }
        Outcome::failed(ResponseCode::ServFail)
    }

    /// The cluster's own answer; the SOA says for how long nothing may be taken for nothing.
    fn own(&self, code: ResponseCode, answers: Vec<Record>) -> Outcome {
        let authority = match answers.is_empty() {
            true => self.zone.soa().into_iter().collect(),
            false => vec![],
        };
        Outcome { code, authoritative: true, answers, authority }
    }

    async fn ask_elsewhere(&self, name: &Name, kind: RecordType, aliases: Vec<Record>) -> Outcome {
        let begun = Instant::now();
        let reply = self.forwarder.ask(name, kind).await;
        metrics::forwarded(reply.code, begun.elapsed());
        // An alias whose target cannot be found is still an answer.
        let code = if aliases.is_empty() { reply.code } else { ResponseCode::NoError };
        let answers = aliases.into_iter().chain(reply.answers).collect();
        Outcome { code, authoritative: false, answers, authority: reply.authority }
    }

    fn turned(&self, mut records: Vec<Record>) -> Vec<Record> {
        if records.len() > 1 {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % records.len();
            records.rotate_left(turn);
        }
        records
    }
}
