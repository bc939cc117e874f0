//! The real backend: etcd's v3 API. Two channels: one for reads and writes, one for the watch.

use std::time::Duration;

use bytes::Bytes;
use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, GetOptions, Identity, KvClient, LeaseClient, PutOptions,
    TlsOptions, Txn, TxnOp, TxnOpResponse, WatchClient, WatchOptions, WatchStream,
};
use futures::{FutureExt, future::BoxFuture};

use crate::backend::{
    Backend, BackendError, Change, Changes, Check, KeyValue, LeaseId, Outcome, Range, Ranged, Result, Revision,
    Transaction, Write,
};

/// A range of 10,000 objects and a lease that ends with as many keys have to fit into one message.
const MAX_MESSAGE: usize = 512 << 20;
/// Requests to etcd that take longer count as failed.
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, Default)]
pub struct EtcdOptions {
    pub servers: Vec<String>,
    /// PEM: the authority, and what is shown to etcd.
    pub ca: Option<Vec<u8>>,
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

pub struct Etcd {
    kv: KvClient,
    lease: LeaseClient,
    watch: WatchClient,
}

impl Etcd {
    /// Connects lazily: an etcd that is not there yet shows in the first request.
    pub async fn connect(options: &EtcdOptions) -> Result<Self> {
        let main = Client::connect(&options.servers, Some(connect_options(options))).await.map_err(unavailable)?;
        let watch = Client::connect(&options.servers, Some(connect_options(options))).await.map_err(unavailable)?;
        Ok(Self {
            kv: main.kv_client().max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE),
            lease: main.lease_client(),
            watch: watch.watch_client().max_decoding_message_size(MAX_MESSAGE),
        })
    }
}

fn connect_options(options: &EtcdOptions) -> ConnectOptions {
    let connect = ConnectOptions::new()
        .with_connect_timeout(Duration::from_secs(5))
        .with_keep_alive(Duration::from_secs(10), Duration::from_secs(5))
        .with_keep_alive_while_idle(true);
    let (Some(ca), identity) = (&options.ca, &options.identity) else { return connect };
    let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(ca));
    if let Some((certificate, key)) = identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    connect.with_tls(tls)
}

fn unavailable(error: etcd_client::Error) -> BackendError {
    BackendError::Unavailable(error.to_string())
}

/// etcd tells errors apart by their text only.
fn translate(error: etcd_client::Error, is_write: bool) -> BackendError {
    let etcd_client::Error::GRpcStatus(status) = &error else {
        return if is_write { BackendError::Unknown(error.to_string()) } else { unavailable(error) };
    };
    let text = status.message();
    match text {
        _ if text.contains("has been compacted") => BackendError::Compacted { oldest: 0 },
        _ if text.contains("future revision") => BackendError::FutureRevision,
        _ if text.contains("request is too large") || text.contains("larger than max") => BackendError::TooLarge,
        _ if is_write && !text.contains("tcp connect error") && !text.contains("no leader") => {
            BackendError::Unknown(text.to_owned())
        }
        _ => BackendError::Unavailable(text.to_owned()),
    }
}

async fn bounded<T>(
    is_write: bool,
    call: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, BackendError> {
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(answer) => answer.map_err(|error| translate(error, is_write)),
        Err(_) if is_write => Err(BackendError::Unknown("no answer in time".into())),
        Err(_) => Err(BackendError::Unavailable("no answer in time".into())),
    }
}

fn key_value(kv: &etcd_client::KeyValue) -> Result<KeyValue> {
    Ok(KeyValue {
        key: key_text(kv.key())?,
        value: Bytes::copy_from_slice(kv.value()),
        create_revision: kv.create_revision(),
        mod_revision: kv.mod_revision(),
    })
}

fn key_text(key: &[u8]) -> Result<String> {
    String::from_utf8(key.to_vec())
        .map_err(|_| BackendError::Unavailable(format!("key {} is not text", String::from_utf8_lossy(key))))
}

fn header(header: Option<&etcd_client::ResponseHeader>) -> Result<Revision> {
    header.map(|h| h.revision()).ok_or_else(|| BackendError::Unavailable("answer without a header".into()))
}

