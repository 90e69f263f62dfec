//! Conversions into dates, times, timestamps and intervals.

use osiris_sdk::sql::quote_text;

use crate::check::X;
use crate::verdict::unlike;
use crate::{Check, IntervalPart, Range, SourceType, Verdict};

const DATE: &str = "[0-9]{4,6}-[0-9]{2}-[0-9]{2}";

/// A pattern of a time of day with at most this many non-zero digits of a second.
fn time_pattern(digits: u8) -> String {
    format!("[0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}([.][0-9]{{0,{digits}}}0*)?)?")
}

fn written(pattern: &str, kind: &str, what: &str) -> Check {
    Check::new(
        format!("regexp_full_match({X}::varchar, {}) and try_cast({X} as {kind}) is not null", quote_text(pattern)),
        format!("how it is written, or parts of it: it is not {what}"),
    )
}

/// The number of microseconds in one unit of the last digit that is kept.
fn step(digits: u8) -> i64 {
    10_i64.pow(6_u32.saturating_sub(digits.into()))
}

fn digits_lost(digits: u8) -> String {
    match digits {
        0 => "fractions of a second".to_owned(),
        digits => format!("digits beyond the first {digits} of a second"),
    }
}

/// A check of the range, with bounds of the DuckDB type `kind`.
fn within(range: Option<&Range>, source: &SourceType, kind: &SourceType) -> Option<Check> {
    let range = range?;
    let value = if source == kind { X.to_string() } else { format!("try_cast({X} as {kind})") };
    let bound = |text: &str| format!("{}::{kind}", quote_text(text));
    Some(Check::new(
        format!("not isfinite({X}) or {value} between {} and {}", bound(&range.first), bound(&range.last)),
        format!("the value itself, which is outside {} to {}", range.first, range.last),
    ))
}

fn finite(infinity: bool) -> Option<Check> {
    (!infinity).then(|| Check::new(format!("isfinite({X})"), "the infinities"))
}

pub(crate) fn into_date(source: &SourceType, range: Option<&Range>, infinity: bool) -> Verdict {
    use SourceType as S;
    match source {
        S::Date => Verdict::all([finite(infinity), within(range, source, &S::Date)]),
        S::Timestamp | S::TimestampS | S::TimestampMs | S::TimestampNs => Verdict::all([
            Some(
                Check::new(format!("{X}::date::{source} = {X}"), "the time of day")
                    .rounded_by(format!("{X}::date::{source}")),
            ),
            finite(infinity),
            within(range, source, &S::Date),
        ]),
        S::TimestampTz => Verdict::Checked(Check::never("the time of day and the time zone")),
        text if text.is_text() => Verdict::Checked(written(DATE, "date", "a date such as 2024-05-31")),
        other => unlike(other, "a date"),
    }
}

pub(crate) fn into_time(source: &SourceType, digits: u8, span: bool) -> Verdict {
    use SourceType as S;
    let cut = |source: &SourceType, unit: i64| {
        (unit > 1).then(|| {
            // As an integer, because a time that is rounded up to midnight would belong to the next day.
            let part = if *source == S::TimeNs { format!("epoch_ns({X})") } else { format!("epoch_us({X})") };
            let from = if *source == S::TimeNs { 1000 } else { 1 };
            let kept = format!("to_microseconds({part} // {unit} * {unit} // {from})");
            Check::new(format!("{part} % {unit} = 0"), digits_lost(digits))
                .rounded_by(format!("(time '00:00:00' + {kept})::{source}"))
        })
    };
    match source {
        S::Time => Verdict::all([cut(source, step(digits))]),
        S::TimeNs => Verdict::all([cut(source, if digits >= 9 { 1 } else { step(digits.min(6)) * 1000 })]),
        S::TimeTz => Verdict::Checked(Check::never("the offset")),
        S::Timestamp | S::TimestampS | S::TimestampMs | S::TimestampNs => Verdict::Checked(Check::never("the date")),
        S::TimestampTz => Verdict::Checked(Check::never("the date and the time zone")),
        S::Interval if span => {
            let limit = "interval '838:59:59'";
            Verdict::all([
                Some(Check::new(no_days(), "days, months and years")),
                Some(Check::new(format!("{X} between -{limit} and {limit}"), "hours beyond 838:59:59")),
                interval_digits(digits),
            ])
        }
        S::Interval => Verdict::all([
            Some(Check::new(no_days(), "days, months and years")),
            Some(Check::new(
                format!("{X} >= interval '0 seconds' and {X} < interval '24 hours'"),
                "hours: it is not a time of day",
            )),
            interval_digits(digits),
        ]),
        text if text.is_text() => {
            Verdict::Checked(written(&time_pattern(digits), "time", "a time such as 12:34:56 that the target can hold"))
        }
        other => unlike(other, "a time"),
    }
}

