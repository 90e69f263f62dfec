//! `cursor_format`: the format of an API's timestamps, in the notation of strftime.

use osiris_sdk::{Error, Result};

use crate::moment::{Clock, MONTHS, Moment, Spelling, Style, WEEKDAYS, offset};

/// The parts of a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format(Vec<Part>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Text(char),
    Year,
    Month,
    MonthName,
    Day,
    Hour,
    Minute,
    Second,
    Fraction,
    Zone,
    Weekday,
    EpochSeconds,
    EpochMillis,
}

const KNOWN: &str = "%Y %m %b %d %H %M %S %f %z %a %s (seconds since 1970) %Q (milliseconds since 1970) %%";

impl Format {
    /// # Errors
    /// `config` for an unknown letter, and for a format without a complete date.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                parts.push(Part::Text(letter));
                continue;
            }
            parts.push(match letters.next() {
                Some('Y') => Part::Year,
                Some('m') => Part::Month,
                Some('b') => Part::MonthName,
                Some('d') => Part::Day,
                Some('H') => Part::Hour,
                Some('M') => Part::Minute,
                Some('S') => Part::Second,
                Some('f') => Part::Fraction,
                Some('z') => Part::Zone,
                Some('a') => Part::Weekday,
                Some('s') => Part::EpochSeconds,
                Some('Q') => Part::EpochMillis,
                Some('%') => Part::Text('%'),
                other => {
                    let other = other.map(String::from).unwrap_or_default();
                    return Err(Error::config(format!("`cursor_format` has `%{other}`; there are: {KNOWN}")));
                }
            });
        }
        let has = |part: Part| parts.contains(&part);
        let date = has(Part::Year) && has(Part::Day) && (has(Part::Month) || has(Part::MonthName));
        if !(date || has(Part::EpochSeconds) || has(Part::EpochMillis)) {
            return Err(Error::config(format!(
                "`cursor_format`, `{text}`, has no year, month and day, so that it orders nothing; there are: {KNOWN}"
            )));
        }
        Ok(Self(parts))
    }

    /// Parses a timestamp; `None` for a text of another form.
    pub fn read(&self, text: &str) -> Option<Moment> {
        let (mut clock, mut rest) = (Clock { month: 1, day: 1, ..Clock::default() }, text);
        let (mut fraction, mut zone, mut epoch) = (String::new(), None, None);
        for part in &self.0 {
            match part {
                Part::Text(letter) => rest = rest.strip_prefix(*letter)?,
                Part::Year => clock.year = number(&mut rest, 4, 4)?,
                Part::Month => clock.month = number(&mut rest, 1, 2)?,
                Part::Day => clock.day = number(&mut rest, 1, 2)?,
                Part::Hour => clock.hour = number(&mut rest, 1, 2)?,
                Part::Minute => clock.minute = number(&mut rest, 2, 2)?,
                Part::Second => clock.second = number(&mut rest, 2, 2)?,
                Part::Fraction => {
                    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
                    fraction = (1..=18).contains(&length).then(|| rest[..length].to_owned())?;
                    rest = &rest[length..];
                }
                Part::MonthName => {
                    let name = rest.get(..3)?;
                    clock.month = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))? as i64 + 1;
                    rest = &rest[3..];
                }
                Part::Weekday => {
                    let name = rest.get(..3)?;
                    WEEKDAYS.iter().find(|day| day.eq_ignore_ascii_case(name))?;
                    rest = &rest[3..];
                }
                Part::Zone => {
                    let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | ':')));
                    let (text, behind) = rest.split_at(length.unwrap_or(rest.len()));
                    zone = Some((text.to_owned(), offset(text)?));
                    rest = behind;
                }
                Part::EpochSeconds => epoch = Some((signed(&mut rest)?, 1)),
                Part::EpochMillis => epoch = Some((signed(&mut rest)?, 1000)),
            }
        }
        if !rest.is_empty() {
            return None;
        }
        let mut places = fraction.len();
        let seconds = match epoch {
            Some((count, unit)) => {
                if unit == 1000 {
                    (fraction, places) = (format!("{:03}", count.rem_euclid(1000)), 3);
                }
                count.div_euclid(unit)
            }
            None => clock.seconds()? - zone.as_ref().map_or(0, |(_, offset)| *offset),
        };
        Some(Moment {
            seconds,
            fraction: fraction.trim_end_matches('0').to_owned(),
            spelling: Spelling { style: Style::Own(self.clone()), places, zone },
        })
    }

    /// Writes a local time.
    pub fn write(&self, local: i64, offset: i64, fraction: &str, zone: &str) -> String {
        let clock = Clock::of(local);
        let utc = local - offset;
        let part = |part: &Part| match part {
            Part::Text(letter) => letter.to_string(),
            Part::Year => format!("{:04}", clock.year),
            Part::Month => format!("{:02}", clock.month),
            Part::MonthName => MONTHS[clock.month as usize - 1].to_owned(),
            Part::Day => format!("{:02}", clock.day),
            Part::Hour => format!("{:02}", clock.hour),
            Part::Minute => format!("{:02}", clock.minute),
            Part::Second => format!("{:02}", clock.second),
            Part::Fraction => fraction.to_owned(),
            Part::Zone => zone.to_owned(),
            Part::Weekday => WEEKDAYS[(local.div_euclid(86_400) + 3).rem_euclid(7) as usize].to_owned(),
            Part::EpochSeconds => utc.to_string(),
            Part::EpochMillis => format!("{}", i128::from(utc) * 1000 + fraction.parse::<i128>().unwrap_or(0)),
        };
        self.0.iter().map(part).collect()
    }
}

