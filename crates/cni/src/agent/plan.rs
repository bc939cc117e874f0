//! What the network should be: a function of the nodes and of this machine's interfaces.

use std::fmt;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::str::FromStr;

use anyhow::Context as _;

use crate::link::Mac;

/// What VXLAN adds to a packet.
const TUNNEL_OVERHEAD: u32 = 50;

/// An IPv4 range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    pub base: Ipv4Addr,
    pub bits: u8,
}

impl Range {
    pub fn contains(self, address: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
        self.base.to_bits() & mask == address.to_bits() & mask
    }
}

impl FromStr for Range {
    type Err = ();

    fn from_str(text: &str) -> Result<Range, ()> {
        let (base, bits) = text.split_once('/').ok_or(())?;
        let bits = bits.parse().ok().filter(|bits| *bits <= 32).ok_or(())?;
        Ok(Range { base: base.parse().map_err(|_| ())?, bits })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

/// A node that takes part in the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub ip: Ipv4Addr,
    pub pod_cidr: Range,
}

/// An address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub index: u32,
    pub mtu: u32,
    pub address: Ipv4Addr,
    pub network: Range,
}

/// How packets get to another node's pods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// The node is on the same segment.
    Direct { device: u32 },
    /// Through the tunnel, whose far end is the node.
    Tunnel { mac: Mac },
}

/// One route to another node's range.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    pub to: Range,
    pub node: Ipv4Addr,
    pub way: Way,
}

/// What should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub routes: Vec<Route>,
    /// The device that the tunnel leaves by, if one is needed.
    pub tunnel: Option<u32>,
    pub mtu: u32,
}

/// Fails as long as no interface has the node's own address.
pub fn plan(own: &Node, nodes: &[Node], interfaces: &[Interface]) -> anyhow::Result<Wanted> {
    let uplink = interfaces.iter().find(|interface| interface.address == own.ip);
    let uplink = uplink.with_context(|| format!("no interface has the node's address {}", own.ip))?;
    let mut routes: Vec<_> =
        nodes.iter().filter(|node| node.name != own.name).map(|node| route(node, interfaces)).collect();
    routes.sort();
    let tunnelled = routes.iter().any(|route| matches!(route.way, Way::Tunnel { .. }));
    Ok(Wanted {
        routes,
        tunnel: tunnelled.then_some(uplink.index),
        mtu: if tunnelled { uplink.mtu - TUNNEL_OVERHEAD } else { uplink.mtu },
    })
}

fn route(node: &Node, interfaces: &[Interface]) -> Route {
    // A network of one address has no neighbours.
    let mut near = interfaces.iter().filter(|interface| interface.network.bits < 32);
    let way = match near.find(|interface| interface.network.contains(node.ip)) {
        Some(interface) => Way::Direct { device: interface.index },
        None => Way::Tunnel { mac: tunnel_mac(node.ip) },
    };
    Route { to: node.pod_cidr, node: node.ip, way }
}

/// The link-layer address of a node's end of the tunnel: every node knows every other's without asking.
pub fn tunnel_mac(node: Ipv4Addr) -> Mac {
    let [a, b, c, d] = node.octets();
    [0x0e, 0x6b, a, b, c, d]
}

/// The table of the agent.
pub fn table(prefix: &str) -> String {
    format!("{prefix}-cni")
}

/// Pods reach the world under the node's address, and each other under their own.
pub fn masquerade(prefix: &str, own: &Node, nodes: &[Node]) -> String {
    let table = table(prefix);
    let mut ranges: Vec<_> = nodes.iter().map(|node| node.pod_cidr).collect();
    ranges.sort();
    ranges.dedup();
    let mut script = format!(
        "table ip {table} {{
  set pods {{ type ipv4_addr; flags interval; }}
  chain postrouting {{ type nat hook postrouting priority srcnat; }}
}}
flush chain ip {table} postrouting
flush set ip {table} pods
add rule ip {table} postrouting ip saddr {} ip daddr != @pods ip daddr != 224.0.0.0/4 fib daddr type != local masquerade
",
        own.pod_cidr
    );
    for range in ranges {
        writeln!(script, "add element ip {table} pods {{ {range} }}").ok();
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u8, ip: &str) -> Node {
        Node {
            name: format!("node-{number}"),
            ip: ip.parse().unwrap(),
            pod_cidr: format!("10.244.{number}.0/24").parse().unwrap(),
        }
    }

    fn interface(index: u32, cidr: &str) -> Interface {
        let network: Range = cidr.parse().unwrap();
        Interface { index, mtu: 1500, address: network.base, network }
    }

    #[test]
    fn ranges_contain() {
        let check = |range: &str, address: &str, want: bool| {
            let range: Range = range.parse().unwrap();
            assert_eq!(range.contains(address.parse().unwrap()), want, "{range} {address}");
        };
        check("10.0.0.5/24", "10.0.0.255", true);
        check("10.0.0.5/24", "10.0.1.0", false);
        check("0.0.0.0/0", "1.2.3.4", true);
        check("1.2.3.4/32", "1.2.3.4", true);
        assert!("1.2.3.4/33".parse::<Range>().is_err());
    }

    #[test]
    fn near_nodes_directly_far_ones_through_the_tunnel() {
        let nodes = [node(0, "192.168.0.1"), node(1, "192.168.0.2"), node(2, "192.168.9.3")];
        let interfaces = [interface(1, "127.0.0.1/8"), interface(7, "192.168.0.1/24")];
        let wanted = plan(&nodes[0], &nodes, &interfaces).unwrap();
        let ways: Vec<_> = wanted.routes.iter().map(|route| (route.to.to_string(), route.way.clone())).collect();
        let far = Way::Tunnel { mac: [0x0e, 0x6b, 192, 168, 9, 3] };
        assert_eq!(ways, [("10.244.1.0/24".to_owned(), Way::Direct { device: 7 }), ("10.244.2.0/24".to_owned(), far)]);
        assert_eq!((wanted.tunnel, wanted.mtu), (Some(7), 1450));

        let wanted = plan(&nodes[0], &nodes[..2], &interfaces).unwrap();
        assert_eq!((wanted.tunnel, wanted.mtu), (None, 1500));
    }

    #[test]
    fn without_its_address_a_node_waits() {
        let nodes = [node(0, "192.168.0.1")];
        assert!(plan(&nodes[0], &nodes, &[interface(1, "127.0.0.1/8")]).is_err());
    }
}
