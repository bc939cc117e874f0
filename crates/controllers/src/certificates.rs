//! Certificate signing requests: which of a node may be approved without a person, and what each signer signs.
//!
//! Whether the requester has the right to have it approved is for the API server to say (SubjectAccessReview), and the
//! signature is made elsewhere.

use api_types::{
    k8s_openapi::{
        ByteString,
        api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition},
    },
    plan::{Plan, Target, Write},
};
use jiff::Timestamp;
use serde_json::json;

use crate::time::seconds;

pub const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
pub const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
pub const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
/// Users that run on every node beside its kubelet.
const NODE_COMPONENTS: [&str; 2] = ["system:kube-proxy", "system:kogge:cni-agent"];

/// What a request asks a certificate for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns_names: Vec<String>,
    pub ip_addresses: usize,
    /// E-mail addresses, URIs and whatever else.
    pub other_names: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    DigitalSignature,
    KeyEncipherment,
    ClientAuth,
    ServerAuth,
}

/// A request that may be approved if the requester has the right to `create` this subresource of
/// `certificatesigningrequests`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recognized {
    pub subresource: &'static str,
    pub message: &'static str,
}

/// How a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    Approved,
    /// Denied, failed, or signed.
    Settled,
}

pub fn state(csr: &CertificateSigningRequest) -> State {
    let status = csr.status.clone().unwrap_or_default();
    let has = |kind: &str| status.conditions.iter().flatten().any(|condition| condition.type_ == kind);
    if status.certificate.is_some_and(|certificate| !certificate.0.is_empty()) || has("Denied") || has("Failed") {
        State::Settled
    } else if has("Approved") {
        State::Approved
    } else {
        State::Pending
    }
}

/// The ways in which the request could be approved, the narrowest right first.
pub fn recognize(csr: &CertificateSigningRequest, request: &Request) -> Vec<Recognized> {
    if check(csr, request).is_err() {
        return Vec::new();
    }
    match csr.spec.signer_name.as_str() {
        KUBELET_CLIENT => kubelet_client(csr, request),
        KUBELET_SERVING => kubelet_serving(csr, request),
        CLIENT => node_component(request),
        _ => Vec::new(),
    }
}

fn kubelet_client(csr: &CertificateSigningRequest, request: &Request) -> Vec<Recognized> {
    let own = Recognized {
        subresource: "selfnodeclient",
        message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
    };
    let any = Recognized {
        subresource: "nodeclient",
        message: "Auto approving kubelet client certificate after SubjectAccessReview.",
    };
    if csr.spec.username.as_deref() == Some(&request.common_name) { vec![own, any] } else { vec![any] }
}

/// A kubelet may ask for its own port under no name but its node's. Its addresses it tells the cluster itself.
fn kubelet_serving(csr: &CertificateSigningRequest, request: &Request) -> Vec<Recognized> {
    let node = request.common_name.strip_prefix("system:node:").unwrap_or_default();
    let own = csr.spec.username.as_deref() == Some(&request.common_name);
    if !own || request.dns_names.iter().any(|name| name != node) {
        return Vec::new();
    }
    vec![Recognized {
        subresource: "selfnodeserver",
        message: "Auto approving self kubelet server certificate after SubjectAccessReview.",
    }]
}

/// What runs beside the kubelet on every node, under names that mean the same on all of them.
fn node_component(request: &Request) -> Vec<Recognized> {
    let plain =
        request.organizations.is_empty() && request.dns_names.len() + request.ip_addresses + request.other_names == 0;
    if !plain || !NODE_COMPONENTS.contains(&request.common_name.as_str()) {
        return Vec::new();
    }
    vec![Recognized {
        subresource: "nodecomponentclient",
        message: "Auto approving client certificate of a node's component after SubjectAccessReview.",
    }]
}

