//! Columns between DuckDB and a guest: the Arrow C Data Interface, flattened as `osiris:driver/arrow` defines it.
//!
//! Outgoing data is only rearranged. Incoming data comes from a guest and is untrusted, so all of it is checked here,
//! against the Arrow columnar format, before DuckDB sees a byte.

mod values;
mod wkb;

use std::collections::BTreeMap;

use bytes::Bytes;
use duckdb::arrow::array::{ArrayData, ArrayDataBuilder, BufferSpec, layout};
use duckdb::arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use duckdb::arrow::datatypes::{DataType, Field as ArrowField};
use duckdb::arrow::ffi::FFI_ArrowSchema;

pub use values::check_extensions;

/// The metadata key that names a column's DuckDB type if its Arrow type is less specific.
pub const DUCKDB_TYPE: &str = "osiris.duckdb_type";

/// How deeply a guest may nest types.
const MAX_DEPTH: usize = 64;

/// The longest name of a column, in bytes.
const MAX_NAME: usize = 65_535;

/// How many fields a guest's table may have, including nested ones.
const MAX_FIELDS: usize = 16_384;

/// How many values a batch may hold in all its nodes together. Most batches are bounded by their bytes, but a node of
/// nulls or of structs has a length and no bytes.
const MAX_VALUES: u64 = 1 << 27;

/// One field of a schema in pre-order; see `osiris:driver/arrow.field`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub format: String,
    pub nullable: bool,
    pub children: u32,
    pub metadata: Vec<(String, String)>,
}

/// The values of one field on their way to a guest.
#[derive(Debug)]
pub struct OutNode {
    pub length: u32,
    pub buffers: Vec<Bytes>,
}

/// The values of one field as a guest returned them.
#[derive(Debug)]
pub struct InNode<'a> {
    pub length: u32,
    pub buffers: Vec<&'a [u8]>,
}

/// Why a guest's schema or batch is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

fn refused(message: impl Into<String>) -> Refused {
    Refused(message.into())
}

/// The fields of a schema whose root is a struct with one child per column.
pub fn flatten_schema(root: &FFI_ArrowSchema) -> Result<Vec<Field>, Refused> {
    let mut fields = Vec::new();
    for child in root.children() {
        flatten_field(child, &mut fields)?;
    }
    Ok(fields)
}

fn flatten_field(field: &FFI_ArrowSchema, fields: &mut Vec<Field>) -> Result<(), Refused> {
    let mut metadata: Vec<(String, String)> =
        field.metadata().map_err(|error| refused(error.to_string()))?.into_iter().collect();
    metadata.sort();
    fields.push(Field {
        name: field.name().unwrap_or_default().to_owned(),
        format: contract_format(field.format()),
        nullable: field.nullable(),
        children: field.children().count() as u32,
        metadata,
    });
    field.children().try_for_each(|child| flatten_field(child, fields))
}

/// A format in the spelling of the contract, which has one for each type.
fn contract_format(format: &str) -> String {
    if format.starts_with("d:") {
        return format.trim_end_matches(",128").to_owned();
    }
    if format.starts_with("ts") { format.replace(":Etc/UTC", ":UTC") } else { format.to_owned() }
}

/// Changes fields to the formats of plain types; returns the positions of booleans, whose values become bits.
pub fn plain(fields: &mut [Field]) -> Vec<usize> {
    let mut booleans = Vec::new();
    for (place, field) in fields.iter_mut().enumerate() {
        let is_bool8 = |(name, value): &(String, String)| name == "ARROW:extension:name" && value == "arrow.bool8";
        if field.format == "c" && field.metadata.iter().any(is_bool8) {
            "b".clone_into(&mut field.format);
            booleans.push(place);
        }
        field.metadata.retain(|(name, _)| !name.starts_with("ARROW:extension:"));
    }
    booleans
}

/// Packs the values of booleans, a byte each, into bits.
pub fn pack_booleans(nodes: &mut [OutNode], booleans: &[usize]) {
    for &place in booleans {
        let Some(values) = nodes.get_mut(place).and_then(|node| node.buffers.get_mut(1)) else { continue };
        let bits = BooleanBuffer::collect_bool(values.len(), |at| values[at] != 0);
        *values = shared(bits.into_inner());
    }
}

