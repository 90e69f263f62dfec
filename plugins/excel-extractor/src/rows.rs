//! The rows of a sheet, one after another, with the values of their cells.

use osiris_sdk::{Date, Error, Result, Timestamp};

use crate::place::{self, Area, MAX_COLUMNS, MAX_ROWS};
use crate::serial::{Moment, microseconds};
use crate::styles::Look;
use crate::texts::{Text, append, decoded};
use crate::workbook::{Sheet, Workbook};
use crate::xml::{Node, Tag, Xml};

/// The most merged areas that are remembered.
const MAX_MERGED: usize = 100_000;

/// The value of a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A whole number, with all digits that the file has.
    Whole(i128),
    /// Any other number.
    Real(f64),
    Text(&'a str),
    Boolean(bool),
    /// Days since 1970-01-01.
    Date(i64),
    /// Microseconds since 1970-01-01 00:00.
    Timestamp(i64),
    /// Microseconds since midnight.
    Time(i64),
    /// Elapsed microseconds.
    Interval(i64),
    /// An error such as `#N/A`.
    Error(&'a str),
}

/// Where a cell's value is, and how it is read.
#[derive(Debug, Clone, Copy)]
struct Cell {
    column: u32,
    kind: Kind,
    /// In the row's text.
    start: usize,
    end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number(Look),
    /// The number of a shared text.
    Shared(usize),
    Text,
    Boolean,
    Iso,
    Error,
}

/// A row of a sheet: its cells that are not empty, in their order.
#[derive(Debug, Default)]
pub struct Row {
    pub number: u32,
    text: String,
    cells: Vec<Cell>,
}

/// A merged area, and the value of its first cell once that was read.
#[derive(Debug)]
struct Merged {
    area: Area,
    value: Option<(Kind, String)>,
}

/// The merged areas of a sheet: those that begin below the last row, from the last to the first, and those that it crosses.
#[derive(Debug, Default)]
struct MergedAreas {
    waiting: Vec<Merged>,
    begun: Vec<Merged>,
}

/// A sheet being read.
pub struct Rows<'a> {
    book: &'a Workbook,
    xml: Xml,
    row: Row,
    /// The number of the last row; 0 before the first.
    last: u32,
    is_ended: bool,
    /// Filled if the cells of merged areas get their values.
    merged: MergedAreas,
}

impl<'a> Rows<'a> {
    /// Starts reading a sheet. With `fill_merged`, each cell of a merged area gets the value of its first one.
    ///
    /// # Errors
    /// `data` for a sheet that cannot be read.
    pub fn new(book: &'a Workbook, sheet: &Sheet, fill_merged: bool) -> Result<Self> {
        let merged = if fill_merged { merged(book.xml(sheet)?)? } else { MergedAreas::default() };
        let mut xml = book.xml(sheet)?;
        // Cells stand inside `sheetData`; a part without one has none.
        let is_ended = loop {
            match xml.next_node()? {
                Node::Open(tag) if tag.is("sheetData") => break false,
                Node::Eof => break true,
                _ => {}
            }
        };
        Ok(Self { book, xml, row: Row::default(), last: 0, is_ended, merged })
    }

    /// The next row of the file; `None` once the part was read to its end.
    ///
    /// # Errors
    /// `data` for a sheet that is malformed or damaged.
    pub fn next_row(&mut self) -> Result<Option<&Row>> {
        while !self.is_ended {
            match self.xml.next_node()? {
                Node::Open(tag) if tag.is("row") => {
                    self.row.number = match tag.attribute("r")? {
                        Some(number) => place::row(number.trim().as_bytes()).unwrap_or(0),
                        None => self.last + 1,
                    };
                    if self.row.number <= self.last || self.row.number > MAX_ROWS {
                        return Err(Error::data(format!("the number of the row after row {} is wrong", self.last)));
                    }
                    self.last = self.row.number;
                    self.read_cells()?;
                    self.fill_merged()?;
                    return Ok(Some(&self.row));
                }
                Node::Eof => self.is_ended = true,
                _ => {}
            }
        }
        Ok(None)
    }

    /// The cells of the row that was opened.
    fn read_cells(&mut self) -> Result<()> {
        self.row.text.clear();
        self.row.cells.clear();
        let mut next_column = 0;
        loop {
            let (column, style, kind) = match self.xml.next_node()? {
                Node::Open(tag) if tag.is("c") => self.row.head(&tag, next_column)?,
                Node::Close(tag) if tag.is("row") => return Ok(()),
                Node::Eof => return Ok(()),
                _ => continue,
            };
            next_column = column + 1;
            let start = self.row.text.len();
            if !self.read_content(kind == b"inlineStr")? {
                continue;
            }
            let kind = self.kind(&kind, style, start, column)?;
            let end = self.row.text.len();
            // A number or a date without a character is no value.
            if kind != Kind::Text && start == end {
                continue;
            }
            self.row.cells.push(Cell { column, kind, start, end });
        }
    }

