//! Durations as text.

use std::time::Duration;

use serde::Deserialize as _;
use serde::de::{Deserializer, Error as _, Unexpected};

/// Reads an integer with the unit `ms`, `s` or `m`.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text)
        .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &"a duration from 1ms to 10m, like 250ms or 5s"))
}

fn parse_duration(text: &str) -> Option<Duration> {
    let end = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return None,
    };
    let milliseconds = number.parse::<u64>().ok()?.checked_mul(factor)?;
    (1..=600_000).contains(&milliseconds).then(|| Duration::from_millis(milliseconds))
}
