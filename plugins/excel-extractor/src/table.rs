//! The table that is made of all files.

use input_files::{PathColumns, PathType, other_columns};
use json_records::{Fault, MAX_COLUMNS, Member, Members, Rows, Table as Sink, Type, told};
use osiris_sdk::{Error, Output, Result, context};
use serde_json::Value as Json;

use crate::column::{Seen, write_json};
use crate::options::Config;
use crate::part::{Part, named};
use crate::rows::Value;
use crate::serial::Epoch;
use crate::workbook::Workbook;

/// A column of the table.
struct Column {
    name: String,
    /// The name as JSON, with a colon.
    key: String,
    kind: Type,
    declared: bool,
}

/// The table's columns, and each file's.
pub struct Table<'a> {
    config: &'a Config,
    paths: &'a PathColumns,
    parts: &'a [Part],
    columns: Vec<Column>,
}

impl<'a> Table<'a> {
    /// Decides the columns and their types.
    ///
    /// # Errors
    /// `data` for files with different columns unless they are united by name; `not-found` for a column that does not exist;
    /// `config` for a type that does not.
    pub fn new(config: &'a Config, parts: &'a [Part], paths: &'a PathColumns) -> Result<Self> {
        let mut found: Vec<(String, Vec<&Seen>)> = Vec::new();
        for part in parts {
            if let (false, Some(first)) = (config.files.union_by_name, parts.first()) {
                same_columns(first, part)?;
            }
            for column in &part.columns {
                let name = column.name.to_lowercase();
                match found.iter_mut().find(|(known, _)| known.to_lowercase() == name) {
                    Some((_, seen)) => seen.push(&column.seen),
                    None => found.push((column.name.clone(), vec![&column.seen])),
                }
            }
        }
        paths.check_free(found.iter().map(|(name, _)| name.as_str()))?;
        if found.is_empty() && config.dtype.is_empty() {
            let sheet = parts.first().map(|part| part.sheet.name.as_str()).unwrap_or_default();
            return Err(Error::data(format!("sheet `{sheet}` has no cells with values in the range")));
        }
        if found.len() > MAX_COLUMNS {
            let count = found.len();
            return Err(Error::data(format!(
                "the sheet has {count} columns, more than the {MAX_COLUMNS} of a table; read a `range`"
            )));
        }
        let mut columns = Vec::new();
        for (name, seen) in chosen(config, found)? {
            columns.push(column(config, name, &seen)?);
        }
        Ok(Self { config, paths, parts, columns })
    }

    /// The table's columns, by name and type.
    pub fn described(&self) -> Vec<(String, String)> {
        let own = self.columns.iter().map(|column| (column.name.clone(), column.kind.name()));
        own.chain(self.paths.iter().map(|column| (column.name.clone(), column.kind.name().to_owned()))).collect()
    }

    /// Writes the rows of all files.
    ///
    /// # Errors
    /// `data` for a value that does not fit a declared type, with its place.
    pub fn write(&self, books: &[Option<Workbook>], output: Output) -> Result<()> {
        let own = self.columns.iter().map(|column| (&column.name, column.kind.clone(), column.declared));
        let own = own
            .map(|(name, kind, declared)| Member { key: name.clone(), column: Some((name.clone(), kind, declared)) });
        let members = Members::new(own.chain(self.paths.iter().map(of_path)));
        let mut sink = Sink::new(output, "main");
        let mut rows = Rows::create(members, &mut sink)?;
        let (limit, mut count) = (self.config.files.limit.unwrap_or(u64::MAX), 0);
        let total = self.parts.iter().map(|part| part.rows).sum::<u64>().min(limit);
        for (number, (part, book)) in self.parts.iter().zip(books).enumerate() {
            if count >= limit {
                break;
            }
            let reopened;
            let book = match book {
                Some(book) => book,
                None => {
                    reopened = Workbook::open(&part.file).map_err(|error| named(&part.file, error))?;
                    &reopened
                }
            };
            let mut record = Record::new(self, part, number, book.epoch);
            part.each_row(book, |row, values| {
                let pushed = rows.push(record.of(values), &mut sink)?;
                pushed.map_err(|fault| misfit(part, row, &fault))?;
                count += 1;
                if count % 100_000 == 0 {
                    context::progress(count, Some(total));
                }
                Ok(count < limit)
            })
            .map_err(|error| named(&part.file, error))?;
        }
        let written = rows.finish(&mut sink)?;
        context::info("read", &[("files", &self.parts.len()), ("rows", &written)]);
        Ok(())
    }
}

