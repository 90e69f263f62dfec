//! The columns of a file's records.

use std::collections::HashSet;

use json_records::{Kind, MAX_COLUMNS, Member, Members, Names, Style, Type};
use osiris_sdk::{Error, Result, context};

use crate::options::Config;

/// The only column of a file whose values are not objects.
pub const WHOLE: &str = "json";

/// The columns, and whether each record is an object with these members or a value of the only column.
pub struct Shape {
    pub members: Members,
    pub objects: bool,
}

/// The common columns of all records.
///
/// # Errors
/// `config` for a type that does not exist; `not-found` for a column that does not; `data` for more columns than a
/// table may have.
pub fn shape(config: &Config, kind: &Kind, records: u64) -> Result<Shape> {
    let declared = |name: &str| -> Result<Option<Type>> {
        let kind = config.dtype.get(name).map(|kind| Type::parse(kind));
        kind.transpose().map_err(|error| error.context(format_args!("`dtype` of `{name}`")))
    };
    let mut names = Names::new(1);
    let mut columns: Vec<(String, String, Type, bool)> = Vec::new();
    let objects = matches!(kind, Kind::Struct(fields) if !fields.is_empty());
    match kind {
        Kind::Struct(fields) if objects => {
            if fields.len() > MAX_COLUMNS {
                return Err(Error::data(format!(
                    "the records have {} keys, more than the {MAX_COLUMNS} columns that a table may have; `max_depth: 0` \
                     keeps each record as JSON",
                    fields.len()
                )));
            }
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
                columns.push((key.clone(), name, kind.settle(Style::File), false));
            }
            if let Some(name) = renamed.filter(|_| !config.dtype.is_empty()) {
                return Err(Error::config(format!(
                    "`dtype` cannot be given for a file in which keys are empty or differ in case only: the column `{name}` is \
                     not called so there; cast columns in the next step"
                )));
            }
        }
        _ if records == 0 => {
            for name in config.columns.iter().flatten().filter(|name| !config.dtype.contains_key(*name)) {
                if names.is_free(name) {
                    columns.push((name.clone(), names.free(name, ""), Type::Json, false));
                }
            }
            if columns.is_empty() && config.dtype.is_empty() {
                columns.push((WHOLE.to_owned(), names.free(WHOLE, ""), Type::Json, false));
            }
        }
        other => columns.push((WHOLE.to_owned(), names.free(WHOLE, ""), other.settle(Style::File), false)),
    }
    for column in &mut columns {
        if let Some(kind) = declared(&column.1)? {
            (column.2, column.3) = (kind, true);
        }
    }
    let known: HashSet<String> = columns.iter().map(|column| column.1.clone()).collect();
    for name in config.dtype.keys().filter(|name| !known.contains(*name)) {
        if let Some(other) = known.iter().find(|known| known.to_lowercase() == name.to_lowercase()) {
            return Err(Error::config(format!(
                "`dtype` has the column `{name}`, but the file's differs in case: `{other}`; write it as the file does"
            )));
        }
        if let Some(kind) = declared(name)? {
            columns.push((name.clone(), names.free(name, ""), kind, true));
        }
    }
    Ok(Shape { members: chosen(config, columns)?, objects })
}

/// The columns that the config selects, in its order; the values of other columns are skipped.
fn chosen(config: &Config, columns: Vec<(String, String, Type, bool)>) -> Result<Members> {
    let member = |(key, name, kind, declared): (String, String, Type, bool)| Member {
        key,
        column: Some((name, kind, declared)),
    };
    let Some(wanted) = &config.columns else { return Ok(Members::new(columns.into_iter().map(member))) };
    let mut members = Vec::new();
    let mut left = columns;
    let all: Vec<String> = left.iter().map(|column| format!("`{}`", column.1)).collect();
    for name in wanted {
        match left.iter().position(|column| column.1 == *name) {
            Some(place) => members.push(member(left.remove(place))),
            None => {
                return Err(Error::not_found(format!("there is no column `{name}`; the file has: {}", all.join(", "))));
            }
        }
    }
    members.extend(left.into_iter().map(|(key, ..)| Member { key, column: None }));
    Ok(Members::new(members))
}
