//! Amounts such as `100m`, `1.5Gi` and `2e3` (API convention: resource.Quantity).
//!
//! Held exactly as a count of billionths, which is upstream's finest step; finer input is rounded up as upstream
//! does. Amounts beyond ±(2⁶³−1) units are refused rather than silently clamped.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    iter::Sum,
    ops::{Add, AddAssign, Sub, SubAssign},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const NANO: i128 = 1_000_000_000;
const MAX_NANOS: i128 = i64::MAX as i128 * NANO;

/// How an amount is written; it does not matter to comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `1e3`
    DecimalExponent,
    /// `1Ki`
    BinarySi,
    /// `1k`
    #[default]
    DecimalSi,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseQuantityError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse quantity's suffix")]
    Suffix,
    #[error("quantity is out of range")]
    Range,
}

impl Quantity {
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };

    pub fn parse(text: &str) -> Result<Self, ParseQuantityError> {
        let (negative, rest) = match text.as_bytes().first() {
            None => return Err(ParseQuantityError::Format),
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            Some(_) => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(ParseQuantityError::Format);
        }
        let (format, scale) = parse_suffix(suffix)?;
        let magnitude = scaled_nanos(whole, fraction, scale)?;
        Ok(Self { nanos: if negative { -magnitude } else { magnitude }, format })
    }

    /// An amount of whole units.
    pub fn from_value(value: i64, format: Format) -> Self {
        Self { nanos: i128::from(value) * NANO, format }
    }

    /// An amount of thousandths, written in the decimal form.
    pub fn from_milli(milli: i64) -> Self {
        Self { nanos: i128::from(milli) * (NANO / 1000), format: Format::DecimalSi }
    }

    /// Whole units, rounded up (away from zero never: towards plus infinity for positive amounts).
    pub fn value(&self) -> i64 {
        clamp(ceil_div(self.nanos, NANO))
    }

    /// Thousandths, rounded up; clamped to the range of `i64`.
    pub fn milli_value(&self) -> i64 {
        clamp(ceil_div(self.nanos, NANO / 1000))
    }

    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// −1, 0 or 1.
    pub fn signum(&self) -> i32 {
        self.nanos.signum() as i32
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn as_f64(&self) -> f64 {
        self.nanos as f64 / NANO as f64
    }
}

fn clamp(n: i128) -> i64 {
    i64::try_from(n).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX })
}

/// Rounds away from zero, as upstream does.
fn ceil_div(n: i128, by: i128) -> i128 {
    let quotient = n / by;
    if n % by == 0 { quotient } else { quotient + n.signum() }
}

enum Scale {
    Ten(i32),
    Two(u32),
}

fn parse_suffix(suffix: &str) -> Result<(Format, Scale), ParseQuantityError> {
    use Format::{BinarySi, DecimalExponent, DecimalSi};
    Ok(match suffix {
        "n" => (DecimalSi, Scale::Ten(-9)),
        "u" => (DecimalSi, Scale::Ten(-6)),
        "m" => (DecimalSi, Scale::Ten(-3)),
        "" => (DecimalSi, Scale::Ten(0)),
        "k" => (DecimalSi, Scale::Ten(3)),
        "M" => (DecimalSi, Scale::Ten(6)),
        "G" => (DecimalSi, Scale::Ten(9)),
        "T" => (DecimalSi, Scale::Ten(12)),
        "P" => (DecimalSi, Scale::Ten(15)),
        "E" => (DecimalSi, Scale::Ten(18)),
        "Ki" => (BinarySi, Scale::Two(10)),
        "Mi" => (BinarySi, Scale::Two(20)),
        "Gi" => (BinarySi, Scale::Two(30)),
        "Ti" => (BinarySi, Scale::Two(40)),
        "Pi" => (BinarySi, Scale::Two(50)),
        "Ei" => (BinarySi, Scale::Two(60)),
        exponent => {
            let digits = exponent.strip_prefix(['e', 'E']).ok_or(ParseQuantityError::Suffix)?;
            let power: i32 = digits.parse().map_err(|_| ParseQuantityError::Suffix)?;
            (DecimalExponent, Scale::Ten(power))
        }
    })
}

fn scaled_nanos(whole: &str, fraction: &str, scale: Scale) -> Result<i128, ParseQuantityError> {
    let digits: String = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Ok(0);
    }
    let (power, factor) = match scale {
        Scale::Ten(power) => (power, 1),
        Scale::Two(bits) => (0, 1_i128 << bits),
    };
    // amount in nanos = digits × 10^exponent × factor
    let exponent = i64::from(power) + 9 - fraction.len() as i64;
    let (digits, exponent) = shorten(digits, exponent);
    let number: i128 = digits.parse().map_err(|_| ParseQuantityError::Range)?;
    let number = number.checked_mul(factor).ok_or(ParseQuantityError::Range)?;
    let nanos = if exponent >= 0 {
        let by = u32::try_from(exponent).ok().and_then(|e| 10_i128.checked_pow(e)).ok_or(ParseQuantityError::Range)?;
        number.checked_mul(by).ok_or(ParseQuantityError::Range)?
    } else {
        match u32::try_from(-exponent).ok().and_then(|e| 10_i128.checked_pow(e)) {
            Some(by) => ceil_div(number, by),
            None => 1, // more than zero, less than the finest step
        }
    };
    if nanos > MAX_NANOS { Err(ParseQuantityError::Range) } else { Ok(nanos) }
}

