//! ClusterIPs and node ports of Services, given out in the Service's own transaction.
//!
//! Every address is an `IPAddress` object, every node port a claim key of its own; a Service's transaction demands that they
//! are absent and writes them. So none is ever given out twice, whatever the number of servers and whenever they die. What is
//! kept in memory (who holds what, read from the Services themselves) only makes good guesses: it is brought up to date
//! before each choice, and a guess that turns out wrong is made again.

mod pool;
mod repair;
mod used;
mod wanted;

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use anyhow::Context;
use api_types::{
    GroupKind, Status,
    field::{FieldError, Path},
};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use store::{Check, Write};
use tokio::sync::Mutex;

use crate::{
    claims::{Claimant, Claims},
    core::Core,
};

use pool::Pool;
use used::Used;
use wanted::{
    Held, allocates_ports, is_headless, needs_address, needs_health_check_port, needs_ports, port_number, protocol,
};

const TAKEN_ADDRESS: &str = "provided IP is already allocated";
const TAKEN_PORT: &str = "provided port is already allocated";

pub struct ServiceAllocator {
    core: Arc<Core>,
    network: Network,
    ports: Pool,
    port_range: RangeInclusive<u16>,
    used: Mutex<Used>,
}

/// The addresses of Services.
#[derive(Clone, Copy, Debug)]
struct Network {
    base: u32,
    prefix: u8,
    pool: Pool,
}

impl ServiceAllocator {
    /// # Errors
    /// When the configured ranges cannot be read.
    pub fn new(core: Arc<Core>) -> anyhow::Result<Self> {
        let network = Network::parse(&core.config.service_cluster_ip_range)?;
        let port_range = parse_ports(&core.config.service_node_port_range)?;
        Ok(Self { network, ports: Pool::ports(port_range.clone()), port_range, used: Mutex::default(), core })
    }

    /// The address of the `kubernetes` Service.
    pub fn first_address(&self) -> Ipv4Addr {
        self.network.address(1)
    }

    async fn claim_for(&self, new: &mut Value, old: Option<&Value>) -> Result<Claims, Status> {
        let before = old.map(Held::of).unwrap_or_default();
        if let Some(old) = old {
            wanted::carry_over(new, old);
            wanted::drop_unneeded(new, old);
        }
        if Held::of(new) != before || self.has_gaps(new) {
            let mut used = self.used.lock().await;
            used.refresh(&self.core).await?;
            self.choose_address(new, &before, &used)?;
            self.choose_ports(new, &before, &used)?;
        }
        Ok(self.difference(new, &before, &Held::of(new)))
    }

    /// Whether something has to be chosen.
    fn has_gaps(&self, service: &Value) -> bool {
        let spec = &service["spec"];
        let is_blank = |value: &Value| value.as_str().is_none_or(str::is_empty);
        let blank_address = needs_address(spec) && (is_blank(&spec["clusterIP"]) || is_blank(&spec["clusterIPs"][0]));
        let blank_port =
            spec["ports"].as_array().into_iter().flatten().any(|port| port_number(&port["nodePort"]).is_none());
        let blank_check = needs_health_check_port(spec) && port_number(&spec["healthCheckNodePort"]).is_none();
        blank_address || (allocates_ports(spec) && blank_port) || blank_check
    }

    fn choose_address(&self, service: &mut Value, before: &Held, used: &Used) -> Result<(), Status> {
        let name = text(&service["metadata"]["name"]);
        let spec = &mut service["spec"];
        if !needs_address(spec) {
            return Ok(());
        }
        default_families(spec);
        let given = match (text(&spec["clusterIP"]), text(&spec["clusterIPs"][0])) {
            (first, second) if first.is_empty() => second,
            (first, _) => first,
        };
        if is_headless(spec) || given == "None" {
            spec["clusterIP"] = json!("None");
            spec["clusterIPs"] = json!(["None"]);
            return Ok(());
        }
        if given.is_empty() {
            let taken = |offset| self.is_taken(self.network.address(offset), used);
            let Some(offset) = self.network.pool.free(taken, self.chance()) else {
                return Err(Status::internal("failed to allocate a serviceIP: range is full"));
            };
            let address = self.network.address(offset).to_string();
            spec["clusterIPs"] = json!([address]);
            spec["clusterIP"] = json!(address);
            return Ok(());
        }
        // What is no address at all is for validation to refuse.
        let Ok(address) = given.parse::<Ipv4Addr>() else { return Ok(()) };
        let refused = |why: String| {
            let detail = format!("failed to allocate IP {address}: {why}");
            invalid_service(&name, FieldError::invalid(&Path::new("spec").child("clusterIPs"), json!([given]), detail))
        };
        if before.addresses.contains(&address) {
            return Ok(());
        }
        if !self.network.contains(address) {
            let range = self.network;
            return Err(refused(format!(
                "the provided IP ({address}) is not in the valid range. The range of valid IPs is {range}"
            )));
        }
        if self.is_taken(address, used) {
            return Err(refused(TAKEN_ADDRESS.to_owned()));
        }
        spec["clusterIP"] = json!(given);
        if spec["clusterIPs"].as_array().is_none_or(Vec::is_empty) {
            spec["clusterIPs"] = json!([given]);
        }
        Ok(())
    }

