//! Timestamps as text: parsed exactly, compared by the instant, and written back in the same notation.

use std::cmp::Ordering;

use osiris_sdk::calendar;

use crate::format::Format;

const DAY: i64 = 86_400;

pub const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
pub const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A point in time and its notation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970-01-01 UTC; without a zone, as if it were UTC.
    pub seconds: i64,
    /// The digits after the second, without trailing zeros.
    pub fraction: String,
    pub spelling: Spelling,
}

/// The notation of a timestamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spelling {
    pub style: Style,
    /// How many digits follow the second.
    pub places: usize,
    /// The zone's own text, and how many seconds it is ahead of UTC.
    pub zone: Option<(String, i64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Style {
    /// `2024-02-29`
    Date,
    /// `2024-02-29T12:00:00`: the separator, whether there are seconds, and the fraction's decimal sign.
    Iso { between: char, seconds: bool, point: char },
    /// `20240229T120000Z`
    Basic,
    /// `Thu, 29 Feb 2024 12:00:00 GMT` (RFC 2822)
    Mail { weekday: bool },
    /// In the author's `cursor_format`.
    Own(Format),
}

impl Moment {
    /// Parses a text whose order is provable: ISO 8601 or RFC 2822.
    pub fn parse(text: &str) -> Option<Self> {
        iso(text).or_else(|| mail(text))
    }

    pub fn is_zoned(&self) -> bool {
        self.spelling.zone.is_some()
    }

    pub fn is_date(&self) -> bool {
        self.spelling.style == Style::Date
    }

    /// The text of the timestamp `seconds` earlier, in the same notation; for a date, the day that it falls on.
    pub fn earlier(&self, seconds: i64) -> Option<String> {
        let offset = self.spelling.zone.as_ref().map_or(0, |(_, offset)| *offset);
        let local = self.seconds.checked_sub(seconds)?.checked_add(offset)?;
        let clock = Clock::of(local);
        let places = self.spelling.places;
        let fraction = format!("{:0<places$}", self.fraction);
        let zone = self.spelling.zone.as_ref().map_or("", |(text, _)| text);
        let date = format!("{:04}-{:02}-{:02}", clock.year, clock.month, clock.day);
        let Clock { hour, minute, second, .. } = clock;
        Some(match &self.spelling.style {
            Style::Date => date,
            Style::Iso { between, seconds, point } => {
                let second = if *seconds { format!(":{second:02}") } else { String::new() };
                let fraction = if places > 0 { format!("{point}{fraction}") } else { String::new() };
                format!("{date}{between}{hour:02}:{minute:02}{second}{fraction}{zone}")
            }
            Style::Basic => format!("{}T{hour:02}{minute:02}{second:02}{zone}", date.replace('-', "")),
            Style::Mail { weekday } => {
                let name = WEEKDAYS[(local.div_euclid(DAY) + 3).rem_euclid(7) as usize];
                let weekday = if *weekday { format!("{name}, ") } else { String::new() };
                let month = MONTHS[clock.month as usize - 1];
                format!(
                    "{weekday}{:02} {month} {:04} {hour:02}:{minute:02}:{second:02} {}",
                    clock.day,
                    clock.year,
                    zone.trim()
                )
            }
            Style::Own(format) => format.write(local, offset, &fraction, zone),
        })
    }
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> Ordering {
        // Fractions without trailing zeros compare like texts.
        self.seconds.cmp(&other.seconds).then_with(|| self.fraction.cmp(&other.fraction))
    }
}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A day and a time of day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clock {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
}

impl Clock {
    /// Seconds since 1970-01-01; `None` for a day or time that does not exist. A leap second counts as the next second.
    pub fn seconds(self) -> Option<i64> {
        let Self { year, month, day, hour, minute, second } = self;
        if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..=60).contains(&second) {
            return None;
        }
        let days = calendar::days(year, month, day)?;
        Some(days * DAY + (hour * 60 + minute) * 60 + second)
    }

    pub fn of(seconds: i64) -> Self {
        let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        let (year, month, day) = calendar::date(days);
        Self { year, month, day, hour: rest / 3600, minute: rest / 60 % 60, second: rest % 60 }
    }
}

