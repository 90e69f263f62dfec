//! Parses dates and times, either exactly or not at all.

use duckdb_text::calendar;

/// A point in time, or a date and a time of day without a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub days: i64,
    /// Nanoseconds since midnight, on the clock that the text shows.
    pub nanoseconds: i64,
    /// How many seconds the clock is ahead of UTC; `None` if the text has no zone.
    pub offset: Option<i64>,
    /// How many digits follow the seconds.
    pub fraction_digits: usize,
}

/// The kind of a text, by ISO 8601 as programs write it. Types are inferred only from this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Text,
    /// `2024-02-29`
    Date,
    /// `10:00:00`, with up to six digits after the seconds
    Time,
    /// `2024-02-29T10:00:00` or with a blank, with up to six digits after the seconds
    Timestamp,
    /// The same with `Z` or an offset
    TimestampTz,
    /// Groups of lower-case hexadecimal digits
    Uuid,
}

/// The shape of a text.
pub fn shape(text: &str) -> Shape {
    let bytes = text.as_bytes();
    let digits =
        |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    if bytes.get(4) == Some(&b'-') && digits(0..4) {
        if bytes.len() == 10 {
            return if date(text).is_some() { Shape::Date } else { Shape::Text };
        }
        let upper = matches!(bytes.get(10), Some(b'T' | b' ')) && !text.ends_with('z') && !text.contains([',', '(']);
        return match moment(text).filter(|moment| upper && moment.fraction_digits <= 6 && !text[11..].contains(' ')) {
            Some(Moment { offset: None, .. }) => Shape::Timestamp,
            Some(_) => Shape::TimestampTz,
            None => Shape::Text,
        };
    }
    if bytes.get(2) == Some(&b':') && digits(0..2) {
        let exact = bytes.len() == 8 || bytes.len() > 9 && bytes.len() <= 15 && bytes[8] == b'.';
        return if exact && clock(text).is_some_and(|(time, _)| time < DAY) { Shape::Time } else { Shape::Text };
    }
    let lower = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    if bytes.len() == 36 && uuid(text).is_some() && bytes.iter().all(|byte| *byte == b'-' || lower(byte)) {
        return Shape::Uuid;
    }
    Shape::Text
}

/// A day in nanoseconds.
pub const DAY: i64 = 86_400_000_000_000;

/// The days since 1970-01-01 of a text such as `2024-02-29`; longer years and `(BC)` as DuckDB writes them.
pub fn date(text: &str) -> Option<i64> {
    let (text, before) = match text.strip_suffix(" (BC)") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (year, rest) = text.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let number = |part: &str, lengths: std::ops::RangeInclusive<usize>| -> Option<i64> {
        (lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse().ok())?
    };
    let (year, month, day) = (number(year, 4..=7)?, number(month, 2..=2)?, number(day, 2..=2)?);
    // The year before 1 is 1 (BC).
    let year = if before { 1 - year } else { year };
    calendar::days(year, month, day)
}

/// A date, or a date and a time after `T` or a blank, with or without a zone.
pub fn moment(text: &str) -> Option<Moment> {
    let split = text.find(['T', 't']).or_else(|| text.find(' ').filter(|&at| text[at..] != *" (BC)"));
    let Some(split) = split else {
        let days = date(text)?;
        return Some(Moment { days, nanoseconds: 0, offset: None, fraction_digits: 0 });
    };
    let (day, rest) = (&text[..split], &text[split + 1..]);
    // DuckDB writes `0044-03-15 (BC) 10:00:00`.
    let (days, rest) = match rest.strip_prefix("(BC) ") {
        Some(rest) => (date(&format!("{day} (BC)"))?, rest),
        None => (date(day)?, rest),
    };
    let zone = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(zone);
    let (nanoseconds, fraction_digits) = clock(time.strip_suffix(' ').unwrap_or(time))?;
    let offset = if zone.is_empty() { None } else { Some(offset(zone)?) };
    (nanoseconds < DAY).then_some(Moment { days, nanoseconds, offset, fraction_digits })
}

