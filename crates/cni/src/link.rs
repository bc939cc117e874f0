//! The few netlink requests that the plugin and the agent share.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context as _;
use futures::TryStreamExt as _;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::{Error, Handle, LinkUnspec, RouteMessageBuilder};

/// A link-layer address.
pub type Mac = [u8; 6];

/// A connection in the calling thread's network namespace. Must be called within a runtime.
pub fn connect() -> anyhow::Result<Handle> {
    let (connection, handle, _) = rtnetlink::new_connection().context("opening a netlink socket")?;
    tokio::spawn(connection);
    Ok(handle)
}

/// The device of that name, if there is one.
pub async fn find(handle: &Handle, name: &str) -> anyhow::Result<Option<LinkMessage>> {
    match handle.link().get().match_name(name).execute().try_next().await {
        Ok(link) => Ok(link),
        Err(error) if is_errno(&error, libc::ENODEV) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("looking for the device {name}")),
    }
}

/// The index of a device that must be there.
pub async fn index(handle: &Handle, name: &str) -> anyhow::Result<u32> {
    Ok(find(handle, name).await?.with_context(|| format!("there is no device {name}"))?.header.index)
}

pub async fn set_up(handle: &Handle, index: u32) -> anyhow::Result<()> {
    let up = LinkUnspec::new_with_index(index).up().build();
    handle.link().set(up).execute().await.with_context(|| format!("setting the device {index} up"))
}

/// Deletes a device; what is gone already is fine.
pub async fn delete(handle: &Handle, name: &str) -> anyhow::Result<()> {
    let Some(link) = find(handle, name).await? else { return Ok(()) };
    match handle.link().del(link.header.index).execute().await {
        Err(error) if !is_errno(&error, libc::ENODEV) => Err(error).with_context(|| format!("deleting {name}")),
        _ => Ok(()),
    }
}

/// Tells the device for good which link-layer address stands behind an address.
pub async fn set_neighbour(handle: &Handle, index: u32, address: Ipv4Addr, mac: Mac) -> anyhow::Result<()> {
    let add = handle.neighbours().add(index, IpAddr::V4(address)).link_layer_address(&mac).replace();
    add.execute().await.with_context(|| format!("the neighbour {address}"))
}

/// A route to one address or range through a device.
pub fn route(to: Ipv4Addr, bits: u8, device: u32) -> RouteMessageBuilder<Ipv4Addr> {
    RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to, bits).output_interface(device)
}

/// Makes a route, or changes the one that goes to the same place.
pub async fn set_route(handle: &Handle, route: RouteMessage) -> anyhow::Result<()> {
    let what = format!("{:?}", route.attributes);
    handle.route().add(route).replace().execute().await.with_context(|| format!("making the route {what}"))
}

pub fn is_errno(error: &Error, errno: i32) -> bool {
    matches!(error, Error::NetlinkError(message) if message.raw_code() == -errno)
}