fn no_days() -> String {
    format!("datepart('year', {X}) = 0 and datepart('month', {X}) = 0 and datepart('day', {X}) = 0")
}

/// Up to this moment, rounding to a second stays within 64 bits of nanoseconds and within DuckDB's range of
/// microseconds.
const ROUNDED_NS: i64 = 9_223_372_035_000_000_000;
const ROUNDED_US: i64 = 9_223_372_020_000_000_000;

/// Columns pass intervals to guests in nanoseconds, of which 64 bits hold 292 years.
fn interval_range() -> Check {
    Check::new(
        format!(
            "datepart('hour', {X}) * 3600000000 + datepart('minute', {X}) * 60000000 + datepart('microsecond', {X}) \
             between -9223372036854775 and 9223372036854775"
        ),
        "more than 2,562,047 hours, which cannot be passed from DuckDB to the driver",
    )
}

fn interval_digits(digits: u8) -> Option<Check> {
    let unit = step(digits);
    (unit > 1).then(|| {
        let rest = format!("(datepart('microsecond', {X}) % {unit})");
        Check::new(format!("{rest} = 0"), digits_lost(digits)).rounded_by(format!("{X} - to_microseconds({rest})"))
    })
}

pub(crate) fn into_time_tz(source: &SourceType, digits: u8) -> Verdict {
    use SourceType as S;
    match source {
        S::TimeTz => Verdict::all([(step(digits) > 1)
            .then(|| Check::new(format!("datepart('microsecond', {X}) % {} = 0", step(digits)), digits_lost(digits)))]),
        S::Time | S::TimeNs => into_time(source, digits, false),
        S::Timestamp | S::TimestampS | S::TimestampMs | S::TimestampNs | S::TimestampTz => {
            Verdict::Checked(Check::never("the date"))
        }
        text if text.is_text() => Verdict::Checked(written(
            &format!("{}(Z|[+-][0-9]{{2}}(:?[0-9]{{2}}(:[0-9]{{2}})?)?)", time_pattern(digits)),
            "time with time zone",
            "a time with its offset, such as 12:34:56+02:00, that the target can hold",
        )),
        other => unlike(other, "a time with time zone"),
    }
}