/// The top-level columns of a pre-order schema, as positions in `fields`.
///
/// # Errors
/// If the numbers of children do not add up.
pub fn column_positions(fields: &[Field]) -> Result<Vec<usize>, Refused> {
    let mut positions = Vec::new();
    let mut next = 0;
    while next < fields.len() {
        positions.push(next);
        next = subtree_end(fields, next, 0)?;
    }
    Ok(positions)
}

/// Checks the names of a table's columns, at these positions in `fields`.
///
/// # Errors
/// If a name is empty or too long, or two columns have names that DuckDB does not tell apart.
pub fn check_names(fields: &[Field], positions: &[usize]) -> Result<(), Refused> {
    let mut seen = BTreeMap::new();
    for (number, position) in positions.iter().enumerate() {
        let name = &fields[*position].name;
        if name.is_empty() || name.len() > MAX_NAME {
            let length = name.len();
            return Err(refused(format!(
                "the name of column {} has {length} bytes, but must have 1 to {MAX_NAME}",
                number + 1
            )));
        }
        if let Some(first) = seen.insert(name.to_ascii_lowercase(), name) {
            return Err(refused(if first == name {
                format!("two columns have the name `{name}`")
            } else {
                format!("columns `{first}` and `{name}` differ only in case, which DuckDB does not tell apart")
            }));
        }
    }
    Ok(())
}

fn subtree_end(fields: &[Field], start: usize, depth: usize) -> Result<usize, Refused> {
    let field = fields.get(start).ok_or_else(|| refused("the schema ends before a field's children"))?;
    if depth > MAX_DEPTH {
        return Err(refused(format!("field `{}` nests deeper than {MAX_DEPTH} levels", field.name)));
    }
    let mut end = start + 1;
    for _ in 0..field.children {
        end = subtree_end(fields, end, depth + 1)?;
    }
    Ok(end)
}

/// Builds the Arrow schema (a struct with one child per column) that a guest describes.
///
/// # Errors
/// Names the field whose format is unknown or malformed, or that has the wrong number of children.
pub fn build_schema(fields: &[Field]) -> Result<FFI_ArrowSchema, Refused> {
    if fields.len() > MAX_FIELDS {
        return Err(refused(format!("{} fields, more than the {MAX_FIELDS} that a table may have", fields.len())));
    }
    let columns = column_positions(fields)?
        .into_iter()
        .map(|position| build_field(fields, position).map(|(schema, _)| schema))
        .collect::<Result<Vec<_>, _>>()?;
    FFI_ArrowSchema::try_new("+s", columns, None).map_err(|error| refused(error.to_string()))
}

fn build_field(fields: &[Field], position: usize) -> Result<(FFI_ArrowSchema, usize), Refused> {
    let field = &fields[position];
    check_format(field)?;
    values::extension(field)?;
    if field.format == "+m"
        && !fields.get(position + 1).is_some_and(|entries| entries.format == "+s" && entries.children == 2)
    {
        return Err(refused(format!("field `{}` is a map, whose child must be a struct of key and value", field.name)));
    }
    let mut next = position + 1;
    let mut children = Vec::new();
    for _ in 0..field.children {
        let (child, end) = build_field(fields, next)?;
        children.push(child);
        next = end;
    }
    let schema = FFI_ArrowSchema::try_new(&field.format, children, None)
        .and_then(|schema| DataType::try_from(&schema))
        .map(|kind| ArrowField::new(&field.name, kind, field.nullable))
        .map(|arrow| arrow.with_metadata(field.metadata.iter().cloned().collect()))
        .and_then(|arrow| FFI_ArrowSchema::try_from(&arrow))
        .map_err(|error| refused(format!("field `{}`: {error}", field.name)))?;
    Ok((schema, next))
}

