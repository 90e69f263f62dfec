//! Columns that a driver creates: from vectors, or value by value.

use crate::{Field, Node, Primitive};

/// One finished column, without a name.
#[derive(Debug, Clone)]
pub struct Array {
    /// In pre-order; the first is the column itself.
    fields: Vec<Field>,
    nodes: Vec<Node>,
}

impl Array {
    fn leaf(format: &str, length: usize, validity: &Validity, mut buffers: Vec<Vec<u8>>) -> Self {
        buffers.insert(0, validity.bitmap());
        let node = Node { length: length as u32, buffers };
        Self { fields: vec![field(format, 0)], nodes: vec![node] }
    }

    fn with_metadata(mut self, metadata: Vec<(String, String)>) -> Self {
        self.fields[0].metadata = metadata;
        self
    }

    /// A column of lists; `None` is a null list.
    pub fn lists<T: Value, L: IntoIterator<Item = Option<T>>>(lists: impl IntoIterator<Item = Option<L>>) -> Self {
        let mut builder = ListBuilder::<T>::new();
        for list in lists {
            let is_valid = list.is_some();
            list.into_iter().flatten().for_each(|item| builder.values.push(item));
            builder.end_list(is_valid);
        }
        builder.finish()
    }

    /// An existing column's fields and nodes, to be passed on.
    pub fn from_column(column: &crate::Column<'_>) -> Self {
        let (fields, nodes) = column.parts();
        Self { fields: fields.to_vec(), nodes: nodes.to_vec() }
    }

    pub fn len(&self) -> usize {
        self.nodes[0].length as usize
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives the column a type of the same layout: `tsu:` makes timestamps of `i64` microseconds,
    /// `tdD` dates of `i32` days, `d:18,3` decimals of `i128`.
    #[must_use]
    pub fn with_format(mut self, format: &str) -> Self {
        self.fields[0].format = format.to_owned();
        self
    }

    /// The fields and nodes of a column called `name`.
    pub fn into_parts(mut self, name: &str) -> (Vec<Field>, Vec<Node>) {
        name.clone_into(&mut self.fields[0].name);
        (self.fields, self.nodes)
    }
}

fn field(format: &str, children: u32) -> Field {
    Field { name: String::new(), format: format.to_owned(), nullable: true, children, metadata: Vec::new() }
}

/// Which values are present; a bitmap is only stored once one is missing.
#[derive(Debug, Default)]
struct Validity {
    bits: Vec<u8>,
    length: usize,
    nulls: usize,
}

impl Validity {
    fn push(&mut self, valid: bool) {
        if self.length.is_multiple_of(8) {
            self.bits.push(0);
        }
        if let (true, Some(last)) = (valid, self.bits.last_mut()) {
            *last |= 1 << (self.length % 8);
        }
        self.length += 1;
        self.nulls += usize::from(!valid);
    }

    fn bitmap(&self) -> Vec<u8> {
        if self.nulls == 0 { Vec::new() } else { self.bits.clone() }
    }
}

/// A type from which a column can be built: numbers, `bool`, `String`, dates, times, decimals, UUIDs and bytes.
pub trait Value: Sized {
    #[doc(hidden)]
    type Buffer: Default + std::fmt::Debug;
    #[doc(hidden)]
    fn store(buffer: &mut Self::Buffer, value: Option<Self>);
    #[doc(hidden)]
    fn finish(buffer: Self::Buffer) -> (String, Vec<Vec<u8>>);
    #[doc(hidden)]
    fn metadata() -> Vec<(String, String)> {
        Vec::new()
    }
}

impl<T: Primitive + std::fmt::Debug> Value for T {
    type Buffer = Vec<T>;

    fn store(buffer: &mut Vec<T>, value: Option<T>) {
        buffer.push(value.unwrap_or_default());
    }

    fn finish(buffer: Vec<T>) -> (String, Vec<Vec<u8>>) {
        (T::FORMAT.to_owned(), vec![bytemuck::cast_slice(&buffer).to_vec()])
    }
}

impl Value for bool {
    type Buffer = Vec<bool>;