    /// The content of the cell that was opened; false if it has none.
    fn read_content(&mut self, is_inline: bool) -> Result<bool> {
        let (mut in_value, mut is_known) = (false, false);
        let mut inline = Text::default();
        loop {
            match self.xml.next_node()? {
                Node::Close(tag) if tag.is("c") => break,
                Node::Open(tag) if tag.is("v") => (in_value, is_known) = (!is_inline, is_known || !is_inline),
                Node::Close(tag) if tag.is("v") => in_value = false,
                Node::Open(tag) if tag.is("is") => is_known |= is_inline,
                Node::Text(text) if in_value => append(&mut self.row.text, &text)?,
                Node::Eof => break,
                node if is_inline => inline.take(&node)?,
                _ => {}
            }
        }
        if is_inline {
            append(&mut self.row.text, &inline.decoded())?;
        }
        Ok(is_known)
    }

    /// How the content of a cell is read, by its type `t` and its style.
    fn kind(&mut self, kind: &[u8], style: usize, start: usize, column: u32) -> Result<Kind> {
        Ok(match kind {
            b"" | b"n" => Kind::Number(self.book.styles.look(style)),
            b"s" => {
                let text = self.row.text[start..].trim();
                if text.is_empty() {
                    return Ok(Kind::Shared(usize::MAX));
                }
                let number = text.parse().ok().filter(|number| *number < self.book.texts.len());
                Kind::Shared(number.ok_or_else(|| {
                    Error::data(format!(
                        "cell {} has the shared text number `{}`, but there are {}",
                        self.row.name(column),
                        shortened(text),
                        self.book.texts.len()
                    ))
                })?)
            }
            b"inlineStr" => Kind::Text,
            b"str" => {
                let text = decoded(&self.row.text[start..]).into_owned();
                self.row.text.truncate(start);
                self.row.text.push_str(&text);
                Kind::Text
            }
            b"b" => Kind::Boolean,
            b"e" => Kind::Error,
            b"d" => Kind::Iso,
            other => {
                let (cell, other) = (self.row.name(column), String::from_utf8_lossy(other).into_owned());
                return Err(Error::data(format!("cell {cell} has the unknown type `{}`", shortened(&other))));
            }
        })
    }

    /// Gives the cells of merged areas the value of their first one.
    fn fill_merged(&mut self) -> Result<()> {
        let Self { merged, row, .. } = self;
        // Areas begin in the order of their first rows.
        while let Some(next) = merged.waiting.pop_if(|next| next.area.rows.0 <= row.number) {
            merged.begun.push(next);
        }
        merged.begun.retain(|merged| merged.area.rows.1 >= row.number);
        let width: u64 =
            merged.begun.iter().map(|merged| u64::from(merged.area.columns.1 - merged.area.columns.0 + 1)).sum();
        if width > u64::from(MAX_COLUMNS) {
            return Err(Error::data(format!("merged areas overlap in row {}", row.number)));
        }
        for Merged { area, value } in &mut merged.begun {
            if row.number == area.rows.0 {
                let first = row.cells.iter().find(|cell| cell.column == area.columns.0);
                *value = first.map(|cell| (cell.kind, row.text[cell.start..cell.end].to_owned()));
            }
            let Some((kind, text)) = value else { continue };
            let start = row.text.len();
            append(&mut row.text, text)?;
            let end = row.text.len();
            row.cells.retain(|cell| !area.has_column(cell.column));
            row.cells.extend((area.columns.0..=area.columns.1).map(|column| Cell { column, kind: *kind, start, end }));
        }
        row.cells.sort_by_key(|cell| cell.column);
        row.cells.dedup_by_key(|cell| cell.column);
        Ok(())
    }
}

impl Row {
    /// The column, the style and the type of a cell.
    fn head(&self, tag: &Tag<'_>, next_column: u32) -> Result<(u32, usize, Vec<u8>)> {
        let (mut reference, mut style, mut kind) = (None, 0, Vec::new());
        tag.attributes(|key, value| match key {
            b"r" => reference = Some(value.into_owned()),
            b"s" => style = value.trim().parse().unwrap_or(usize::MAX),
            b"t" => kind = value.as_bytes().to_vec(),
            _ => {}
        })?;
        let column = match reference {
            None => Some(next_column).filter(|column| *column < MAX_COLUMNS),
            Some(ref reference) => {
                let found = place::cell(reference.trim().as_bytes()).filter(|(_, row)| *row == self.number);
                found.map(|(column, _)| column).filter(|column| *column >= next_column)
            }
        };
        let wrong = || {
            let reference = reference.as_deref().unwrap_or_default();
            Error::data(format!(
                "row {} has the cell `{}`, which does not belong there",
                self.number,
                shortened(reference)
            ))
        };
        Ok((column.ok_or_else(wrong)?, style, kind))
    }

    /// The name of a cell of this row: `B12`.
    pub fn name(&self, column: u32) -> String {
        format!("{}{}", place::letters(column), self.number)
    }

