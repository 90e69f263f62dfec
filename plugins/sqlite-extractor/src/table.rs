//! The rows of one table as JSON records: first all are seen for the types of its columns, then they are passed on.

use std::fmt::Write;

use json_records::Type;
use osiris_sdk::{Error, Result};
use serde_json::Value as Json;

use crate::column::{Column, Seen, is_exact};
use crate::definition::{Column as Defined, Default};
use crate::options::Config;
use crate::pages::Pages;
use crate::record::{self, Value};
use crate::schema;
use crate::tree::Rows;

/// A table whose columns have types.
pub struct Table<'a> {
    pages: &'a Pages,
    stored: schema::Table,
    pub columns: Vec<Column>,
    pub rows: u64,
}

impl<'a> Table<'a> {
    /// Reads all rows for the types of the columns.
    ///
    /// # Errors
    /// `not-found` for a column that does not exist; `data` for values that do not fit, and for a damaged file.
    pub fn new(pages: &'a Pages, stored: schema::Table, config: &Config) -> Result<Self> {
        let chosen = chosen(&stored, config)?;
        let mut seen: Vec<Seen> = stored.definition.columns.iter().map(|column| Seen::new(&column.declared)).collect();
        let mut rows = 0;
        each_row(pages, &stored, |row, rowid, values| {
            rows = row;
            for place in &chosen {
                let column = &stored.definition.columns[*place];
                seen[*place].see(value_of(column, rowid, values)?, row);
            }
            Ok(true)
        })?;
        let column = |place: usize| Column::new(config, place, &stored.definition.columns[place], &seen[place]);
        let columns = chosen.iter().map(|place| column(*place)).collect::<Result<_>>()?;
        Ok(Self { pages, stored, columns, rows })
    }

    pub fn name(&self) -> &str {
        &self.stored.name
    }

    /// Passes each row to `take` as a JSON object, with its number from 1; ends early once that returns false.
    ///
    /// # Errors
    /// `data` for a value that JSON cannot have, and for a damaged file; what `take` refuses.
    pub fn each_record(&self, mut take: impl FnMut(u64, &str) -> Result<bool>) -> Result<()> {
        let key = |column: &Column| format!("{}:", Json::from(column.name.as_str()));
        let keys: Vec<String> = self.columns.iter().map(key).collect();
        let mut json = String::new();
        each_row(self.pages, &self.stored, |row, rowid, values| {
            json.clear();
            json.push('{');
            for (column, key) in self.columns.iter().zip(&keys) {
                if json.len() > 1 {
                    json.push(',');
                }
                json.push_str(key);
                let value = value_of(&self.stored.definition.columns[column.place], rowid, values)?;
                if column.leaves_out(value) {
                    json.push_str("null");
                    continue;
                }
                self.write_json(value, column, &mut json).ok_or_else(|| {
                    let what = match value {
                        Value::Blob(_) => format!("a blob, which does not fit {}", column.kind.name()),
                        _ => {
                            "a text that is not valid in the file's encoding; `dtype: BLOB` reads its bytes".to_owned()
                        }
                    };
                    Error::data(format!("row {row} of table `{}` has in `{}` {what}", self.stored.name, column.name))
                })?;
            }
            json.push('}');
            take(row, &json)
        })
    }

    /// Appends a value for its column's type; `None` if it cannot be one.
    fn write_json(&self, value: Value<'_>, column: &Column, json: &mut String) -> Option<()> {
        // Writing to a text cannot fail.
        match (value, &column.kind) {
            (Value::Null, _) => json.push_str("null"),
            (Value::Integer(number), Type::Boolean) if (0..=1).contains(&number) => {
                json.push_str(if number == 1 { "true" } else { "false" });
            }
            (Value::Integer(number), Type::Double) if is_exact(number) => {
                let _ = write!(json, "{:?}", number as f64);
            }
            (Value::Integer(number), Type::Varchar) => drop(write!(json, "\"{number}\"")),
            (Value::Integer(number), _) => drop(write!(json, "{number}")),
            (Value::Real(real), kind) => {
                let quote = if *kind == Type::Varchar { "\"" } else { "" };
                let text = match real {
                    f64::INFINITY => "Infinity".to_owned(),
                    f64::NEG_INFINITY => "-Infinity".to_owned(),
                    real => format!("{real:?}"),
                };
                let _ = write!(json, "{quote}{text}{quote}");
            }
            (Value::Text(bytes) | Value::Blob(bytes), Type::Blob) => write_blob(bytes, json),
            (Value::Blob(_), _) => return None,
            (Value::Text(bytes), _) => {
                let text = record::text(bytes, self.pages.header.encoding)?;
                json.push_str(&Json::from(&*text).to_string());
            }
        }
        Some(())
    }
}

