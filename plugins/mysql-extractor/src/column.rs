//! A column being filled from rows, in Arrow's layout.

use mysql_client::Fields;
use mysql_client::types::Kind;
use osiris_sdk::{Error, Field, Node, Result, context};

use crate::options::ZeroDates;
use crate::value::{self, Wrong};

/// A growing sequence of values of one type.
#[derive(Debug)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    zero_dates: ZeroDates,
    /// The number of dates that do not exist and became null.
    nulled: u64,
    /// The number of geometries whose spatial reference ID was dropped, and the first such ID.
    reference_systems: (u64, u32),
    rows: usize,
    nulls: usize,
    validity: Vec<u8>,
    /// 32-bit ends of texts, after an initial 0; unused for other types.
    offsets: Vec<u8>,
    values: Vec<u8>,
}

impl Column {
    pub fn new(name: &str, kind: Kind, zero_dates: ZeroDates) -> Self {
        let mut column = Self {
            name: name.to_owned(),
            kind,
            zero_dates,
            nulled: 0,
            reference_systems: (0, 0),
            rows: 0,
            nulls: 0,
            validity: Vec::new(),
            offsets: Vec::new(),
            values: Vec::new(),
        };
        column.start();
        column
    }

    fn start(&mut self) {
        (self.rows, self.nulls) = (0, 0);
        if value::width(self.kind) == 0 {
            self.offsets.extend_from_slice(&0_i32.to_le_bytes());
        }
    }

    pub fn field(&self) -> Field {
        let (format, metadata) = value::format(self.kind);
        Field {
            name: self.name.clone(),
            format,
            nullable: true,
            children: 0,
            metadata: metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        }
    }

    /// How many bytes are waiting to be sent.
    pub fn bytes(&self) -> usize {
        self.values.len() + self.offsets.len()
    }

    /// Takes the value at the start of `row`.
    ///
    /// # Errors
    /// `data`, naming the column, for a value that DuckDB's type cannot hold.
    #[inline]
    pub fn take(&mut self, row: &mut Fields<'_>) -> Result<()> {
        let before = self.values.len();
        if self.kind == Kind::Geometry {
            self.count_reference_system(*row);
        }
        match value::take(self.kind, row, &mut self.values) {
            Ok(()) => self.end_value(true),
            Err(Wrong::ZeroDate(..)) if self.zero_dates == ZeroDates::Null => {
                self.nulled += 1;
                self.values.truncate(before);
                self.push_null()
            }
            Err(wrong) => Err(self.error(wrong)),
        }
    }

    fn error(&self, wrong: Wrong) -> Error {
        let name = &self.name;
        match wrong {
            Wrong::ZeroDate(year, month, day) => Error::data(format!(
                "column `{name}` has the date {year:04}-{month:02}-{day:02}, which does not exist; `zero_dates: null` reads \
                 such dates as null"
            )),
            Wrong::Unrepresentable(what) => Error::data(format!("column `{name}` has {what}")),
            Wrong::Malformed(error) => error.context(format!("column `{name}`")),
        }
    }

    /// Counts a geometry that has a spatial reference ID, which DuckDB's bytes cannot hold.
    fn count_reference_system(&mut self, mut row: Fields<'_>) {
        if let Ok([a, b, c, d, ..]) = row.run() {
            let number = u32::from_le_bytes([*a, *b, *c, *d]);
            if number != 0 {
                let (count, first) = self.reference_systems;
                self.reference_systems = (count + 1, if count == 0 { number } else { first });
            }
        }
    }

    /// Reports what was dropped from the column's values.
    pub fn report(&self) {
        if self.nulled > 0 {
            context::warn(
                "dates that do not exist were read as null",
                &[("column", &self.name), ("count", &self.nulled)],
            );
        }
        let (count, first) = self.reference_systems;
        if count > 0 {
            context::warn(
                "geometries were read without the number of their reference system; select it by st_srid() to keep it",
                &[("column", &self.name), ("count", &count), ("srid", &first)],
            );
        }
    }

    /// Appends a null.
    ///
    /// # Errors
    /// `data` if a batch cannot hold more.
    #[inline]
    pub fn push_null(&mut self) -> Result<()> {
        self.values.resize(self.values.len() + value::width(self.kind), 0);
        self.end_value(false)
    }

    #[inline]
    fn end_value(&mut self, valid: bool) -> Result<()> {
        if value::width(self.kind) == 0 {
            let end = i32::try_from(self.values.len())
                .map_err(|_| Error::data(format!("column `{}` has more than a batch can hold", self.name)))?;
            self.offsets.extend_from_slice(&end.to_le_bytes());
        }
        if self.rows.is_multiple_of(8) {
            self.validity.push(0);
        }
        if let Some(last) = self.validity.last_mut() {
            *last |= u8::from(valid) << (self.rows % 8);
        }
        self.nulls += usize::from(!valid);
        self.rows += 1;
        Ok(())
    }

    /// Returns the values as Arrow's node, and starts again.
    pub fn finish(&mut self) -> Node {
        let validity = std::mem::take(&mut self.validity);
        let mut buffers = vec![if self.nulls == 0 { Vec::new() } else { validity }];
        if value::width(self.kind) == 0 {
            buffers.push(std::mem::take(&mut self.offsets));
        }
        let room = self.values.len();
        buffers.push(std::mem::replace(&mut self.values, Vec::with_capacity(room)));
        let node = Node { length: self.rows as u32, buffers };
        self.start();
        node
    }
}
