//! The cluster's certificates and keys: which there are, and making those that are missing or about to expire.
//!
//! Two authorities, so that a certificate signed for a kubelet opens no door to etcd. Names and organisations are
//! upstream's: the authorizer knows components by them. Authorities and the service-account key are made once and
//! never again; a leaf is renewed when it nears its end or lacks an address it should speak for.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Context;
use jiff::{Timestamp, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use x509_parser::extensions::GeneralName;

use crate::layout::Layout;
use crate::options::Spec;

const CA_YEARS: i64 = 10;
const LEAF_YEARS: i64 = 1;
/// A leaf with less than this left is made anew.
pub const RENEW_DAYS: i64 = 60;

/// Who signs a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    Cluster,
    Etcd,
}

impl Authority {
    fn stem(self, layout: &Layout) -> PathBuf {
        match self {
            Self::Cluster => layout.pki().join("ca"),
            Self::Etcd => layout.pki().join("etcd-ca"),
        }
    }

    fn common_name(self) -> &'static str {
        match self {
            Self::Cluster => "kubernetes",
            Self::Etcd => "etcd-ca",
        }
    }
}

/// A certificate that must exist, as `<stem>.crt` and `<stem>.key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub stem: PathBuf,
    pub authority: Authority,
    pub common_name: String,
    pub organization: Option<&'static str>,
    pub server: bool,
    pub client: bool,
    pub dns_names: BTreeSet<String>,
    pub addresses: BTreeSet<IpAddr>,
}

impl Leaf {
    pub fn client(stem: PathBuf, common_name: &str, organization: Option<&'static str>) -> Self {
        Self {
            stem,
            authority: Authority::Cluster,
            common_name: common_name.into(),
            organization,
            server: false,
            client: true,
            dns_names: BTreeSet::new(),
            addresses: BTreeSet::new(),
        }
    }

    pub fn server(
        stem: PathBuf,
        common_name: &str,
        names: &[&str],
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        let mut addresses: BTreeSet<IpAddr> = addresses.into_iter().collect();
        addresses.insert(Ipv4Addr::LOCALHOST.into());
        Self {
            server: true,
            client: false,
            dns_names: names.iter().map(|name| (*name).to_owned()).chain(["localhost".to_owned()]).collect(),
            addresses,
            ..Self::client(stem, common_name, None)
        }
    }

    pub fn of(self, authority: Authority) -> Self {
        Self { authority, ..self }
    }
}

/// Every certificate of the cluster. `hostname` and `local` are this machine's, so that the API server can be
/// reached by any of its addresses.
pub fn leaves(layout: &Layout, spec: &Spec, hostname: &str, local: &[IpAddr]) -> Vec<Leaf> {
    let pki = layout.pki();
    let [first, second, ..] = spec.service_base();
    let service: IpAddr = Ipv4Addr::new(first, second, 0, 1).into();
    let domain = format!("kubernetes.default.svc.{}", spec.domain);
    let host = spec.nodes.first().map(|node| IpAddr::from(spec.address(node)));
    let api_names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", &domain, hostname];
    let mut leaves = vec![
        Leaf::server(
            pki.join("apiserver"),
            "kube-apiserver",
            &api_names,
            local.iter().copied().chain(host).chain([service]),
        ),
        Leaf::client(pki.join("apiserver-kubelet-client"), "kube-apiserver-kubelet-client", None),
        Leaf::client(pki.join("apiserver-etcd-client"), "kube-apiserver-etcd-client", None).of(Authority::Etcd),
        Leaf { client: true, ..Leaf::server(pki.join("etcd"), "etcd", &[hostname], []).of(Authority::Etcd) },
        Leaf::client(pki.join("controller-manager"), "system:kube-controller-manager", None),
        Leaf::server(pki.join("controller-manager-serving"), "kube-controller-manager", &[], host),
        Leaf::client(pki.join("scheduler"), "system:kube-scheduler", None),
        Leaf::server(pki.join("scheduler-serving"), "kube-scheduler", &[], host),
        Leaf::server(pki.join("images"), "kogge-images", &[], host),
        Leaf::client(pki.join("proxy"), "system:kube-proxy", None),
        Leaf::client(pki.join("cni-agent"), "system:kogge:cni-agent", None),
        Leaf::client(pki.join("prometheus"), "system:kogge:prometheus", Some("system:monitoring")),
        Leaf::client(pki.join("admin"), "kubernetes-admin", Some("system:masters")),
    ];
    for node in &spec.nodes {
        let pki = layout.node(node).pki();
        let name = format!("system:node:{node}");
        leaves.push(Leaf::client(pki.join("kubelet-client"), &name, Some("system:nodes")));
        leaves.push(Leaf::server(pki.join("kubelet"), &name, &[node], [spec.address(node).into()]));
    }
    leaves
}

