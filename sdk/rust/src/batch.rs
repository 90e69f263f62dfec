//! Columns from the host, read in place: typed slices, strings, nulls, lists, structs.

use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

use crate::{Array, Error, Field, Node, RawBatch, Result, Row};

/// A table's shape: fields in pre-order, each parent directly before its children.
#[derive(Debug, Clone)]
pub struct Schema {
    fields: Vec<Field>,
    /// The start of each top-level column in `fields`.
    columns: Vec<usize>,
}

impl Schema {
    pub fn new(fields: Vec<Field>) -> Self {
        let mut columns = Vec::new();
        let mut next = 0;
        while next < fields.len() {
            columns.push(next);
            next = subtree_end(&fields, next);
        }
        Self { fields, columns }
    }

    /// All fields, including nested ones.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The table's columns.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = &Field> {
        self.columns.iter().map(|&place| &self.fields[place])
    }

    /// Whether batches of the other schema can be appended to a table of this one.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let same = |(one, other): (&Field, &Field)| {
            (&one.name, &one.format, one.children, &one.metadata)
                == (&other.name, &other.format, other.children, &other.metadata)
        };
        self.fields.len() == other.fields.len() && self.fields.iter().zip(&other.fields).all(same)
    }

    /// The range of a column's fields among all fields.
    pub fn span(&self, column: usize) -> Range<usize> {
        let end = self.columns.get(column + 1).copied().unwrap_or(self.fields.len());
        self.columns[column]..end
    }

    /// The column's position.
    ///
    /// # Errors
    /// `not-found`, naming the existing columns.
    pub fn find(&self, name: &str) -> Result<usize> {
        self.columns().position(|field| field.name == name).ok_or_else(|| {
            let known: Vec<String> = self.columns().map(|field| format!("`{}`", field.name)).collect();
            Error::not_found(format!("there is no column `{name}`; there are: {}", known.join(", ")))
        })
    }
}

/// The end of the field at `start` and everything below it.
fn subtree_end(fields: &[Field], start: usize) -> usize {
    let mut end = start + 1;
    for _ in 0..fields.get(start).map_or(0, |field| field.children) {
        end = subtree_end(fields, end);
    }
    end.min(fields.len())
}

/// Some rows of a table, column by column.
#[derive(Debug)]
pub struct Batch {
    schema: Rc<Schema>,
    raw: RawBatch,
}

impl Batch {
    pub fn new(schema: Rc<Schema>, raw: RawBatch) -> Self {
        Self { schema, raw }
    }

    /// A batch without rows.
    pub fn empty(schema: Rc<Schema>) -> Self {
        // No type has more buffers.
        let node = |_| crate::Node { length: 0, buffers: vec![Vec::new(); 3] };
        let nodes = schema.fields.iter().map(node).collect();
        Self { schema, raw: RawBatch { rows: 0, nodes } }
    }

    /// A batch of columns created by the driver.
    ///
    /// # Errors
    /// `internal` if the columns have unequal lengths.
    pub fn from_columns(columns: Vec<(&str, Array)>) -> Result<Self> {
        let rows = columns.first().map_or(0, |(_, column)| column.len());
        if let Some((name, column)) = columns.iter().find(|(_, column)| column.len() != rows) {
            return Err(Error::internal(format!(
                "column `{name}` has {} values where the first has {rows}",
                column.len()
            )));
        }
        let (mut fields, mut nodes) = (Vec::new(), Vec::new());
        for (name, column) in columns {
            let (column_fields, column_nodes) = column.into_parts(name);
            fields.extend(column_fields);
            nodes.extend(column_nodes);
        }
        Ok(Self { schema: Rc::new(Schema::new(fields)), raw: RawBatch { rows: rows as u32, nodes } })
    }

    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    pub fn rows(&self) -> usize {
        self.raw.rows as usize
    }

    pub fn raw(&self) -> &RawBatch {
        &self.raw
    }

