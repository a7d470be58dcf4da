//! Durations as people write them: `30s`, `10m`, `1h`, `7d`, also added up as `1h30m`.

/// The duration in seconds; `None` when the text is not one.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut number: Option<u64> = None;
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(digit))?);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 60 * 60,
            'd' => 24 * 60 * 60,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    (number.is_none() && !text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, expected) in [("30s", 30), ("10m", 600), ("1h", 3600), ("7d", 604_800), ("1h30m", 5400), ("0s", 0)] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "10", "m", "10 m", "-1s", "1.5h", "1w", "s10", "99999999999999999999s", "18446744073709551615d"]
        {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
