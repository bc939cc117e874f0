//! The fixed part of the tables, one for each family, and how a packet goes through it.
//!
//! A connection's first packet meets `prerouting` (from pods and other hosts) or `output` (from this node). Its
//! destination is looked up in `frontends`, which says how to choose:
//!
//! - `pick-N`: one of N endpoints, from `endpoints-tcp` and its like by (frontend, slot);
//! - `pick-N-aT`: the same with an affinity of T seconds. The client's endpoint is remembered as a number in
//!   `affinity-T`. If that endpoint is gone, it is in `by-id` no longer, and another is picked. Between the lookups the
//!   number sits in the packet's priority, which forwarding sets anew in any case;
//! - `by-source`: external traffic under the Local policy. Pods and the node itself get any endpoint
//!   (`frontends-cluster`), others only this node's (`frontends-local`, whose slots begin at [`LOCAL_SLOTS`]).
//!
//! These chains depend on (N, T) alone: there is none per service. A miss after `frontends` ends in drop, so that
//! no connection is remembered without its translation. Frontends without endpoints are in `refused` instead, which
//! filter chains consult after all translation; other ports of a ClusterIP are rejected there too.
//!
//! `postrouting` masquerades connections that were translated here and where the answer would miss this node otherwise:
//! an endpoint talking to itself, sources outside the cluster to a ClusterIP, and whatever `masquerading` names: external
//! frontends under the Cluster policy, and the node's own connections to those under the Local policy.

use std::fmt::Write;

use crate::{
    frontend::{Family, Protocol},
    rules::Settings,
};

/// Where the slots of endpoints on this node begin.
pub const LOCAL_SLOTS: u32 = 1 << 16;
/// Clients remembered for each affinity timeout; beyond, new ones are served without being remembered.
const AFFINITY_CLIENTS: u32 = 1 << 17;

/// A map or set whose elements come from services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    ClusterIps,
    Hairpin,
    Frontends,
    FrontendsCluster,
    FrontendsLocal,
    Endpoints(Protocol),
    Ids,
    ById,
    Refused,
    Masquerading,
}

impl Table {
    pub const ALL: [Self; 12] = [
        Self::ClusterIps,
        Self::Hairpin,
        Self::Frontends,
        Self::FrontendsCluster,
        Self::FrontendsLocal,
        Self::Endpoints(Protocol::Tcp),
        Self::Endpoints(Protocol::Udp),
        Self::Endpoints(Protocol::Sctp),
        Self::Ids,
        Self::ById,
        Self::Refused,
        Self::Masquerading,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::ClusterIps => "cluster-ips",
            Self::Hairpin => "hairpin",
            Self::Frontends => "frontends",
            Self::FrontendsCluster => "frontends-cluster",
            Self::FrontendsLocal => "frontends-local",
            Self::Endpoints(Protocol::Tcp) => "endpoints-tcp",
            Self::Endpoints(Protocol::Udp) => "endpoints-udp",
            Self::Endpoints(Protocol::Sctp) => "endpoints-sctp",
            Self::Ids => "ids",
            Self::ById => "by-id",
            Self::Refused => "refused",
            Self::Masquerading => "masquerading",
        }
    }

    fn is_set(self) -> bool {
        matches!(self, Self::ClusterIps | Self::Hairpin)
    }

    fn definition(self, family: Family) -> String {
        let (ip, address) = (family.nft(), address_type(family));
        let frontend = format!("{ip} daddr . meta l4proto . th dport");
        match self {
            Self::ClusterIps => format!("type {address}"),
            Self::Hairpin => format!("type {address} . {address}"),
            Self::Frontends | Self::FrontendsCluster | Self::FrontendsLocal | Self::Refused | Self::Masquerading => {
                format!("type {address} . inet_proto . inet_service : verdict")
            }
            // A slot's type has no name, so that the others have to be named by example too; and what stands for a
            // port among these fixes the protocol.
            Self::Endpoints(protocol) => {
                format!("typeof {ip} daddr . {protocol} dport . numgen random mod 2 : {ip} daddr . {protocol} dport")
            }
            Self::Ids => format!("typeof {frontend} . numgen random mod 2 : meta priority"),
            Self::ById => format!("type {address} . inet_proto . inet_service . classid : {address} . inet_service"),
        }
    }
}

fn address_type(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4_addr",
        Family::V6 => "ipv6_addr",
    }
}

/// A way to choose among endpoints; a chain of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pick {
    /// Of endpoints; not 0.
    pub count: u32,
    /// Affinity in seconds; 0 is none.
    pub affinity: u32,
    /// Among this node's endpoints.
    pub local: bool,
}

impl Pick {
    pub fn chain(self) -> String {
        let side = if self.local { "local" } else { "pick" };
        let affinity = if self.affinity == 0 { String::new() } else { format!("-a{}", self.affinity) };
        format!("{side}-{}{affinity}", self.count)
    }
}

fn affinity_map(seconds: u32) -> String {
    format!("affinity-{seconds}")
}

/// Writes commands of `nft -f`, one a line.
pub(crate) struct Script<'a> {
    pub text: String,
    pub family: Family,
    pub table: &'a str,
}

impl<'a> Script<'a> {
    pub fn new(family: Family, table: &'a str) -> Self {
        Self { text: String::new(), family, table }
    }

    /// `verb` of something in our table.
    pub fn line(&mut self, verb: &str, what: &str) {
        let (family, table) = (self.family.nft(), self.table);
        let (kind, rest) = what.split_once(' ').unwrap_or((what, ""));
        writeln!(self.text, "{verb} {kind} {family} {table} {rest}").expect("writing to a String");
    }