/// Makes what is missing of the service-account key, the authorities that sign `leaves`, and these. Returns how many files' worth
/// of certificates were made.
pub fn ensure(layout: &Layout, leaves: &[Leaf], now: Timestamp) -> anyhow::Result<usize> {
    fs::create_dir_all(layout.pki())?;
    let mut made = usize::from(ensure_service_account_key(layout)?);
    for authority in [Authority::Cluster, Authority::Etcd] {
        if !leaves.iter().any(|leaf| leaf.authority == authority) {
            continue;
        }
        made += usize::from(ensure_authority(layout, authority, now)?);
        let mut issuer = None;
        for leaf in leaves.iter().filter(|leaf| leaf.authority == authority) {
            if is_good(leaf, now)? {
                continue;
            }
            let issuer = match &mut issuer {
                Some(issuer) => issuer,
                none => none.insert(load_issuer(&authority.stem(layout))?),
            };
            issue(leaf, issuer, now).with_context(|| format!("certificate {}", leaf.stem.display()))?;
            made += 1;
        }
    }
    Ok(made)
}

fn ensure_service_account_key(layout: &Layout) -> anyhow::Result<bool> {
    let private = layout.pki().join("sa.key");
    if private.exists() {
        return Ok(false);
    }
    let key = KeyPair::generate()?;
    write(&layout.pki().join("sa.pub"), &key.public_key_pem(), 0o644)?;
    write(&private, &key.serialize_pem(), 0o600)?;
    Ok(true)
}

fn ensure_authority(layout: &Layout, authority: Authority, now: Timestamp) -> anyhow::Result<bool> {
    let stem = authority.stem(layout);
    if stem.with_extension("crt").exists() && stem.with_extension("key").exists() {
        return Ok(false);
    }
    let mut params = params(authority.common_name(), None, CA_YEARS, now)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    write(&with_suffix(&stem, "key"), &ca.key().serialize_pem(), 0o600)?;
    write(&with_suffix(&stem, "crt"), &ca.pem(), 0o644)?;
    Ok(true)
}

fn load_issuer(stem: &Path) -> anyhow::Result<Issuer<'static, KeyPair>> {
    let read = |suffix| {
        let path = with_suffix(stem, suffix);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    Ok(Issuer::from_ca_cert_pem(&read("crt")?, KeyPair::from_pem(&read("key")?)?)?)
}

