//! The route for ClusterIPs on a node without a default route: without one, connecting to a ClusterIP fails before
//! any rule is asked. It leads nowhere in particular: the rules have sent the packet elsewhere by then.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, anyhow};
use futures::TryStreamExt;
use rtnetlink::{
    Handle, RouteMessageBuilder, new_connection,
    packet_route::{
        address::AddressAttribute,
        route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope},
    },
};
use service_rules::rules::Cidr;

/// Marks the route as ours, so that only ours is removed ("static" is what people make).
const PROTOCOL: RouteProtocol = RouteProtocol::Other(0x4b);

fn connect() -> anyhow::Result<(Handle, tokio::task::JoinHandle<()>)> {
    let (connection, handle, _) = new_connection().context("cannot open a netlink socket")?;
    Ok((handle, tokio::spawn(connection)))
}

fn message(range: Cidr) -> RouteMessage {
    match range.address {
        IpAddr::V4(ip) => RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(ip, range.prefix).build(),
        IpAddr::V6(ip) => RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(ip, range.prefix).build(),
    }
}

/// Adds the route if there is no default route, over the interface that has the node's address.
pub async fn ensure(range: Cidr, node_ip: IpAddr) -> anyhow::Result<()> {
    let (handle, connection) = connect()?;
    let result = add(&handle, range, node_ip).await;
    connection.abort();
    result
}

async fn add(handle: &Handle, range: Cidr, node_ip: IpAddr) -> anyhow::Result<()> {
    let any = match range.address {
        IpAddr::V4(_) => RouteMessageBuilder::<Ipv4Addr>::new().build(),
        IpAddr::V6(_) => RouteMessageBuilder::<Ipv6Addr>::new().build(),
    };
    let mut routes = handle.route().get(any).execute();
    while let Some(route) = routes.try_next().await? {
        if route.header.destination_prefix_length == 0 && route.header.table == RouteHeader::RT_TABLE_MAIN {
            return Ok(());
        }
    }
    let mut addresses = handle.address().get().execute();
    let mut interface = None;
    while let Some(address) = addresses.try_next().await? {
        let has = |a: &AddressAttribute| matches!(a, AddressAttribute::Address(ip) | AddressAttribute::Local(ip) if *ip == node_ip);
        if address.attributes.iter().any(has) {
            interface = Some(address.header.index);
        }
    }
    let interface = interface.ok_or_else(|| anyhow!("no interface has the node's address {node_ip}"))?;
    let mut route = message(range);
    route.header.protocol = PROTOCOL;
    route.header.scope = RouteScope::Link;
    route.attributes.push(RouteAttribute::Oif(interface));
    route.attributes.push(RouteAttribute::PrefSource(node_ip.into()));
    handle.route().add(route).replace().execute().await?;
    Ok(())
}

/// Removes the route, if it is there and ours.
pub async fn remove(range: Cidr) -> anyhow::Result<()> {
    let (handle, connection) = connect()?;
    let mut route = message(range);
    route.header.protocol = PROTOCOL;
    route.header.scope = RouteScope::NoWhere;
    let result = handle.route().del(route).execute().await;
    connection.abort();
    match result {
        Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -nix::libc::ESRCH => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot remove the route for {range}")),
        Ok(()) => Ok(()),
    }
}
