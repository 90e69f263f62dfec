//! The columns of a file's records.

use std::collections::HashSet;

use input_files::{PathColumn, PathColumns, PathType};
use json_records::{Fields, Kind, MAX_COLUMNS, Member, Members, Style, Type};
use osiris_sdk::{Error, Names, Result, context};

use crate::options::Config;

/// The only column of a file whose values are not objects.
pub const WHOLE: &str = "json";

/// The columns, and whether each record is an object with these members or a value of the only column.
pub struct Shape {
    pub members: Members,
    pub objects: bool,
}

/// A column of the table.
struct Column {
    /// Its key in JSON.
    key: String,
    name: String,
    kind: Type,
    /// Whether the config declares its type.
    declared: bool,
}

impl Column {
    fn found(key: &str, name: String, kind: Type) -> Self {
        Self { key: key.to_owned(), name, kind, declared: false }
    }

    fn member(self) -> Member {
        Member { key: self.key, column: Some((self.name, self.kind, self.declared)) }
    }
}

/// The common columns of all records, and those of their files' paths.
///
/// # Errors
/// `config` for a type that does not exist; `not-found` for a column that does not; `data` for more columns than a
/// table may have.
pub fn shape(config: &Config, kind: &Kind, records: u64, paths: &PathColumns) -> Result<Shape> {
    let mut names = Names::new(1);
    let objects = matches!(kind, Kind::Struct(fields) if !fields.is_empty());
    let mut columns = match kind {
        Kind::Struct(fields) if objects => columns_of_keys(config, fields, &mut names)?,
        _ if records == 0 => columns_of_config(config, &mut names),
        other => vec![Column::found(WHOLE, names.free(WHOLE, ""), other.settle(Style::File))],
    };
    declare(config, &mut columns, &mut names)?;
    paths.check_free(columns.iter().flat_map(|column| [column.key.as_str(), column.name.as_str()]))?;
    let members = chosen(config, columns)?.into_iter().chain(paths.iter().map(of_path));
    Ok(Shape { members: Members::new(members), objects })
}

/// The member that each record has from its file's path.
fn of_path(column: &PathColumn) -> Member {
    let kind = match column.kind {
        PathType::BigInt => Type::BigInt,
        PathType::Date => Type::Date,
        PathType::Varchar => Type::Varchar,
    };
    Member { key: column.name.clone(), column: Some((column.name.clone(), kind, true)) }
}

/// A column for each key of the records.
fn columns_of_keys(config: &Config, fields: &Fields, names: &mut Names) -> Result<Vec<Column>> {
    if fields.len() > MAX_COLUMNS {
        return Err(Error::data(format!(
            "the records have {} keys, more than the {MAX_COLUMNS} columns that a table may have; `max_depth: 0` keeps \
             each record as JSON",
            fields.len()
        )));
    }
    let mut columns = Vec::with_capacity(fields.len());
    let mut renamed = None;
    for (place, (key, kind)) in fields.iter().enumerate() {
        let name = names.free(key, &format!("C{place}"));
        if name != *key {
            context::warn(
                "a key that is empty, or that another differs from in case only, has a column of another name",
                &[("key", key), ("column", &name)],
            );
            renamed = Some(name.clone());
        }
        columns.push(Column::found(key, name, kind.settle(Style::File)));
    }
    match renamed {
        Some(name) if !config.dtype.is_empty() => Err(Error::config(format!(
            "`dtype` cannot be given for a file in which keys are empty or differ in case only: the column `{name}` is \
             not called so there; cast columns in the next step"
        ))),
        _ => Ok(columns),
    }
}

/// The columns of a file without records: those that the config names without declaring a type; at least one.
fn columns_of_config(config: &Config, names: &mut Names) -> Vec<Column> {
    let mut columns = Vec::new();
    for name in config.columns.iter().flatten().filter(|name| !config.dtype.contains_key(*name)) {
        if names.is_free(name) {
            columns.push(Column::found(name, names.free(name, ""), Type::Json));
        }
    }
    if columns.is_empty() && config.dtype.is_empty() {
        columns.push(Column::found(WHOLE, names.free(WHOLE, ""), Type::Json));
    }
    columns
}

/// Sets the types that the config declares, and adds columns that only the config has.
fn declare(config: &Config, columns: &mut Vec<Column>, names: &mut Names) -> Result<()> {
    let declared = |name: &str| -> Result<Option<Type>> {
        let kind = config.dtype.get(name).map(|kind| Type::parse(kind));
        kind.transpose().map_err(|error| Error::from(error).context(format_args!("`dtype` of `{name}`")))
    };
    for column in columns.iter_mut() {
        if let Some(kind) = declared(&column.name)? {
            (column.kind, column.declared) = (kind, true);
        }
    }
    let known: HashSet<String> = columns.iter().map(|column| column.name.clone()).collect();
    for name in config.dtype.keys().filter(|name| !known.contains(*name)) {
        if let Some(other) = known.iter().find(|known| known.to_lowercase() == name.to_lowercase()) {
            return Err(Error::config(format!(
                "`dtype` has the column `{name}`, but the file's differs in case: `{other}`; write it as the file does"
            )));
        }
        if let Some(kind) = declared(name)? {
            columns.push(Column { key: name.clone(), name: names.free(name, ""), kind, declared: true });
        }
    }
    Ok(())
}

/// The columns that the config selects, in its order; the values of other columns are skipped.
fn chosen(config: &Config, columns: Vec<Column>) -> Result<Vec<Member>> {
    let Some(wanted) = &config.columns else { return Ok(columns.into_iter().map(Column::member).collect()) };
    let mut members = Vec::new();
    let mut left = columns;
    let all: Vec<String> = left.iter().map(|column| format!("`{}`", column.name)).collect();
    for name in wanted {
        match left.iter().position(|column| column.name == *name) {
            Some(place) => members.push(left.remove(place).member()),
            None => {
                return Err(Error::not_found(format!("there is no column `{name}`; the file has: {}", all.join(", "))));
            }
        }
    }
    members.extend(left.into_iter().map(|column| Member { key: column.key, column: None }));
    Ok(members)
}
