//! The pod network: a CNI plugin, and the agent that keeps a node's part of the network.
//!
//! Every pod gets a veth pair and an address of its node's range. There is no bridge: the host has a /32 route per
//! pod, and the pod sends everything to a link-local gateway, so packets between two pods of a node pass the same
//! hooks as all others. [`plugin`] makes and removes that, once per pod, and exits. [`agent`] runs on each node:
//! it tells the plugin the node's range, and keeps the routes to the other nodes' ranges.
//!
//! Deliberately absent: IPv6, bandwidth limits, and Services (the proxy's business).

pub mod agent;
mod link;
mod nft;
pub mod plugin;
