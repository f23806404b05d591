//! Times as people write them: dates, moments with an offset or relative to onset, and durations with a unit.

use std::fmt;
use std::time::Duration;

const DAY: i64 = 86_400;

/// A calendar date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// Reads `2026-03-14`; none if it is no date.
    pub fn parse(text: &str) -> Option<Self> {
        let [year, month, day] = fields(text, '-', &[4, 2, 2])?;
        let date = Self { year: u16::try_from(year).ok()?, month: u8::try_from(month).ok()?, day: u8::try_from(day).ok()? };
        let is_real = (1..=12).contains(&date.month) && date.day >= 1 && date.day <= date.month_length();
        is_real.then_some(date)
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i64 {
        // Years begin in March here, so that the leap day is a year's last.
        let shift = i64::from(self.month <= 2);
        let year = i64::from(self.year) - shift;
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let month = i64::from(self.month) + 12 * shift - 3;
        let day_of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }

    /// Whether the date is over, in UTC, at a time in seconds since 1970.
    pub fn is_past(self, unix_seconds: i64) -> bool {
        self.days() < unix_seconds.div_euclid(DAY)
    }

    fn month_length(self) -> u8 {
        let is_leap = self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        match self.month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// A moment in an incident.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub enum Moment {
    /// Seconds since 1970-01-01T00:00Z.
    At(f64),
    /// This long after onset.
    AfterOnset(Duration),
}

impl Moment {
    /// Reads `2026-03-14T07:55Z` (seconds and their fractions may follow, the offset is required) or `+30m`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(after) = text.strip_prefix('+') {
            return duration(after).map(Self::AfterOnset);
        }
        let (date, rest) = text.split_once('T')?;
        let date = Date::parse(date)?;
        let (clock, offset) = split_offset(rest)?;
        Some(Self::At(date.days() as f64 * DAY as f64 + seconds_of_day(clock)? - f64::from(offset)))
    }

    /// Seconds since 1970, if onset is known where it is needed.
    pub fn unix_seconds(self, onset: Option<f64>) -> Option<f64> {
        match self {
            Self::At(seconds) => Some(seconds),
            Self::AfterOnset(after) => onset.map(|onset| onset + after.as_secs_f64()),
        }
    }
}

fn split_offset(text: &str) -> Option<(&str, i32)> {
    if let Some(clock) = text.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let at = text.rfind(['+', '-'])?;
    let (clock, offset) = text.split_at(at);
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let [hours, minutes] = fields(&offset[1..], ':', &[2, 2])?;
    let is_real = hours <= 14 && minutes < 60;
    is_real.then(|| (clock, sign * i32::try_from(hours * 3600 + minutes * 60).unwrap_or(0)))
}

fn seconds_of_day(clock: &str) -> Option<f64> {
    let (clock, fraction) = match clock.split_once('.') {
        Some((clock, fraction)) if clock.len() == 8 && !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit()) => {
            (clock, fraction)
        }
        Some(_) => return None,
        None => (clock, "0"),
    };
    let [hours, minutes, seconds] = if clock.len() == 5 {
        let [hours, minutes] = fields(clock, ':', &[2, 2])?;
        [hours, minutes, 0]
    } else {
        fields(clock, ':', &[2, 2, 2])?
    };
    let is_real = hours < 24 && minutes < 60 && seconds < 60;
    let fraction: f64 = format!("0.{fraction}").parse().ok()?;
    is_real.then(|| f64::from(hours * 3600 + minutes * 60 + seconds) + fraction)
}

/// Numbers of fixed widths between separators.
fn fields<const N: usize>(text: &str, separator: char, widths: &[usize; N]) -> Option<[u32; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(separator);
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next().filter(|part| part.len() == *width && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Reads `200ms`, `30s`, `15m`, `2h`, `1d` or a decimal of these; at most a thousand years.
pub(super) fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 5] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];
    let (amount, seconds) = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))?;
    let is_plain = !amount.is_empty() && amount.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let amount: f64 = is_plain.then(|| amount.parse().ok()).flatten()?;
    seconds_duration(amount * seconds)
}

/// A number of seconds as a duration; at most a thousand years.
pub(super) fn seconds_duration(seconds: f64) -> Option<Duration> {
    (seconds <= 1000.0 * 366.0 * DAY as f64).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_count_days_from_1970() {
        for (text, days) in [("1970-01-01", 0), ("2000-03-01", 11_017), ("2026-03-14", 20_526), ("1969-12-31", -1), ("2024-02-29", 19_782)]
        {
            let date = Date::parse(text).unwrap();
            assert_eq!((date.days(), date.to_string()), (days, text.to_owned()));
        }
    }

    #[test]
    fn impossible_dates_are_refused() {
        for text in
            ["2026-02-29", "2100-02-29", "2026-13-01", "2026-00-10", "2026-04-31", "2026-4-1", "26-04-01", "2026-04-01x", "+026-04-01", ""]
        {
            assert_eq!(Date::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_date_is_past_on_the_next_day() {
        let date = Date::parse("1970-01-02").unwrap();
        assert!(!date.is_past(2 * DAY - 1));
        assert!(date.is_past(2 * DAY));
    }

    #[test]
    fn moments_have_an_offset() {
        let utc = Moment::parse("2026-03-14T07:55Z").unwrap();
        assert_eq!(utc, Moment::At((20_526 * DAY + 7 * 3600 + 55 * 60) as f64));
        assert_eq!(Moment::parse("2026-03-14T08:55+01:00"), Some(utc));
        assert_eq!(Moment::parse("2026-03-14T04:25:00.000-03:30"), Some(utc));
        assert_eq!(Moment::parse("+1.5h"), Some(Moment::AfterOnset(Duration::from_secs(5400))));
        for text in [
            "2026-03-14T07:55",
            "2026-03-14",
            "2026-03-14T25:00Z",
            "2026-03-14T07:60Z",
            "2026-03-14T07:55+25:00",
            "2026-03-14T7:55Z",
            "+",
            "+5",
            "T",
            "🦀TZ",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, milliseconds) in
            [("200ms", 200), ("30s", 30_000), ("15m", 900_000), ("2h", 7_200_000), ("1d", 86_400_000), ("0.5s", 500)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["15", "m", "-1s", "1e9d", "1w", "1 m", "999999999d", "..s", "1.2.3s", "infs"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
