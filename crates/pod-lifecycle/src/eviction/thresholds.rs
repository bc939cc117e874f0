//! The thresholds of a `KubeletConfiguration`, and when an observation meets one.

use super::{Condition, Observation};
use api_types::Quantity;
use std::{collections::BTreeMap, time::Duration};

/// What is measured. The order is that in which shortages are relieved: memory first, for the kernel waits for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    MemoryAvailable,
    NodeFsAvailable,
    NodeFsInodesFree,
    ImageFsAvailable,
    ImageFsInodesFree,
    PidAvailable,
}

impl Signal {
    pub const ALL: [Signal; 6] = [
        Signal::MemoryAvailable,
        Signal::NodeFsAvailable,
        Signal::NodeFsInodesFree,
        Signal::ImageFsAvailable,
        Signal::ImageFsInodesFree,
        Signal::PidAvailable,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Signal::MemoryAvailable => "memory.available",
            Signal::NodeFsAvailable => "nodefs.available",
            Signal::NodeFsInodesFree => "nodefs.inodesFree",
            Signal::ImageFsAvailable => "imagefs.available",
            Signal::ImageFsInodesFree => "imagefs.inodesFree",
            Signal::PidAvailable => "pid.available",
        }
    }

    pub fn condition(self) -> Condition {
        match self {
            Signal::MemoryAvailable => Condition::MemoryPressure,
            Signal::PidAvailable => Condition::PidPressure,
            _ => Condition::DiskPressure,
        }
    }

    /// What pods give back, in the words of events and messages.
    pub fn resource(self) -> &'static str {
        match self {
            Signal::MemoryAvailable => "memory",
            Signal::NodeFsAvailable | Signal::ImageFsAvailable => "ephemeral-storage",
            Signal::NodeFsInodesFree | Signal::ImageFsInodesFree => "inodes",
            Signal::PidAvailable => "pids",
        }
    }

    /// Whether removing ended containers and unused images may help.
    pub fn is_disk(self) -> bool {
        self.condition() == Condition::DiskPressure
    }
}

/// A quantity, or a part of the capacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    Quantity(Quantity),
    /// 0 to 100.
    Percent(f64),
}

impl Amount {
    pub fn of(&self, capacity: u64) -> u64 {
        match self {
            Amount::Quantity(quantity) => u64::try_from(quantity.value()).unwrap_or(0),
            Amount::Percent(percent) => (capacity as f64 * percent / 100.0) as u64,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|p| (0.0..=100.0).contains(p)).map(Amount::Percent),
            None => Quantity::parse(text).ok().filter(|q| q.signum() >= 0).map(Amount::Quantity),
        }
    }

    fn is_zero(&self) -> bool {
        match self {
            Amount::Quantity(quantity) => quantity.is_zero(),
            Amount::Percent(percent) => *percent == 0.0,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    pub signal: Signal,
    pub amount: Amount,
    /// How long it must be met; zero for a hard one.
    pub grace: Duration,
    /// Met once, it stays met until there is so much more.
    pub reclaim: Option<Amount>,
}

impl Threshold {
    pub fn is_hard(&self) -> bool {
        self.grace.is_zero()
    }

    pub fn met(&self, seen: Observation, reclaiming: bool) -> bool {
        let extra = self.reclaim.as_ref().filter(|_| reclaiming).map_or(0, |extra| extra.of(seen.capacity));
        seen.capacity > 0 && seen.available < self.amount.of(seen.capacity).saturating_add(extra)
    }
}

/// The maps of the configuration, as texts.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    pub hard: &'a BTreeMap<String, String>,
    pub soft: &'a BTreeMap<String, String>,
    pub soft_grace: &'a BTreeMap<String, Duration>,
    pub minimum_reclaim: &'a BTreeMap<String, String>,
}

/// What is wrong with the configuration, in upstream's words where it has some.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

pub fn parse(given: Given) -> Result<Vec<Threshold>, Invalid> {
    let mut all = vec![];
    for (name, text) in given.hard {
        all.extend(one(name, text, Duration::ZERO, given)?);
    }
    for (name, text) in given.soft {
        let Some(grace) = given.soft_grace.get(name) else {
            return Err(Invalid(format!("grace period must be specified for the soft eviction threshold {name}")));
        };
        if grace.is_zero() {
            return Err(Invalid(format!("invalid eviction grace period specified: {name}, must be a positive value")));
        }
        all.extend(one(name, text, *grace, given)?);
    }
    if let Some(name) = given.minimum_reclaim.keys().find(|name| signal(name).is_none()) {
        return Err(Invalid(format!("unknown eviction signal {name}")));
    }
    Ok(all)
}

/// A threshold of nothing switches the signal off.
fn one(name: &str, text: &str, grace: Duration, given: Given) -> Result<Option<Threshold>, Invalid> {
    let signal = signal(name).ok_or_else(|| Invalid(format!("unknown eviction signal {name}")))?;
    let amount = |text: &str| {
        Amount::parse(text).ok_or_else(|| Invalid(format!("eviction threshold {name}: {text:?} is no amount")))
    };
    let reclaim = given.minimum_reclaim.get(name).map(|text| amount(text)).transpose()?;
    let amount = amount(text)?;
    Ok((!amount.is_zero()).then_some(Threshold { signal, amount, grace, reclaim }))
}

fn signal(name: &str) -> Option<Signal> {
    Signal::ALL.into_iter().find(|signal| signal.as_str() == name)
}
