//! Approves the nodes' certificate signing requests whose requesters have the right to it.

use std::{sync::Arc, time::Duration};

use api_types::k8s_openapi::api::{
    authorization::v1::SubjectAccessReview, certificates::v1::CertificateSigningRequest,
};
use client::{Executor, Store, WorkQueue};
use component::Clock;
use controllers::certificates::{Recognized, State, approve, recognize, state};
use serde_json::json;
use tokio::task::JoinHandle;

use super::signer::parse;
use crate::kit::{self, Context, Failed, Key, Work};

pub(super) const ACCOUNT: &str = "certificate-controller";
const ACCESS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

struct Approving {
    executor: Executor,
    requests: Store<CertificateSigningRequest>,
    clock: Arc<dyn Clock>,
}

pub fn start(context: &Context) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let executor = context.executor(ACCOUNT);
    let requests = kit::observed::<CertificateSigningRequest>(context, &executor);
    let queue = Arc::new(WorkQueue::new("certificate_approving"));
    kit::enqueue(&requests, &queue);
    let work = Approving { executor, requests: requests.clone(), clock: context.clock.clone() };
    Ok(vec![kit::run_work(context, work, queue, 1, async move { requests.synced().await })])
}

impl Approving {
    async fn allowed(&self, csr: &CertificateSigningRequest, recognized: Recognized) -> Result<bool, client::Error> {
        let extra = csr.spec.extra.clone().unwrap_or_default();
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": csr.spec.username,
                "uid": csr.spec.uid,
                "groups": csr.spec.groups,
                "extra": extra,
                "resourceAttributes": {
                    "group": "certificates.k8s.io",
                    "resource": "certificatesigningrequests",
                    "verb": "create",
                    "subresource": recognized.subresource,
                },
            },
        });
        let review: SubjectAccessReview = self.executor.api().post(ACCESS, &review).await?;
        Ok(review.status.is_some_and(|status| status.allowed))
    }
}

impl Work for Approving {
    const NAME: &'static str = "certificatesigningrequest-approving-controller";

    async fn work(&self, key: &Key) -> Result<Option<Duration>, Failed> {
        let Some(csr) = self.requests.get("", &key.name) else { return Ok(None) };
        if state(&csr) != State::Pending {
            return Ok(None);
        }
        // A request that cannot be read is for its signer to refuse.
        let Ok(request) = parse(&csr.spec.request.0) else { return Ok(None) };
        for recognized in recognize(&csr, &request) {
            if self.allowed(&csr, recognized).await? {
                self.executor.run(&approve(&csr, recognized, self.clock.now())).await?;
                return Ok(None);
            }
        }
        Ok(None)
    }
}