pub(crate) fn into_timestamp(
    source: &SourceType,
    digits: u8,
    zone: bool,
    range: Option<&Range>,
    infinity: bool,
) -> Verdict {
    use SourceType as S;
    let kind = if *source == S::TimestampTz { S::TimestampTz } else { S::Timestamp };
    let around = [finite(infinity), within(range, source, &kind)];
    match source {
        S::Date | S::TimestampS => Verdict::all(around),
        S::TimestampNs if digits < 9 => {
            let unit = step(digits.min(6)) * 1000;
            let survives = format!("not isfinite({X}) or epoch_ns({X}) % {unit} = 0");
            // Rounds up or down by less than the last digit that is kept; the last seconds of the range stay unchanged.
            let rest = format!("((epoch_ns({X}) % {unit} + {unit}) % {unit})");
            let rounded = format!(
                "case when epoch_ns({X}) between -{ROUNDED_NS} and {ROUNDED_NS} then make_timestamp_ns(epoch_ns({X}) - {rest} + if({rest} * 2 >= {unit}, {unit}, 0)) \
                 else {X} end"
            );
            let cut = Check::new(survives, digits_lost(digits)).rounded_by(rounded);
            Verdict::all([Some(cut)]).and_all(around)
        }
        S::Timestamp | S::TimestampMs | S::TimestampNs => {
            Verdict::all([cut_microseconds(source, digits)]).and_all(around)
        }
        S::TimestampTz if zone => Verdict::all([cut_microseconds(source, digits)]).and_all(around),
        S::TimestampTz => Verdict::Checked(Check::never("the time zone")),
        text if text.is_text() => {
            let offset = if zone { "( ?(Z|[+-][0-9]{2}(:?[0-9]{2})?))?" } else { "" };
            let kind = if zone { "timestamp with time zone" } else { "timestamp" };
            let what = if zone {
                "a timestamp such as 2024-05-31T12:34:56Z that the target can hold"
            } else {
                "a timestamp without an offset, such as 2024-05-31 12:34:56, that the target can hold"
            };
            Verdict::Checked(written(&format!("{DATE}([T ]{}{offset})?", time_pattern(digits)), kind, what))
        }
        other => unlike(other, "a timestamp"),
    }
}

impl Verdict {
    fn and_all(self, checks: impl IntoIterator<Item = Option<Check>>) -> Self {
        checks.into_iter().fold(self, Verdict::and)
    }
}

fn cut_microseconds(source: &SourceType, digits: u8) -> Option<Check> {
    let unit = step(digits);
    let finest = if *source == SourceType::TimestampMs { 1000 } else { 1 };
    (unit > finest).then(|| {
        let rest = format!("((epoch_us({X}) % {unit} + {unit}) % {unit})");
        Check::new(format!("not isfinite({X}) or epoch_us({X}) % {unit} = 0"), digits_lost(digits)).rounded_by(format!(
            "case when isfinite({X}) and epoch_us({X}) between -{ROUNDED_US} and {ROUNDED_US} then {X} - to_microseconds({rest}) + to_microseconds(if({rest} * 2 >= {unit}, {unit}, 0)) \
             else {X} end"
        ))
    })
}

pub(crate) fn into_interval(source: &SourceType, smallest: IntervalPart, digits: u8) -> Verdict {
    use IntervalPart as P;
    match source {
        SourceType::Interval => {
            let zero = |part: &str| format!("datepart('{part}', {X}) = 0");
            let all = |parts: &[&str]| parts.iter().map(|part| zero(part)).collect::<Vec<_>>().join(" and ");
            let (survives, lost) = match smallest {
                P::Second => return Verdict::all([Some(interval_range()), interval_digits(digits)]),
                P::Year => (all(&["month", "day", "hour", "minute", "microsecond"]), "months, days and times"),
                P::Month => (all(&["day", "hour", "minute", "microsecond"]), "days and times"),
                P::Day => (all(&["hour", "minute", "microsecond"]), "hours, minutes and seconds"),
                P::Hour => (all(&["minute", "microsecond"]), "minutes and seconds"),
                P::Minute => (all(&["microsecond"]), "seconds"),
            };
            Verdict::Checked(Check::new(survives, lost))
        }
        SourceType::Time if smallest == P::Second => into_time(source, digits, false),
        // The server accepts many spellings of intervals, and truncates them to its fields.
        text if text.is_text() => match into_interval(&SourceType::Interval, smallest, digits) {
            Verdict::Checked(check) if smallest != P::Second || digits < 6 => {
                Verdict::Checked(check.over(&format!("try_cast({X} as interval)")))
            }
            _ => Verdict::Checked(Check::new(
                format!("not regexp_matches({X}::varchar, '[.][0-9]{{6}}[0-9]*[1-9]')"),
                digits_lost(6),
            )),
        },
        other => unlike(other, "an interval"),
    }
}
