//! The brain: which records a name of the cluster has, by the Kubernetes DNS specification 1.1.0.
//!
//! Where the specification leaves a choice, CoreDNS made it first: a headless service without ready endpoints does not
//! exist, an endpoint of any service has a name, an SRV question for a service's own name names all of its ports.
//! Nothing here knows of sockets, caches or time, and no question is sent on: what other servers must be asked is in
//! the answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hickory_proto::ProtoError;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

pub use crate::objects::{Conditions, Endpoint, EndpointSlice, Namespace, Port, Service, ServiceSpec};

#[cfg(test)]
mod tests;

/// Seconds that a record may be kept for.
const TTL: u32 = 5;
/// Seconds that the absence of a record may be kept for.
const NEGATIVE_TTL: u32 = 30;
const SPECIFICATION: &str = "1.1.0";

/// What is known of the cluster.
pub trait View {
    fn has_namespace(&self, name: &str) -> bool;
    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>>;
    /// Services that have the address as their own.
    fn services_at(&self, address: IpAddr) -> Vec<Arc<Service>>;
    fn slices_of(&self, namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>>;
    /// Slices with an endpoint of that address.
    fn slices_at(&self, address: IpAddr) -> Vec<Arc<EndpointSlice>>;
}

/// What becomes of a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Records(Vec<Record>),
    /// The name is another one's alias, to be followed unless the alias itself was asked for.
    Alias {
        record: Box<Record>,
        target: Name,
    },
    /// The name exists, but not with this type.
    NoData,
    NoName,
    /// Not this cluster's to answer.
    Elsewhere,
}

/// The names below the cluster's domain, and those of its addresses.
#[derive(Clone, Debug)]
pub struct Zone {
    apex: Name,
}

/// The address of the cluster's DNS itself has a name, to which the zone's NS record leads.
const DNS_SERVICE: (&str, &str) = ("kube-system", "kube-dns");

impl Zone {
    pub fn new(domain: &str) -> Result<Self, ProtoError> {
        let mut apex = Name::from_ascii(domain)?.to_lowercase();
        apex.set_fqdn(true);
        Ok(Self { apex })
    }

    pub fn is_below(&self, name: &Name) -> bool {
        self.apex.zone_of(name)
    }

    /// For the authority section of an answer without records.
    pub fn soa(&self) -> Result<Record, ProtoError> {
        let soa = SOA::new(self.child("ns.dns")?, self.child("hostmaster")?, 1, 7200, 1800, 86400, NEGATIVE_TTL);
        Ok(Record::from_rdata(self.apex.clone(), NEGATIVE_TTL, RData::SOA(soa)))
    }

    /// The answer to a question. `name` in lower case.
    pub fn answer(&self, view: &impl View, name: &Name, kind: RecordType) -> Result<Answer, ProtoError> {
        if !self.is_below(name) {
            return self.reverse(view, name, kind);
        }
        let count = usize::from(name.num_labels() - self.apex.num_labels());
        let labels: Vec<String> =
            name.iter().take(count).map(|label| String::from_utf8_lossy(label).into_owned()).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let question = Question { zone: self, view, name, kind };
        match labels.as_slice() {
            [] => question.apex(),
            ["dns-version"] => question.of(RecordType::TXT, [RData::TXT(TXT::new(vec![SPECIFICATION.to_owned()]))]),
            ["ns", "dns"] => {
                let service = view.service(DNS_SERVICE.0, DNS_SERVICE.1);
                Ok(service.map_or(Answer::NoName, |service| question.addresses(service.addresses())))
            }
            ["dns" | "svc" | "pod"] => Ok(Answer::NoData),
            [namespace, "svc" | "pod"] => Ok(match view.has_namespace(namespace) {
                true => Answer::NoData,
                false => Answer::NoName,
            }),
            [address, namespace, "pod"] => Ok(match pod_address(address) {
                Some(address) if view.has_namespace(namespace) => question.addresses([address]),
                _ => Answer::NoName,
            }),
            [service, namespace, "svc"] => question.service(namespace, service, &Part::Whole),
            [endpoint, service, namespace, "svc"] => question.service(namespace, service, &Part::Endpoint(endpoint)),
            [port, protocol, service, namespace, "svc"] => match (port.strip_prefix('_'), protocol.strip_prefix('_')) {
                (Some(port), Some(protocol)) => {
                    question.service(namespace, service, &Part::Port { name: port, protocol })
                }
                _ => Ok(Answer::NoName),
            },
            _ => Ok(Answer::NoName),
        }
    }

