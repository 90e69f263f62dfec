//! Where cells are: `B12`, `A1:D100`, `B:F`.

use osiris_sdk::{Error, Result};

/// The size of a sheet, as Excel limits it.
pub const MAX_COLUMNS: u32 = 16_384;
pub const MAX_ROWS: u32 = 1_048_576;

/// The part of a sheet that is read. Columns count from 0 and rows from 1, as in `A1`; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    pub columns: (u32, u32),
    pub rows: (u32, u32),
}

impl Area {
    pub const WHOLE: Self = Self { columns: (0, MAX_COLUMNS - 1), rows: (1, MAX_ROWS) };

    /// Parses `A1:D100`, `A3:D` (to the last row), `A:D`, `3:100` or `B2` (one cell), with or without `$`.
    ///
    /// # Errors
    /// `config` for any other text.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::config(format!(
                "`{text}` is not a range of cells; write it as `A1:D100`, `A3:D` (to the last row), `A:D` or `3:100`, \
                 without the name of the sheet, which is the option `sheet`"
            ))
        };
        let plain = text.replace('$', "");
        let (first, last) = plain.split_once(':').unwrap_or((&plain, &plain));
        let (first, last) = (corner(first).ok_or_else(wrong)?, corner(last).ok_or_else(wrong)?);
        let columns = match (first.0, last.0) {
            (Some(first), Some(last)) => (first, last),
            (None, None) => Self::WHOLE.columns,
            _ => return Err(wrong()),
        };
        let rows = match (first.1, last.1) {
            (Some(first), Some(last)) => (first, last),
            (Some(first), None) => (first, MAX_ROWS),
            (None, None) => Self::WHOLE.rows,
            (None, Some(_)) => return Err(wrong()),
        };
        if columns.0 > columns.1 || rows.0 > rows.1 {
            return Err(wrong());
        }
        Ok(Self { columns, rows })
    }

    pub fn has_column(&self, column: u32) -> bool {
        (self.columns.0..=self.columns.1).contains(&column)
    }

    pub fn has_row(&self, row: u32) -> bool {
        (self.rows.0..=self.rows.1).contains(&row)
    }
}

/// A column and a row, of which one may be missing.
fn corner(text: &str) -> Option<(Option<u32>, Option<u32>)> {
    let digits = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let (letters, number) = text.split_at(digits);
    let column = if letters.is_empty() { None } else { Some(column(letters.as_bytes())?) };
    let row = if number.is_empty() { None } else { Some(row(number.as_bytes())?) };
    (column.is_some() || row.is_some()).then_some((column, row))
}

/// The place of a cell, such as `B12`: its column and its row.
pub fn cell(text: &[u8]) -> Option<(u32, u32)> {
    let digits = text.iter().position(u8::is_ascii_digit)?;
    Some((column(&text[..digits])?, row(&text[digits..])?))
}

/// The column called `letters`.
fn column(letters: &[u8]) -> Option<u32> {
    if letters.is_empty() || letters.len() > 3 {
        return None;
    }
    let digit = |number: Option<u32>, letter: &u8| {
        let letter = letter.to_ascii_uppercase();
        letter.is_ascii_uppercase().then(|| number.map(|number| number * 26 + u32::from(letter - b'A') + 1))?
    };
    letters.iter().fold(Some(0), digit).filter(|number| *number <= MAX_COLUMNS).map(|number| number - 1)
}

/// A row's number.
pub fn row(digits: &[u8]) -> Option<u32> {
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (digits.first().is_some_and(u8::is_ascii_digit) && (1..=MAX_ROWS).contains(&number)).then_some(number)
}

/// The letters of a column: `A`, `AB`.
pub fn letters(column: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = column + 1;
    while rest > 0 {
        letters.push(b'A' + ((rest - 1) % 26) as u8);
        rest = (rest - 1) / 26;
    }
    letters.iter().rev().map(|letter| char::from(*letter)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn columns_are_counted_in_letters() {
        for (letters_, number) in
            [("A", 0), ("Z", 25), ("AA", 26), ("AZ", 51), ("BA", 52), ("ZZ", 701), ("XFD", 16_383)]
        {
            assert_eq!((column(letters_.as_bytes()), letters(number).as_str()), (Some(number), letters_));
        }
        for wrong in ["", "XFE", "AAAA", "A1", "Ä"] {
            assert_eq!(column(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(cell(b"XFD1048576"), Some((16_383, MAX_ROWS)));
        for wrong in ["A0", "A1048577", "A", "1", "A-1", "A1B", "A99999999999"] {
            assert_eq!(cell(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_range_may_be_open_at_its_end() {
        let area = |columns, rows| Area { columns, rows };
        for (text, expected) in [
            ("A1:D100", area((0, 3), (1, 100))),
            ("$B$2:$C$3", area((1, 2), (2, 3))),
            ("a3:d", area((0, 3), (3, MAX_ROWS))),
            ("B:F", area((1, 5), (1, MAX_ROWS))),
            ("3:100", area((0, MAX_COLUMNS - 1), (3, 100))),
            ("B2", area((1, 1), (2, 2))),
        ] {
            assert_eq!(Area::parse(text).unwrap(), expected, "{text}");
        }
        for wrong in ["", ":", "D1:A1", "A9:B1", "A:3", "Sheet1!A1:B2", "A1:B2:C3", "A1:XFE2", "1:A"] {
            assert!(Area::parse(wrong).is_err(), "{wrong}");
        }
    }
}