/// The usages to sign for, or why the signer must refuse.
///
/// # Errors
/// In the words of the `Failed` condition.
pub fn check(csr: &CertificateSigningRequest, request: &Request) -> Result<Vec<Usage>, String> {
    let usages = usages(csr)?;
    let has = |usage| usages.contains(&usage);
    match csr.spec.signer_name.as_str() {
        KUBELET_CLIENT => {
            of_node(request)?;
            if request.dns_names.len() + request.ip_addresses + request.other_names > 0 {
                return Err("DNS, IP, email and URI subjectAltNames are not allowed".into());
            }
            exactly(has(Usage::ClientAuth) && has(Usage::DigitalSignature) && !has(Usage::ServerAuth))?;
        }
        KUBELET_SERVING => {
            of_node(request)?;
            if request.other_names > 0 {
                return Err("Email and URI subjectAltNames are not allowed".into());
            }
            if request.dns_names.len() + request.ip_addresses == 0 {
                return Err("DNS or IP subjectAltName is required".into());
            }
            exactly(has(Usage::ServerAuth) && has(Usage::DigitalSignature) && !has(Usage::ClientAuth))?;
        }
        CLIENT => {
            if request.organizations.iter().any(|organization| organization == "system:masters") {
                return Err("organization system:masters is not allowed".into());
            }
            exactly(has(Usage::ClientAuth) && !has(Usage::ServerAuth))?;
        }
        other => return Err(format!("signer {other:?} is not known")),
    }
    Ok(usages)
}

/// Whether this cluster's signer is asked.
pub fn is_ours(csr: &CertificateSigningRequest) -> bool {
    [KUBELET_CLIENT, KUBELET_SERVING, CLIENT].contains(&csr.spec.signer_name.as_str())
}

fn of_node(request: &Request) -> Result<(), String> {
    if request.organizations != ["system:nodes"] {
        return Err("subject organization is not system:nodes".into());
    }
    if !request.common_name.starts_with("system:node:") {
        return Err("subject common name does not begin with system:node:".into());
    }
    Ok(())
}

fn exactly(right: bool) -> Result<(), String> {
    if right { Ok(()) } else { Err("usages did not match what the signer allows".into()) }
}

fn usages(csr: &CertificateSigningRequest) -> Result<Vec<Usage>, String> {
    csr.spec
        .usages
        .iter()
        .flatten()
        .map(|usage| match usage.as_str() {
            "digital signature" => Ok(Usage::DigitalSignature),
            "key encipherment" => Ok(Usage::KeyEncipherment),
            "client auth" => Ok(Usage::ClientAuth),
            "server auth" => Ok(Usage::ServerAuth),
            other => Err(format!("usage {other:?} is not allowed")),
        })
        .collect()
}

pub fn approve(csr: &CertificateSigningRequest, recognized: Recognized, now: Timestamp) -> Plan {
    condition(csr, "approval", "Approved", "AutoApproved", recognized.message, now)
}

pub fn fail(csr: &CertificateSigningRequest, why: &str, now: Timestamp) -> Plan {
    condition(csr, "status", "Failed", "SignerValidationFailure", why, now)
}

pub fn issue(csr: &CertificateSigningRequest, certificate: String) -> Plan {
    let mut csr = csr.clone();
    csr.status.get_or_insert_default().certificate = Some(ByteString(certificate.into_bytes()));
    replace(&csr, "status")
}

fn condition(
    csr: &CertificateSigningRequest,
    subresource: &'static str,
    kind: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Plan {
    let mut csr = csr.clone();
    csr.status.get_or_insert_default().conditions.get_or_insert_default().push(CertificateSigningRequestCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_update_time: Some(seconds(now)),
        last_transition_time: Some(seconds(now)),
    });
    replace(&csr, subresource)
}

