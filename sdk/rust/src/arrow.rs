//! Batches to and from arrow-rs, for drivers that use its kernels.

use std::rc::Rc;

use arrow_array::{Array as _, RecordBatch, StructArray, make_array};
use arrow_buffer::Buffer;
use arrow_data::{ArrayData, layout};
use arrow_schema::ffi::FFI_ArrowSchema;
use arrow_schema::{ArrowError, DataType, Field as ArrowField};

use crate::{Batch, Error, Field, Node, RawBatch, Result, Schema};

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        Error::data(error.to_string())
    }
}

impl Batch {
    /// The batch as an arrow-rs batch; buffers are copied.
    ///
    /// # Errors
    /// `data` if arrow-rs finds a column malformed.
    pub fn to_arrow(&self) -> Result<RecordBatch> {
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for span in (0..self.schema().columns().len()).map(|column| self.schema().span(column)) {
            let field = arrow_field(&mut self.schema().fields()[span.clone()].iter())?;
            columns.push(make_array(array_data(field.data_type(), &mut self.raw().nodes[span].iter())?));
            fields.push(field);
        }
        Ok(RecordBatch::try_new(std::sync::Arc::new(arrow_schema::Schema::new(fields)), columns)?)
    }

    /// A batch from arrow-rs columns; buffers are copied.
    ///
    /// # Errors
    /// `data` for a type that cannot cross to the host.
    pub fn from_arrow(batch: &RecordBatch) -> Result<Self> {
        let root = FFI_ArrowSchema::try_from(batch.schema().as_ref())?;
        let (mut fields, mut nodes) = (Vec::new(), Vec::new());
        root.children().try_for_each(|child| flatten_field(child, &mut fields))?;
        let whole = StructArray::from(batch.clone());
        whole.columns().iter().for_each(|column| flatten_array(&compact(&column.to_data()), &mut nodes));
        Ok(Batch::new(Rc::new(Schema::new(fields)), RawBatch { rows: batch.num_rows() as u32, nodes }))
    }
}

fn malformed() -> Error {
    Error::data("a schema ends before a field's children")
}

fn arrow_field<'a>(fields: &mut impl Iterator<Item = &'a Field>) -> Result<ArrowField> {
    let field = fields.next().ok_or_else(malformed)?;
    let children = (0..field.children)
        .map(|_| Ok(FFI_ArrowSchema::try_from(&arrow_field(fields)?)?))
        .collect::<Result<Vec<_>>>()?;
    let kind = DataType::try_from(&FFI_ArrowSchema::try_new(&field.format, children, None)?)?;
    Ok(ArrowField::new(&field.name, kind, field.nullable).with_metadata(field.metadata.iter().cloned().collect()))
}

fn array_data<'a>(kind: &DataType, nodes: &mut impl Iterator<Item = &'a Node>) -> Result<ArrayData> {
    let node = nodes.next().ok_or_else(malformed)?;
    let mut buffers = node.buffers.iter().map(|bytes| Buffer::from(bytes.as_slice()));
    let validity =
        if layout(kind).can_contain_null_mask { buffers.next().filter(|bits| !bits.is_empty()) } else { None };
    let children = match kind {
        DataType::List(item) | DataType::FixedSizeList(item, _) | DataType::Map(item, _) => {
            vec![array_data(item.data_type(), nodes)?]
        }
        DataType::Struct(members) => {
            members.iter().map(|member| array_data(member.data_type(), nodes)).collect::<Result<_>>()?
        }
        DataType::Union(members, _) => {
            members.iter().map(|(_, member)| array_data(member.data_type(), nodes)).collect::<Result<_>>()?
        }
        _ => Vec::new(),
    };
    let data =
        ArrayData::builder(kind.clone()).len(node.length as usize).null_bit_buffer(validity).buffers(buffers.collect());
    Ok(data.child_data(children).align_buffers(true).build()?)
}

fn flatten_field(field: &FFI_ArrowSchema, fields: &mut Vec<Field>) -> Result<()> {
    fields.push(Field {
        name: field.name().unwrap_or_default().to_owned(),
        format: field.format().to_owned(),
        nullable: field.nullable(),
        children: field.children().count() as u32,
        metadata: field.metadata()?.into_iter().collect(),
    });
    field.children().try_for_each(|child| flatten_field(child, fields))
}

/// Appends a compact array and everything below it.
fn flatten_array(array: &ArrayData, nodes: &mut Vec<Node>) {
    let mut buffers: Vec<Vec<u8>> = array.buffers().iter().map(|buffer| buffer.as_slice().to_vec()).collect();
    if layout(array.data_type()).can_contain_null_mask {
        buffers.insert(0, array.nulls().map_or_else(Vec::new, |nulls| nulls.buffer().as_slice().to_vec()));
    }
    nodes.push(Node { length: array.len() as u32, buffers });
    array.child_data().iter().for_each(|child| flatten_array(child, nodes));
}

/// A copy that starts at offset 0 in every buffer and bitmap, as the contract requires; a slice does not.
fn compact(array: &ArrayData) -> ArrayData {
    let mut copy = arrow_data::transform::MutableArrayData::new(vec![array], true, array.len());
    copy.extend(0, 0, array.len());
    copy.freeze()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Array, ListBuilder};

    #[test]
    fn a_batch_survives_arrow_and_back() {
        let mut lists = ListBuilder::<i64>::new();
        lists.values.push(1);
        lists.end_list(true);
        lists.end_list(false);
        let batch = Batch::from_columns(vec![
            ("n", Array::from(vec![Some(7_i64), None])),
            ("s", Array::from(vec!["a".to_owned(), "ü".to_owned()])),
            ("l", lists.finish()),
        ])
        .unwrap();
        let arrow = batch.to_arrow().unwrap();
        let back = Batch::from_arrow(&arrow.slice(1, 1)).unwrap();
        assert_eq!(back.rows(), 1);
        assert!(back.column("n").unwrap().is_null(0));
        assert_eq!(back.column("s").unwrap().strings().unwrap().get(0), Some("ü"));
        assert_eq!(back.column("l").unwrap().lists().unwrap().get(0), None);
    }
}