    /// The batch with a column replaced, or added behind the others. Columns that are not touched pass through with their
    /// bytes and their exact types.
    ///
    /// # Errors
    /// `internal` if the column has another number of values.
    pub fn with_column(mut self, name: &str, column: Array) -> Result<Self> {
        if column.len() != self.rows() {
            let (values, rows) = (column.len(), self.rows());
            return Err(Error::internal(format!("column `{name}` has {values} values in {rows} rows")));
        }
        let place = self.schema.columns().position(|field| field.name == name);
        let span = place.map_or(self.schema.fields.len()..self.schema.fields.len(), |place| self.schema.span(place));
        let (fields, nodes) = column.into_parts(name);
        self.raw.nodes.splice(span.clone(), nodes);
        let mut all = Rc::unwrap_or_clone(self.schema).fields;
        all.splice(span, fields);
        Ok(Self { schema: Rc::new(Schema::new(all)), raw: self.raw })
    }

    /// The batch without a column.
    ///
    /// # Errors
    /// `not-found`, naming the existing columns.
    pub fn without_column(mut self, name: &str) -> Result<Self> {
        let span = self.schema.span(self.schema.find(name)?);
        self.raw.nodes.drain(span.clone());
        let mut all = Rc::unwrap_or_clone(self.schema).fields;
        all.drain(span);
        Ok(Self { schema: Rc::new(Schema::new(all)), raw: self.raw })
    }

    pub fn into_raw(self) -> RawBatch {
        self.raw
    }

    /// A column by name.
    ///
    /// # Errors
    /// `not-found`, naming the existing columns.
    pub fn column(&self, name: &str) -> Result<Column<'_>> {
        Ok(self.column_at(self.schema.find(name)?))
    }

    /// A column by position.
    pub fn column_at(&self, place: usize) -> Column<'_> {
        let span = self.schema.span(place);
        Column { fields: &self.schema.fields[span.clone()], nodes: &self.raw.nodes[span] }
    }

    /// The rows one by one: for small batches, because each value is looked up.
    pub fn each_row(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.rows()).map(|row| Row::new(self, row))
    }
}

/// One column of a batch, or a nested part of one.
#[derive(Debug, Clone, Copy)]
pub struct Column<'a> {
    fields: &'a [Field],
    nodes: &'a [Node],
}

/// A type whose values are stored contiguously in one buffer.
pub trait Primitive: bytemuck::Pod + Default {
    /// The format of a new column of this type.
    const FORMAT: &'static str;
    /// Whether a column of `format` has values of this layout.
    fn fits(format: &str) -> bool;
}

macro_rules! primitive {
    ($($kind:ty, $format:literal, $($fits:literal),+;)*) => {$(
        impl Primitive for $kind {
            const FORMAT: &'static str = $format;
            fn fits(format: &str) -> bool {
                matches!(format.split(':').next().unwrap_or_default(), $($fits)|+)
            }
        }
    )*};
}

primitive! {
    i8, "c", "c";
    u8, "C", "C";
    i16, "s", "s";
    u16, "S", "S";
    i32, "i", "i", "tdD", "tts", "ttm", "tiM";
    u32, "I", "I";
    i64, "l", "l", "tdm", "ttu", "ttn", "tss", "tsm", "tsu", "tsn", "tDs", "tDm", "tDu", "tDn";
    u64, "L", "L";
    f32, "f", "f";
    f64, "g", "g";
    i128, "d:38,0", "d";
}