    fn chain(&mut self, name: &str, hook: &str, rules: &[String]) {
        let hook = if hook.is_empty() { String::new() } else { format!(" {{ {hook} ; policy accept ; }}") };
        self.line("add", &format!("chain {name}{hook}"));
        self.line("flush", &format!("chain {name}"));
        for rule in rules {
            self.line("add", &format!("rule {name} {rule}"));
        }
    }

    /// The table with everything that does not depend on services, and no elements. What clients are remembered by
    /// affinity stays.
    pub fn frame(&mut self, settings: &Settings) {
        let ip = self.family.nft();
        writeln!(self.text, "add table {ip} {}", self.table).expect("writing to a String");
        for table in Table::ALL {
            let kind = if table.is_set() { "set" } else { "map" };
            self.line("add", &format!("{kind} {} {{ {} ; }}", table.name(), table.definition(self.family)));
        }
        let frontend = format!("{ip} daddr . meta l4proto . th dport");
        let ranges = settings.cluster_cidrs.iter().filter(|cidr| Family::of(cidr.address) == self.family);
        let ranges: Vec<_> = ranges.map(ToString::to_string).collect();
        let ranges = (!ranges.is_empty()).then(|| format!("{{ {} }}", ranges.join(", ")));

        // Chains that others jump to come first, chains with hooks last.
        let random = if settings.masquerade_fully_random { " fully-random" } else { "" };
        self.chain("source-nat", "", &[format!("masquerade{random}")]);
        self.chain("source-nat-own", "", &["fib saddr type local goto source-nat".into()]);
        self.chain("refuse", "", &["meta l4proto tcp reject with tcp reset".into(), "reject".into()]);
        let to = |map: Table| format!("{frontend} vmap @{}", map.name());
        self.chain("by-source-cluster", "", &[to(Table::FrontendsCluster), "drop".into()]);
        let mut by_source = vec!["fib saddr type local goto by-source-cluster".to_owned()];
        by_source.extend(ranges.iter().map(|ranges| format!("{ip} saddr {ranges} goto by-source-cluster")));
        by_source.extend([to(Table::FrontendsLocal), "drop".into()]);
        self.chain("by-source", "", &by_source);

        // Elements refer to chains: the old ones go before any chain could.
        for table in Table::ALL {
            let kind = if table.is_set() { "set" } else { "map" };
            self.line("flush", &format!("{kind} {}", table.name()));
        }

        let off_cluster = match (&ranges, settings.masquerade_all) {
            (_, true) => Some(String::new()),
            (Some(ranges), false) => Some(format!("{ip} saddr != {ranges} ")),
            (None, false) => None,
        };
        let mut postrouting = vec![
            "ct status & dnat == 0 return".to_owned(),
            format!("{ip} saddr . {ip} daddr @hairpin goto source-nat"),
        ];
        postrouting.extend(off_cluster.map(|who| format!("ct original {ip} daddr @cluster-ips {who}goto source-nat")));
        for protocol in ["tcp", "udp", "sctp"] {
            // nft knows the type of a port only next to its protocol.
            postrouting.push(format!(
                "meta l4proto {protocol} ct original {ip} daddr . meta l4proto . ct original proto-dst vmap @masquerading"
            ));
        }
        let services = [to(Table::Frontends)];
        let refusals = [
            format!("ct state new {}", to(Table::Refused)),
            format!("ct state new {ip} daddr @cluster-ips goto refuse"),
        ];
        self.chain("prerouting", "type nat hook prerouting priority -100", &services);
        self.chain("output", "type nat hook output priority -100", &services);
        self.chain("postrouting", "type nat hook postrouting priority 100", &postrouting);
        self.chain("filter-input", "type filter hook input priority -90", &refusals);
        self.chain("filter-forward", "type filter hook forward priority -90", &refusals);
        self.chain("filter-output", "type filter hook output priority -90", &refusals);
    }

    /// The chain of one way to choose.
    pub fn pick(&mut self, pick: Pick) {
        let ip = self.family.nft();
        let frontend = format!("{ip} daddr . meta l4proto . th dport");
        let offset = if pick.local { format!(" offset {LOCAL_SLOTS}") } else { String::new() };
        let choice = format!("numgen random mod {}{offset}", pick.count);
        let dnat = format!("dnat {ip} to");
        let rules = if pick.affinity == 0 {
            let rule = |protocol: Protocol| {
                let map = Table::Endpoints(protocol).name();
                format!("{dnat} {ip} daddr . {protocol} dport . {choice} map @{map}")
            };
            vec![rule(Protocol::Tcp), rule(Protocol::Udp), rule(Protocol::Sctp), "drop".into()]
        } else {
            let slot = format!("{frontend} . {choice}");
            let map = affinity_map(pick.affinity);
            let client = format!("{ip} saddr . {frontend}");
            self.line(
                "add",
                &format!(
                    "map {map} {{ type {0} . {0} . inet_proto . inet_service : classid ; size {AFFINITY_CLIENTS} ; \
                     flags dynamic,timeout ; timeout {1}s ; }}",
                    address_type(self.family),
                    pick.affinity
                ),
            );
            let remember = format!("update @{map} {{ {client} : meta priority }}");
            // An update renews the time of an element that is there, but not its value.
            let forget = format!("delete @{map} {{ {client} : meta priority }}");
            let go = format!("{dnat} {frontend} . meta priority map @by-id");
            vec![
                format!("meta priority set {client} map @{map} {remember} {go}"),
                format!("meta priority set {slot} map @ids {forget} {remember} {go}"),
                format!("meta priority set {slot} map @ids {go}"),
                "drop".into(),
            ]
        };
        self.chain(&pick.chain(), "", &rules);
    }
}