/// Refuses a format string that is not in the contract, or that does not allow this number of children.
fn check_format(field: &Field) -> Result<(), Refused> {
    let format = field.format.as_str();
    if field.name.contains('\0') || format.contains('\0') {
        return Err(refused("a field's name or format holds a NUL character"));
    }
    let width = |text: &str| text.parse::<i32>().is_ok_and(|width| (1..=1 << 20).contains(&width));
    let children = match format.split_once(':') {
        None => match format {
            "n" | "b" | "c" | "C" | "s" | "S" | "i" | "I" | "l" | "L" | "f" | "g" | "z" | "Z" | "u" | "U" => 0,
            "tdD" | "tdm" | "tts" | "ttm" | "ttu" | "ttn" | "tiM" | "tiD" | "tin" => 0,
            "tDs" | "tDm" | "tDu" | "tDn" => 0,
            "+l" | "+L" | "+m" => 1,
            "+s" => field.children.max(1),
            _ => return Err(unknown_format(field)),
        },
        Some(("tss" | "tsm" | "tsu" | "tsn", _)) => 0,
        Some(("d", numbers)) if decimal_fits(numbers) => 0,
        Some(("w", text)) if width(text) => 0,
        Some(("+w", text)) if width(text) => 1,
        Some(("+us", ids)) if union_ids_fit(ids, field.children) => field.children.max(1),
        Some(_) => return Err(unknown_format(field)),
    };
    if field.children != children {
        return Err(refused(format!(
            "field `{}` of format `{format}` has {} children, but must have {children}",
            field.name, field.children
        )));
    }
    Ok(())
}

fn unknown_format(field: &Field) -> Refused {
    refused(format!(
        "field `{}` has format `{}`, which does not cross; see `osiris:driver/arrow` for those that do",
        field.name, field.format
    ))
}

fn decimal_fits(numbers: &str) -> bool {
    let parts: Vec<Option<i32>> = numbers.split(',').map(|part| part.parse().ok()).collect();
    match parts.as_slice() {
        [Some(precision), Some(scale)] | [Some(precision), Some(scale), Some(128)] => {
            (1..=38).contains(precision) && (0..=*precision).contains(scale)
        }
        _ => false,
    }
}

/// Whether the members of a sparse union are numbered from 0 in order, as DuckDB numbers them.
fn union_ids_fit(ids: &str, children: u32) -> bool {
    ids.split(',').map(str::parse::<u32>).eq((0..children).map(Ok)) && children <= 127
}

/// The nodes of a batch, from a struct array with one child per column.
///
/// # Errors
/// If an array does not start at offset 0, as the contract promises to guests.
pub fn flatten_batch(batch: &ArrayData) -> Result<Vec<OutNode>, Refused> {
    let mut nodes = Vec::new();
    for column in batch.child_data() {
        flatten_array(column, &mut nodes)?;
    }
    Ok(nodes)
}

fn flatten_array(array: &ArrayData, nodes: &mut Vec<OutNode>) -> Result<(), Refused> {
    if array.offset() != 0 {
        return Err(refused("an array does not start at offset 0"));
    }
    let mut buffers = Vec::new();
    if layout(array.data_type()).can_contain_null_mask {
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        buffers.push(nulls.map_or_else(Bytes::new, |nulls| shared(nulls.inner().sliced())));
    }
    buffers.extend(array.buffers().iter().cloned().map(shared));
    let length = u32::try_from(array.len()).map_err(|_| refused("an array is longer than a batch may be"))?;
    nodes.push(OutNode { length, buffers });
    array.child_data().iter().try_for_each(|child| flatten_array(child, nodes))
}

/// Passes a buffer on without copying it.
fn shared(buffer: Buffer) -> Bytes {
    struct Owner(Buffer);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.0.as_slice()
        }
    }
    if buffer.is_empty() { Bytes::new() } else { Bytes::from_owner(Owner(buffer)) }
}

