//! The type of a column: by its declaration and, where that leaves it open, by its values.

use json_records::Type;
use osiris_sdk::{Error, Result, context};

use crate::definition::Column as Defined;
use crate::options::{Config, OnMisfit};
use crate::record::Value;

/// Whether a DOUBLE holds the integer exactly.
pub fn is_exact(number: i64) -> bool {
    (number as f64) as i128 == i128::from(number)
}

/// What a declaration makes of a column, by the rules of SQLite (<https://www.sqlite.org/datatype3.html>, 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    Integer,
    Text,
    Real,
    Blob,
    Boolean,
    /// Any value, as `NUMERIC`, `DATE` and columns without a type have it.
    Open,
}

impl Affinity {
    pub fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        if has(&["INT"]) {
            Self::Integer
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Self::Text
        } else if has(&["BLOB"]) {
            Self::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Self::Real
        } else if has(&["BOOL"]) {
            Self::Boolean
        } else {
            Self::Open
        }
    }
}

/// The kinds of values, as an error or a warning calls them.
const KINDS: [&str; 6] = [
    "integers",
    "integers beyond a DOUBLE's precision",
    "integers other than 0 and 1",
    "real numbers",
    "texts",
    "blobs",
];

/// The place of a value's kind among [`KINDS`].
fn kind(value: Value<'_>, affinity: Affinity) -> Option<usize> {
    Some(match value {
        Value::Null => return None,
        Value::Integer(number) if affinity == Affinity::Boolean && !(0..=1).contains(&number) => 2,
        Value::Integer(number) if !is_exact(number) => 1,
        Value::Integer(_) => 0,
        Value::Real(_) => 3,
        Value::Text(_) => 4,
        Value::Blob(_) => 5,
    })
}

/// The values of a column that have been seen: how many of each kind, and the row of the first of each.
#[derive(Debug, Clone)]
pub struct Seen {
    affinity: Affinity,
    kinds: [(u64, u64); KINDS.len()],
}

impl Seen {
    pub fn new(declared: &str) -> Self {
        Self { affinity: Affinity::of(declared), kinds: [(0, 0); KINDS.len()] }
    }

    /// `row` is the number of the row as they are stored, from 1.
    pub fn see(&mut self, value: Value<'_>, row: u64) {
        if let Some(kind) = kind(value, self.affinity) {
            let (count, first) = &mut self.kinds[kind];
            if *count == 0 {
                *first = row;
            }
            *count += 1;
        }
    }

    /// The type of the column, and the kinds of values that do not fit it.
    fn settle(&self) -> (Type, Vec<usize>) {
        let has: Vec<usize> = (0..KINDS.len()).filter(|kind| self.kinds[*kind].0 > 0).collect();
        let (kind, fitting): (Type, &[usize]) = match self.affinity {
            Affinity::Integer => (Type::BigInt, &[0, 1]),
            Affinity::Text => (Type::Varchar, &[4]),
            // SQLite stores a real number without a fraction as an integer, to save space.
            Affinity::Real => (Type::Double, &[0, 1, 3]),
            Affinity::Blob => (Type::Blob, &[5]),
            Affinity::Boolean => (Type::Boolean, &[0]),
            Affinity::Open => match has[..] {
                [0] | [1] | [0, 1] => (Type::BigInt, &[0, 1]),
                [3] | [0, 3] => (Type::Double, &[0, 3]),
                [5] => (Type::Blob, &[5]),
                _ => (Type::Varchar, &[4]),
            },
        };
        let misfits = has.into_iter().filter(|kind| !fitting.contains(kind)).collect();
        (kind, misfits)
    }

    fn described(&self, kinds: &[usize]) -> String {
        let words = kinds.iter().map(|kind| {
            let (count, first) = self.kinds[*kind];
            format!("{count} {}, first in row {first}", KINDS[*kind])
        });
        words.collect::<Vec<_>>().join("; ")
    }
}

/// A column of the output.
#[derive(Debug)]
pub struct Column {
    /// Its place in the table.
    pub place: usize,
    pub name: String,
    pub kind: Type,
    /// Whether values that do not fit become null.
    pub blanks: bool,
    affinity: Affinity,
}

impl Column {
    /// Decides the type.
    ///
    /// # Errors
    /// `data` for values that do not fit it, unless the config says what to do with them; `config` for an unknown type.
    pub fn new(config: &Config, place: usize, defined: &Defined, seen: &Seen) -> Result<Self> {
        let name = defined.name.clone();
        let affinity = seen.affinity;
        let column = |kind, blanks| Ok(Self { place, name: name.clone(), kind, blanks, affinity });
        if let Some(declared) = config.dtype.get(&name) {
            let kind = Type::parse(declared)
                .map_err(|error| Error::from(error).context(format_args!("`dtype` of `{name}`")))?;
            return column(kind, false);
        }
        let (kind, misfits) = seen.settle();
        if misfits.is_empty() {
            return column(kind, false);
        }
        let declared = match defined.declared.as_str() {
            "" => "without a declared type".to_owned(),
            declared => format!("declared as {declared}"),
        };
        let found = seen.described(&misfits);
        let is_open = affinity == Affinity::Open;
        let all: Vec<usize> = (0..KINDS.len()).filter(|kind| seen.kinds[*kind].0 > 0).collect();
        match config.on_misfit {
            OnMisfit::Text if seen.kinds[5].0 == 0 => {
                context::warn(
                    "a column has values that do not fit its type, so all of them are texts",
                    &[("column", &name), ("values", &found)],
                );
                column(Type::Varchar, false)
            }
            OnMisfit::Blank if !is_open => {
                context::warn(
                    "values that do not fit the type of their column became null",
                    &[("column", &name), ("values", &found)],
                );
                column(kind, true)
            }
            _ if is_open => Err(Error::data(format!(
                "column `{name}`, {declared}, has values of several kinds: {}; {}",
                seen.described(&all),
                if seen.kinds[5].0 > 0 {
                    "leave it out with `columns`, or declare `dtype: BLOB`"
                } else {
                    "write `on_misfit: text` to read all of them as texts"
                }
            ))),
            _ => Err(Error::data(format!(
                "column `{name}`, {declared}, has values that do not fit: {found}; write `on_misfit: text` to read the column as \
                 texts, or `on_misfit: blank` to read these values as null{}",
                if seen.kinds[5].0 > 0 { "; blobs are no texts: `dtype: BLOB` reads texts as blobs" } else { "" }
            ))),
        }
    }

    /// Whether the value is left out because it does not fit.
    pub fn leaves_out(&self, value: Value<'_>) -> bool {
        let Some(found) = kind(value, self.affinity).filter(|_| self.blanks) else { return false };
        let fitting: &[usize] = match self.kind {
            Type::BigInt => &[0, 1],
            Type::Double => &[0, 1, 3],
            Type::Boolean => &[0],
            Type::Blob => &[5],
            _ => &[4],
        };
        !fitting.contains(&found)
    }
}
