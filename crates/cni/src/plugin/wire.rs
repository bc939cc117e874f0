//! The veth pair of a pod, its address, and the routes on both sides.
//!
//! All link-layer addresses are known beforehand and entered for good, so no packet ever waits for ARP.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd as _;

use anyhow::Context as _;
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::packet_route::route::RouteScope;
use rtnetlink::{LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::answer::{Failure, Outcome};
use super::config::{Call, PluginConf};
use super::namespace;
use crate::link::{self, Mac};

/// What pods send everything to: the host's end of their pair, whatever its address.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// The host's end of every pair has it: each is alone on its wire.
const HOST_MAC: Mac = [0xee; 6];

/// The host's ends of pods' pairs are called so.
pub const DEVICE_PREFIX: &str = "koggep";

/// What ADD has made.
pub struct Wired {
    pub host_device: String,
    pub host_mac: String,
    pub pod_mac: String,
}

/// The name of the host's end: the same for the same container, and within the kernel's fifteen characters.
pub fn host_device(container: &str, device: &str) -> String {
    // FNV-1a, 36 bits of it.
    let hash = container
        .bytes()
        .chain([0])
        .chain(device.bytes())
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{DEVICE_PREFIX}{:09x}", hash >> 28)
}

/// A locally administered address that says the IP address, as other plugins make it.
fn mac(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x58, a, b, c, d]
}

fn show(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

pub async fn add(conf: &PluginConf, call: &Call, address: Ipv4Addr) -> Outcome<Wired> {
    let pod_mac = mac(address);
    let name = host_device(&call.container, &call.device);
    let sandbox = namespace::open(&call.namespace)?;
    let (host, pod) = (link::connect()?, namespace::connect_in(&sandbox)?);

    // The pod's end is born in the pod's namespace, with its final name: nothing is moved or renamed.
    let peer = LinkUnspec::new_with_name(&call.device).mtu(conf.mtu).address(pod_mac.to_vec());
    let peer = InfoData::Veth(InfoVeth::Peer(peer.setns_by_fd(sandbox.as_raw_fd()).build()));
    let pair = LinkVeth::new(&name, &call.device).mtu(conf.mtu).address(HOST_MAC.to_vec()).up().set_info_data(peer);
    host.link().add(pair.build()).execute().await.with_context(|| format!("making the pair {name}"))?;

    let inside = link::index(&pod, &call.device).await?;
    let own = pod.address().add(inside, IpAddr::V4(address), 32);
    own.execute().await.with_context(|| format!("giving the pod {address}"))?;
    link::set_up(&pod, inside).await?;
    link::set_neighbour(&pod, inside, GATEWAY, HOST_MAC).await?;
    link::set_route(&pod, link::route(GATEWAY, 32, inside).scope(RouteScope::Link).build()).await?;
    let out = RouteMessageBuilder::<Ipv4Addr>::new().gateway(GATEWAY).output_interface(inside).build();
    link::set_route(&pod, out).await?;

    let outside = link::index(&host, &name).await?;
    link::set_neighbour(&host, outside, address, pod_mac).await?;
    let to_pod = link::route(address, 32, outside).scope(RouteScope::Link).pref_source(conf.node_ip).build();
    link::set_route(&host, to_pod).await?;
    Ok(Wired { host_device: name, host_mac: show(HOST_MAC), pod_mac: show(pod_mac) })
}

/// Removes the pair; its routes and neighbours go with it.
pub async fn remove(call: &Call) -> Outcome<()> {
    Ok(link::delete(&link::connect()?, &host_device(&call.container, &call.device)).await?)
}

/// Whether both ends are there.
pub async fn check(call: &Call, address: Ipv4Addr) -> Outcome<()> {
    let name = host_device(&call.container, &call.device);
    let pod = namespace::connect_in(&namespace::open(&call.namespace)?)?;
    let ends = [link::find(&link::connect()?, &name).await?, link::find(&pod, &call.device).await?];
    match ends.iter().all(Option::is_some) {
        true => Ok(()),
        false => Err(Failure::internal(format!("the pair of {address} is not complete"))),
    }
}

pub async fn add_loopback(call: &Call) -> Outcome<()> {
    let pod = namespace::connect_in(&namespace::open(&call.namespace)?)?;
    Ok(link::set_up(&pod, link::index(&pod, &call.device).await?).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        let (a, b) = (host_device("0123456789abcdef", "eth0"), host_device("0123456789abcdef", "eth1"));
        assert_eq!(a.len(), 15);
        assert_ne!(a, b);
        assert_eq!(a, host_device("0123456789abcdef", "eth0"));
    }

    #[test]
    fn macs_say_the_address() {
        assert_eq!(show(mac(Ipv4Addr::new(10, 244, 1, 2))), "0a:58:0a:f4:01:02");
    }
}