/// Checks a guest's batch and copies it into a struct array of `schema`, which is a struct type.
///
/// # Errors
/// Names the column that is wrong and the reason; nothing of the batch is kept.
pub fn build_batch(schema: &DataType, rows: u32, nodes: &[InNode<'_>]) -> Result<ArrayData, Refused> {
    let DataType::Struct(columns) = schema else {
        return Err(refused("the schema is not a struct of columns"));
    };
    let values = nodes.iter().fold(0_u64, |sum, node| sum.saturating_add(node.length.into()));
    if values > MAX_VALUES {
        return Err(refused(format!("{values} values, more than the {MAX_VALUES} that a batch may hold")));
    }
    let rows = rows as usize;
    let mut next = 0;
    let mut children = Vec::with_capacity(columns.len());
    for column in columns {
        let array = build_array(column.data_type(), nodes, &mut next)
            .map_err(|error| refused(format!("column `{}`: {error}", column.name())))?;
        if array.len() != rows {
            return Err(refused(format!(
                "column `{}` has {} values, but the batch has {rows} rows",
                column.name(),
                array.len()
            )));
        }
        children.push(array);
    }
    if next != nodes.len() {
        return Err(refused(format!("the batch has {} nodes, but the schema has {next} fields", nodes.len())));
    }
    ArrayDataBuilder::new(schema.clone())
        .len(rows)
        .child_data(children)
        .build()
        .map_err(|error| refused(error.to_string()))
}

fn build_array(data_type: &DataType, nodes: &[InNode<'_>], next: &mut usize) -> Result<ArrayData, Refused> {
    let node = nodes.get(*next).ok_or_else(|| refused("the batch ends before the schema does"))?;
    *next += 1;
    let length = node.length as usize;
    let shape = layout(data_type);
    let expected = shape.buffers.len() + usize::from(shape.can_contain_null_mask);
    if node.buffers.len() != expected {
        return Err(refused(format!("{} buffers where type {data_type} has {expected}", node.buffers.len())));
    }
    let (nulls, values) = if shape.can_contain_null_mask {
        (validity(node, length)?, &node.buffers[1..])
    } else {
        (None, &node.buffers[..])
    };
    for (number, (buffer, spec)) in values.iter().zip(&shape.buffers).enumerate() {
        let BufferSpec::FixedWidth { byte_width, .. } = spec else { continue };
        // Arrow's own checks panic on a buffer that ends within a value.
        if !buffer.len().is_multiple_of(*byte_width) {
            return Err(refused(format!("a buffer of {} bytes for values of {byte_width} bytes each", buffer.len())));
        }
        let is_offsets = number == 0 && has_offsets(data_type) && !(length == 0 && buffer.is_empty());
        let needed = (length + usize::from(is_offsets)).saturating_mul(*byte_width);
        if buffer.len() < needed {
            let place = number + node.buffers.len() - values.len();
            return Err(refused(format!("buffer {place} has {} bytes, but needs {needed}", buffer.len())));
        }
    }
    let buffers = values.iter().map(Buffer::from_slice_ref).map(|buffer| {
        // A list or text without values may omit its only offset.
        if length == 0 && buffer.is_empty() && has_offsets(data_type) { Buffer::from_vec(vec![0_i64]) } else { buffer }
    });
    let buffers = buffers.collect();
    let children = child_types(data_type)
        .into_iter()
        .map(|child| build_array(child, nodes, next))
        .collect::<Result<Vec<_>, _>>()?;
    let array = ArrayDataBuilder::new(data_type.clone())
        .len(length)
        .nulls(nulls)
        .buffers(buffers)
        .child_data(children)
        .build()
        .map_err(|error| refused(error.to_string()))?;
    values::check_values(&array)?;
    Ok(array)
}

/// The validity bitmap, if any value is null.
fn validity(node: &InNode<'_>, length: usize) -> Result<Option<NullBuffer>, Refused> {
    let bitmap = node.buffers[0];
    if bitmap.is_empty() {
        return Ok(None);
    }
    if bitmap.len() < length.div_ceil(8) {
        return Err(refused(format!("a validity bitmap of {} bytes for {length} values", bitmap.len())));
    }
    let nulls = NullBuffer::new(BooleanBuffer::new(Buffer::from_slice_ref(bitmap), 0, length));
    Ok((nulls.null_count() > 0).then_some(nulls))
}

fn has_offsets(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::List(_)
            | DataType::LargeList(_)
            | DataType::Map(..)
    )
}

fn child_types(data_type: &DataType) -> Vec<&DataType> {
    match data_type {
        DataType::List(child) | DataType::LargeList(child) | DataType::FixedSizeList(child, _) => {
            vec![child.data_type()]
        }
        DataType::Map(entries, _) => vec![entries.data_type()],
        DataType::Struct(children) => children.iter().map(|child| child.data_type()).collect(),
        DataType::Union(members, _) => members.iter().map(|(_, member)| member.data_type()).collect(),
        _ => Vec::new(),
    }
}
