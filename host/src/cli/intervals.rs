//! The intervals of a backfill: a range of dates or times, cut by hour, day, week or month. No I/O.

use jiff::civil::DateTime;
use jiff::{Span, ToSpan};

use crate::error::Report;

/// The most intervals of one backfill.
const MAX_INTERVALS: usize = 10_000;

/// How long an interval is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Unit {
    Hour,
    Day,
    Week,
    Month,
}

impl Unit {
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    fn times(self, number: usize) -> Span {
        let number = i64::try_from(number).unwrap_or(i64::MAX).min(1_000_000);
        match self {
            Self::Hour => number.hours(),
            Self::Day => number.days(),
            Self::Week => number.weeks(),
            Self::Month => number.months(),
        }
    }

    /// A moment as a parameter has it: a date, or for hours a date with its time.
    pub fn spell(self, moment: DateTime) -> String {
        match self {
            Self::Hour => moment.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
            Self::Day | Self::Week | Self::Month => moment.date().to_string(),
        }
    }
}

/// One interval: from a moment up to another one, which is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    pub from: DateTime,
    pub to: DateTime,
}

/// A date such as `2024-01-31`, or a date with a time of day such as `2024-01-31T06:00`, without a time zone.
///
/// # Errors
/// If it is neither.
pub fn moment(text: &str) -> Result<DateTime, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is no date; write for example 2024-01-31, or with `--by hour` 2024-01-31T06:00"))
}

/// The intervals of a range that does not include its end.
///
/// # Errors
/// A [`Report`] if the range is empty, is no whole number of intervals, or has too many of them.
pub fn intervals(from: DateTime, to: DateTime, by: Unit) -> Result<Vec<Interval>, Report> {
    let unit = by.name();
    if by != Unit::Hour && (from, to) != (from.date().into(), to.date().into()) {
        return Err(Report::input(format!("a range by {unit} begins and ends at midnight"))
            .hint("write dates without a time of day, or use `--by hour`"));
    }
    if by == Unit::Hour
        && [from, to]
            .iter()
            .any(|moment| moment.minute() != 0 || moment.second() != 0 || moment.subsec_nanosecond() != 0)
    {
        return Err(
            Report::input("a range by hour begins and ends at a full hour").hint("write for example 2024-01-31T06:00")
        );
    }
    if by == Unit::Month && from.day() > 28 {
        return Err(Report::input(format!(
            "a range by month cannot begin on day {}, which not every month has",
            from.day()
        ))
        .hint("begin on one of the days 1 to 28"));
    }
    if from >= to {
        return Err(Report::input(format!("the range from {} to {} is empty", by.spell(from), by.spell(to)))
            .hint("`--to` is the end of the range, and not part of it"));
    }
    let mut all = Vec::new();
    let mut begin = from;
    while begin < to {
        if all.len() == MAX_INTERVALS {
            return Err(Report::input(format!("the range has more than {MAX_INTERVALS} intervals"))
                .hint("choose a longer interval with `--by`, or a shorter range"));
        }
        // Counted from the beginning, so that no month shortens the ones after it.
        let end =
            from.checked_add(by.times(all.len() + 1)).map_err(|_| Report::input("the range leaves the calendar"))?;
        all.push(Interval { from: begin, to: end });
        begin = end;
    }
    if begin != to {
        let before = all.last().map_or(from, |last| last.from);
        return Err(Report::input(format!(
            "the range from {} to {} is no whole number of {unit}s: a later range would run a part of the last one again",
            by.spell(from),
            by.spell(to)
        ))
        .hint(format!("end it with `--to {}` or `--to {}`", by.spell(before), by.spell(begin))));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn spelled(from: &str, to: &str, by: Unit) -> Result<Vec<String>, Report> {
        let all = intervals(moment(from).unwrap(), moment(to).unwrap(), by)?;
        Ok(all.iter().map(|one| format!("{} {}", by.spell(one.from), by.spell(one.to))).collect())
    }

    #[test]
    fn intervals_touch_and_leave_nothing_out() {
        for (from, to, by, expected) in [
            ("2024-02-28", "2024-03-01", Unit::Day, ["2024-02-28 2024-02-29", "2024-02-29 2024-03-01"]),
            ("2023-12-25", "2024-01-08", Unit::Week, ["2023-12-25 2024-01-01", "2024-01-01 2024-01-08"]),
            ("2024-01-28", "2024-03-28", Unit::Month, ["2024-01-28 2024-02-28", "2024-02-28 2024-03-28"]),
            (
                "2024-03-30T23:00",
                "2024-03-31T01:00",
                Unit::Hour,
                ["2024-03-30T23:00:00 2024-03-31T00:00:00", "2024-03-31T00:00:00 2024-03-31T01:00:00"],
            ),
        ] {
            assert_eq!(spelled(from, to, by).unwrap(), expected);
        }
    }

    #[test]
    fn a_range_that_would_overlap_with_a_later_one_is_refused() {
        for (from, to, by, message) in [
            ("2024-01-01", "2024-01-10", Unit::Week, "no whole number of weeks"),
            ("2024-01-15", "2024-02-01", Unit::Month, "no whole number of months"),
            ("2024-01-31", "2024-03-31", Unit::Month, "cannot begin on day 31"),
            ("2024-01-01", "2024-01-01", Unit::Day, "is empty"),
            ("2024-01-02", "2024-01-01", Unit::Day, "is empty"),
            ("2024-01-01T06:00", "2024-01-02", Unit::Day, "at midnight"),
            ("2024-01-01T06:30", "2024-01-02T06:30", Unit::Hour, "at a full hour"),
            ("0001-01-01", "2024-01-01", Unit::Day, "more than 10000 intervals"),
            ("9999-12-31", "9999-12-31T23:00", Unit::Hour, ""),
        ] {
            match spelled(from, to, by) {
                Ok(_) => assert!(message.is_empty(), "{from} {to}"),
                Err(report) => assert!(!message.is_empty() && report.message.contains(message), "{}", report.message),
            }
        }
        assert!(moment("31.1.2024").is_err() && moment("2024-02-30").is_err() && moment("2024-01-01T00:00Z").is_err());
    }
}
