//! Signs approved certificate signing requests with the cluster's authority.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use api_types::k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use client::{Executor, Store, WorkQueue};
use component::Clock;
use controllers::certificates::{State, check, fail, is_ours, issue, state};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use super::{
    certificate_approving::ACCOUNT,
    signer::{Signer, parse},
};
use crate::kit::{self, Context, Failed, Key, Work};

/// The shortest life that a request may ask for, as upstream.
const SHORTEST: Duration = Duration::from_secs(600);

struct Signing {
    executor: Executor,
    requests: Store<CertificateSigningRequest>,
    signer: Arc<Signer>,
    clock: Arc<dyn Clock>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let Some(signer) = context.signer.clone() else {
        tracing::warn!("no --cluster-signing-cert-file: nobody signs certificate signing requests");
        return Ok(Vec::new());
    };
    let executor = context.executor(ACCOUNT);
    let requests = kit::observed::<CertificateSigningRequest>(context, &executor);
    let queue = Arc::new(WorkQueue::new("certificate_signing"));
    kit::enqueue(&requests, &queue);
    let work = Signing { executor, requests: requests.clone(), signer, clock: context.clock.clone() };
    Ok(vec![kit::run_work(context, work, queue, 1, async move { requests.synced().await })])
}

impl Signing {
    fn sign(&self, csr: &CertificateSigningRequest) -> anyhow::Result<Result<String, String>> {
        let request = match parse(&csr.spec.request.0) {
            Ok(request) => request,
            Err(error) => return Ok(Err(format!("unable to parse csr: {error:#}"))),
        };
        let usages = match check(csr, &request) {
            Ok(usages) => usages,
            Err(why) => return Ok(Err(why)),
        };
        let wanted = csr.spec.expiration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let wanted = wanted.map(|seconds| Duration::from_secs(seconds).max(SHORTEST));
        let pem = std::str::from_utf8(&csr.spec.request.0)?;
        let serial = serial(csr.metadata.uid.as_deref().context("a request without uid")?);
        Ok(Ok(self.signer.sign(pem, &usages, wanted, serial, self.clock.now())?))
    }
}

/// One serial number for each request ever made: positive, and the same when the signing is repeated.
fn serial(uid: &str) -> [u8; 16] {
    let mut serial = [0; 16];
    serial.copy_from_slice(&Sha256::digest(uid)[..16]);
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

impl Work for Signing {
    const NAME: &'static str = "certificatesigningrequest-signing-controller";

    async fn work(&self, key: &Key) -> Result<Option<Duration>, Failed> {
        let Some(csr) = self.requests.get("", &key.name) else { return Ok(None) };
        if state(&csr) != State::Approved || !is_ours(&csr) {
            return Ok(None);
        }
        let plan = match self.sign(&csr)? {
            Ok(certificate) => issue(&csr, certificate),
            Err(why) => fail(&csr, &why, self.clock.now()),
        };
        self.executor.run(&plan).await?;
        Ok(None)
    }
}