fn issue(leaf: &Leaf, issuer: &Issuer<'_, KeyPair>, now: Timestamp) -> anyhow::Result<()> {
    let mut params = params(&leaf.common_name, leaf.organization, LEAF_YEARS, now)?;
    for name in &leaf.dns_names {
        params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
    }
    params.subject_alt_names.extend(leaf.addresses.iter().map(|address| SanType::IpAddress(*address)));
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    if leaf.server {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    if leaf.client {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    }
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    write(&with_suffix(&leaf.stem, "key"), &key.serialize_pem(), 0o600)?;
    write(&with_suffix(&leaf.stem, "crt"), &certificate.pem(), 0o644)
}

fn params(
    common_name: &str,
    organization: Option<&str>,
    years: i64,
    now: Timestamp,
) -> anyhow::Result<CertificateParams> {
    let day = |at: Timestamp| {
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    let mut params = CertificateParams::default();
    // Valid from the day before: a clock that is a little behind must not refuse a new cluster.
    params.not_before = day(now - 24.hours());
    params.not_after = day(now + (years * 365 * 24).hours());
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

/// When the first certificate in a file ends; `None` if there is no file.
pub fn ends(path: &Path) -> anyhow::Result<Option<Timestamp>> {
    let Some(pem) = read(path)? else { return Ok(None) };
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).with_context(|| format!("parsing {}", path.display()))?;
    let certificate = pem.parse_x509().with_context(|| format!("parsing {}", path.display()))?;
    Ok(Some(Timestamp::from_second(certificate.validity().not_after.timestamp())?))
}

fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Whether the certificate on disk will do: it speaks for all names and addresses, and does not end soon.
fn is_good(leaf: &Leaf, now: Timestamp) -> anyhow::Result<bool> {
    if !with_suffix(&leaf.stem, "key").exists() {
        return Ok(false);
    }
    let path = with_suffix(&leaf.stem, "crt");
    let Some(pem) = read(&path)? else { return Ok(false) };
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).with_context(|| format!("parsing {}", path.display()))?;
    let certificate = pem.parse_x509().with_context(|| format!("parsing {}", path.display()))?;
    let mut names = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    if let Some(alternative) = certificate.subject_alternative_name()? {
        for name in &alternative.value.general_names {
            match name {
                GeneralName::DNSName(name) => drop(names.insert((*name).to_owned())),
                GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                _ => {}
            }
        }
    }
    let ends = certificate.validity().not_after.timestamp();
    let enough = (now + (RENEW_DAYS * 24).hours()).as_second();
    Ok(ends > enough && names.is_superset(&leaf.dns_names) && addresses.is_superset(&leaf.addresses))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// `stem` with a suffix: not [`Path::with_extension`], which would cut a name at its last dot.
pub fn with_suffix(stem: &Path, suffix: &str) -> PathBuf {
    let mut path = stem.as_os_str().to_owned();
    path.push(".");
    path.push(suffix);
    path.into()
}

/// Replaces a file in one step, so that a component that watches it never reads half of it.
pub fn write(path: &Path, content: &str, mode: u32) -> anyhow::Result<()> {
    let write = || {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let temporary = with_suffix(path, "new");
        let _ = fs::remove_file(&temporary);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        io::Write::write_all(&mut file, content.as_bytes())?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-20T20:00:00Z".parse().unwrap()
    }

    fn cluster(dir: &Path, local: &[&str]) -> (Layout, Vec<Leaf>) {
        let layout = Layout::new(dir);
        let local: Vec<IpAddr> = local.iter().map(|address| address.parse().unwrap()).collect();
        let leaves = leaves(&layout, &Spec::new("/bin".into(), 2), "host", &local);
        (layout, leaves)
    }

    #[test]
    fn made_once_and_renewed_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, all) = cluster(dir.path(), &["192.0.2.2"]);
        assert_eq!(ensure(&layout, &all, now()).unwrap(), all.len() + 3);
        assert_eq!(ensure(&layout, &all, now()).unwrap(), 0);
        assert_eq!(ensure(&layout, &all, now() + (300 * 24).hours()).unwrap(), 0);
        assert_eq!(ensure(&layout, &all, now() + (310 * 24).hours()).unwrap(), all.len());
    }

    #[test]
    fn a_new_address_renews_the_api_servers_only() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, all) = cluster(dir.path(), &["192.0.2.2"]);
        ensure(&layout, &all, now()).unwrap();
        let (layout, more) = cluster(dir.path(), &["192.0.2.2", "2001:db8::1"]);
        assert_eq!(ensure(&layout, &more, now()).unwrap(), 1);
    }

    #[test]
    fn identities_are_upstreams() {
        let (_, all) = cluster(Path::new("/c"), &[]);
        let who = |stem: &str| {
            let leaf = all.iter().find(|leaf| leaf.stem.ends_with(stem)).unwrap();
            (leaf.common_name.as_str(), leaf.organization)
        };
        assert_eq!(who("node-2/pki/kubelet-client"), ("system:node:node-2", Some("system:nodes")));
        assert_eq!(who("pki/admin"), ("kubernetes-admin", Some("system:masters")));
        assert_eq!(who("pki/scheduler"), ("system:kube-scheduler", None));
        assert_eq!(who("pki/controller-manager"), ("system:kube-controller-manager", None));
        assert_eq!(who("pki/proxy"), ("system:kube-proxy", None));
    }

    #[test]
    fn only_the_api_server_and_etcd_itself_may_enter_etcd() {
        let (_, all) = cluster(Path::new("/c"), &[]);
        let names: Vec<_> =
            all.iter().filter(|leaf| leaf.authority == Authority::Etcd).map(|leaf| leaf.common_name.as_str()).collect();
        assert_eq!(names, ["kube-apiserver-etcd-client", "etcd"]);
    }
}