fn replace(csr: &CertificateSigningRequest, subresource: &'static str) -> Plan {
    let mut plan = Plan::default();
    plan.write(Write::Replace { target: Target::of(csr), subresource: Some(subresource), object: json!(csr) });
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csr(signer: &str, user: &str, usages: &[&str]) -> CertificateSigningRequest {
        let mut csr = CertificateSigningRequest::default();
        csr.spec.signer_name = signer.into();
        csr.spec.username = Some(user.into());
        csr.spec.usages = Some(usages.iter().map(|&usage| usage.to_owned()).collect());
        csr
    }

    fn node(name: &str) -> Request {
        Request { common_name: name.into(), organizations: vec!["system:nodes".into()], ..Request::default() }
    }

    #[test]
    fn recognizes_kubelets() {
        let check = |signer: &str, user: &str, request: Request, expected: &[&str]| {
            let found = recognize(&csr(signer, user, &["digital signature", "client auth"]), &request);
            assert_eq!(found.iter().map(|found| found.subresource).collect::<Vec<_>>(), expected);
        };
        check(KUBELET_CLIENT, "system:node:a", node("system:node:a"), &["selfnodeclient", "nodeclient"]);
        check(KUBELET_CLIENT, "system:bootstrap:x", node("system:node:a"), &["nodeclient"]);
        check(KUBELET_CLIENT, "system:node:a", node("admin"), &[]);
        check(KUBELET_SERVING, "system:node:a", node("system:node:a"), &[]);
        check(KUBELET_CLIENT, "a", Request { dns_names: vec!["a".into()], ..node("system:node:a") }, &[]);
        check(
            KUBELET_CLIENT,
            "a",
            Request { organizations: vec!["system:masters".into()], ..node("system:node:a") },
            &[],
        );
    }

    #[test]
    fn recognizes_what_else_a_node_needs() {
        let check = |signer: &str, user: &str, usages: &[&str], request: Request, expected: &[&str]| {
            let found = recognize(&csr(signer, user, usages), &request);
            assert_eq!(found.iter().map(|found| found.subresource).collect::<Vec<_>>(), expected, "{request:?}");
        };
        let serves = ["digital signature", "server auth"];
        let serving = |name: &str| Request { dns_names: vec![name.into()], ip_addresses: 1, ..node("system:node:a") };
        check(KUBELET_SERVING, "system:node:a", &serves, serving("a"), &["selfnodeserver"]);
        check(KUBELET_SERVING, "system:node:b", &serves, serving("a"), &[]);
        check(KUBELET_SERVING, "system:node:a", &serves, serving("kubernetes"), &[]);
        let asks = ["digital signature", "client auth"];
        let of = |name: &str| Request { common_name: name.into(), ..Request::default() };
        check(CLIENT, "system:node:a", &asks, of("system:kube-proxy"), &["nodecomponentclient"]);
        check(CLIENT, "system:node:a", &asks, of("system:kogge:cni-agent"), &["nodecomponentclient"]);
        check(CLIENT, "system:node:a", &asks, of("system:kube-scheduler"), &[]);
        let grouped = Request { organizations: vec!["system:nodes".into()], ..of("system:kube-proxy") };
        check(CLIENT, "system:node:a", &asks, grouped, &[]);
        check(CLIENT, "system:node:a", &["server auth"], of("system:kube-proxy"), &[]);
    }

    #[test]
    fn signers_check() {
        let check = |signer: &str, usages: &[&str], request: Request, good: bool| {
            let outcome = super::check(&csr(signer, "u", usages), &request);
            assert_eq!(outcome.is_ok(), good, "{signer} {usages:?}: {outcome:?}");
        };
        let serving = Request { ip_addresses: 1, ..node("system:node:a") };
        check(KUBELET_SERVING, &["digital signature", "server auth"], serving.clone(), true);
        check(KUBELET_SERVING, &["digital signature", "key encipherment", "server auth"], serving.clone(), true);
        check(KUBELET_SERVING, &["digital signature", "client auth"], serving, false);
        check(KUBELET_SERVING, &["digital signature", "server auth"], node("system:node:a"), false);
        check(KUBELET_CLIENT, &["digital signature", "client auth", "cert sign"], node("system:node:a"), false);
        check(CLIENT, &["client auth"], Request { common_name: "jane".into(), ..Request::default() }, true);
        check(
            CLIENT,
            &["client auth"],
            Request { organizations: vec!["system:masters".into()], ..Request::default() },
            false,
        );
        check("example.com/mine", &["client auth"], Request::default(), false);
    }

    #[test]
    fn settles_once() {
        let mut csr = csr(KUBELET_CLIENT, "u", &[]);
        assert_eq!(state(&csr), State::Pending);
        let plan = approve(&csr, Recognized { subresource: "nodeclient", message: "m" }, Timestamp::UNIX_EPOCH);
        let Some(Write::Replace { object, subresource: Some("approval"), .. }) = plan.writes().next() else {
            panic!("{plan:?}")
        };
        csr = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(state(&csr), State::Approved);
        csr.status.as_mut().unwrap().certificate = Some(ByteString(b"x".to_vec()));
        assert_eq!(state(&csr), State::Settled);
    }
}