/// The nanoseconds of `10:00`, `10:00:00` or `10:00:00.123456789`, and the number of digits after the seconds.
/// `24:00:00` is valid.
pub fn clock(text: &str) -> Option<(i64, usize)> {
    let (time, fraction) = text.split_once(['.', ',']).map_or((text, None), |(time, fraction)| (time, Some(fraction)));
    let mut parts = time.split(':').map(two_digits);
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next();
    let second = match (second, fraction) {
        (Some(second), _) => second?,
        (None, Some(_)) => return None,
        (None, None) => 0,
    };
    let fraction = fraction.unwrap_or("0");
    let known = !fraction.is_empty() && fraction.len() <= 9 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || !known || minute > 59 || second > 59 {
        return None;
    }
    let nanoseconds: i64 = format!("{fraction:0<9}").parse().ok()?;
    let time = ((hour * 60 + minute) * 60 + second) * 1_000_000_000 + nanoseconds;
    (time <= DAY).then_some((time, if fraction == "0" { 0 } else { fraction.len() }))
}

/// How many seconds a zone such as `+02:00` is ahead of UTC.
pub fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let sign = match zone.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let digits = zone[1..].replace(':', "");
    let part = |from: usize| digits.get(from..from + 2).map_or(Some(0), two_digits);
    let seconds = (two_digits(digits.get(..2)?)? * 60 + part(2)?) * 60 + part(4)?;
    (matches!(digits.len(), 2 | 4 | 6) && part(2)? < 60 && part(4)? < 60 && seconds < 57_600).then_some(sign * seconds)
}

/// The bytes of a UUID.
pub fn uuid(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 || [8, 13, 18, 23].iter().any(|&at| bytes[at] != b'-') {
        return None;
    }
    let hex: String = text.chars().filter(|&character| character != '-').collect();
    if hex.len() != 32 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some(u128::from_str_radix(&hex, 16).ok()?.to_be_bytes())
}

/// The months, days and nanoseconds of a text such as `1 year 2 months 3 days 04:05:06.789`, as DuckDB writes it.
pub fn interval(text: &str) -> Option<(i32, i32, i64)> {
    let (mut months, mut days, mut nanoseconds) = (0_i64, 0_i64, 0_i64);
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        if word.contains(':') {
            let (sign, time) = word.strip_prefix('-').map_or((1, word), |time| (-1, time));
            // The hours of an interval are unbounded.
            let (hours, rest) = time.split_once(':')?;
            let hours: i64 = hours.bytes().all(|byte| byte.is_ascii_digit()).then(|| hours.parse().ok())??;
            let (rest, _) = clock(&format!("00:{rest}"))?;
            nanoseconds = sign * hours.checked_mul(3_600_000_000_000)?.checked_add(rest)?;
            if words.next().is_some() {
                return None;
            }
            break;
        }
        let count: i64 = word.parse().ok()?;
        match words.next()?.trim_end_matches('s') {
            "year" => months = months.checked_add(count.checked_mul(12)?)?,
            "month" => months = months.checked_add(count)?,
            "day" => days = days.checked_add(count)?,
            _ => return None,
        }
    }
    (!text.is_empty()).then_some((months.try_into().ok()?, days.try_into().ok()?, nanoseconds))
}

