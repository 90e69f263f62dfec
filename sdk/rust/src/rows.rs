//! Rows, for small tables: values one by one, reading and writing.

use crate::{Array, Batch, Builder, Column, Error, Output, Result, TableWriter};

/// One row of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    batch: &'a Batch,
    row: usize,
}

impl<'a> Row<'a> {
    pub(crate) fn new(batch: &'a Batch, row: usize) -> Self {
        Self { batch, row }
    }

    /// A value by its column's name; use `Option` for nulls.
    ///
    /// # Errors
    /// `not-found` for an unknown column; `data` for another type, or an unexpected null.
    pub fn get<T: FromCell<'a>>(&self, column: &str) -> Result<T> {
        let found = self.batch.column(column)?;
        T::from_cell(&found, self.row).map_err(|error| error.context(format_args!("row {} of the batch", self.row)))
    }
}

/// A type to which a column's value can be converted.
pub trait FromCell<'a>: Sized {
    /// # Errors
    /// `data` if the column has another type or the value is null.
    fn from_cell(column: &Column<'a>, row: usize) -> Result<Self>;
}

fn null(column: &Column<'_>) -> Error {
    Error::data(format!("column `{}` is null, where a value was expected", column.field().name))
}

macro_rules! number_from_cell {
    ($($kind:ty: $($stored:ty),+;)*) => {$(
        impl<'a> FromCell<'a> for $kind {
            fn from_cell(column: &Column<'a>, row: usize) -> Result<Self> {
                if column.is_null(row) {
                    return Err(null(column));
                }
                $(if <$stored as crate::Primitive>::fits(&column.field().format) {
                    return column.values::<$stored>()?.get(row).map(|value| Self::from(*value)).ok_or_else(|| null(column));
                })+
                column.values::<Self>().and_then(|values| values.get(row).copied().ok_or_else(|| null(column)))
            }
        }
    )*};
}

number_from_cell! {
    i64: i64, i32, u32, i16, u16, i8, u8;
    i32: i32, i16, u16, i8, u8;
    u64: u64, u32, u16, u8;
    f64: f64, f32, i32;
}

impl<'a> FromCell<'a> for &'a str {
    fn from_cell(column: &Column<'a>, row: usize) -> Result<Self> {
        column.strings()?.get(row).ok_or_else(|| null(column))
    }
}

impl<'a> FromCell<'a> for String {
    fn from_cell(column: &Column<'a>, row: usize) -> Result<Self> {
        <&str>::from_cell(column, row).map(str::to_owned)
    }
}

impl<'a> FromCell<'a> for bool {
    fn from_cell(column: &Column<'a>, row: usize) -> Result<Self> {
        column.booleans()?.get(row).ok_or_else(|| null(column))
    }
}

impl<'a, T: FromCell<'a>> FromCell<'a> for Option<T> {
    fn from_cell(column: &Column<'a>, row: usize) -> Result<Self> {
        if column.is_null(row) { Ok(None) } else { T::from_cell(column, row).map(Some) }
    }
}

/// The type of a column written row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Int64,
    Float64,
    Boolean,
    Text,
}

/// One value to write.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Null,
    Int64(i64),
    Float64(f64),
    Boolean(bool),
    Text(String),
}

macro_rules! cell_from {
    ($($kind:ty => $cell:ident),*) => {$(
        impl From<$kind> for Cell {
            fn from(value: $kind) -> Self {
                Cell::$cell(value.into())
            }
        }
    )*};
}

cell_from! { i64 => Int64, i32 => Int64, u32 => Int64, f64 => Float64, f32 => Float64, bool => Boolean, String => Text, &str => Text }

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Cell::Null, Into::into)
    }
}

#[derive(Debug)]
enum Growing {
    Int64(Builder<i64>),
    Float64(Builder<f64>),
    Boolean(Builder<bool>),
    Text(Builder<String>),
}

impl Growing {
    fn new(kind: Type) -> Self {
        match kind {
            Type::Int64 => Growing::Int64(Builder::new()),
            Type::Float64 => Growing::Float64(Builder::new()),
            Type::Boolean => Growing::Boolean(Builder::new()),
            Type::Text => Growing::Text(Builder::new()),
        }
    }