    /// The names of an address.
    fn reverse(&self, view: &impl View, name: &Name, kind: RecordType) -> Result<Answer, ProtoError> {
        let Some(address) = reversed_address(name) else { return Ok(Answer::Elsewhere) };
        let mut names = vec![];
        for service in view.services_at(address) {
            names.push(self.child(&format!("{}.{}.svc", service.metadata.name, service.metadata.namespace))?);
        }
        if names.is_empty() {
            for slice in view.slices_at(address) {
                let Some(service) = slice.service() else { continue };
                let ours = slice.endpoints.iter().filter(|one| one.addresses().any(|other| other == address));
                for endpoint in ours {
                    let label = endpoint.label(address);
                    names.push(self.child(&format!("{label}.{service}.{}.svc", slice.metadata.namespace))?);
                }
            }
        }
        names.sort();
        names.dedup();
        match names.is_empty() {
            true => Ok(Answer::Elsewhere),
            false => Question { zone: self, view, name, kind }
                .of(RecordType::PTR, names.into_iter().map(|name| RData::PTR(PTR(name)))),
        }
    }

    fn child(&self, labels: &str) -> Result<Name, ProtoError> {
        Name::from_ascii(labels)?.append_name(&self.apex)
    }
}

/// Which part of a service a name is about.
enum Part<'a> {
    Whole,
    Endpoint(&'a str),
    Port { name: &'a str, protocol: &'a str },
}

struct Question<'a, V> {
    zone: &'a Zone,
    view: &'a V,
    name: &'a Name,
    kind: RecordType,
}

