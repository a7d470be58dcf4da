//! How long an answer may be kept (RFC 9111 §4.2, §5.2.2, §5.3).

/// The header fields that say how long an answer may be kept, by their names in lower case.
#[derive(Debug, Clone, Copy, Default)]
pub struct Freshness {
    /// The shortest life of all `cache-control` directives.
    life: Option<u64>,
    age: u64,
    date: Option<u64>,
    /// 0 for a value that is no date, which is how a server says "expired".
    expires: Option<u64>,
}

impl Freshness {
    /// Reads a field, if it is one that says how long an answer may be kept.
    pub fn read(&mut self, name: &[u8], value: &[u8]) {
        let text = || std::str::from_utf8(value).unwrap_or_default().trim();
        match name {
            b"cache-control" => self.read_directives(std::str::from_utf8(value).unwrap_or("no-store")),
            b"age" => self.age = text().parse().unwrap_or(u64::MAX),
            b"date" => self.date = http_date(text()),
            b"expires" => self.expires = Some(http_date(text()).unwrap_or(0)),
            _ => {}
        }
    }

    /// Returns how long the answer may be kept from `now` on, in seconds; `now`, in Unix seconds,
    /// is asked for only where it is needed. What contradicts itself, or is malformed, may not be
    /// kept; `None` if nothing is said.
    #[must_use]
    pub fn max_age(&self, now: impl FnOnce() -> u64) -> Option<u64> {
        let until_expiry = || Some(self.expires?.saturating_sub(self.date.unwrap_or_else(now)));
        self.life.or_else(until_expiry).map(|life| life.saturating_sub(self.age))
    }

    fn read_directives(&mut self, line: &str) {
        for directive in line.split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let seconds = match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" | "private" => 0,
                "max-age" | "s-maxage" => value.trim().trim_matches('"').parse().unwrap_or(0),
                _ => continue,
            };
            self.life = Some(self.life.map_or(seconds, |known| known.min(seconds)));
        }
    }
}

/// Returns the Unix seconds of a date in the form that servers must send (`IMF-fixdate`, RFC 9110
/// §5.6.7); `None` for every other text.
fn http_date(text: &str) -> Option<u64> {
    let mut words = text.split(' ');
    let (_weekday, day, month, year) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let (time, zone, end) = (words.next()?, words.next()?, words.next());
    if zone != "GMT" || end.is_some() {
        return None;
    }
    let mut clock = time.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let month = u64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()?;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let in_range = hour < 24 && minute < 60 && second < 61 && (1..=31).contains(&day) && (1970..10_000).contains(&year);
    if !in_range || clock.next().is_some() {
        return None;
    }
    // Years that begin with March, so that a leap day is the last of its year.
    let year = if month < 2 { year.checked_sub(1)? } else { year };
    let month = month.checked_add(10)?.checked_rem(12)?;
    let days_before_month = month.checked_mul(153)?.checked_add(2)?.checked_div(5)?;
    let leap_days = (year / 4).checked_sub(year / 100)?.checked_add(year / 400)?;
    let days = year.checked_mul(365)?.checked_add(leap_days)?.checked_add(days_before_month)?.checked_add(day)?;
    let days = days.checked_sub(DAYS_BEFORE_1970)?;
    let minutes = days.checked_mul(24)?.checked_add(hour)?.checked_mul(60)?.checked_add(minute)?;
    minutes.checked_mul(60)?.checked_add(second)
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// From the day before 1 March of the year 0 to 1 January 1970.
const DAYS_BEFORE_1970: u64 = 719_469;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&str, &str)], now: u64) -> Option<u64> {
        let mut freshness = Freshness::default();
        fields.iter().for_each(|(name, value)| freshness.read(name.as_bytes(), value.as_bytes()));
        freshness.max_age(|| now)
    }

    #[test]
    fn the_strictest_directive_counts() {
        assert_eq!(of(&[("content-type", "application/json")], 0), None);
        for (line, seconds) in [
            ("public, max-age=3600", Some(3_600)),
            ("Max-Age=\"60\"", Some(60)),
            ("max-age=3600, s-maxage=60", Some(60)),
            ("max-age=60, no-store", Some(0)),
            ("no-cache", Some(0)),
            ("private, max-age=60", Some(0)),
            ("max-age", Some(0)),
            ("max-age=x", Some(0)),
            ("max-age=-1", Some(0)),
            ("public, must-revalidate", None),
            ("", None),
        ] {
            assert_eq!(of(&[("cache-control", line)], 0), seconds, "{line}");
        }
        assert_eq!(of(&[("cache-control", "max-age=60"), ("cache-control", "max-age=30")], 0), Some(30));
        assert_eq!(of(&[("cache-control", "\u{fffd}")], 0), None);
    }

    #[test]
    fn what_was_kept_elsewhere_is_that_much_older() {
        assert_eq!(of(&[("cache-control", "max-age=60"), ("age", "45")], 0), Some(15));
        assert_eq!(of(&[("age", "90"), ("cache-control", "max-age=60")], 0), Some(0));
        assert_eq!(of(&[("age", "x"), ("cache-control", "max-age=60")], 0), Some(0));
    }

    #[test]
    fn a_date_counts_where_no_directive_does() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        let expires = ("expires", "Sun, 06 Nov 1994 08:59:37 GMT");
        assert_eq!(of(&[date, expires], 0), Some(600));
        assert_eq!(of(&[expires, ("age", "100"), date], 0), Some(500));
        assert_eq!(of(&[expires], 784_111_777), Some(600));
        assert_eq!(of(&[expires], 900_000_000), Some(0));
        assert_eq!(of(&[date, ("expires", "0")], 0), Some(0));
        assert_eq!(of(&[date, ("expires", "-1")], 0), Some(0));
        assert_eq!(of(&[date, expires, ("cache-control", "max-age=60")], 0), Some(60));
        assert_eq!(of(&[date, expires, ("cache-control", "no-store")], 0), Some(0));
    }

    #[test]
    fn a_date_is_the_second_that_it_names() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Sun, 31 Dec 2023 23:59:60 GMT", 1_704_067_200),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ] {
            assert_eq!(http_date(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 08:49:37:00 GMT",
        ] {
            assert_eq!(http_date(text), None, "{text}");
        }
    }
}