/// A blob as DuckDB writes it: printable characters, and others as `\x00`, in a JSON text.
fn write_blob(bytes: &[u8], json: &mut String) {
    json.push('"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' | b'\'' | 0..=31 | 127.. => drop(write!(json, "\\\\x{byte:02X}")),
            byte => json.push(char::from(*byte)),
        }
    }
    json.push('"');
}

/// Passes each row to `take`: its place from 1, its number and its values as they are stored.
fn each_row(
    pages: &Pages,
    table: &schema::Table,
    mut take: impl FnMut(u64, i64, &[Value<'_>]) -> Result<bool>,
) -> Result<()> {
    let mut rows = Rows::new(pages, table.root, table.definition.storage)?;
    let mut count = 0;
    while let Some((rowid, row)) = rows.next_row()? {
        let mut values = Vec::new();
        record::values(row, &mut values)?;
        count += 1;
        if !take(count, rowid, &values)? {
            break;
        }
    }
    Ok(())
}

/// The value of a column in a row. A row that is older than the column has the column's default.
fn value_of<'a>(column: &'a Defined, rowid: i64, values: &[Value<'a>]) -> Result<Value<'a>> {
    if column.is_rowid {
        return Ok(Value::Integer(rowid));
    }
    let stored = column.place.and_then(|place| values.get(place));
    Ok(match (stored, &column.default) {
        (Some(value), _) => *value,
        (None, Default::Null) => Value::Null,
        (None, Default::Integer(number)) => Value::Integer(*number),
        (None, Default::Real(real)) => Value::Real(*real),
        (None, Default::Text(text)) => Value::Text(text.as_bytes()),
        (None, Default::Blob(bytes)) => Value::Blob(bytes),
        (None, Default::Computed) => {
            return Err(Error::data(format!(
                "it is damaged: a row has no value of column `{}`, whose default is computed",
                column.name
            )));
        }
    })
}

/// The places of the columns to read. A column that is computed when it is read has no stored values.
fn chosen(table: &schema::Table, config: &Config) -> Result<Vec<usize>> {
    let columns = &table.definition.columns;
    let listed = || columns.iter().map(|column| format!("`{}`", column.name)).collect::<Vec<_>>().join(", ");
    let find = |name: &String| {
        let found = columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            Error::not_found(format!("table `{}` has no column `{name}`; it has: {}", table.name, listed()))
        })
    };
    for name in config.dtype.keys() {
        if !columns.iter().any(|column| column.name == *name) {
            return Err(Error::not_found(format!(
                "`dtype` has a column `{name}`, but table `{}` has: {}",
                table.name,
                listed()
            )));
        }
    }
    let is_computed = |place: &usize| columns[*place].place.is_none();
    if let Some(wanted) = &config.columns {
        let places = wanted.iter().map(find).collect::<Result<Vec<usize>>>()?;
        return match places.iter().find(|place| is_computed(place)) {
            Some(place) => Err(Error::data(format!(
                "column `{}` is computed by SQLite when it is read, so the file has no values of it",
                columns[*place].name
            ))),
            None => Ok(places),
        };
    }
    let (computed, places): (Vec<usize>, Vec<usize>) = (0..columns.len()).partition(is_computed);
    for place in computed {
        let sentence =
            "a column is left out that SQLite computes when it is read, so that the file has no values of it";
        osiris_sdk::context::warn(sentence, &[("table", &table.name), ("column", &columns[place].name)]);
    }
    Ok(places)
}