    /// The columns and values of the cells inside `area`.
    ///
    /// # Errors
    /// `data` for a cell whose content does not fit its type.
    pub fn values<'a>(&'a self, book: &'a Workbook, area: Area) -> impl Iterator<Item = Result<(u32, Value<'a>)>> {
        let inside = self.cells.iter().filter(move |cell| area.has_column(cell.column));
        inside.map(|cell| {
            let text = &self.text[cell.start..cell.end];
            let value = value(cell.kind, text, book).ok_or_else(|| {
                Error::data(format!(
                    "cell {} has the value `{}`, which does not fit its type",
                    self.name(cell.column),
                    shortened(text)
                ))
            })?;
            Ok((cell.column, value))
        })
    }
}

fn value<'a>(kind: Kind, text: &'a str, book: &'a Workbook) -> Option<Value<'a>> {
    let trimmed = text.trim();
    Some(match kind {
        Kind::Text => Value::Text(text),
        Kind::Shared(number) => Value::Text(book.texts.get(number)?),
        Kind::Error => Value::Error(trimmed),
        Kind::Boolean => Value::Boolean(match trimmed {
            "1" | "true" => true,
            "0" | "false" => false,
            _ => return None,
        }),
        Kind::Iso => iso(trimmed)?,
        Kind::Number(look) => {
            let number = number(trimmed)?;
            let days = match number {
                Value::Whole(whole) => whole as f64,
                Value::Real(real) => real,
                _ => return Some(number),
            };
            match look {
                Look::Number => number,
                Look::Duration if days.abs() < 100_000_000.0 => Value::Interval(microseconds(days)),
                Look::Duration => number,
                Look::Date | Look::Timestamp | Look::Time => match book.epoch.moment(days) {
                    None => number,
                    Some(Moment::Date(days)) if look == Look::Date => Value::Date(days),
                    Some(Moment::Date(days)) => Value::Timestamp(days * 86_400_000_000),
                    Some(Moment::Timestamp(micros)) => Value::Timestamp(micros),
                    Some(Moment::Time(micros)) => Value::Time(micros),
                },
            }
        }
    })
}

/// The number that a text is. A whole one keeps its digits; one with a fraction or an exponent is a DOUBLE, as in Excel, and
/// whole again if its value is and a DOUBLE holds each whole number of its size.
fn number(text: &str) -> Option<Value<'_>> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if !text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E')) {
        return None;
    }
    if let Ok(whole) = text.parse::<i128>() {
        return Some(Value::Whole(whole));
    }
    let real: f64 = text.parse().ok().filter(|real: &f64| real.is_finite())?;
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        // More digits than any type of number has.
        return Some(Value::Text(text));
    }
    let is_whole = real.fract() == 0.0 && real.abs() <= EXACT;
    Some(if is_whole { Value::Whole(real as i128) } else { Value::Real(real) })
}

/// A date, a time or both in ISO 8601.
fn iso(text: &str) -> Option<Value<'_>> {
    if let Ok(Date(days)) = text.parse() {
        return Some(Value::Date(days.into()));
    }
    if let Ok(osiris_sdk::Time(micros)) = text.parse() {
        return Some(Value::Time(micros));
    }
    let text = text.strip_suffix('Z').unwrap_or(text);
    text.parse().ok().map(|Timestamp(micros)| Value::Timestamp(micros))
}

/// The merged areas of a sheet.
fn merged(mut xml: Xml) -> Result<MergedAreas> {
    let mut areas = Vec::new();
    loop {
        match xml.next_node()? {
            Node::Open(tag) if tag.is("mergeCell") => {
                if areas.len() == MAX_MERGED {
                    return Err(Error::data(format!(
                        "there are more than {MAX_MERGED} merged areas, too many for `fill_merged`"
                    )));
                }
                let area = tag.attribute("ref")?.and_then(|reference| Area::parse(&reference).ok());
                areas.extend(area.map(|area| Merged { area, value: None }));
            }
            Node::Eof => {
                areas.sort_by_key(|merged: &Merged| std::cmp::Reverse(merged.area.rows.0));
                return Ok(MergedAreas { waiting: areas, begun: Vec::new() });
            }
            _ => {}
        }
    }
}

/// The start of a text of the file, for an error.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_keep_their_digits_and_others_are_doubles() {
        for (text, expected) in [
            ("1", Some(Value::Whole(1))),
            ("-0", Some(Value::Whole(0))),
            ("9007199254740993", Some(Value::Whole(9_007_199_254_740_993))),
            ("1.0", Some(Value::Whole(1))),
            ("1E+3", Some(Value::Whole(1000))),
            ("1E+20", Some(Value::Real(1e20))),
            ("1.1000000000000001", Some(Value::Real(1.1))),
            ("", None),
            ("inf", None),
            ("NaN", None),
            ("1e999", None),
            ("0x10", None),
            ("1_000", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        let long = "1".repeat(40);
        assert_eq!(number(&long), Some(Value::Text(&long)));
    }
}