    /// By a Service, or by an IPAddress that somebody made by hand.
    fn is_taken(&self, address: Ipv4Addr, used: &Used) -> bool {
        let object = || self.core.cached("networking.k8s.io", "ipaddresses", "", &address.to_string());
        used.has_address(address) || object().is_some()
    }

    fn choose_ports(&self, service: &mut Value, before: &Held, used: &Used) -> Result<(), Status> {
        let name = text(&service["metadata"]["name"]);
        let spec = &mut service["spec"];
        if !needs_ports(spec) {
            return Ok(());
        }
        // Numbers of this Service: given, or chosen for an earlier port.
        let mut mine: Vec<(Value, String, u16)> = Vec::new();
        let allocates = allocates_ports(spec);
        let mut ports = spec["ports"].take();
        let list = || ports.as_array().into_iter().flatten().enumerate();
        for (index, port) in list() {
            let Some(number) = port_number(&port["nodePort"]) else { continue };
            let refused = |why: String| {
                let path = Path::new("spec").child("ports").index(index).child("nodePort");
                invalid_service(&name, FieldError::invalid(&path, number, why))
            };
            let protocol = protocol(port).to_owned();
            let repeated = mine.iter().any(|(_, other, have)| *have == number && *other == protocol);
            if repeated {
                return Err(refused(TAKEN_PORT.to_owned()));
            }
            let shared = mine.iter().any(|(.., have)| *have == number);
            if !shared && !before.ports.contains(&number) {
                self.check_port(number, used).map_err(refused)?;
            }
            mine.push((port["port"].clone(), protocol, number));
        }
        for port in ports.as_array_mut().into_iter().flatten() {
            if !allocates || port_number(&port["nodePort"]).is_some() {
                continue;
            }
            let protocol = protocol(port).to_owned();
            // The same port in another protocol shares the number.
            let shared = mine.iter().find(|(same, other, number)| {
                *same == port["port"]
                    && *other != protocol
                    && !mine.iter().any(|(_, p, n)| n == number && *p == protocol)
            });
            let number = match shared {
                Some((.., number)) => *number,
                None => self
                    .free_port(used, &mine)
                    .ok_or_else(|| Status::internal("failed to allocate a nodePort: range is full"))?,
            };
            port["nodePort"] = json!(number);
            mine.push((port["port"].clone(), protocol, number));
        }
        spec["ports"] = ports;
        if !needs_health_check_port(spec) {
            return Ok(());
        }
        match port_number(&spec["healthCheckNodePort"]) {
            None => {
                let number = self.free_port(used, &mine);
                let number = number
                    .ok_or_else(|| Status::internal("failed to allocate a HealthCheck NodePort: range is full"))?;
                spec["healthCheckNodePort"] = json!(number);
            }
            Some(number) if !before.ports.contains(&number) => {
                let refused = |why| {
                    Status::internal(format!("failed to allocate requested HealthCheck NodePort {number}: {why}"))
                };
                self.check_port(number, used).map_err(refused)?;
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn check_port(&self, number: u16, used: &Used) -> Result<(), String> {
        if !self.ports.contains(u32::from(number)) {
            let (first, last) = (self.port_range.start(), self.port_range.end());
            return Err(format!("provided port is not in the valid range. The range of valid ports is {first}-{last}"));
        }
        if used.has_port(number) { Err(TAKEN_PORT.to_owned()) } else { Ok(()) }
    }

    fn free_port(&self, used: &Used, mine: &[(Value, String, u16)]) -> Option<u16> {
        let taken = |number: u32| {
            u16::try_from(number)
                .is_ok_and(|number| used.has_port(number) || mine.iter().any(|(.., have)| *have == number))
        };
        self.ports.free(taken, self.chance()).and_then(|number| u16::try_from(number).ok())
    }

    /// Where to begin to look.
    fn chance(&self) -> u32 {
        u32::from_le_bytes(self.core.random.bytes())
    }

    /// The claims that turn what was held into what is now.
    fn difference(&self, service: &Value, before: &Held, after: &Held) -> Claims {
        let mut claims = Claims::default();
        for address in after.addresses.difference(&before.addresses) {
            let key = address_key(&self.core, *address);
            claims.checks.push(Check::absent(key.clone()));
            claims.writes.push(Write::put(key, self.address_object(*address, service)));
        }
        for port in after.ports.difference(&before.ports) {
            let key = port_key(&self.core, *port);
            claims.checks.push(Check::absent(key.clone()));
            claims.writes.push(Write::put(key, port_claim(*port, service)));
        }
        let freed_addresses = before.addresses.difference(&after.addresses).map(|ip| address_key(&self.core, *ip));
        let freed_ports = before.ports.difference(&after.ports).map(|port| port_key(&self.core, *port));
        claims.writes.extend(freed_addresses.chain(freed_ports).map(Write::delete));
        claims
    }

    /// The `IPAddress` of networking.k8s.io/v1 that stands for an address in use.
    fn address_object(&self, address: Ipv4Addr, service: &Value) -> Vec<u8> {
        let object = json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IPAddress",
            "metadata": {
                "name": address.to_string(),
                "uid": self.core.random.uid(),
                "creationTimestamp": self.core.timestamp(),
                "labels": {
                    "ipaddress.kubernetes.io/ip-family": "IPv4",
                    "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
                },
            },
            "spec": {"parentRef": {
                "resource": "services",
                "namespace": service["metadata"]["namespace"],
                "name": service["metadata"]["name"],
            }},
        });
        api_rules::encode(&object)
    }
}

impl Claimant for ServiceAllocator {
    fn claim<'a>(&'a self, new: &'a mut Value, old: Option<&'a Value>) -> BoxFuture<'a, Result<Claims, Status>> {
        Box::pin(self.claim_for(new, old))
    }

    fn release<'a>(&'a self, old: &'a Value) -> BoxFuture<'a, Result<Claims, Status>> {
        let claims = self.difference(old, &Held::of(old), &Held::default());
        Box::pin(std::future::ready(Ok(claims)))
    }
}

