//! Durations as Go writes them, and as the gateway and the bridge do.

/// Returns a Go duration (`1h30m`, `0.5h`, `1500ms`) in whole seconds, minutes or hours; `None` for
/// a text that is none, and for a part of a second.
pub(crate) fn converted(go: &str) -> Option<String> {
    let mut rest = go;
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').filter(|end| *end > 0)?;
        let (number, after) = rest.split_at_checked(digits)?;
        let (unit, nanoseconds) = UNITS.iter().find(|(unit, _)| after.starts_with(unit))?;
        rest = after.strip_prefix(unit)?;
        total = total.checked_add(product(number, *nanoseconds)?)?;
    }
    let seconds = total.checked_div(SECOND).filter(|_| !go.is_empty() && total.is_multiple_of(SECOND))?;
    let (unit, divisor) = match seconds {
        0 => ("s", 1),
        _ if seconds.is_multiple_of(3_600) => ("h", 3_600),
        _ if seconds.is_multiple_of(60) => ("m", 60),
        _ => ("s", 1),
    };
    Some(format!("{}{unit}", seconds.checked_div(divisor)?))
}

/// A number with a fraction, times a unit.
fn product(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits = format!("{whole}{fraction}").parse::<u128>().ok()?;
    let product = digits.checked_mul(unit)?;
    product.is_multiple_of(scale).then(|| product.checked_div(scale)).flatten()
}

const SECOND: u128 = 1_000_000_000;
/// The longer names first: `ms` begins as `m` does.
const UNITS: [(&str, u128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3_600 * SECOND),
];

#[cfg(test)]
mod tests {
    use super::converted;

    #[test]
    fn durations_of_go_become_ours() {
        for (go, ours) in
            [("1h", "1h"), ("168h", "168h"), ("1h30m", "90m"), ("0.5h", "30m"), ("1m0s", "1m"), ("1500ms500ms", "2s")]
        {
            assert_eq!(converted(go).as_deref(), Some(ours), "{go}");
        }
    }

    #[test]
    fn a_part_of_a_second_and_what_is_no_duration_are_not_converted() {
        for go in ["", "1", "h", "1.h2", "1d", "500ms", "-1h", "1h ", ".", "999999999999999999999999999999999999999h"] {
            assert_eq!(converted(go), None, "{go}");
        }
    }
}
