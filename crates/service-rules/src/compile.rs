//! One service compiled: the elements of the tables' maps and sets that make it work. See [`layout`](crate::layout) for
//! what each table does.

use std::{fmt, net::IpAddr};

use crate::{
    endpoints::{EndpointSets, choose},
    frontend::{Endpoint, Family, Frontend, Protocol},
    layout::{LOCAL_SLOTS, Pick, Table},
    object::{EndpointSlice, Service},
    rules::Settings,
};

/// Seconds a client stays with its endpoint, if the service does not say.
const DEFAULT_AFFINITY: u32 = 10_800;

/// What identifies an element in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    Address(IpAddr),
    /// An address talking to itself.
    Hairpin(IpAddr),
    Frontend(Frontend),
    /// A slot of a frontend.
    Slot(Frontend, u32),
    /// The same in a table that is for one protocol.
    PortSlot(Frontend, u32),
    /// A stable number of an endpoint of a frontend.
    Id(Frontend, u32),
}

/// What an element maps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// An element of a set.
    None,
    Endpoint(Endpoint),
    Id(u32),
    Pick(Pick),
    Goto(&'static str),
    Drop,
}

pub type Element = (Table, Key, Value);

/// A number that the kernel keeps as a packet's priority, as nft writes it.
struct Priority(u32);

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:{:x}", self.0 >> 16, self.0 & 0xffff)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => write!(f, "{ip}"),
            Self::Hairpin(ip) => write!(f, "{ip} . {ip}"),
            Self::Frontend(frontend) => write!(f, "{frontend}"),
            Self::Slot(frontend, slot) => write!(f, "{frontend} . {slot}"),
            Self::PortSlot(frontend, slot) => write!(f, "{} . {} . {slot}", frontend.ip, frontend.port),
            Self::Id(frontend, id) => write!(f, "{frontend} . {}", Priority(*id)),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Endpoint(endpoint) => write!(f, " : {endpoint}"),
            Self::Id(id) => write!(f, " : {}", Priority(*id)),
            Self::Pick(pick) => write!(f, " : goto {}", pick.chain()),
            Self::Goto(chain) => write!(f, " : goto {chain}"),
            Self::Drop => f.write_str(" : drop"),
        }
    }
}

/// The service is one that a proxy has to do with.
pub fn is_proxied(service: &Service) -> bool {
    let ip = service.spec.cluster_ip.as_str();
    service.spec.r#type != "ExternalName" && !ip.is_empty() && ip != "None"
}

fn addresses<'a>(texts: impl IntoIterator<Item = &'a String>) -> impl Iterator<Item = IpAddr> {
    texts.into_iter().filter_map(|text| text.parse().ok())
}

fn cluster_ips(service: &Service) -> Vec<IpAddr> {
    let spec = &service.spec;
    let listed: Vec<_> = addresses(&spec.cluster_ips).collect();
    if listed.is_empty() { addresses([&spec.cluster_ip]).collect() } else { listed }
}

/// All elements of a service, in both families.
pub fn compile(service: &Service, slices: &[&EndpointSlice], settings: &Settings) -> Vec<Element> {
    let mut out = Output::default();
    if !is_proxied(service) {
        return out.elements;
    }
    let spec = &service.spec;
    out.affinity = match spec.session_affinity.as_str() {
        "ClientIP" => {
            let config = spec.session_affinity_config.as_ref().and_then(|c| c.client_ip.as_ref());
            config.and_then(|c| c.timeout_seconds).filter(|seconds| *seconds != 0).unwrap_or(DEFAULT_AFFINITY)
        }
        _ => 0,
    };
    let (internal_local, external_local) =
        (spec.internal_traffic_policy == "Local", spec.external_traffic_policy == "Local");
    let balancers = service.status.load_balancer.ingress.iter().filter(|i| i.ip_mode.as_deref() != Some("Proxy"));
    // Source ranges are not enforced here; a balancer's address that only some may use is left to the balancer.
    let balancers = balancers.filter(|_| spec.load_balancer_source_ranges.is_empty()).map(|i| &i.ip);
    let external: Vec<_> = addresses(spec.external_ips.iter().chain(balancers)).collect();
    let cluster_ips = cluster_ips(service);
    for ip in &cluster_ips {
        out.push(Table::ClusterIps, Key::Address(*ip), Value::None);
    }
    for port in &spec.ports {
        let Some(protocol) = Protocol::parse(port.protocol.as_deref()) else { continue };
        for family in Family::ALL {
            let of_family = |ips: &[IpAddr], port: u16| -> Vec<Frontend> {
                let ips = ips.iter().filter(|ip| Family::of(**ip) == family);
                ips.map(|ip| Frontend { ip: *ip, protocol, port }).collect()
            };
            let internal = of_family(&cluster_ips, port.port);
            let mut outside = of_family(&external, port.port);
            if port.node_port != 0 {
                outside.extend(of_family(&settings.node_port_addresses, port.node_port));
            }
            if internal.is_empty() && outside.is_empty() {
                continue;
            }
            let sets = choose(slices.iter().copied(), port, protocol, family, &settings.node_name);
            for frontend in internal {
                out.internal(frontend, &sets, internal_local);
            }
            for frontend in outside {
                out.external(frontend, &sets, external_local);
            }
            for ip in &sets.near {
                out.push(Table::Hairpin, Key::Hairpin(*ip), Value::None);
            }
        }
    }
    out.elements.sort_unstable();
    out.elements.dedup();
    out.elements
}