/// Drops what cannot matter: trailing zeros, and digits far below the finest step (kept as one that rounds up).
fn shorten(digits: &str, exponent: i64) -> (String, i64) {
    let trimmed = digits.trim_end_matches('0');
    let exponent = exponent + (digits.len() - trimmed.len()) as i64;
    const KEPT: usize = 19;
    if trimmed.len() > KEPT && exponent < 0 {
        let dropped = (trimmed.len() - KEPT).min(usize::try_from(-exponent).unwrap_or(usize::MAX));
        let (head, tail) = trimmed.split_at(trimmed.len() - dropped);
        let rest = if tail.bytes().any(|b| b != b'0') { "1" } else { "0" };
        return (format!("{head}{rest}"), exponent + dropped as i64 - 1);
    }
    (trimmed.to_owned(), exponent)
}

impl fmt::Display for Quantity {
    /// The canonical form: no fraction, the largest suffix that allows that (API convention).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        // What is small, or no whole number, is written as a decimal, so that nothing is lost.
        let is_binary = self.nanos.abs() >= 1024 * NANO && self.nanos % NANO == 0;
        match self.format {
            Format::BinarySi if is_binary => {
                let mut value = self.nanos / NANO;
                let mut power = 0;
                while value % 1024 == 0 && power < 6 {
                    value /= 1024;
                    power += 1;
                }
                write!(f, "{value}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power])
            }
            format => {
                let (mut value, mut power) = (self.nanos, -9);
                while value % 1000 == 0 && power < 18 {
                    value /= 1000;
                    power += 3;
                }
                match format {
                    Format::DecimalExponent if power != 0 => write!(f, "{value}e{power}"),
                    Format::DecimalExponent => write!(f, "{value}"),
                    _ => {
                        let suffixes = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
                        write!(f, "{value}{}", suffixes[((power + 9) / 3) as usize])
                    }
                }
            }
        }
    }
}

impl FromStr for Quantity {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> for Quantity {
    type Error = ParseQuantityError;

    fn try_from(wire: &k8s_openapi::apimachinery::pkg::api::resource::Quantity) -> Result<Self, Self::Error> {
        Self::parse(&wire.0)
    }
}

impl From<Quantity> for k8s_openapi::apimachinery::pkg::api::resource::Quantity {
    fn from(quantity: Quantity) -> Self {
        Self(quantity.to_string())
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl Hash for Quantity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.nanos.hash(state);
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Add for Quantity {
    type Output = Self;

    /// The sum in the form of the first operand, or of the second when the first is zero.
    fn add(self, other: Self) -> Self {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_add(other.nanos), format }
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_sub(other.nanos), format }
    }
}

impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Quantity {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    /// From a string or, as upstream allows, a bare number.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            Text(String),
            Number(serde_json::Number),
        }
        let text = match Wire::deserialize(deserializer)? {
            Wire::Text(text) => text,
            Wire::Number(number) => number.to_string(),
        };
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, canonical: &str, value: i64, milli: i64) {
        let quantity = Quantity::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(quantity.to_string(), canonical, "{text}");
        assert_eq!(quantity.value(), value, "{text}");
        assert_eq!(quantity.milli_value(), milli, "{text}");
    }

    #[test]
    fn canonical_forms() {
        check("1.1Gi", "1181116006400m", 1_181_116_007, 1_181_116_006_400);
        check("0", "0", 0, 0);
        check("100m", "100m", 1, 100);
        check("1.5", "1500m", 2, 1500);
        check("1000", "1k", 1000, 1_000_000);
        check("1024Ki", "1Mi", 1 << 20, (1 << 20) * 1000);
        check("1.5Gi", "1536Mi", 1_610_612_736, 1_610_612_736_000);
        check("0.5Ki", "512", 512, 512_000);
        check("1e3", "1e3", 1000, 1_000_000);
        check("12", "12", 12, 12_000);
        check("-1.5", "-1500m", -2, -1500);
        check("1E", "1E", 1_000_000_000_000_000_000, i64::MAX);
        check("0.0000000001", "1n", 1, 1);
        check("+5", "5", 5, 5000);
        check(".5", "500m", 1, 500);
        check("5.", "5", 5, 5000);
        check("123456789012.1234567891", "123456789012123456790n", 123_456_789_013, 123_456_789_012_124);
    }

    #[test]
    fn bad_input_is_refused() {
        for text in ["", "a", "1.2.3", "1Kii", "1 Gi", "-", ".", "1e", "99999999999999999999E", "1ki"] {
            assert!(Quantity::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn arithmetic_and_order() {
        let a = Quantity::parse("1Gi").unwrap();
        let b = Quantity::parse("1024Mi").unwrap();
        assert_eq!(a, b);
        assert_eq!((a + b).to_string(), "2Gi");
        assert_eq!((a - b), Quantity::ZERO);
        assert!(Quantity::parse("999m").unwrap() < Quantity::parse("1").unwrap());
    }

    #[test]
    fn json_takes_numbers_and_strings() {
        let parsed: Vec<Quantity> = serde_json::from_str(r#"["1", 2, 0.5]"#).unwrap();
        assert_eq!(serde_json::to_string(&parsed).unwrap(), r#"["1","2","500m"]"#);
    }
}