/// The number of `least` to `most` digits at the start of `rest`.
fn number(rest: &mut &str, least: usize, most: usize) -> Option<i64> {
    let length = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (digits, behind) = rest.split_at(length);
    *rest = behind;
    if length < least { None } else { digits.parse().ok() }
}

fn signed(rest: &mut &str) -> Option<i64> {
    let negative = rest.starts_with('-');
    *rest = rest.strip_prefix('-').unwrap_or(rest);
    let size = number(rest, 1, 18)?;
    Some(if negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn formats_order_timestamps_that_are_not_in_alphabetical_order() {
        for (format, earlier, later) in [
            ("%m/%d/%Y", "12/31/2023", "01/02/2024"),
            ("%d.%m.%Y", "31.12.2023", "01.01.2024"),
            ("%Y-%m-%d", "2024-9-30", "2024-10-1"),
            ("%d %b %Y %H:%M:%S %z", "31 Dec 2023 23:30:00 GMT", "01 Jan 2024 02:00:00 +0100"),
            ("/Date(%Q)/", "/Date(999999999999)/", "/Date(1000000000000)/"),
            ("%s", "-5", "3"),
            ("%Y%m%d%H%M%S.%f", "20231231235959.9", "20240101000000.1"),
        ] {
            let parsed = Format::parse(format).unwrap();
            let (one, other) = (parsed.read(earlier).unwrap(), parsed.read(later).unwrap());
            assert!(one < other, "{format}");
            assert_eq!(parsed.read(&other.earlier(0).unwrap()), Some(other.clone()), "{format}");
        }
        let sales = Format::parse("%m/%d/%Y").unwrap();
        assert_eq!(sales.read("01/01/2024").unwrap().earlier(86_400).unwrap(), "12/31/2023");
        for text in ["13/01/2024", "1/2", "01/02/2024 ", "02/30/2024", ""] {
            assert_eq!(sales.read(text), None, "{text}");
        }
        for format in ["%H:%M", "%y", "%", "", "%d.%m."] {
            assert!(Format::parse(format).is_err(), "{format}");
        }
    }
}
