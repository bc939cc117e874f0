//! Making the routes that are wanted, and removing those that no longer are.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context as _;
use futures::TryStreamExt as _;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::neighbour::NeighbourFlags;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteType};
use rtnetlink::{Handle, LinkVxlan, RouteMessageBuilder};

use super::plan::{Interface, Node, Range, Wanted, Way, tunnel_mac};
use crate::link;
use crate::plugin::DEVICE_PREFIX;

/// By this number in their protocol field our routes are known.
pub const PROTOCOL: RouteProtocol = RouteProtocol::Other(107);

/// The network identifier and port of the tunnel, as Flannel's.
const TUNNEL_ID: u32 = 1;
const TUNNEL_PORT: u16 = 8472;

/// This machine's addresses, with the devices they are on.
pub async fn interfaces(handle: &Handle) -> anyhow::Result<Vec<Interface>> {
    let links: Vec<_> = handle.link().get().execute().try_collect().await.context("listing devices")?;
    let mtu = |index: u32| {
        let link = links.iter().find(|link| link.header.index == index)?;
        link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(*mtu),
            _ => None,
        })
    };
    let addresses: Vec<_> = handle.address().get().execute().try_collect().await.context("listing addresses")?;
    let found = addresses.iter().filter_map(|message| {
        let index = message.header.index;
        // On a point-to-point link the one is ours and the other the peer's.
        let local = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
            _ => None,
        })?;
        let network = Range { base: local, bits: message.header.prefix_len };
        Some(Interface { index, mtu: mtu(index)?, address: local, network })
    });
    Ok(found.collect())
}

/// Makes the routes what they should be. The own range ends here: what no pod has is unreachable, and does not wander
/// off to the default route.
pub async fn routes(handle: &Handle, prefix: &str, own: &Node, wanted: &Wanted) -> anyhow::Result<()> {
    let tunnel = match wanted.tunnel {
        Some(uplink) => Some(ensure_tunnel(handle, &tunnel_name(prefix), own, uplink, wanted.mtu).await?),
        None => {
            link::delete(handle, &tunnel_name(prefix)).await?;
            None
        }
    };
    let mut keep = BTreeSet::from([own.pod_cidr]);
    let unreachable = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(own.pod_cidr.base, own.pod_cidr.bits)
        .kind(RouteType::Unreachable)
        .protocol(PROTOCOL)
        .build();
    link::set_route(handle, unreachable).await?;
    for route in &wanted.routes {
        keep.insert(route.to);
        let message = match (&route.way, tunnel) {
            (Way::Direct { device }, _) => link::route(route.to.base, route.to.bits, *device).gateway(route.node),
            (Way::Tunnel { mac }, Some(tunnel)) => {
                // The far end has no address that could be asked for: the range's base stands for it.
                link::set_neighbour(handle, tunnel, route.to.base, *mac).await?;
                let forward = handle.neighbours().add_bridge(tunnel, mac).destination(IpAddr::V4(route.node));
                // Without "own" the entry would be meant for a bridge that the device is part of.
                let forward = forward.flags(NeighbourFlags::Own).replace();
                forward.execute().await.with_context(|| format!("the tunnel to {}", route.node))?;
                link::route(route.to.base, route.to.bits, tunnel).gateway(route.to.base).onlink()
            }
            (Way::Tunnel { .. }, None) => continue,
        };
        // From the node itself packets come with its own address, which the others know the way to.
        let message = message.pref_source(own.ip).protocol(PROTOCOL).build();
        link::set_route(handle, message).await?;
    }
    for route in ours(handle).await? {
        if destination(&route).is_none_or(|to| !keep.contains(&to)) {
            delete(handle, route).await?;
        }
    }
    Ok(())
}

/// Removes our routes, the tunnel, and the devices of pods.
pub async fn remove_all(handle: &Handle, prefix: &str) -> anyhow::Result<()> {
    for route in ours(handle).await? {
        delete(handle, route).await?;
    }
    link::delete(handle, &tunnel_name(prefix)).await?;
    let links: Vec<_> = handle.link().get().execute().try_collect().await.context("listing devices")?;
    let names = links.iter().flat_map(|link| &link.attributes).filter_map(|attribute| match attribute {
        LinkAttribute::IfName(name) if name.starts_with(DEVICE_PREFIX) => Some(name),
        _ => None,
    });
    for name in names {
        link::delete(handle, name).await?;
    }
    Ok(())
}

fn tunnel_name(prefix: &str) -> String {
    format!("{prefix}-vxlan")
}

async fn ensure_tunnel(handle: &Handle, name: &str, own: &Node, uplink: u32, mtu: u32) -> anyhow::Result<u32> {
    if link::find(handle, name).await?.is_none() {
        let device = LinkVxlan::new(name, TUNNEL_ID)
            .dev(uplink)
            .local(own.ip)
            .port(TUNNEL_PORT)
            .learning(false)
            .mtu(mtu)
            .address(tunnel_mac(own.ip).to_vec())
            .up()
            .build();
        handle.link().add(device).execute().await.with_context(|| format!("making {name}"))?;
    }
    let index = link::index(handle, name).await?;
    link::set_up(handle, index).await?;
    Ok(index)
}

async fn ours(handle: &Handle) -> anyhow::Result<Vec<RouteMessage>> {
    let every = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let routes: Vec<_> = handle.route().get(every).execute().try_collect().await.context("listing routes")?;
    Ok(routes.into_iter().filter(|route| route.header.protocol == PROTOCOL).collect())
}

fn destination(route: &RouteMessage) -> Option<Range> {
    let bits = route.header.destination_prefix_length;
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(base)) => Some(Range { base: *base, bits }),
        _ => None,
    })
}

async fn delete(handle: &Handle, route: RouteMessage) -> anyhow::Result<()> {
    match handle.route().del(route).execute().await {
        Err(error) if !link::is_errno(&error, libc::ESRCH) => Err(error).context("deleting a route"),
        _ => Ok(()),
    }
}