/// A number of only digits, with one of these lengths.
pub fn digits(text: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<i64> {
    (lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// `YYYY-MM-DD`, with more digits for years beyond 9999.
fn iso_date(text: &str) -> Option<Clock> {
    let mut parts = text.strip_prefix('+').unwrap_or(text).split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let clock = Clock {
        year: digits(year, 4..=6)?,
        month: digits(month, 2..=2)?,
        day: digits(day, 2..=2)?,
        ..Clock::default()
    };
    parts.next().is_none().then_some(clock)
}

fn iso(text: &str) -> Option<Moment> {
    if let Some(date) = iso_date(text) {
        let spelling = Spelling { style: Style::Date, places: 0, zone: None };
        return Some(Moment { seconds: date.seconds()?, fraction: String::new(), spelling });
    }
    let place = text.find(['T', 't', ' '])?;
    let between = text[place..].chars().next()?;
    let (date, time) = (&text[..place], &text[place + 1..]);
    let (clock, zone) = time.split_at(time.find(['Z', 'z', '+', '-', ' ']).unwrap_or(time.len()));
    let zone = if zone.is_empty() { None } else { Some((zone.to_owned(), offset(zone.trim_start())?)) };
    let ahead = zone.as_ref().map_or(0, |(_, offset)| *offset);
    if let (Some(_), Some(_)) = (digits(date, 8..=8), digits(clock, 6..=6)) {
        let date = Clock {
            year: digits(&date[..4], 4..=4)?,
            month: digits(&date[4..6], 2..=2)?,
            day: digits(&date[6..], 2..=2)?,
            hour: digits(&clock[..2], 2..=2)?,
            minute: digits(&clock[2..4], 2..=2)?,
            second: digits(&clock[4..], 2..=2)?,
        };
        let spelling = Spelling { style: Style::Basic, places: 0, zone };
        return Some(Moment { seconds: date.seconds()? - ahead, fraction: String::new(), spelling });
    }
    let (whole, point, fraction) = match clock.find(['.', ',']) {
        Some(place) => (&clock[..place], clock[place..].chars().next()?, &clock[place + 1..]),
        None => (clock, '.', ""),
    };
    if clock.contains(['.', ',']) && digits(fraction, 1..=18).is_none() {
        return None;
    }
    let mut parts = whole.split(':');
    let (hour, minute) = (digits(parts.next()?, 2..=2)?, digits(parts.next()?, 2..=2)?);
    let second = parts.next().map(|second| digits(second, 2..=2)).map_or(Some(None), |second| second.map(Some))?;
    if parts.next().is_some() || second.is_none() && !fraction.is_empty() {
        return None;
    }
    let moment = Clock { hour, minute, second: second.unwrap_or(0), ..iso_date(date)? };
    Some(Moment {
        seconds: moment.seconds()? - ahead,
        fraction: fraction.trim_end_matches('0').to_owned(),
        spelling: Spelling {
            style: Style::Iso { between, seconds: second.is_some(), point },
            places: fraction.len(),
            zone,
        },
    })
}

/// `Thu, 29 Feb 2024 12:00:00 +0100`; the weekday may be omitted.
fn mail(text: &str) -> Option<Moment> {
    let (weekday, rest) = match text.split_once(", ") {
        Some((name, rest)) => (WEEKDAYS.contains(&name).then_some(true)?, rest),
        None => (false, text),
    };
    let mut parts = rest.split(' ').filter(|part| !part.is_empty());
    let (day, month, year) = (digits(parts.next()?, 1..=2)?, parts.next()?, digits(parts.next()?, 4..=4)?);
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))? as i64 + 1;
    let mut time = parts.next()?.split(':');
    let (hour, minute) = (digits(time.next()?, 2..=2)?, digits(time.next()?, 2..=2)?);
    let second = time.next().map_or(Some(0), |second| digits(second, 2..=2))?;
    let zone = parts.next()?;
    if parts.next().is_some() || time.next().is_some() {
        return None;
    }
    let ahead = offset(zone)?;
    let clock = Clock { year, month, day, hour, minute, second };
    Some(Moment {
        seconds: clock.seconds()? - ahead,
        fraction: String::new(),
        spelling: Spelling { style: Style::Mail { weekday }, places: 0, zone: Some((zone.to_owned(), ahead)) },
    })
}

/// How many seconds a zone such as `+02:00` is ahead of UTC.
pub fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z" | "GMT" | "UTC" | "UT") {
        return Some(0);
    }
    let sign = match zone.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let rest = zone[1..].replace(':', "");
    let (hours, minutes) = match rest.len() {
        2 => (rest.as_str(), "00"),
        4 => rest.split_at_checked(2)?,
        _ => return None,
    };
    let (hours, minutes) = (digits(hours, 2..=2)?, digits(minutes, 2..=2)?);
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn texts_are_ordered_by_the_instant() {
        let rising = [
            "0001-01-01",
            "1969-12-31T23:59:59.9Z",
            "Mon, 05 Feb 2024 10:00:00 GMT",
            "Wed, 07 Feb 2024 10:00:00 +0000",
            "2024-02-07T12:00:00.0000001+02:00",
            "2024-02-07 10:00:00.0000002Z",
            "20240207T100001Z",
            "2024-02-08t00:00z",
            "9 Feb 2024 08:00:00 +0100",
            "2024-02-09T08:00:00+0100",
            "9999-12-31T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "+10001-01-01",
        ];
        let moments: Vec<Moment> = rising.iter().map(|text| Moment::parse(text).unwrap()).collect();
        for (pair, texts) in moments.windows(2).zip(rising.windows(2)) {
            let equal = texts[0].starts_with("9 Feb");
            assert_eq!(pair[0].cmp(&pair[1]), if equal { Ordering::Equal } else { Ordering::Less }, "{texts:?}");
        }
        for text in [
            "12/30/2023",
            "30.12.2023",
            "2024-9-30",
            "2024-02-30",
            "24-01-01",
            "2024",
            "2024-02",
            "2024-01-01T25:00:00Z",
            "2024-01-01T10",
            "2024-01-01T10:00:00.Z",
            "2024-01-01T10:00:00 CET",
            "Mon, 05 Feb 24 10:00:00 GMT",
            "05 Feb 2024 10:00:00",
            "Feb 5, 2024",
            "/Date(1700000000000)/",
            "v9",
            "",
            "T",
            "2024-01-01T",
            "é",
            "20240101",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    #[test]
    fn earlier_timestamps_keep_the_notation() {
        for (text, seconds, expected) in [
            ("2024-03-01", 86_400, "2024-02-29"),
            ("2024-03-01", 3_600, "2024-02-29"),
            ("2024-03-01T00:30:00Z", 3_600, "2024-02-29T23:30:00Z"),
            ("2024-03-01 00:30:00.120+01:00", 3_600, "2024-02-29 23:30:00.120+01:00"),
            ("2024-03-01t00:30", 60, "2024-03-01t00:29"),
            ("20240301T003000Z", 3_600, "20240229T233000Z"),
            ("Fri, 01 Mar 2024 00:30:00 GMT", 3_600, "Thu, 29 Feb 2024 23:30:00 GMT"),
            ("2024-01-01T00:00:00,5Z", 1, "2023-12-31T23:59:59,5Z"),
        ] {
            assert_eq!(Moment::parse(text).unwrap().earlier(seconds).unwrap(), expected);
        }
    }
}
