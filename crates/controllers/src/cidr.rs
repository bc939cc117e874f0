//! Ranges of IP addresses, both families in one arithmetic.

use std::{fmt, net::IpAddr, str::FromStr};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    v6: bool,
    /// IPv4 addresses are in the low 32 bits.
    base: u128,
    prefix: u8,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a CIDR")]
pub struct ParseError(String);

impl Cidr {
    /// 32 or 128.
    pub fn width(&self) -> u8 {
        if self.v6 { 128 } else { 32 }
    }

    pub fn is_v6(&self) -> bool {
        self.v6
    }

    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    fn host_bits(&self) -> u32 {
        u32::from(self.width() - self.prefix)
    }

    fn last(&self) -> u128 {
        self.base | low_bits(self.host_bits())
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        self.v6 == other.v6 && self.base <= other.last() && other.base <= self.last()
    }

    /// How many ranges of this prefix length it has; at most `u64::MAX`.
    pub fn parts(&self, prefix: u8) -> u64 {
        match prefix.checked_sub(self.prefix) {
            Some(bits) => 1_u64.checked_shl(bits.into()).unwrap_or(u64::MAX),
            None => 0,
        }
    }

    /// The range number `index` of this prefix length.
    pub fn part(&self, prefix: u8, index: u64) -> Self {
        let size_bits = u32::from(self.width() - prefix);
        let offset = u128::from(index).checked_shl(size_bits).unwrap_or_default();
        Self { v6: self.v6, base: self.base + offset, prefix }
    }

    /// The numbers of the ranges of this prefix length that `other` touches.
    pub fn touched(&self, prefix: u8, other: &Self) -> Option<std::ops::RangeInclusive<u64>> {
        if !self.overlaps(other) {
            return None;
        }
        let size_bits = u32::from(self.width() - prefix);
        let number = |address: u128| u64::try_from((address - self.base) >> size_bits).unwrap_or(u64::MAX);
        Some(number(other.base.max(self.base))..=number(other.last().min(self.last())))
    }
}

fn low_bits(bits: u32) -> u128 {
    if bits >= 128 { u128::MAX } else { (1 << bits) - 1 }
}

impl FromStr for Cidr {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = || ParseError(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(error)?;
        let (v6, base) = match address.parse().map_err(|_| error())? {
            IpAddr::V4(address) => (false, u128::from(address.to_bits())),
            IpAddr::V6(address) => (true, address.to_bits()),
        };
        let mut cidr = Self { v6, base, prefix: prefix.parse().map_err(|_| error())? };
        if cidr.prefix > cidr.width() {
            return Err(error());
        }
        cidr.base &= !low_bits(cidr.host_bits());
        Ok(cidr)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = if self.v6 {
            IpAddr::V6(self.base.into())
        } else {
            IpAddr::V4(u32::try_from(self.base).unwrap_or_default().into())
        };
        write!(f, "{address}/{}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn parts_and_overlaps() {
        let cluster = cidr("10.244.0.0/16");
        assert_eq!(cluster.parts(24), 256);
        assert_eq!(cluster.part(24, 3).to_string(), "10.244.3.0/24");
        assert_eq!(cluster.touched(24, &cidr("10.244.4.0/23")), Some(4..=5));
        assert_eq!(cluster.touched(24, &cidr("10.244.7.128/25")), Some(7..=7));
        assert_eq!(cluster.touched(24, &cidr("10.0.0.0/8")), Some(0..=255));
        assert_eq!(cluster.touched(24, &cidr("10.96.0.0/16")), None);
        assert!(!cluster.overlaps(&cidr("fd00::/8")));
        assert_eq!(cidr("fd00:10:244::/56").part(64, 2).to_string(), "fd00:10:244:2::/64");
        assert_eq!(cidr("10.244.9.9/16").to_string(), "10.244.0.0/16");
        assert!("10.0.0.0/33".parse::<Cidr>().is_err());
        assert!("10.0.0.0".parse::<Cidr>().is_err());
    }
}
