//! Notices when somebody else takes rules of ours away: a firewall's `nft flush ruleset`, a person, another proxy.
//!
//! The kernel tells of every change to nftables, with the process that made it. What our own `nft` does is left out; so
//! is what others add, since that takes nothing from us.

use std::{collections::VecDeque, io::ErrorKind, sync::Arc};

use anyhow::Context;
use parking_lot::Mutex;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_NETFILTER};
use tokio::sync::Notify;

/// The group of changes to nftables (NFNLGRP_NFTABLES), and their subsystem's number in message types.
const GROUP: u32 = 7;
const SUBSYSTEM: u16 = 10;
/// NFT_MSG_DELTABLE, DELCHAIN, DELRULE and DELSETELEM.
const DELETIONS: [u16; 4] = [2, 5, 8, 14];
/// The attribute with the table's name; the same in all of these.
const TABLE_NAME: u16 = 1;
const HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;
/// News of a process's changes comes while it runs or just after.
const OWN_PROCESSES: usize = 16;

/// The processes of ours that changed rules lately.
#[derive(Clone, Default)]
pub struct Own(Arc<Mutex<VecDeque<u32>>>);

impl Own {
    pub fn add(&self, process: u32) {
        let mut processes = self.0.lock();
        processes.push_back(process);
        if processes.len() > OWN_PROCESSES {
            processes.pop_front();
        }
    }

    fn has(&self, process: u32) -> bool {
        self.0.lock().contains(&process)
    }
}

/// Notifies of every deletion in tables of this name by a process that is not ours, until the process ends.
///
/// # Errors
/// When the kernel does not let us listen.
pub fn watch(table: &str, own: Own, notify: Arc<Notify>) -> anyhow::Result<()> {
    let mut socket = TokioSocket::new(NETLINK_NETFILTER).context("cannot open a netfilter socket")?;
    socket.socket_mut().bind(&SocketAddr::new(0, 1 << (GROUP - 1))).context("cannot listen to nftables")?;
    let table = table.to_owned();
    tokio::spawn(async move {
        loop {
            match socket.recv_from_full().await {
                Ok((bytes, _)) => {
                    if deletions(&bytes, &table).any(|process| !own.has(process)) {
                        notify.notify_one();
                    }
                }
                // More news than the socket holds: a large transaction, most likely our own.
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(%error, "no longer listening to nftables");
                    return;
                }
            }
        }
    });
    Ok(())
}

/// Who deleted something of the table's, by the messages of one datagram.
fn deletions<'a>(bytes: &'a [u8], table: &'a str) -> impl Iterator<Item = u32> {
    messages(bytes).filter_map(move |message| {
        let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
        let process = u32::from_ne_bytes(message.get(12..16)?.try_into().ok()?);
        let deletes = kind >> 8 == SUBSYSTEM && DELETIONS.contains(&(kind & 0xff));
        (deletes && table_name(message.get(HEADER + FAMILY_HEADER..)?)? == table.as_bytes()).then_some(process)
    })
}

/// Cuts a datagram at the lengths its messages give.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let message = bytes.get(..length).filter(|_| length >= HEADER)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

fn table_name(mut attributes: &[u8]) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(attributes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?);
        let value = attributes.get(4..length)?;
        if kind == TABLE_NAME {
            return value.split(|byte| *byte == 0).next();
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, process: u32, table: &str) -> Vec<u8> {
        let mut attribute = Vec::new();
        attribute.extend((table.len() as u16 + 5).to_ne_bytes());
        attribute.extend(TABLE_NAME.to_ne_bytes());
        attribute.extend(table.as_bytes());
        attribute.push(0);
        attribute.resize(attribute.len().next_multiple_of(4), 0);
        let mut message = Vec::new();
        message.extend(((HEADER + FAMILY_HEADER + attribute.len()) as u32).to_ne_bytes());
        message.extend((SUBSYSTEM << 8 | kind).to_ne_bytes());
        message.extend([0; 6]);
        message.extend(process.to_ne_bytes());
        message.extend([2, 0, 0, 0]);
        message.extend(attribute);
        message
    }

    #[test]
    fn finds_deletions_of_ours() {
        let check = |datagram: &[Vec<u8>], want: &[u32]| {
            assert_eq!(deletions(&datagram.concat(), "kogge-proxy").collect::<Vec<_>>(), want);
        };
        check(&[], &[]);
        check(&[message(2, 7, "kogge-proxy")], &[7]);
        check(&[message(0, 7, "kogge-proxy")], &[]);
        check(&[message(2, 7, "kogge-proxy-2")], &[]);
        check(&[message(6, 7, "kogge-proxy"), message(8, 8, "kogge-proxy"), message(14, 9, "other")], &[8]);
        check(&[message(8, 8, "kogge-proxy")[..18].to_vec()], &[]);
    }
}