fn two_digits(text: &str) -> Option<i64> {
    (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// The microseconds since 1970-01-01 UTC of an ISO 8601 text, and whether it has a zone; without one it is interpreted
/// as UTC. Digits beyond microseconds are dropped, so this is only for comparison.
pub fn timestamp(text: &str) -> Option<(i64, bool)> {
    let moment = moment(text.trim())?;
    let seconds = moment.days.checked_mul(86_400)?.checked_sub(moment.offset.unwrap_or(0))?;
    let micros = seconds.checked_mul(1_000_000)?.checked_add(moment.nanoseconds / 1000)?;
    Some((micros, moment.offset.is_some()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn shapes_depend_on_the_whole_text() {
        for (text, expected) in [
            ("2024-02-29", Shape::Date),
            ("2024-02-30", Shape::Text),
            ("20240229", Shape::Text),
            ("2024-2-9", Shape::Text),
            ("03/04/2024", Shape::Text),
            ("2024-02-29T10:00:00", Shape::Timestamp),
            ("2024-02-29 10:00:00.312", Shape::Timestamp),
            ("2024-02-29T10:00:00.123456", Shape::Timestamp),
            ("2024-02-29T10:00", Shape::Timestamp),
            ("2024-02-29T10:00:00.1234567", Shape::Text),
            ("2024-02-29T10:00:00Z", Shape::TimestampTz),
            ("2024-02-29T10:00:00.5+02:00", Shape::TimestampTz),
            ("2024-02-29 10:00:00-0530", Shape::TimestampTz),
            ("2024-02-29T10:00:00+02", Shape::TimestampTz),
            ("2024-02-29T10:00:00 +02:00", Shape::Text),
            ("2024-02-29T10:00:00 UTC", Shape::Text),
            ("2024-02-29T10:00:60", Shape::Text),
            ("2024-02-29T24:00:00", Shape::Text),
            (" 2024-02-29T10:00:00", Shape::Text),
            ("2024-02-29t10:00:00z", Shape::Text),
            ("10:00:00", Shape::Time),
            ("10:00:00.5", Shape::Time),
            ("10:00", Shape::Text),
            ("10:00:00+02", Shape::Text),
            ("24:00:00", Shape::Text),
            ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", Shape::Uuid),
            ("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", Shape::Text),
            ("é024-01-01", Shape::Text),
            ("", Shape::Text),
            ("2024-", Shape::Text),
            ("2024-01-01é", Shape::Text),
        ] {
            assert_eq!(shape(text), expected, "{text}");
        }
    }

    #[test]
    fn times_are_parsed() {
        for (text, expected) in [
            ("1970-01-01", Some((0, false))),
            ("1970-01-01T00:00:00Z", Some((0, true))),
            ("2024-02-29T12:30:45.123456789+02:00", Some((1_709_202_645_123_456, true))),
            ("2024-02-29 10:30:45.123456", Some((1_709_202_645_123_456, false))),
            ("1969-12-31T23:59:59.5-0000", Some((-500_000, true))),
            ("2024-02-29T10:30", Some((1_709_202_600_000_000, false))),
            ("0001-01-01T00:00:00Z", Some((-62_135_596_800_000_000, true))),
            ("0001-12-31 (BC) 00:00:00", Some((-62_135_683_200_000_000, false))),
            ("294247-01-10 04:00:54.775806", Some((i64::MAX - 1, false))),
            ("2023-02-29", None),
            ("2024-13-01", None),
            ("2024-1-1", None),
            ("2024-02-29T25:00:00", None),
            ("2024-02-29T10:00:00+99:00", None),
            ("2024-02-29T10:00:00 UTC", None),
            ("yesterday, or so", None),
            ("é2024-01-0", None),
        ] {
            assert_eq!(timestamp(text), expected, "{text}");
        }
        assert_eq!(date("2000-03-01"), Some(11_017));
        assert_eq!(
            (date("5881580-07-10"), date("5877642-06-25 (BC)")),
            (Some(i64::from(i32::MAX) - 1), Some(-i64::from(i32::MAX) + 1))
        );
        assert_eq!(interval("83 years 3 months 999 days 00:16:39.999999"), Some((999, 999, 999_999_999_000)));
        assert_eq!(interval("-1 month -00:00:01"), Some((-1, 0, -1_000_000_000)));
        assert_eq!((interval("1 fortnight"), interval(""), offset("-15:59:59")), (None, None, Some(-57_599)));
    }
}
