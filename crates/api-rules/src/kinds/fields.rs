//! Checks of single fields that kinds of several groups share, in upstream's words.

use std::collections::BTreeMap;

use api_types::{
    Quantity,
    field::{FieldError, Path},
    k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text,
};
use serde::Serialize;
use serde_json::json;

use crate::names::{self, report};

type Errors = Vec<FieldError>;

const DRIVER_NAME_MAX: usize = 63;
const PARAMETERS_MAX: usize = 512;
const PARAMETERS_BYTES_MAX: usize = 256 * 1024;

/// The field may not change.
pub fn kept<T: PartialEq + Serialize>(new: &T, old: &T, path: &Path, errors: &mut Errors) {
    if new != old {
        errors.push(FieldError::invalid(path, json!(new), "field is immutable"));
    }
}

/// The field must be set.
pub fn required(text: &str, path: &Path, errors: &mut Errors) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
}

/// The field must be set, and have this form.
pub fn named(text: &str, rule: fn(&str) -> Vec<String>, path: &Path, errors: &mut Errors) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else {
        report(rule(text), path, text, errors);
    }
}

/// The name of a driver of volumes or devices.
pub fn driver(name: &str, path: &Path, errors: &mut Errors) {
    required(name, path, errors);
    if name.len() > DRIVER_NAME_MAX {
        errors.push(FieldError::too_long(path, DRIVER_NAME_MAX));
    }
    report(names::dns_subdomain(&name.to_lowercase()), path, name, errors);
}

/// The name of whoever provisions volumes.
pub fn provisioner(name: &str, path: &Path, errors: &mut Errors) {
    let lower = name.to_lowercase();
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else {
        report(names::qualified_name(&lower), path, &lower, errors);
    }
}

/// What is passed on to a driver.
pub fn parameters(parameters: Option<&BTreeMap<String, String>>, path: &Path, errors: &mut Errors) {
    let Some(parameters) = parameters else { return };
    if parameters.len() > PARAMETERS_MAX {
        errors.push(FieldError::too_long(path, PARAMETERS_MAX));
        return;
    }
    if parameters.contains_key("") {
        errors.push(FieldError::invalid(path, "", "field can not be empty."));
    }
    if parameters.iter().map(|(key, text)| key.len() + text.len()).sum::<usize>() > PARAMETERS_BYTES_MAX {
        errors.push(FieldError::too_long(path, PARAMETERS_BYTES_MAX));
    }
}

pub fn positive(quantity: &Text, path: &Path, errors: &mut Errors) {
    if amount(Some(quantity)).signum() <= 0 {
        errors.push(FieldError::invalid(path, quantity.0.as_str(), "must be greater than zero"));
    }
}

/// An amount that decoding has checked; zero if there is none.
pub fn amount(quantity: Option<&Text>) -> Quantity {
    quantity.and_then(|q| Quantity::try_from(q).ok()).unwrap_or_default()
}

/// A network in the one form that all readers agree on.
pub fn canonical_cidr(text: &str, path: &Path, errors: &mut Errors) {
    let wrong = names::cidr(text);
    if !wrong.is_empty() {
        report(wrong, path, text, errors);
        return;
    }
    let Some((address, bits, first)) = network(text) else { return };
    if address != first {
        errors.push(FieldError::invalid(path, text, "must not have bits set beyond the prefix length"));
    }
    let canonical = format!("{address}/{bits}");
    if canonical != text {
        errors.push(FieldError::invalid(path, text, format!("must be in canonical form ({canonical:?})")));
    }
}

/// Address, prefix length and first address of a network.
pub fn network(text: &str) -> Option<(std::net::IpAddr, u8, std::net::IpAddr)> {
    use std::net::IpAddr;
    let (address, bits) = text.split_once('/')?;
    let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
    let first = match address {
        IpAddr::V4(ip) => {
            IpAddr::V4((ip.to_bits() & u32::MAX.checked_shl(32u32.checked_sub(bits.into())?).unwrap_or(0)).into())
        }
        IpAddr::V6(ip) => {
            IpAddr::V6((ip.to_bits() & u128::MAX.checked_shl(128u32.checked_sub(bits.into())?).unwrap_or(0)).into())
        }
    };
    Some((address, bits, first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_canonical() {
        let check = |text: &str, wanted: &[&str]| {
            let mut errors = Vec::new();
            canonical_cidr(text, &Path::new("c"), &mut errors);
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), wanted);
        };
        check("10.0.0.0/8", &[]);
        check("0.0.0.0/0", &[]);
        check("::/0", &[]);
        check("fd00::/64", &[]);
        check("10.0.0.1/8", &["c: Invalid value: \"10.0.0.1/8\": must not have bits set beyond the prefix length"]);
        check("FD00::/64", &["c: Invalid value: \"FD00::/64\": must be in canonical form (\"fd00::/64\")"]);
        check(
            "10.0.0.0",
            &["c: Invalid value: \"10.0.0.0\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"],
        );
    }
}