/// Makes records of the rows of one file.
struct Record<'a> {
    columns: &'a [Column],
    /// The table's columns of the sheet's, by their places in the sheet.
    places: Vec<(u32, Option<usize>)>,
    /// The members that the file's path gives.
    path: String,
    epoch: Epoch,
    json: String,
}

impl<'a> Record<'a> {
    fn new(table: &'a Table<'_>, part: &Part, number: usize, epoch: Epoch) -> Self {
        let place = |column: &crate::part::Column| {
            let name = column.name.to_lowercase();
            (column.place, table.columns.iter().position(|column| column.name.to_lowercase() == name))
        };
        let member = |column: &input_files::PathColumn| {
            let value = match (column.value(number), column.kind) {
                (None, _) => "null".to_owned(),
                (Some(value), PathType::BigInt) => value.to_owned(),
                (Some(value), _) => Json::from(value).to_string(),
            };
            format!("{}:{value},", Json::from(column.name.as_str()))
        };
        let places = part.columns.iter().map(place).collect();
        let path = table.paths.iter().map(member).collect();
        Self { columns: &table.columns, places, path, epoch, json: String::new() }
    }

    /// The record of a row.
    fn of(&mut self, values: &[(u32, Value<'_>)]) -> &str {
        self.json.clear();
        self.json.push('{');
        let mut places = self.places.iter();
        for (column, value) in values {
            // Both are in the order of the sheet.
            let Some((_, Some(place))) = places.by_ref().find(|(place, _)| place == column) else { continue };
            let column = &self.columns[*place];
            self.json.push_str(&column.key);
            write_json(*value, &column.kind, self.epoch, &mut self.json);
            self.json.push(',');
        }
        self.json.push_str(&self.path);
        if self.json.ends_with(',') {
            self.json.pop();
        }
        self.json.push('}');
        &self.json
    }
}

fn misfit(part: &Part, row: u32, fault: &Fault) -> Error {
    Error::data(told(fault, &format!("row {row} of sheet `{}`", part.sheet.name), " under `dtype`"))
}

/// The column that each row has from its file's path.
fn of_path(column: &input_files::PathColumn) -> Member {
    let kind = match column.kind {
        PathType::BigInt => Type::BigInt,
        PathType::Date => Type::Date,
        PathType::Varchar => Type::Varchar,
    };
    Member { key: column.name.clone(), column: Some((column.name.clone(), kind, true)) }
}

/// A column with its declared type, or the one that leaves each of its values unchanged.
fn column(config: &Config, name: String, seen: &[&Seen]) -> Result<Column> {
    let key = format!("{}:", Json::from(name.as_str()));
    if let Some(declared) = config.dtype.get(&name) {
        let kind =
            Type::parse(declared).map_err(|error| Error::from(error).context(format_args!("`dtype` of `{name}`")))?;
        return Ok(Column { name, key, kind, declared: true });
    }
    let mut all = Seen::default();
    seen.iter().for_each(|seen| all.join(seen));
    if let Some(mixture) = all.mixture() {
        context::warn(
            "a column has values of several kinds, so all of them are texts",
            &[("column", &name), ("values", &mixture)],
        );
    }
    Ok(Column { name, key, kind: all.settle(), declared: true })
}

/// The columns that the config selects, in its order.
fn chosen<'a>(config: &Config, found: Vec<(String, Vec<&'a Seen>)>) -> Result<Vec<(String, Vec<&'a Seen>)>> {
    let listed = || found.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if let Some(unknown) = config.dtype.keys().find(|name| !found.iter().any(|(known, _)| known == *name)) {
        return Err(Error::not_found(format!("`dtype` has a column `{unknown}`, but the sheet has: {}", listed())));
    }
    let Some(wanted) = &config.columns else { return Ok(found) };
    let find = |name: &String| {
        let found = found.iter().find(|(known, _)| known == name).cloned();
        found.ok_or_else(|| Error::not_found(format!("there is no column `{name}`; the sheet has: {}", listed())))
    };
    wanted.iter().map(find).collect()
}

fn same_columns(first: &Part, part: &Part) -> Result<()> {
    let names = |part: &Part| part.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
    let lower = |part: &Part| part.columns.iter().map(|column| column.name.to_lowercase()).collect::<Vec<_>>();
    if lower(first) == lower(part) {
        return Ok(());
    }
    Err(other_columns(&first.file, &names(first), &part.file, &names(part)))
}