fn compare(check: &Check) -> Compare {
    match check.revision {
        0 => Compare::version(check.key.as_str(), CompareOp::Equal, 0),
        revision => Compare::mod_revision(check.key.as_str(), CompareOp::Equal, revision),
    }
}

fn operation(write: Write) -> TxnOp {
    match write {
        Write::Put { key, value, lease } => TxnOp::put(key, value, lease.map(|id| PutOptions::new().with_lease(id))),
        Write::Delete { key } => TxnOp::delete(key, None),
    }
}

fn refused(response: &etcd_client::TxnResponse, checks: &[Check]) -> Result<Outcome> {
    let mut current = Vec::with_capacity(checks.len());
    for answer in response.op_responses() {
        let TxnOpResponse::Get(get) = answer else { continue };
        current.push(get.kvs().first().map(key_value).transpose()?);
    }
    Ok(Outcome::Refused { revision: header(response.header())?, current })
}

impl Backend for Etcd {
    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Outcome>> {
        async move {
            let checks = transaction.checks;
            let txn = Txn::new()
                .when(checks.iter().map(compare).collect::<Vec<_>>())
                .and_then(transaction.writes.into_iter().map(operation).collect::<Vec<_>>())
                .or_else(checks.iter().map(|check| TxnOp::get(check.key.as_str(), None)).collect::<Vec<_>>());
            let response = bounded(true, self.kv.clone().txn(txn)).await?;
            if response.succeeded() {
                return Ok(Outcome::Committed { revision: header(response.header())? });
            }
            refused(&response, &checks)
        }
        .boxed()
    }

    fn range(&self, range: Range) -> BoxFuture<'_, Result<Ranged>> {
        async move {
            let options = GetOptions::new().with_range(range.end).with_limit(range.limit).with_revision(range.revision);
            let response = bounded(false, self.kv.clone().get(range.start, Some(options))).await?;
            Ok(Ranged {
                items: response.kvs().iter().map(key_value).collect::<Result<_>>()?,
                more: response.more(),
                count: response.count(),
                revision: header(response.header())?,
            })
        }
        .boxed()
    }

    fn revision(&self) -> BoxFuture<'_, Result<Revision>> {
        async move {
            let options = GetOptions::new().with_count_only();
            let response = bounded(false, self.kv.clone().get("revision", Some(options))).await?;
            header(response.header())
        }
        .boxed()
    }

    fn watch(&self, prefix: String, from: Revision) -> BoxFuture<'_, Result<Box<dyn Changes>>> {
        async move {
            let options = WatchOptions::new().with_prefix().with_start_revision(from);
            let stream = bounded(false, self.watch.clone().watch(prefix, Some(options))).await?;
            Ok(Box::new(Tail { stream }) as Box<dyn Changes>)
        }
        .boxed()
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<()>> {
        async move { bounded(false, self.kv.clone().compact(revision, None)).await.map(|_| ()) }.boxed()
    }

    fn grant(&self, seconds: i64) -> BoxFuture<'_, Result<LeaseId>> {
        async move { bounded(false, self.lease.clone().grant(seconds, None)).await.map(|lease| lease.id()) }.boxed()
    }
}

struct Tail {
    stream: WatchStream,
}

impl Changes for Tail {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Change>>> {
        async move {
            let message = self.stream.message().await.map_err(|error| translate(error, false))?;
            let message = message.ok_or_else(|| BackendError::Unavailable("the watch ended".into()))?;
            if message.canceled() {
                return Err(match message.compact_revision() {
                    0 => BackendError::Unavailable(format!("the watch was cancelled: {}", message.cancel_reason())),
                    oldest => BackendError::Compacted { oldest },
                });
            }
            message.events().iter().filter_map(|event| Some(change(event.event_type(), event.kv()?))).collect()
        }
        .boxed()
    }
}

fn change(event: etcd_client::EventType, kv: &etcd_client::KeyValue) -> Result<Change> {
    match event {
        etcd_client::EventType::Put => key_value(kv).map(Change::Put),
        etcd_client::EventType::Delete => Ok(Change::Delete { key: key_text(kv.key())?, revision: kv.mod_revision() }),
    }
}
