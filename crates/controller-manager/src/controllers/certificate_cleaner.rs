//! Watches certificate signing requests for [`controllers::certificate_cleaner`].

use std::sync::Arc;

use api_types::{k8s_openapi::api::certificates::v1::CertificateSigningRequest, plan::Decision};
use client::{Store, WorkQueue};
use controllers::certificate_cleaner::reconcile;
use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::certificate_approving::ACCOUNT;
use crate::kit::{self, Context, Extra, Key, Reconciler};

struct Requests(Store<CertificateSigningRequest>);

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let requests = kit::observed::<CertificateSigningRequest>(context, &executor);
    let queue = Arc::new(WorkQueue::new("certificate_cleaner"));
    kit::enqueue(&requests, &queue);
    let reconciler = Requests(requests.clone());
    Ok(vec![kit::run(context, reconciler, executor, queue, 1, async move { requests.synced().await })])
}

/// When the issued certificate ends; None for none, or one that cannot be read.
fn end(csr: &CertificateSigningRequest) -> Option<Timestamp> {
    let issued = csr.status.as_ref()?.certificate.as_ref()?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&issued.0).ok()?;
    let certificate = pem.parse_x509().ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

impl Reconciler for Requests {
    const NAME: &'static str = "certificatesigningrequest-cleaner-controller";

    fn decide(&self, key: &Key, extra: Extra<'_>) -> Option<Decision> {
        let csr = self.0.get("", &key.name)?;
        Some(Decision::Do(reconcile(&csr, end(&csr), extra.now)))
    }
}
