//! Which addresses of the node's range are in use: a file per address, under a lock.
//!
//! A file's name is the address, its content the container and device that have it. The next address is the one after
//! the last given out, so that an address just freed, which others may remember, rests as long as possible.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use super::answer::{Failure, Outcome};
use super::config::{Call, PluginConf};
use super::wire;

/// An address whose device is not there is taken away from its owner after this time, and only if the range is full.
const ABANDONED: Duration = Duration::from_secs(60);

/// The pool, locked for as long as this value lives.
pub struct Pool {
    dir: PathBuf,
    first: u32,
    last: u32,
    lock: Flock<File>,
}

impl Pool {
    /// Opens the pool of the configured range; another call that has it open is waited for.
    pub fn open(conf: &PluginConf) -> Outcome<Pool> {
        let (first, last) = range(&conf.pod_cidr)?;
        let dir = conf.state_dir.join("addresses");
        fs::create_dir_all(&dir).map_err(|error| Failure::io(&error))?;
        let lock =
            File::options().create(true).truncate(false).read(true).write(true).open(conf.state_dir.join("lock"));
        let lock = lock.map_err(|error| Failure::io(&error))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| Failure::io(&errno.into()))?;
        Ok(Pool { dir, first, last, lock })
    }

    /// The container's address: the one it has, or a free one.
    pub fn take(&self, call: &Call) -> Outcome<Ipv4Addr> {
        if let Some(address) = self.address_of(call)? {
            return Ok(address);
        }
        let free = self.free()?.map_or_else(|| self.abandoned(), Ok)?;
        fs::write(self.dir.join(free.to_string()), owner(call)).map_err(|error| Failure::io(&error))?;
        // In the lock's own file: who reads it has the lock.
        nix::unistd::ftruncate(&*self.lock, 0).map_err(|errno| Failure::io(&errno.into()))?;
        nix::sys::uio::pwrite(&*self.lock, free.to_string().as_bytes(), 0)
            .map_err(|errno| Failure::io(&errno.into()))?;
        Ok(free)
    }

    /// The address a container has.
    pub fn address_of(&self, call: &Call) -> Outcome<Option<Ipv4Addr>> {
        let owner = owner(call);
        let mut taken = self.taken()?;
        Ok(taken.find(|address| fs::read_to_string(self.dir.join(address.to_string())).is_ok_and(|text| text == owner)))
    }

    /// Frees the container's address, if it has one.
    pub fn give_back(&self, call: &Call) -> Outcome<()> {
        match self.address_of(call)? {
            Some(address) => fs::remove_file(self.dir.join(address.to_string())).map_err(|error| Failure::io(&error)),
            None => Ok(()),
        }
    }

    /// A free address, beginning after the last one given out.
    fn free(&self) -> Outcome<Option<Ipv4Addr>> {
        let taken: std::collections::HashSet<u32> = self.taken()?.map(Ipv4Addr::to_bits).collect();
        let mut text = [0; 15];
        let read = nix::sys::uio::pread(&*self.lock, &mut text, 0).map_err(|errno| Failure::io(&errno.into()))?;
        let last = std::str::from_utf8(&text[..read]).ok().and_then(|text| text.parse::<Ipv4Addr>().ok());
        let last = last.map(Ipv4Addr::to_bits).filter(|last| (self.first..=self.last).contains(last));
        let start = last.map_or(self.first, |last| last + 1);
        let mut candidates = (start..=self.last).chain(self.first..start);
        Ok(candidates.find(|address| !taken.contains(address)).map(Ipv4Addr::from_bits))
    }

    /// An address that somebody took and then vanished without a word.
    fn abandoned(&self) -> Outcome<Ipv4Addr> {
        let mut taken = self.taken()?;
        let abandoned = taken.find(|address| {
            let path = self.dir.join(address.to_string());
            let old = fs::metadata(&path)
                .and_then(|data| data.modified())
                .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED));
            let device = fs::read_to_string(&path).ok().and_then(|text| {
                let (container, device) = text.split_once('\n')?;
                Some(wire::host_device(container, device))
            });
            old && device.is_none_or(|device| !PathBuf::from("/sys/class/net").join(device).exists())
        });
        abandoned.ok_or_else(|| Failure::again("the node's range of pod addresses is used up".to_owned()))
    }

    fn taken(&self) -> Outcome<impl Iterator<Item = Ipv4Addr>> {
        let entries = fs::read_dir(&self.dir).map_err(|error| Failure::io(&error))?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
    }
}

