//! The values of a batch one by one, for small tables.

use crate::{Batch, Column, Result};

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

macro_rules! number_from_cell {
    ($($kind:ty: $($stored:ty),+;)*) => {$(
        impl<'a> FromCell<'a> for $kind {
            fn from_cell(column: &Column<'a>, row: usize) -> Result<Self> {
                if column.is_null(row) {
                    return Err(column.null());
                }
                $(if <$stored as crate::Primitive>::fits(&column.field().format) {
                    return column.values::<$stored>()?.get(row).map(|value| Self::from(*value)).ok_or_else(|| column.null());
                })+
                column.values::<Self>().and_then(|values| values.get(row).copied().ok_or_else(|| column.null()))
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
        column.strings()?.get(row).ok_or_else(|| column.null())
    }
}

impl<'a> FromCell<'a> for String {
    fn from_cell(column: &Column<'a>, row: usize) -> Result<Self> {
        <&str>::from_cell(column, row).map(str::to_owned)
    }
}

impl<'a> FromCell<'a> for bool {
    fn from_cell(column: &Column<'a>, row: usize) -> Result<Self> {
        column.booleans()?.get(row).ok_or_else(|| column.null())
    }
}

impl<'a, T: FromCell<'a>> FromCell<'a> for Option<T> {
    fn from_cell(column: &Column<'a>, row: usize) -> Result<Self> {
        if column.is_null(row) { Ok(None) } else { T::from_cell(column, row).map(Some) }
    }
}