impl<V: View> Question<'_, V> {
    fn apex(&self) -> Result<Answer, ProtoError> {
        match self.kind {
            RecordType::SOA => Ok(Answer::Records(vec![self.zone.soa()?])),
            RecordType::NS => self.of(RecordType::NS, [RData::NS(NS(self.zone.child("ns.dns")?))]),
            _ => Ok(Answer::NoData),
        }
    }

    fn service(&self, namespace: &str, name: &str, part: &Part<'_>) -> Result<Answer, ProtoError> {
        let Some(service) = self.view.service(namespace, name) else { return Ok(Answer::NoName) };
        if service.is_external() {
            return self.external(&service, part);
        }
        match part {
            Part::Whole if !service.is_headless() => match self.kind {
                RecordType::SRV => self.srv_of_service(&service, |_| true),
                _ => Ok(self.addresses(service.addresses())),
            },
            Part::Port { name, protocol } if !service.is_headless() => {
                self.srv_of_service(&service, |port| is_port(port, name, protocol))
            }
            _ => self.endpoints(namespace, name, part),
        }
    }

    fn external(&self, service: &Service, part: &Part<'_>) -> Result<Answer, ProtoError> {
        if !matches!(part, Part::Whole) {
            return Ok(Answer::NoName);
        }
        let mut target = Name::from_ascii(&service.spec.external_name)?;
        target.set_fqdn(true);
        if !matches!(self.kind, RecordType::A | RecordType::AAAA | RecordType::CNAME) {
            return Ok(Answer::NoData);
        }
        Ok(Answer::Alias { record: Box::new(self.record(RData::CNAME(CNAME(target.clone())))), target })
    }

    fn srv_of_service(&self, service: &Service, wanted: impl Fn(&Port) -> bool) -> Result<Answer, ProtoError> {
        let own = format!("{}.{}.svc", service.metadata.name, service.metadata.namespace);
        let target = self.zone.child(&own)?;
        let ports: Vec<u16> =
            service.spec.ports.iter().filter(|port| wanted(port)).filter_map(|port| port.port).collect();
        if ports.is_empty() {
            return Ok(Answer::NoName);
        }
        let weight = weight(ports.len());
        self.of(RecordType::SRV, ports.into_iter().map(|port| RData::SRV(SRV::new(0, weight, port, target.clone()))))
    }

    /// The endpoints of a headless service, or one endpoint of any.
    fn endpoints(&self, namespace: &str, service: &str, part: &Part<'_>) -> Result<Answer, ProtoError> {
        let (mut addresses, mut targets) = (vec![], vec![]);
        for slice in self.view.slices_of(namespace, service) {
            for endpoint in slice.endpoints.iter().filter(|endpoint| endpoint.is_ready()) {
                for address in endpoint.addresses() {
                    let label = endpoint.label(address);
                    if matches!(part, Part::Endpoint(wanted) if !label.eq_ignore_ascii_case(wanted)) {
                        continue;
                    }
                    let ports = slice.ports.iter().filter(|port| match part {
                        Part::Port { name, protocol } => is_port(port, name, protocol),
                        _ => true,
                    });
                    let before = targets.len();
                    for port in ports.filter_map(|port| port.port) {
                        targets.push((port, self.zone.child(&format!("{label}.{service}.{namespace}.svc"))?));
                    }
                    if !matches!(part, Part::Port { .. }) || targets.len() > before {
                        addresses.push(address);
                    }
                }
            }
        }
        if addresses.is_empty() {
            return Ok(Answer::NoName);
        }
        targets.sort();
        targets.dedup();
        let weight = weight(targets.len());
        match self.kind {
            RecordType::SRV if targets.is_empty() => Ok(Answer::NoData),
            RecordType::SRV => self.of(
                RecordType::SRV,
                targets.into_iter().map(|(port, target)| RData::SRV(SRV::new(0, weight, port, target))),
            ),
            _ if matches!(part, Part::Port { .. }) => Ok(Answer::NoData),
            _ => Ok(self.addresses(addresses)),
        }
    }

    /// The name has these addresses: those of the family that was asked for.
    fn addresses(&self, addresses: impl IntoIterator<Item = IpAddr>) -> Answer {
        let mut found: Vec<RData> = vec![];
        for address in addresses {
            let data = match (address, self.kind) {
                (IpAddr::V4(address), RecordType::A) => RData::A(A(address)),
                (IpAddr::V6(address), RecordType::AAAA) => RData::AAAA(AAAA(address)),
                _ => continue,
            };
            if !found.contains(&data) {
                found.push(data);
            }
        }
        match found.is_empty() {
            true => Answer::NoData,
            false => Answer::Records(found.into_iter().map(|data| self.record(data)).collect()),
        }
    }

    /// The name has records of one kind only.
    fn of(&self, kind: RecordType, data: impl IntoIterator<Item = RData>) -> Result<Answer, ProtoError> {
        Ok(match self.kind == kind {
            true => Answer::Records(data.into_iter().map(|data| self.record(data)).collect()),
            false => Answer::NoData,
        })
    }

    fn record(&self, data: RData) -> Record {
        Record::from_rdata(self.name.clone(), TTL, data)
    }
}

fn is_port(port: &Port, name: &str, protocol: &str) -> bool {
    let own = port.protocol.as_deref().unwrap_or("TCP");
    port.name.as_deref().is_some_and(|one| one.eq_ignore_ascii_case(name)) && own.eq_ignore_ascii_case(protocol)
}

/// An equal share for each, as CoreDNS gives it.
fn weight(records: usize) -> u16 {
    u16::try_from(100 / records.max(1)).unwrap_or(1).max(1)
}

/// `10-244-0-5`, or `2001-db8--1`.
fn pod_address(label: &str) -> Option<IpAddr> {
    let v4 = label.replace('-', ".").parse::<Ipv4Addr>().map(IpAddr::from);
    v4.or_else(|_| label.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::from)).ok()
}

/// The address behind `5.0.244.10.in-addr.arpa` or its IPv6 form.
fn reversed_address(name: &Name) -> Option<IpAddr> {
    let text = name.to_ascii();
    let text = text.trim_end_matches('.');
    if let Some(octets) = text.strip_suffix(".in-addr.arpa") {
        let octets: Vec<u8> = octets.rsplit('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        return <[u8; 4]>::try_from(octets).ok().map(IpAddr::from);
    }
    let digits: Vec<u8> = text
        .strip_suffix(".ip6.arpa")?
        .rsplit('.')
        .map(|digit| u8::from_str_radix(digit, 16).ok().filter(|digit| *digit < 16))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    (digits.len() == 32).then(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)).flatten()
}
