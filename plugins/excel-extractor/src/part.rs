//! One file: its sheet, the names of its columns, and its rows.

use std::collections::BTreeMap;

use osiris_sdk::{Error, Names, Result, context};

use crate::column::{Seen, text};
use crate::options::{Config, Header, OnErrorCell};
use crate::place::{Area, letters};
use crate::rows::{Row, Rows, Value};
use crate::workbook::{Sheet, Workbook};

/// A column of the sheet.
#[derive(Debug)]
pub struct Column {
    /// Its place in the sheet.
    pub place: u32,
    pub name: String,
    pub seen: Seen,
}

/// A file whose first pass has been made.
pub struct Part {
    pub file: String,
    pub sheet: Sheet,
    pub columns: Vec<Column>,
    /// How many rows there are.
    pub rows: u64,
    /// The rows below the header.
    below: Area,
    fill_merged: bool,
    skip_blank_rows: bool,
    on_error_cell: OnErrorCell,
}

/// The error with the name of the file.
pub fn named(file: &str, error: Error) -> Error {
    // An error of the host's or of the archive's begins with the name.
    let message = match error.message.contains(&format!("`{file}`")) {
        true => error.message,
        false => format!("cannot read `{file}`: {}", error.message),
    };
    Error { message, ..error }
}

impl Part {
    /// Reads the whole sheet for the names of its columns and the types of their values.
    ///
    /// # Errors
    /// `data` for a file that cannot be read, `not-found` for a sheet that it does not have.
    pub fn open(file: &str, book: &Workbook, config: &Config) -> Result<Self> {
        let sheet = book.sheet(config.sheet.as_ref())?.clone();
        let area = config.area()?;
        let mut part = Self {
            file: file.to_owned(),
            sheet,
            columns: Vec::new(),
            rows: 0,
            below: area,
            fill_merged: config.fill_merged,
            skip_blank_rows: config.skip_blank_rows,
            on_error_cell: config.on_error_cell,
        };
        let (heads, seen) = part.look(book, config)?;
        part.name_columns(heads, seen);
        Ok(part)
    }

    /// The texts of the header's cells, and the values of all columns.
    fn look(&mut self, book: &Workbook, config: &Config) -> Result<(BTreeMap<u32, String>, BTreeMap<u32, Seen>)> {
        let (mut heads, mut seen) = (BTreeMap::new(), BTreeMap::<u32, Seen>::new());
        let mut rows = Rows::new(book, &self.sheet, self.fill_merged)?;
        let mut awaits_header = config.header != Header::Wanted(false);
        let mut last = self.below.rows.0 - 1;
        while let Some(row) = rows.next_row().map_err(|error| self.in_sheet(error))? {
            if !self.below.has_row(row.number) {
                continue;
            }
            if awaits_header {
                let is_header = match config.header {
                    Header::Row(number) if row.number > number => {
                        return Err(Error::data(format!(
                            "row {number} of sheet `{}` has no names of columns",
                            self.sheet.name
                        )));
                    }
                    Header::Row(_) => true,
                    Header::Wanted(_) => !self.is_blank(row, book)?,
                };
                if is_header {
                    for value in row.values(book, self.below) {
                        let (column, value) = value.map_err(|error| self.in_sheet(error))?;
                        let head = self.checked(row, column, value)?.map(text).unwrap_or_default();
                        heads.insert(column, head);
                    }
                    (awaits_header, self.below.rows.0, last) = (false, row.number + 1, row.number);
                }
                continue;
            }
            let mut is_blank = true;
            for value in row.values(book, self.below) {
                let (column, value) = value.map_err(|error| self.in_sheet(error))?;
                let Some(value) = self.checked(row, column, value)? else { continue };
                is_blank &= value == Value::Text("");
                seen.entry(column).or_default().see(value, || row.name(column));
            }
            if !is_blank {
                self.rows += if self.skip_blank_rows { 1 } else { u64::from(row.number - last) };
                last = row.number;
            }
        }
        if awaits_header && config.header != Header::Wanted(true) {
            return Err(Error::data(format!("sheet `{}` ends above its row of names", self.sheet.name)));
        }
        Ok((heads, seen))
    }

    /// Names the columns that have a name or a value: by their header, or by their letters.
    fn name_columns(&mut self, mut heads: BTreeMap<u32, String>, mut seen: BTreeMap<u32, Seen>) {
        let mut places: Vec<u32> = heads.iter().filter(|(_, head)| !head.is_empty()).map(|(place, _)| *place).collect();
        places.extend(seen.iter().filter(|(_, seen)| !seen.is_empty()).map(|(place, _)| *place));
        places.sort_unstable();
        places.dedup();
        let mut names = Names::new(1);
        for place in places {
            let head = heads.remove(&place).unwrap_or_default();
            let name = names.free(&head, &letters(place));
            if name != head && !head.is_empty() {
                let sentence =
                    "two columns have the same name, or names that differ in case only: one has a number after it";
                context::warn(sentence, &[("file", &self.file), ("sheet", &self.sheet.name), ("column", &name)]);
            }
            self.columns.push(Column { place, name, seen: seen.remove(&place).unwrap_or_default() });
        }
    }

    /// Passes each row to `take`, with the columns and values of its cells; ends early once that returns false. Rows without
    /// values are passed unless blank rows are skipped.
    ///
    /// # Errors
    /// As for [`Rows::next_row`], and what `take` refuses.
    pub fn each_row(
        &self,
        book: &Workbook,
        mut take: impl FnMut(u32, &[(u32, Value<'_>)]) -> Result<bool>,
    ) -> Result<()> {
        let mut rows = Rows::new(book, &self.sheet, self.fill_merged)?;
        let (mut given, mut next) = (0, self.below.rows.0);
        while given < self.rows {
            let Some(row) = rows.next_row().map_err(|error| self.in_sheet(error))? else { break };
            if !self.below.has_row(row.number) {
                continue;
            }
            while !self.skip_blank_rows && next < row.number {
                if !take(next, &[])? {
                    return Ok(());
                }
                (next, given) = (next + 1, given + 1);
            }
            let mut values = Vec::new();
            for value in row.values(book, self.below) {
                let (column, value) = value.map_err(|error| self.in_sheet(error))?;
                values.extend(self.checked(row, column, value)?.map(|value| (column, value)));
            }
            next = row.number + 1;
            if self.skip_blank_rows && values.iter().all(|(_, value)| *value == Value::Text("")) {
                continue;
            }
            given += 1;
            if !take(row.number, &values)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn is_blank(&self, row: &Row, book: &Workbook) -> Result<bool> {
        for value in row.values(book, self.below) {
            if value.map_err(|error| self.in_sheet(error))?.1 != Value::Text("") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The value, or `None` for a cell with an error that counts as empty.
    fn checked<'a>(&self, row: &Row, column: u32, value: Value<'a>) -> Result<Option<Value<'a>>> {
        match (value, self.on_error_cell) {
            (Value::Error(_), OnErrorCell::Blank) => Ok(None),
            (Value::Error(error), OnErrorCell::Error) => {
                let (sheet, cell) = (&self.sheet.name, row.name(column));
                let shown: String = error.chars().take(40).collect();
                Err(Error::data(format!(
                    "cell {cell} of sheet `{sheet}` has the error `{shown}`; correct it in Excel, or write `on_error_cell: blank` \
                     to read such cells as null"
                )))
            }
            (value, _) => Ok(Some(value)),
        }
    }

    /// The error with the name of the sheet.
    fn in_sheet(&self, error: Error) -> Error {
        error.context(format_args!("sheet `{}`", self.sheet.name))
    }
}
