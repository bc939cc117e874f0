//! Entering a pod's network namespace and coming back.

use std::fs::File;

use anyhow::Context as _;
use nix::sched::{CloneFlags, setns};
use rtnetlink::Handle;

use crate::link;

/// The namespace at a path.
pub fn open(path: &str) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("opening the network namespace {path}"))
}

/// A netlink connection inside a namespace. The thread is back in its own when this returns: a socket stays where it
/// was opened.
pub fn connect_in(namespace: &File) -> anyhow::Result<Handle> {
    let own = open("/proc/self/ns/net")?;
    setns(namespace, CloneFlags::CLONE_NEWNET).context("entering the network namespace")?;
    let connected = link::connect();
    setns(&own, CloneFlags::CLONE_NEWNET).context("leaving the network namespace")?;
    connected
}