fn address_key(core: &Core, address: Ipv4Addr) -> String {
    core.store.other_key(&format!("ipaddresses/{address}"))
}

/// Upstream keeps node ports in one bitmap object; a key each lets Services that are written at once not meet.
fn port_key(core: &Core, port: u16) -> String {
    core.store.other_key(&format!("ranges/servicenodeports/{port}"))
}

fn port_claim(port: u16, service: &Value) -> Vec<u8> {
    let (namespace, name) = (&service["metadata"]["namespace"], &service["metadata"]["name"]);
    json!({"port": port, "service": {"namespace": namespace, "name": name}}).to_string().into_bytes()
}

/// Single-stack IPv4 is what is given out.
fn default_families(spec: &mut Value) {
    if spec["ipFamilies"].as_array().is_none_or(Vec::is_empty) {
        spec["ipFamilies"] = json!(["IPv4"]);
    }
    if text(&spec["ipFamilyPolicy"]).is_empty() {
        spec["ipFamilyPolicy"] = json!("SingleStack");
    }
}

fn invalid_service(name: &str, error: FieldError) -> Status {
    Status::invalid(&GroupKind::new("", "Service"), name, vec![error])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Network {
    fn parse(cidr: &str) -> anyhow::Result<Self> {
        let (address, prefix) = cidr.split_once('/').with_context(|| format!("{cidr:?} is no address range"))?;
        let address: Ipv4Addr = address.parse().with_context(|| format!("{cidr:?} is no IPv4 address range"))?;
        let prefix: u8 = prefix.parse().with_context(|| format!("{cidr:?} is no address range"))?;
        anyhow::ensure!((8..=30).contains(&prefix), "the service range {cidr} must be between /8 and /30");
        let mask = u32::MAX << (32 - prefix);
        // Neither the network's own address nor its broadcast address is given out.
        Ok(Self { base: u32::from(address) & mask, prefix, pool: Pool::addresses(!mask - 1) })
    }

    fn address(&self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.base + offset)
    }

    fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address).checked_sub(self.base).is_some_and(|offset| self.pool.contains(offset))
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

fn parse_ports(range: &str) -> anyhow::Result<RangeInclusive<u16>> {
    let wrong = || format!("{range:?} is no range of ports like 30000-32767");
    let (first, last) = range.split_once('-').with_context(wrong)?;
    let (first, last): (u16, u16) =
        (first.trim().parse().with_context(wrong)?, last.trim().parse().with_context(wrong)?);
    anyhow::ensure!(0 < first && first <= last, wrong());
    Ok(first..=last)
}

#[cfg(test)]
mod tests;
