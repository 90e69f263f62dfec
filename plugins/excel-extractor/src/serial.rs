//! Days as Excel counts them, and numbers as it shows them.

use osiris_sdk::calendar;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// The first and the last day that Excel knows: 1900-01-01 and 9999-12-31.
const LAST: f64 = 2_958_466.0;

/// How far from a whole millisecond a moment may be by Excel's own arithmetic, in microseconds: a moment of our time is a
/// multiple of 0.6 microseconds, and each addition rounds.
const ROUNDING: i64 = 3;

/// The day from which a workbook counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Epoch {
    /// Day 1 is 1900-01-01, and day 60 is 1900-02-29, which never was.
    #[default]
    Year1900,
    /// Day 0 is 1904-01-01.
    Year1904,
}

/// What a number is by its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Days since 1970-01-01.
    Date(i64),
    /// Microseconds since 1970-01-01 00:00.
    Timestamp(i64),
    /// Microseconds since midnight.
    Time(i64),
}

impl Epoch {
    /// The moment that a number of days stands for: a time of day if it is less than one day, otherwise a date, with a time
    /// if it is not midnight. `None` for numbers that are no moments: below zero, after the year 9999, and the day that never
    /// was.
    pub fn moment(self, days: f64) -> Option<Moment> {
        let (first, shift) = match self {
            Self::Year1900 => (1.0, 0.0),
            Self::Year1904 => (0.0, 1462.0),
        };
        if !(0.0..LAST - shift).contains(&days) {
            return None;
        }
        let micros = microseconds(days.fract());
        if days < first {
            return (micros < DAY).then_some(Moment::Time(micros));
        }
        // A moment just before midnight may be rounded up to it.
        let whole = days.trunc() as i64 + micros / DAY;
        let since_1970 = match self {
            Self::Year1904 => whole - 24_107,
            Self::Year1900 if whole == 60 => return None,
            Self::Year1900 if whole < 60 => whole - 25_568,
            Self::Year1900 => whole - 25_569,
        };
        Some(match micros % DAY {
            0 => Moment::Date(since_1970),
            rest => Moment::Timestamp(since_1970 * DAY + rest),
        })
    }
}

/// A time of day or a duration in days, in microseconds.
pub fn microseconds(days: f64) -> i64 {
    let micros = (days * DAY as f64).round() as i64;
    let millis = (micros as f64 / 1000.0).round() as i64 * 1000;
    if (micros - millis).abs() <= ROUNDING { millis } else { micros }
}

/// A date as `2024-02-29`.
pub fn date_text(days: i64) -> String {
    let (year, month, day) = calendar::date(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A moment as `2024-02-29 10:00:00`.
pub fn timestamp_text(micros: i64) -> String {
    format!("{} {}", date_text(micros.div_euclid(DAY)), clock_text(micros.rem_euclid(DAY)))
}

/// A time of day, or a duration of any number of hours, as `10:00:00.5`.
pub fn clock_text(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let (seconds, rest) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:06}").trim_end_matches('0').to_owned() };
    format!("{sign}{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shown(epoch: Epoch, days: f64) -> String {
        match epoch.moment(days) {
            Some(Moment::Date(days)) => date_text(days),
            Some(Moment::Timestamp(micros)) => timestamp_text(micros),
            Some(Moment::Time(micros)) => clock_text(micros),
            None => "none".to_owned(),
        }
    }

    #[test]
    fn days_are_counted_as_excel_does() {
        for (days, expected) in [
            (0.0, "00:00:00"),
            (0.5, "12:00:00"),
            (1.0, "1900-01-01"),
            (59.0, "1900-02-28"),
            (60.0, "none"),
            (60.5, "none"),
            (61.0, "1900-03-01"),
            (25_569.0, "1970-01-01"),
            (45_351.0, "2024-02-29"),
            (45_351.75, "2024-02-29 18:00:00"),
            // 10:00:00.123456, and a tenth of a second below midnight.
            (45_351.416_668_095_56, "2024-02-29 10:00:00.123456"),
            (45_351.999_999_999_99, "2024-03-01"),
            (2_958_465.0, "9999-12-31"),
            (2_958_466.0, "none"),
            (-1.0, "none"),
            (f64::MAX, "none"),
        ] {
            assert_eq!(shown(Epoch::Year1900, days), expected, "{days}");
        }
        for (days, expected) in [
            (0.0, "1904-01-01"),
            (0.25, "1904-01-01 06:00:00"),
            (43_889.0, "2024-02-29"),
            (2_957_003.0, "9999-12-31"),
            (2_957_004.0, "none"),
        ] {
            assert_eq!(shown(Epoch::Year1904, days), expected, "{days}");
        }
    }

    #[test]
    fn durations_have_any_number_of_hours() {
        for (days, expected) in
            [(1.5, "36:00:00"), (-0.25, "-06:00:00"), (0.1, "02:24:00"), (1.0 / 86_400_000.0, "00:00:00.001")]
        {
            assert_eq!(clock_text(microseconds(days)), expected);
        }
    }
}
