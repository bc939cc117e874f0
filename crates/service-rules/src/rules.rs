//! The proxy's whole knowledge: services, their slices, and the rules handed out so far.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt::{self, Display},
    net::IpAddr,
    str::FromStr,
    sync::Arc,
};

use api_types::object::Object;

use crate::{
    compile::{Key, Value, compile, is_proxied},
    frontend::{Endpoint, Family, Frontend, Protocol},
    layout::{Pick, Script, Table},
    object::{EndpointSlice, Service},
    shadow::Shadow,
};

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub address: IpAddr,
    pub prefix: u8,
}

impl Cidr {
    pub fn contains(&self, ip: IpAddr) -> bool {
        let masked = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
        self.address.is_ipv4() == ip.is_ipv4() && (masked(self.address) ^ masked(ip)) & mask == 0
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a range of addresses such as 10.0.0.0/8");
        let (address, prefix) = text.trim().split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= longest).ok_or_else(wrong)?;
        Ok(Self { address, prefix })
    }
}

impl Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// What does not come from services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Of our tables; the same in both families.
    pub table: String,
    pub node_name: String,
    /// The node's addresses that take NodePort traffic.
    pub node_port_addresses: Vec<IpAddr>,
    /// Where pods' addresses are from. Traffic from elsewhere to a ClusterIP is masqueraded; unknown if empty.
    pub cluster_cidrs: Vec<Cidr>,
    /// All traffic to ClusterIPs is.
    pub masquerade_all: bool,
    pub masquerade_fully_random: bool,
}

type Name = (Arc<str>, Arc<str>);

fn name(namespace: &str, name: &str) -> Name {
    (namespace.into(), name.into())
}

#[derive(Debug, Default)]
struct Known {
    service: Option<Arc<Service>>,
    slices: BTreeMap<Arc<str>, Arc<EndpointSlice>>,
    number: u32,
}

#[derive(Debug)]
pub struct Rules {
    settings: Settings,
    services: BTreeMap<Name, Known>,
    changed: BTreeSet<Name>,
    shadow: Shadow,
    picks: HashSet<(Family, Pick)>,
    next_number: u32,
}

/// A change of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// For `nft -f -`; empty if nothing has to be done.
    pub text: String,
    /// Endpoints of UDP frontends have changed: remembered flows may contradict the rules now.
    pub udp: bool,
}

impl Rules {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            services: BTreeMap::new(),
            changed: BTreeSet::new(),
            shadow: Shadow::default(),
            picks: HashSet::new(),
            next_number: 0,
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes over other settings; [`Rules::everything`] has to be applied next.
    pub fn set_settings(&mut self, settings: Settings) {
        if self.settings != settings {
            self.settings = settings;
            self.changed.extend(self.services.keys().cloned());
        }
    }

    fn known(&mut self, key: &Name) -> &mut Known {
        self.changed.insert(key.clone());
        let next = &mut self.next_number;
        self.services.entry(key.clone()).or_insert_with(|| {
            *next += 1;
            Known { number: *next, ..Known::default() }
        })
    }

    pub fn apply_service(&mut self, service: Arc<Service>) {
        let key = name(service.namespace(), service.name());
        self.known(&key).service = Some(service);
    }

    pub fn remove_service(&mut self, namespace: &str, service: &str) {
        self.known(&name(namespace, service)).service = None;
    }

    pub fn apply_slice(&mut self, slice: Arc<EndpointSlice>) {
        let Some(service) = slice.service() else { return };
        let key = name(slice.namespace(), service);
        self.known(&key).slices.insert(slice.name().into(), slice);
    }

    /// The slice as it was last known.
    pub fn remove_slice(&mut self, slice: &EndpointSlice) {
        let Some(service) = slice.service() else { return };
        self.known(&name(slice.namespace(), service)).slices.remove(slice.name());
    }

    /// The number of services that are proxied, and of endpoints that they have.
    pub fn counts(&self) -> (usize, usize) {
        let proxied = |known: &&Known| known.service.as_ref().is_some_and(|service| is_proxied(service));
        let services = self.services.values().filter(proxied);
        services.fold((0, 0), |(services, endpoints), known| {
            (services + 1, endpoints + known.slices.values().map(|slice| slice.endpoints.len()).sum::<usize>())
        })
    }

    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    fn compile_changed(&mut self) {
        for key in std::mem::take(&mut self.changed) {
            let Some(known) = self.services.get(&key) else { continue };
            let slices: Vec<_> = known.slices.values().map(|slice| &**slice).collect();
            let elements = match &known.service {
                Some(service) => compile(service, &slices, &self.settings),
                None => Vec::new(),
            };
            self.shadow.set(known.number, elements);
            if known.service.is_none() && known.slices.is_empty() {
                self.services.remove(&key);
            }
        }
    }