fn owner(call: &Call) -> String {
    format!("{}\n{}", call.container, call.device)
}

/// The addresses of a range that pods may have: not the network's, not the first (some expect a gateway there), not
/// the broadcast address.
fn range(cidr: &str) -> Outcome<(u32, u32)> {
    let bad = || Failure::configuration(format!("podCIDR {cidr:?} is not a usable IPv4 range"));
    let (base, bits) = cidr.split_once('/').ok_or_else(bad)?;
    let base: Ipv4Addr = base.parse().map_err(|_| bad())?;
    let bits: u32 = bits.parse().map_err(|_| bad())?;
    if !(8..=30).contains(&bits) {
        return Err(bad());
    }
    let size = 1u32 << (32 - bits);
    let base = base.to_bits() & !(size - 1);
    Ok((base + 2.min(size - 2), base + size - 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(name: &str, cidr: &str) -> PluginConf {
        let state_dir = std::env::temp_dir().join(format!("kogge-cni-pool-{name}-{}", std::process::id()));
        fs::remove_dir_all(&state_dir).ok();
        fs::create_dir_all(&state_dir).unwrap();
        PluginConf {
            pod_cidr: cidr.to_owned(),
            node_ip: Ipv4Addr::LOCALHOST,
            state_dir,
            mtu: 1500,
            table_prefix: "test".to_owned(),
        }
    }

    fn call(container: &str) -> Call {
        Call { container: container.to_owned(), device: "eth0".to_owned(), namespace: String::new() }
    }

    #[test]
    fn ranges() {
        let check = |cidr: &str, want: Option<(&str, &str)>| {
            let got =
                range(cidr).ok().map(|(a, b)| (Ipv4Addr::from_bits(a).to_string(), Ipv4Addr::from_bits(b).to_string()));
            assert_eq!(got, want.map(|(a, b)| (a.to_owned(), b.to_owned())), "{cidr}");
        };
        check("10.244.1.0/24", Some(("10.244.1.2", "10.244.1.254")));
        check("10.244.1.7/24", Some(("10.244.1.2", "10.244.1.254")));
        check("10.0.0.0/30", Some(("10.0.0.2", "10.0.0.2")));
        check("10.0.0.0/31", None);
        check("10.0.0.0", None);
        check("fd00::/64", None);
    }

    #[test]
    fn an_address_just_freed_rests() {
        let conf = conf("rests", "10.0.0.0/29");
        let take = |name: &str| Pool::open(&conf).unwrap().take(&call(name)).map(|address| address.octets()[3]);
        assert_eq!(take("a").unwrap(), 2);
        assert_eq!(take("a").unwrap(), 2, "asked again, the same");
        assert_eq!(take("b").unwrap(), 3);
        Pool::open(&conf).unwrap().give_back(&call("a")).unwrap();
        assert_eq!(take("c").unwrap(), 4);
        assert_eq!(take("d").unwrap(), 5);
        assert_eq!(take("e").unwrap(), 6);
        assert_eq!(take("f").unwrap(), 2, "round again");
        assert_eq!(take("g").unwrap_err().code, 11, "full");
        Pool::open(&conf).unwrap().give_back(&call("nobody")).unwrap();
        fs::remove_dir_all(&conf.state_dir).unwrap();
    }
}
