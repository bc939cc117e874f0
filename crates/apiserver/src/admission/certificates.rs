//! CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who approves or signs a request must be allowed
//! to do so for its signer, and nobody asks for a certificate of the group that may do everything.

use api_rules::{
    admission::{AdmissionRequest, Operation},
    authz::{Attributes, SYSTEM_MASTERS},
    is_noop,
};
use api_types::Status;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

use crate::authz::Authorizer;

const GROUP: &str = "certificates.k8s.io";
/// Its certificates make users of the API.
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

pub fn check(authorizer: &Authorizer, request: &AdmissionRequest, object: &Value) -> Result<(), Status> {
    let resource = &request.resource;
    if resource.group != GROUP || resource.resource != "certificatesigningrequests" {
        return Ok(());
    }
    let refused = |why: String| Status::forbidden(&resource.group_resource(), request.name, why);
    match (request.operation, request.subresource, request.old) {
        (Operation::Create, "", _) => subject(object).map_err(refused),
        (Operation::Update, "approval", Some(old)) => permitted(authorizer, request, "approve", old).map_err(refused),
        (Operation::Update, "status", Some(old)) => {
            let same = |member: &str| is_noop(&old["status"][member], &object["status"][member]);
            if same("certificate") && same("conditions") {
                return Ok(());
            }
            permitted(authorizer, request, "sign", old).map_err(refused)
        }
        _ => Ok(()),
    }
}

/// The signer itself, or all signers of its domain.
fn permitted(authorizer: &Authorizer, request: &AdmissionRequest, verb: &str, csr: &Value) -> Result<(), String> {
    let signer = csr["spec"]["signerName"].as_str().unwrap_or_default();
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    let may = |name: &str| {
        let asked = Attributes {
            verb,
            api_group: GROUP,
            api_version: "v1",
            resource: "signers",
            name,
            ..Attributes::default()
        };
        authorizer.decide(request.user, &asked).is_allowed()
    };
    if may(signer) || may(&format!("{domain}/*")) {
        return Ok(());
    }
    Err(format!("user not permitted to {verb} requests with signerName {signer:?}"))
}

fn subject(csr: &Value) -> Result<(), String> {
    if csr["spec"]["signerName"] != CLIENT_SIGNER {
        return Ok(());
    }
    let groups = organizations(csr).map_err(|why| format!("failed to parse CSR: {why}"))?;
    match groups.iter().any(|group| group == SYSTEM_MASTERS) {
        true => Err(format!("use of {CLIENT_SIGNER} signer with {SYSTEM_MASTERS} group is not allowed")),
        false => Ok(()),
    }
}

/// The groups that the certificate would name.
fn organizations(csr: &Value) -> Result<Vec<String>, String> {
    let pem = STANDARD.decode(csr["spec"]["request"].as_str().unwrap_or_default()).map_err(|e| e.to_string())?;
    let (_, block) = x509_parser::pem::parse_x509_pem(&pem).map_err(|e| e.to_string())?;
    let (_, request) = X509CertificationRequest::from_der(&block.contents).map_err(|e| e.to_string())?;
    let subject = &request.certification_request_info.subject;
    Ok(subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect())
}