    fn push(&mut self, cell: Cell) -> Result<(), Cell> {
        match (self, cell) {
            (Growing::Int64(builder), Cell::Int64(value)) => builder.push(value),
            (Growing::Float64(builder), Cell::Float64(value)) => builder.push(value),
            // An integer that a DOUBLE cannot hold is an error, not its neighbour.
            (Growing::Float64(builder), Cell::Int64(value)) if value as f64 as i128 == i128::from(value) => {
                builder.push(value as f64)
            }
            (Growing::Boolean(builder), Cell::Boolean(value)) => builder.push(value),
            (Growing::Text(builder), Cell::Text(value)) => builder.push(value),
            (Growing::Int64(builder), Cell::Null) => builder.push(None),
            (Growing::Float64(builder), Cell::Null) => builder.push(None),
            (Growing::Boolean(builder), Cell::Null) => builder.push(None),
            (Growing::Text(builder), Cell::Null) => builder.push(None),
            (_, other) => return Err(other),
        }
        Ok(())
    }

    fn finish(self) -> Array {
        match self {
            Growing::Int64(builder) => builder.finish(),
            Growing::Float64(builder) => builder.finish(),
            Growing::Boolean(builder) => builder.finish(),
            Growing::Text(builder) => builder.finish(),
        }
    }
}

/// The number of rows after which a batch is sent to the host.
const BATCH_ROWS: usize = 2048;

/// Writes a table row by row.
#[derive(Debug)]
pub struct RowWriter {
    columns: Vec<(String, Type)>,
    growing: Vec<Growing>,
    rows: usize,
    table: TableWriter,
}

impl RowWriter {
    /// Creates the table `name` of `output` with these columns.
    ///
    /// # Errors
    /// As for [`Output::create_table`].
    pub fn new(output: &Output, name: &str, columns: &[(&str, Type)]) -> Result<Self> {
        let columns: Vec<(String, Type)> = columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        let table = output.create_table(name, batch(&columns, start(&columns))?.schema())?;
        Ok(Self { growing: start(&columns), columns, rows: 0, table })
    }

    /// Appends a row, with its values in the order of the columns.
    ///
    /// # Errors
    /// `data` for a row of another width or a value of another type.
    pub fn push<const N: usize>(&mut self, row: [Cell; N]) -> Result<()> {
        if N != self.columns.len() {
            return Err(Error::data(format!("a row has {N} values, the table {} columns", self.columns.len())));
        }
        for ((growing, cell), (name, kind)) in self.growing.iter_mut().zip(row).zip(&self.columns) {
            growing
                .push(cell)
                .map_err(|cell| Error::data(format!("column `{name}` is {kind:?}, but a value is {cell:?}")))?;
        }
        self.rows += 1;
        if self.rows == BATCH_ROWS { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<()> {
        let growing = std::mem::replace(&mut self.growing, start(&self.columns));
        self.rows = 0;
        self.table.append(&batch(&self.columns, growing)?)
    }

    /// Finishes the table; returns its number of rows.
    ///
    /// # Errors
    /// As for [`TableWriter::finish`].
    pub fn finish(mut self) -> Result<u64> {
        if self.rows > 0 {
            self.send()?;
        }
        self.table.finish()
    }
}

fn start(columns: &[(String, Type)]) -> Vec<Growing> {
    columns.iter().map(|(_, kind)| Growing::new(*kind)).collect()
}

fn batch(columns: &[(String, Type)], growing: Vec<Growing>) -> Result<Batch> {
    Batch::from_columns(
        columns.iter().zip(growing).map(|((name, _), growing)| (name.as_str(), growing.finish())).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_becomes_a_double_only_if_it_is_unchanged() {
        for (value, fits) in
            [(5, true), (-(1 << 53), true), ((1 << 53) + 1, false), (i64::MAX, false), (i64::MIN, true)]
        {
            assert_eq!(Growing::new(Type::Float64).push(Cell::Int64(value)).is_ok(), fits, "{value}");
        }
    }
}