impl<'a> Column<'a> {
    pub fn field(&self) -> &'a Field {
        &self.fields[0]
    }

    /// The column's fields and nodes in pre-order.
    pub fn parts(&self) -> (&'a [Field], &'a [Node]) {
        (self.fields, self.nodes)
    }

    pub fn len(&self) -> usize {
        self.nodes[0].length as usize
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of null values, which is counted anew by each call.
    pub fn null_count(&self) -> usize {
        let length = self.len();
        match (self.field().format.as_str(), self.nodes[0].buffers.first()) {
            ("n", _) => length,
            // A union has no validity of its own.
            (format, _) if format.starts_with("+u") => 0,
            (_, Some(bits)) if !bits.is_empty() => length - (0..length).filter(|&place| bit(bits, place)).count(),
            _ => 0,
        }
    }

    pub fn is_null(&self, row: usize) -> bool {
        let format = self.field().format.as_str();
        let valid = |bits: &[u8]| bits.is_empty() || bit(bits, row);
        format == "n" || !(format.starts_with("+u") || self.part(0).is_ok_and(valid))
    }

    pub(crate) fn part(&self, number: usize) -> Result<&'a [u8]> {
        self.nodes[0].buffers.get(number).map(Vec::as_slice).ok_or_else(|| self.wrong("more buffers"))
    }

    pub(crate) fn null(&self) -> Error {
        Error::data(format!("column `{}` is null, where a value was expected", self.field().name))
    }

    /// A value of [`values`](Self::values).
    pub(crate) fn value_at<T: Primitive>(&self, row: usize) -> Result<T> {
        let value = self.values::<T>()?.get(row).copied().filter(|_| !self.is_null(row));
        value.ok_or_else(|| self.null())
    }

    pub(crate) fn wrong(&self, wanted: &str) -> Error {
        let field = self.field();
        Error::data(format!("column `{}` has format `{}`, where {wanted} was expected", field.name, field.format))
    }

    /// Numbers, dates, times, timestamps, intervals and decimals in their memory layout, such as `&[i64]`. The value at
    /// the position of a null is arbitrary.
    ///
    /// # Errors
    /// `data` if the column has another type.
    pub fn values<T: Primitive>(&self) -> Result<Cow<'a, [T]>> {
        if !T::fits(&self.field().format) {
            return Err(self.wrong(T::FORMAT));
        }
        in_place(self.part(1)?).ok_or_else(|| self.wrong(T::FORMAT))
    }

    /// The values of [`values`](Self::values), `None` for nulls.
    ///
    /// # Errors
    /// `data` if the column has another type.
    pub fn iter<T: Primitive>(&self) -> Result<impl Iterator<Item = Option<T>> + use<'a, T>> {
        let (column, values) = (*self, self.values::<T>()?);
        Ok((0..column.len()).map(move |row| values.get(row).copied().filter(|_| !column.is_null(row))))
    }

    /// The column as text.
    ///
    /// # Errors
    /// `data` if the column is not text.
    pub fn strings(&self) -> Result<Strings<'a>> {
        if self.field().format != "u" {
            return Err(self.wrong("text"));
        }
        Ok(Strings { column: *self, offsets: self.offsets()?, bytes: self.part(2)? })
    }

    /// The bytes of a text or BLOB value; `None` for a null.
    ///
    /// # Errors
    /// `data` if the column is neither.
    pub fn bytes(&self, row: usize) -> Result<Option<&'a [u8]>> {
        if !matches!(self.field().format.as_str(), "u" | "z") {
            return Err(self.wrong("text or bytes"));
        }
        if self.is_null(row) {
            return Ok(None);
        }
        let range = slot(&self.offsets()?, row).ok_or_else(|| self.wrong("a value in that row"))?;
        Ok(self.part(2)?.get(range))
    }

    /// The column as booleans.
    ///
    /// # Errors
    /// `data` if the column is not a BOOLEAN.
    pub fn booleans(&self) -> Result<Booleans<'a>> {
        let field = self.field();
        let eight = field.metadata.iter().any(|(name, value)| name == "ARROW:extension:name" && value == "arrow.bool8");
        match field.format.as_str() {
            "b" => Ok(Booleans { column: *self, bytes: self.part(1)?, packed: true }),
            "c" if eight => Ok(Booleans { column: *self, bytes: self.part(1)?, packed: false }),
            _ => Err(self.wrong("a boolean")),
        }
    }

    /// The column as lists, or maps as lists of key-value structs.
    ///
    /// # Errors
    /// `data` if the column is neither.
    pub fn lists(&self) -> Result<Lists<'a>> {
        if !matches!(self.field().format.as_str(), "+l" | "+m") {
            return Err(self.wrong("a list"));
        }
        Ok(Lists {
            column: *self,
            offsets: self.offsets()?,
            values: self.children().next().ok_or_else(|| self.wrong("a list"))?,
        })
    }

    /// The direct parts of a nested column: a struct's members, a list's values.
    pub fn children(&self) -> impl Iterator<Item = Column<'a>> {
        let (fields, nodes) = (self.fields, self.nodes);
        let mut next = 1;
        (0..fields[0].children).map(move |_| {
            let span = next..subtree_end(fields, next);
            next = span.end;
            Column { fields: &fields[span.clone()], nodes: &nodes[span] }
        })
    }

    /// A struct's member.
    ///
    /// # Errors
    /// `not-found` if there is none with that name.
    pub fn child(&self, name: &str) -> Result<Column<'a>> {
        self.children()
            .find(|child| child.field().name == name)
            .ok_or_else(|| Error::not_found(format!("column `{}` has no member `{name}`", self.field().name)))
    }

    fn offsets(&self) -> Result<Cow<'a, [i32]>> {
        in_place(self.part(1)?).ok_or_else(|| self.wrong("32-bit offsets"))
    }
}