    fn store(buffer: &mut Vec<bool>, value: Option<bool>) {
        buffer.push(value.unwrap_or_default());
    }

    fn finish(buffer: Vec<bool>) -> (String, Vec<Vec<u8>>) {
        let mut bits = Validity::default();
        buffer.into_iter().for_each(|value| bits.push(value));
        ("b".to_owned(), vec![bits.bits])
    }
}

/// The texts or bytes of a column being built.
#[derive(Debug, Default)]
pub struct Texts {
    ends: Vec<i32>,
    bytes: Vec<u8>,
}

impl Texts {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // A batch is far smaller than what 32-bit offsets can address; the host refuses a larger one.
        self.ends.push(i32::try_from(self.bytes.len()).unwrap_or(i32::MAX));
    }

    pub(crate) fn finish(self) -> Vec<Vec<u8>> {
        vec![offsets(&self.ends), self.bytes]
    }
}

impl Value for String {
    type Buffer = Texts;

    fn store(buffer: &mut Texts, value: Option<String>) {
        buffer.push(value.unwrap_or_default().as_bytes());
    }

    fn finish(buffer: Texts) -> (String, Vec<Vec<u8>>) {
        ("u".to_owned(), buffer.finish())
    }
}

fn offsets(ends: &[i32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((ends.len() + 1) * 4);
    bytes.extend_from_slice(&0_i32.to_le_bytes());
    bytes.extend_from_slice(bytemuck::cast_slice(ends));
    bytes
}

/// Builds a column value by value.
#[derive(Debug)]
pub struct Builder<T: Value> {
    buffer: T::Buffer,
    validity: Validity,
}

impl<T: Value> Default for Builder<T> {
    fn default() -> Self {
        Self { buffer: T::Buffer::default(), validity: Validity::default() }
    }
}

impl<T: Value> Builder<T> {
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a value, or a null for `None`.
    pub fn push(&mut self, value: impl Into<Option<T>>) {
        let value = value.into();
        self.validity.push(value.is_some());
        T::store(&mut self.buffer, value);
    }

    pub fn len(&self) -> usize {
        self.validity.length
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn finish(self) -> Array {
        let (format, buffers) = T::finish(self.buffer);
        Array::leaf(&format, self.validity.length, &self.validity, buffers).with_metadata(T::metadata())
    }
}

impl Builder<String> {
    /// Appends borrowed text, or a null.
    pub fn push_str(&mut self, value: Option<&str>) {
        self.validity.push(value.is_some());
        self.buffer.push(value.unwrap_or_default().as_bytes());
    }
}

impl<T: Value> FromIterator<Option<T>> for Array {
    fn from_iter<I: IntoIterator<Item = Option<T>>>(values: I) -> Self {
        let mut builder = Builder::<T>::new();
        values.into_iter().for_each(|value| builder.push(value));
        builder.finish()
    }
}

impl<T: Value> From<Vec<T>> for Array {
    fn from(values: Vec<T>) -> Self {
        values.into_iter().map(Some).collect()
    }
}

impl<T: Value> From<Vec<Option<T>>> for Array {
    fn from(values: Vec<Option<T>>) -> Self {
        values.into_iter().collect()
    }
}

impl From<&[&str]> for Array {
    fn from(values: &[&str]) -> Self {
        let mut builder = Builder::<String>::new();
        values.iter().for_each(|value| builder.push_str(Some(value)));
        builder.finish()
    }
}

/// Builds a column of lists: push the values of a list into `values`, then end the list.
#[derive(Debug, Default)]
pub struct ListBuilder<T: Value> {
    pub values: Builder<T>,
    ends: Vec<i32>,
    validity: Validity,
}

impl<T: Value> ListBuilder<T> {
    pub fn new() -> Self {
        Self { values: Builder::new(), ends: Vec::new(), validity: Validity::default() }
    }

    /// Ends a list of the values pushed since the last one; `valid` false makes it null.
    pub fn end_list(&mut self, valid: bool) {
        self.ends.push(i32::try_from(self.values.len()).unwrap_or(i32::MAX));
        self.validity.push(valid);
    }

    pub fn finish(self) -> Array {
        let mut list = Array::leaf("+l", self.validity.length, &self.validity, vec![offsets(&self.ends)]);
        let (fields, nodes) = self.values.finish().into_parts("item");
        list.fields[0].children = 1;
        list.fields.extend(fields);
        list.nodes.extend(nodes);
        list
    }
}

/// Builds a column of structs from finished members of equal length.
#[derive(Debug, Default)]
pub struct StructBuilder {
    members: Vec<(String, Array)>,
}

impl StructBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn member(mut self, name: &str, values: Array) -> Self {
        self.members.push((name.to_owned(), values));
        self
    }

    pub fn finish(self) -> Array {
        let length = self.members.first().map_or(0, |(_, values)| values.len());
        let mut whole = Array::leaf("+s", length, &Validity::default(), Vec::new());
        whole.fields[0].children = self.members.len() as u32;
        for (name, values) in self.members {
            let (fields, nodes) = values.into_parts(&name);
            whole.fields.extend(fields);
            whole.nodes.extend(nodes);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Batch, Date};

    #[test]
    fn built_columns_read_back_unchanged() {
        let mut lists = ListBuilder::<i64>::new();
        lists.values.push(1);
        lists.values.push(None);
        lists.end_list(true);
        lists.end_list(false);
        lists.end_list(true);
        let people = StructBuilder::new().member("name", Array::from(["a", "ü", ""].as_slice())).finish();
        let days = Array::lists([Some(vec![Some(Date(1)), None]), None, Some(vec![])]);
        let batch = Batch::from_columns(vec![
            ("days", days),
            ("n", Array::from(vec![Some(7_i64), None, Some(-1)])),
            ("s", Array::from(vec![Some("x".to_owned()), None, Some("émoji 🦀".to_owned())])),
            ("b", Array::from(vec![Some(true), Some(false), None])),
            ("l", lists.finish()),
            ("p", people),
        ])
        .unwrap();
        let n = batch.column("n").unwrap();
        assert_eq!(n.values::<i64>().unwrap()[0], 7);
        assert_eq!((n.null_count(), n.is_null(0), n.is_null(1)), (1, false, true));
        let strings: Vec<Option<&str>> = batch.column("s").unwrap().strings().unwrap().iter().collect();
        assert_eq!(strings, [Some("x"), None, Some("émoji 🦀")]);
        let booleans = batch.column("b").unwrap().booleans().unwrap();
        assert_eq!([booleans.get(0), booleans.get(1), booleans.get(2)], [Some(true), Some(false), None]);
        let lists = batch.column("l").unwrap().lists().unwrap();
        assert_eq!([lists.get(0), lists.get(1), lists.get(2)], [Some(0..2), None, Some(2..2)]);
        assert!(lists.values.is_null(1));
        let days = batch.column("days").unwrap().lists().unwrap();
        assert_eq!((days.get(0), days.get(1), days.values.field().format.as_str()), (Some(0..2), None, "tdD"));
        let names = batch.column("p").unwrap().child("name").unwrap();
        assert_eq!(names.strings().unwrap().get(1), Some("ü"));
    }

    #[test]
    fn a_column_of_another_type_is_refused() {
        let batch = Batch::from_columns(vec![("n", Array::from(vec![1.5_f64]))]).unwrap();
        assert!(batch.column("n").unwrap().values::<i64>().is_err());
        assert!(batch.column("n").unwrap().strings().is_err());
        assert!(batch.column("m").unwrap_err().message.contains("there are: `n`"));
    }

    #[test]
    fn columns_of_unequal_length_are_refused() {
        let columns = vec![("a", Array::from(vec![1_i64])), ("b", Array::from(vec![1_i64, 2]))];
        assert!(Batch::from_columns(columns).is_err());
    }
}
