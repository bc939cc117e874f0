//! Which API servers live. Each keeps a key of its own under a short etcd lease, as upstream's lease reconciler does, and
//! a `Lease` in kube-system that tells everyone its identity (KEP-1965). Whoever dies is forgotten with its key.

use std::{net::IpAddr, time::Duration};

use anyhow::Context;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::{Transaction, Write};

use super::write;
use crate::core::Core;

/// Between two signs of life.
pub const RENEWAL: Duration = Duration::from_secs(10);
/// Seconds after the last sign of life until a server counts as gone.
const TIME_TO_LIVE: i64 = 15;
/// Seconds that an identity stays valid; those of dead servers are removed after that.
const IDENTITY_SECONDS: i64 = 3600;

const KEYS: &str = "masterleases/";
const NAMESPACE: &str = "kube-system";
const IDENTITY_LABEL: &str = "apiserver.kubernetes.io/identity";
const IDENTITY: &str = "kube-apiserver";
/// RFC 4648's base32 in lower case.
const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// This server among its peers.
pub struct Living<'a> {
    core: &'a Core,
    address: IpAddr,
    /// Of the identity Lease: two servers of one machine differ by their ports.
    name: String,
    holder: String,
    host: String,
}

impl<'a> Living<'a> {
    pub fn new(core: &'a Core, address: IpAddr) -> Self {
        let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = format!("apiserver-{}", digest(&format!("{host}/{address}:{}", core.config.secure_port)));
        let holder = format!("{name}_{}", core.random.uid());
        Self { core, address, name, holder, host }
    }

    /// Says that this server lives, for the next seconds.
    pub async fn announce(&self) -> anyhow::Result<()> {
        let lease = self.core.store.short_lease(TIME_TO_LIVE).await?;
        let sign = json!({
            "kind": "Endpoints",
            "apiVersion": "v1",
            "metadata": {},
            "subsets": [{"addresses": [{"ip": self.address.to_string()}]}],
        });
        let value = sign.to_string().into();
        let writes = vec![Write::Put { key: self.key(), value, lease: Some(lease) }];
        self.core.store.commit(Transaction { checks: Vec::new(), writes }).await?;
        self.identify().await.context("the identity's Lease")
    }

    /// Says that this server goes.
    pub async fn withdraw(&self) -> anyhow::Result<()> {
        let writes = vec![Write::delete(self.key())];
        self.core.store.commit(Transaction { checks: Vec::new(), writes }).await?;
        Ok(())
    }

    /// The addresses of all servers that live, in order.
    pub async fn addresses(&self) -> anyhow::Result<Vec<IpAddr>> {
        let keys = self.core.store.keys_below(KEYS).await?;
        let mut addresses: Vec<IpAddr> = keys.iter().filter_map(|key| key.parse().ok()).collect();
        addresses.sort_unstable();
        Ok(addresses)
    }

    /// Removes the identities of servers that have been gone for long.
    pub async fn forget_the_dead(&self) -> anyhow::Result<()> {
        let Some(id) = self.core.resource("coordination.k8s.io", "leases") else { return Ok(()) };
        let now = self.core.clock.now().as_second();
        let leases = self.core.store.snapshot(&id).unwrap_or_default();
        for lease in leases.iter().filter(|lease| is_identity(&lease.value())) {
            let value = lease.value();
            let renewed: Option<jiff::Timestamp> =
                value["spec"]["renewTime"].as_str().and_then(|time| time.parse().ok());
            if renewed.is_none_or(|time| time.as_second() + IDENTITY_SECONDS < now) {
                let key = self.core.store.key(&id, NAMESPACE, lease.name());
                let checks = vec![store::Check::unchanged(key.clone(), lease.revision())];
                self.core.store.commit(Transaction { checks, writes: vec![Write::delete(key)] }).await?;
            }
        }
        Ok(())
    }

    fn key(&self) -> String {
        self.core.store.other_key(&format!("{KEYS}{}", self.address))
    }

    async fn identify(&self) -> anyhow::Result<()> {
        let now = self.core.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        let lease = json!({
            "metadata": {
                "name": self.name,
                "namespace": NAMESPACE,
                "labels": {IDENTITY_LABEL: IDENTITY, "kubernetes.io/hostname": self.host},
            },
            "spec": {
                "holderIdentity": self.holder,
                "leaseDurationSeconds": IDENTITY_SECONDS,
                "acquireTime": now,
                "renewTime": now,
            },
        });
        let renewed = |old: &Value| {
            let mut new = old.clone();
            if old["spec"]["holderIdentity"] == lease["spec"]["holderIdentity"] {
                new["spec"]["renewTime"] = json!(now);
            } else {
                new["spec"] = lease["spec"].clone();
            }
            Some(new)
        };
        write::ensure(self.core, "leases", "coordination.k8s.io/v1", lease.clone(), renewed).await
    }
}

fn is_identity(lease: &Value) -> bool {
    lease["metadata"]["namespace"] == NAMESPACE && lease["metadata"]["labels"][IDENTITY_LABEL] == IDENTITY
}

/// The first 128 bits of SHA-256 in base32, which a name may contain.
fn digest(text: &str) -> String {
    let hash = Sha256::digest(text);
    let bits: u128 = hash.iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte));
    let five = |at: u32| if at < 25 { bits >> (123 - 5 * at) } else { bits << 2 };
    (0..26).map(|at| char::from(DIGITS[(five(at) & 31) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_base32() {
        // printf host | sha256sum | cut -c1-32 | xxd -r -p | base32 | tr A-Z a-z
        assert_eq!(digest("host"), "i5ak4y2hwalsyajfj72vxls274");
    }
}
