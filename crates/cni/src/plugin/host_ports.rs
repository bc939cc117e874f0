//! Ports of the host that lead to a pod, in an nftables table of their own.
//!
//! Two maps hold all mappings; the chains never change. A pod reaching itself through the host is masqueraded, because
//! it would not answer its own address.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::answer::Outcome;
use super::config::{PluginConf, PortMapping};
use crate::nft;

/// The table's name, after the configured prefix.
pub const HOST_PORTS: &str = "hostports";

pub async fn add(conf: &PluginConf, mappings: impl Iterator<Item = &PortMapping>, pod: Ipv4Addr) -> Outcome<()> {
    let elements = elements("add", &table(&conf.table_prefix), mappings, pod);
    match elements.is_empty() {
        true => Ok(()),
        false => Ok(nft::apply(&(skeleton(&table(&conf.table_prefix)) + &elements)).await?),
    }
}

pub async fn delete(conf: &PluginConf, mappings: impl Iterator<Item = &PortMapping>, pod: Ipv4Addr) -> Outcome<()> {
    let table = table(&conf.table_prefix);
    let mappings: Vec<_> = mappings.collect();
    let removed = elements("delete", &table, mappings.iter().copied(), pod);
    if removed.is_empty() {
        return Ok(());
    }
    // Adding what is to be deleted first makes a deletion that happened before succeed.
    let added = elements("add", &table, mappings.iter().copied(), pod);
    Ok(nft::apply(&(skeleton(&table) + &added + &removed)).await?)
}

/// Removes all of it.
pub async fn remove(table_prefix: &str) -> anyhow::Result<()> {
    nft::remove_table(&table(table_prefix)).await
}

fn table(prefix: &str) -> String {
    format!("{prefix}-{HOST_PORTS}")
}

/// The table without elements. Loading it again changes nothing, because chains are emptied in the same transaction.
fn skeleton(table: &str) -> String {
    format!(
        "table ip {table} {{
  map any {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
  map one {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}
  set hairpin {{ type ipv4_addr . ipv4_addr; }}
  chain ports {{ }}
  chain prerouting {{ type nat hook prerouting priority dstnat + 5; }}
  chain output {{ type nat hook output priority -95; }}
  chain postrouting {{ type nat hook postrouting priority srcnat + 5; }}
}}
flush chain ip {table} ports
flush chain ip {table} prerouting
flush chain ip {table} output
flush chain ip {table} postrouting
add rule ip {table} ports dnat ip to ip daddr . meta l4proto . th dport map @one
add rule ip {table} ports dnat ip to meta l4proto . th dport map @any
add rule ip {table} prerouting fib daddr type local jump ports
add rule ip {table} output fib daddr type local ip daddr != 127.0.0.0/8 jump ports
add rule ip {table} postrouting ct status dnat ip saddr . ip daddr @hairpin masquerade
"
    )
}

fn elements<'a>(verb: &str, table: &str, mappings: impl Iterator<Item = &'a PortMapping>, pod: Ipv4Addr) -> String {
    let mut script = String::new();
    for mapping in mappings {
        let protocol = match mapping.protocol.to_lowercase() {
            empty if empty.is_empty() => "tcp".to_owned(),
            other => other,
        };
        let (map, key) = match mapping.host_ip.as_str() {
            "" | "0.0.0.0" => ("any", String::new()),
            ip => ("one", format!("{ip} . ")),
        };
        let (host, container) = (mapping.host_port, mapping.container_port);
        writeln!(script, "{verb} element ip {table} {map} {{ {key}{protocol} . {host} : {pod} . {container} }}").ok();
    }
    if !script.is_empty() {
        writeln!(script, "{verb} element ip {table} hairpin {{ {pod} . {pod} }}").ok();
    }
    script
}