/// Bytes as values: borrowed if they are aligned, as an allocator's buffers are, otherwise copied.
fn in_place<T: bytemuck::Pod>(bytes: &[u8]) -> Option<Cow<'_, [T]>> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(values) => Some(Cow::Borrowed(values)),
        Err(bytemuck::PodCastError::TargetAlignmentGreaterAndInputNotAligned) => {
            Some(Cow::Owned(bytemuck::allocation::pod_collect_to_vec(bytes)))
        }
        Err(_) => None,
    }
}

fn bit(bits: &[u8], place: usize) -> bool {
    bits.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1)
}

fn slot(offsets: &[i32], row: usize) -> Option<Range<usize>> {
    let (start, end) = (offsets.get(row)?, offsets.get(row + 1)?);
    Some(usize::try_from(*start).ok()?..usize::try_from(*end).ok()?)
}

/// A column of text.
#[derive(Debug)]
pub struct Strings<'a> {
    column: Column<'a>,
    offsets: Cow<'a, [i32]>,
    bytes: &'a [u8],
}

impl<'a> Strings<'a> {
    /// The value in a row; `None` for a null.
    pub fn get(&self, row: usize) -> Option<&'a str> {
        if self.column.is_null(row) {
            return None;
        }
        let bytes = self.bytes.get(slot(&self.offsets, row)?)?;
        std::str::from_utf8(bytes).ok()
    }

    pub fn iter(&self) -> impl Iterator<Item = Option<&'a str>> {
        (0..self.column.len()).map(|row| self.get(row))
    }
}

/// A column of booleans.
#[derive(Debug)]
pub struct Booleans<'a> {
    column: Column<'a>,
    bytes: &'a [u8],
    packed: bool,
}

impl Booleans<'_> {
    /// The value in a row; `None` for a null.
    pub fn get(&self, row: usize) -> Option<bool> {
        if self.column.is_null(row) {
            return None;
        }
        if self.packed { Some(bit(self.bytes, row)) } else { self.bytes.get(row).map(|byte| *byte != 0) }
    }
}

/// A column of lists.
#[derive(Debug)]
pub struct Lists<'a> {
    column: Column<'a>,
    offsets: Cow<'a, [i32]>,
    /// The values of all lists, one after another.
    pub values: Column<'a>,
}

impl Lists<'_> {
    /// The ranges of all rows' values in `values`, `None` for nulls.
    pub fn iter(&self) -> impl Iterator<Item = Option<Range<usize>>> {
        (0..self.column.len()).map(|row| self.get(row))
    }

    /// The range of the row's values in `values`; `None` for a null.
    pub fn get(&self, row: usize) -> Option<Range<usize>> {
        if self.column.is_null(row) { None } else { slot(&self.offsets, row) }
    }
}
