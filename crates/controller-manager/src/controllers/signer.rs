//! The cluster's certificate authority, for certificate signing requests.

use std::{fs, path::Path, time::Duration};

use anyhow::Context;
use controllers::certificates::{Request, Usage};
use jiff::Timestamp;
use rcgen::{
    CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    SerialNumber,
};
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509CertificationRequest};

/// Certificates are valid from a little earlier, for clocks that differ.
const BACKDATE: i64 = 300;

pub struct Signer {
    issuer: Issuer<'static, KeyPair>,
    longest: Duration,
    /// The authority's own end, that no certificate outlives.
    ends: Timestamp,
}

impl Signer {
    pub fn from_files(certificate: &Path, key: &Path, longest: Duration) -> anyhow::Result<Self> {
        let read = |file: &Path| fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
        Self::from_pem(&read(certificate)?, &read(key)?, longest)
            .with_context(|| format!("{} and {} are not an authority", certificate.display(), key.display()))
    }

    pub fn from_pem(certificate: &str, key: &str, longest: Duration) -> anyhow::Result<Self> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(certificate.as_bytes())?;
        let ends = Timestamp::from_second(pem.parse_x509()?.validity().not_after.timestamp())?;
        let issuer = Issuer::from_ca_cert_pem(certificate, KeyPair::from_pem(key)?)?;
        Ok(Self { issuer, longest, ends })
    }

    /// A certificate (PEM) for the request's key, name and alternative names.
    ///
    /// `serial` must differ from every other one of this authority.
    pub fn sign(
        &self,
        request: &str,
        usages: &[Usage],
        wanted: Option<Duration>,
        serial: [u8; 16],
        now: Timestamp,
    ) -> anyhow::Result<String> {
        let mut request = CertificateSigningRequestParams::from_pem(request)?;
        let life = wanted.unwrap_or(self.longest).min(self.longest);
        let at =
            |second: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(second.try_into().unwrap_or_default());
        let now = now.as_second();
        let end = now.saturating_add(i64::try_from(life.as_secs())?).min(self.ends.as_second());
        let params = &mut request.params;
        params.not_before = at(now - BACKDATE);
        params.not_after = at(end);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.key_usages.clear();
        params.extended_key_usages.clear();
        for usage in usages {
            match usage {
                Usage::DigitalSignature => params.key_usages.push(KeyUsagePurpose::DigitalSignature),
                Usage::KeyEncipherment => params.key_usages.push(KeyUsagePurpose::KeyEncipherment),
                Usage::ClientAuth => params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth),
                Usage::ServerAuth => params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth),
            }
        }
        Ok(request.signed_by(&self.issuer)?.pem())
    }
}

/// What a request (PEM) asks a certificate for.
///
/// # Errors
/// When it is not a request, or not signed with its own key.
pub fn parse(pem: &[u8]) -> anyhow::Result<Request> {
    let pem = std::str::from_utf8(pem).context("the request is not PEM")?;
    let params = CertificateSigningRequestParams::from_pem(pem)?.params;
    let (_, document) = x509_parser::pem::parse_x509_pem(pem.as_bytes())?;
    let (_, parsed) = X509CertificationRequest::from_der(&document.contents)?;
    let subject = &parsed.certification_request_info.subject;
    let text = |value: &AttributeTypeAndValue<'_>| value.as_str().unwrap_or_default().to_owned();
    let mut request = Request {
        common_name: subject.iter_common_name().map(text).next().unwrap_or_default(),
        organizations: subject.iter_organization().map(text).collect(),
        ..Request::default()
    };
    for name in &params.subject_alt_names {
        match name {
            SanType::DnsName(name) => request.dns_names.push(name.as_str().to_owned()),
            SanType::IpAddress(_) => request.ip_addresses += 1,
            _ => request.other_names += 1,
        }
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType};

    use super::*;

    #[test]
    fn signs_what_was_asked_for() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "ca");
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let signer = Signer::from_pem(&ca.pem(), &ca.key().serialize_pem(), Duration::from_secs(86400)).unwrap();

        let key = KeyPair::generate().unwrap();
        let mut wanted = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        wanted.distinguished_name.push(DnType::CommonName, "system:node:a");
        wanted.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        let request = wanted.serialize_request(&key).unwrap().pem().unwrap();

        let parsed = parse(request.as_bytes()).unwrap();
        assert_eq!((parsed.common_name.as_str(), parsed.dns_names), ("system:node:a", vec!["a.example".to_owned()]));
        assert_eq!(parsed.organizations, ["system:nodes"]);

        let usages = [Usage::DigitalSignature, Usage::ServerAuth];
        let pem = signer.sign(&request, &usages, Some(Duration::from_secs(600)), [7; 16], now).unwrap();
        let (_, document) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        let certificate = document.parse_x509().unwrap();
        assert_eq!(certificate.validity().not_after.timestamp(), now.as_second() + 600);
        assert!(certificate.validity().not_before.timestamp() < now.as_second());
        assert!(certificate.extended_key_usage().unwrap().unwrap().value.server_auth);
        assert!(!certificate.is_ca());
        assert_eq!(certificate.issuer().iter_common_name().next().unwrap().as_str().unwrap(), "ca");
    }

    #[test]
    fn refuses_what_is_no_request() {
        assert!(parse(b"hello").is_err());
    }
}
