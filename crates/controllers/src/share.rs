//! Numbers of pods that are given as such or as a percentage: `maxSurge`, `maxUnavailable`.

use api_types::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// `value` of `total`, a percentage rounded up or down; never negative.
pub fn of(value: &IntOrString, total: i32, up: bool) -> i32 {
    match value {
        IntOrString::Int(number) => (*number).max(0),
        IntOrString::String(text) => {
            let percent: i64 = text.strip_suffix('%').and_then(|p| p.parse().ok()).unwrap_or_default();
            let product = percent.max(0) * i64::from(total);
            let share = if up { (product + 99) / 100 } else { product / 100 };
            i32::try_from(share).unwrap_or(i32::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let check = |value: &str, total: i32, up: bool, expected: i32| {
            let value = value.parse().map_or_else(|_| IntOrString::String(value.into()), IntOrString::Int);
            assert_eq!(of(&value, total, up), expected, "{value:?} of {total}");
        };
        check("3", 10, false, 3);
        check("-3", 10, false, 0);
        check("25%", 10, true, 3);
        check("25%", 10, false, 2);
        check("0%", 10, true, 0);
        check("nonsense", 10, true, 0);
    }
}