    /// Everything from nothing, whatever the kernel has. With `afresh`, even what it remembers by itself goes.
    pub fn everything(&mut self, afresh: bool) -> Transaction {
        self.compile_changed();
        self.shadow.take_difference();
        self.picks.clear();
        let mut text = String::new();
        for family in Family::ALL {
            if afresh {
                text.push_str(&remove_table(family, &self.settings.table));
            }
            let mut script = Script::new(family, &self.settings.table);
            script.frame(&self.settings);
            let elements: BTreeMap<_, _> = self
                .shadow
                .all()
                .filter(|(_, key, _)| family_of(key) == family)
                .map(|(table, key, value)| ((table, key), value))
                .collect();
            put(&mut script, &elements, &mut self.picks);
            text.push_str(&script.text);
        }
        Transaction { text, udp: true }
    }

    /// What has changed since the last transaction.
    pub fn changes(&mut self) -> Transaction {
        self.compile_changed();
        let difference = self.shadow.take_difference();
        let mut text = String::new();
        for family in Family::ALL {
            let mut script = Script::new(family, &self.settings.table);
            let mut removed: BTreeMap<Table, Vec<String>> = BTreeMap::new();
            for (table, key) in difference.remove.iter().filter(|(_, key)| family_of(key) == family) {
                removed.entry(*table).or_default().push(key.to_string());
            }
            for (table, keys) in removed {
                script.line("delete", &format!("element {} {{ {} }}", table.name(), keys.join(", ")));
            }
            let added = difference.add.iter().filter(|((_, key), _)| family_of(key) == family);
            put(&mut script, &added.map(|(at, value)| (*at, *value)).collect(), &mut self.picks);
            text.push_str(&script.text);
        }
        let keys = difference.remove.iter().map(|(_, key)| key).chain(difference.add.keys().map(|(_, key)| key));
        let udp = keys.into_iter().any(|key| frontend_of(key).is_some_and(|f| f.protocol == Protocol::Udp));
        Transaction { text, udp }
    }

    /// Every UDP frontend with the endpoints its flows may go to: none, if it is refused.
    pub fn udp(&self) -> HashMap<Frontend, Vec<Endpoint>> {
        let mut all: HashMap<Frontend, Vec<Endpoint>> = HashMap::new();
        for (_, key, value) in self.shadow.all() {
            let Some(frontend) = frontend_of(&key).filter(|f| f.protocol == Protocol::Udp) else { continue };
            let endpoints = all.entry(frontend).or_default();
            if let Value::Endpoint(endpoint) = value {
                endpoints.push(endpoint);
            }
        }
        all
    }
}

/// Removes a table, there or not.
pub fn remove_table(family: Family, table: &str) -> String {
    let family = family.nft();
    format!("add table {family} {table}\ndelete table {family} {table}\n")
}

fn frontend_of(key: &Key) -> Option<Frontend> {
    match key {
        Key::Frontend(frontend) | Key::Slot(frontend, _) | Key::PortSlot(frontend, _) | Key::Id(frontend, _) => {
            Some(*frontend)
        }
        Key::Address(_) | Key::Hairpin(_) => None,
    }
}

fn family_of(key: &Key) -> Family {
    match key {
        Key::Address(ip) | Key::Hairpin(ip) => Family::of(*ip),
        Key::Frontend(frontend) | Key::Slot(frontend, _) | Key::PortSlot(frontend, _) | Key::Id(frontend, _) => {
            Family::of(frontend.ip)
        }
    }
}

/// Adds elements, and the chains they go to that are not there yet.
fn put(script: &mut Script<'_>, elements: &BTreeMap<(Table, Key), Value>, picks: &mut HashSet<(Family, Pick)>) {
    let mut wanted: BTreeSet<Pick> = BTreeSet::new();
    let mut lines: BTreeMap<Table, Vec<String>> = BTreeMap::new();
    for ((table, key), value) in elements {
        if let Value::Pick(pick) = value {
            wanted.insert(*pick);
        }
        lines.entry(*table).or_default().push(format!("{key}{value}"));
    }
    for pick in wanted {
        if picks.insert((script.family, pick)) {
            script.pick(pick);
        }
    }
    for (table, elements) in lines {
        script.line("add", &format!("element {} {{ {} }}", table.name(), elements.join(", ")));
    }
}

#[cfg(test)]
mod tests;