#[derive(Default)]
struct Output {
    elements: Vec<Element>,
    affinity: u32,
}

impl Output {
    fn push(&mut self, table: Table, key: Key, value: Value) {
        self.elements.push((table, key, value));
    }

    fn refuse(&mut self, frontend: Frontend, value: Value) {
        self.push(Table::Refused, Key::Frontend(frontend), value);
    }

    /// A ClusterIP.
    fn internal(&mut self, frontend: Frontend, sets: &EndpointSets, local: bool) {
        let endpoints = if local { &sets.local } else { &sets.cluster };
        if sets.cluster.is_empty() {
            self.refuse(frontend, Value::Goto("refuse"));
        } else if endpoints.is_empty() {
            self.refuse(frontend, Value::Drop);
        } else {
            let pick = self.endpoints(frontend, endpoints, false);
            self.push(Table::Frontends, Key::Frontend(frontend), pick);
        }
    }

    /// Something that clients outside the cluster connect to.
    fn external(&mut self, frontend: Frontend, sets: &EndpointSets, local: bool) {
        let key = Key::Frontend(frontend);
        if sets.cluster.is_empty() {
            return self.refuse(frontend, Value::Goto("refuse"));
        }
        let any = self.endpoints(frontend, &sets.cluster, false);
        if !local {
            self.push(Table::Frontends, key, any);
            return self.push(Table::Masquerading, key, Value::Goto("source-nat"));
        }
        self.push(Table::Frontends, key, Value::Goto("by-source"));
        self.push(Table::FrontendsCluster, key, any);
        let here = if sets.local.is_empty() { Value::Drop } else { self.endpoints(frontend, &sets.local, true) };
        self.push(Table::FrontendsLocal, key, here);
        self.push(Table::Masquerading, key, Value::Goto("source-nat-own"));
    }

    /// Puts endpoints into slots of the frontend, and says how to choose among them.
    fn endpoints(&mut self, frontend: Frontend, endpoints: &[Endpoint], local: bool) -> Value {
        let first = if local { LOCAL_SLOTS } else { 0 };
        let mut used = Vec::with_capacity(endpoints.len());
        for (slot, endpoint) in (first..).zip(endpoints) {
            if self.affinity == 0 {
                let table = Table::Endpoints(frontend.protocol);
                self.push(table, Key::PortSlot(frontend, slot), Value::Endpoint(*endpoint));
            } else {
                let id = id_of(endpoint, &used);
                used.push(id);
                self.push(Table::Ids, Key::Slot(frontend, slot), Value::Id(id));
                self.push(Table::ById, Key::Id(frontend, id), Value::Endpoint(*endpoint));
            }
        }
        Value::Pick(Pick { count: endpoints.len() as u32, affinity: self.affinity, local })
    }
}

/// A number for an endpoint that stays the same whatever comes and goes beside it, restarts of the proxy included
/// (FNV-1a; two endpoints of one service with the same hash are told apart by order).
fn id_of(endpoint: &Endpoint, used: &[u32]) -> u32 {
    let text = endpoint.to_string();
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mut id = hash;
    // nft has names for these two.
    while id == 0 || id == u32::MAX || used.contains(&id) {
        id = id.wrapping_add(1);
    }
    id
}

#[cfg(test)]
mod tests;
