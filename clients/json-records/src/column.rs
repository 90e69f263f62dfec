//! Builds columns of the types that were found, value by value.

use std::collections::{HashMap, HashSet};

use osiris_sdk::{Builder, Field, Node};
use serde_json::Value;

use crate::declared::{self, Declared};
use crate::kind::{Fields, Kind};

/// A value that does not fit the type of its column.
#[derive(Debug, PartialEq)]
pub struct Misfit {
    /// Names from the column down to the value.
    pub path: Vec<String>,
    pub found: &'static str,
    /// The column's type, or `None` where there is no such column.
    pub kind: Option<String>,
}

/// One column being built.
pub struct Column {
    name: String,
    data: Data,
}

enum Data {
    Boolean(Builder<bool>),
    Int32(Builder<i32>, Kind),
    Int64(Builder<i64>, Kind),
    Decimal(Builder<i128>, Kind),
    Double(Builder<f64>, Kind),
    Text(Builder<String>),
    /// JSON as text.
    Json(Builder<String>),
    List(Validity, Vec<i32>, Box<Column>),
    Struct(Validity, Members),
}

/// Columns of one object, found by the names that JSON has for them.
pub struct Members {
    columns: Vec<Column>,
    places: HashMap<String, usize>,
}

/// Which values are there.
#[derive(Default)]
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

    fn node(self, more: Vec<Vec<u8>>) -> Node {
        let mut buffers = vec![if self.nulls == 0 { Vec::new() } else { self.bits }];
        buffers.extend(more);
        Node { length: self.length as u64, null_count: self.nulls as u64, buffers }
    }
}

impl Members {
    /// Columns for the members of an object. DuckDB takes names for the same that differ by case alone, so the
    /// later of two gets a number.
    pub fn new(fields: &Fields) -> Self {
        let mut taken = HashSet::new();
        let (mut columns, mut places) = (Vec::new(), HashMap::new());
        for (place, (name, kind)) in fields.iter().enumerate() {
            let wanted = if name.is_empty() { "_" } else { name.as_str() };
            let free = (1..).map(|n| if n == 1 { wanted.to_owned() } else { format!("{wanted}_{n}") });
            let unique = free.into_iter().find(|name| taken.insert(name.to_lowercase())).unwrap_or_default();
            columns.push(Column::new(unique, kind));
            places.insert(name.clone(), place);
        }
        Self { columns, places }
    }

    /// Appends one object's members; those it lacks become null.
    pub fn push(&mut self, members: &serde_json::Map<String, Value>) -> Result<(), Misfit> {
        let mut unknown = members.iter().filter(|(name, value)| !value.is_null() && !self.places.contains_key(*name));
        if let Some((name, value)) = unknown.next() {
            return Err(Misfit { path: vec![name.clone()], found: what(value), kind: None });
        }
        for (name, place) in &self.places {
            let column = &mut self.columns[*place];
            let value = members.get(name).unwrap_or(&Value::Null);
            column.push(value).map_err(|mut misfit| {
                misfit.path.insert(0, name.clone());
                misfit
            })?;
        }
        Ok(())
    }

    fn push_null(&mut self) {
        self.columns.iter_mut().for_each(Column::push_null);
    }

    /// The fields and nodes of all columns, in pre-order.
    pub fn finish(self) -> (Vec<Field>, Vec<Node>) {
        let (mut fields, mut nodes) = (Vec::new(), Vec::new());
        self.columns.into_iter().for_each(|column| column.finish(&mut fields, &mut nodes));
        (fields, nodes)
    }
}

impl Column {
    fn new(name: String, kind: &Kind) -> Self {
        let data = match kind {
            Kind::Boolean | Kind::Declared(Declared::Boolean) => Data::Boolean(Builder::new()),
            Kind::Declared(Declared::Integer | Declared::Date) => Data::Int32(Builder::new(), kind.clone()),
            Kind::Int | Kind::Declared(Declared::BigInt | Declared::Timestamp | Declared::TimestampTz) => {
                Data::Int64(Builder::new(), kind.clone())
            }
            Kind::Huge | Kind::Declared(Declared::Decimal(..)) => Data::Decimal(Builder::new(), kind.clone()),
            Kind::Double | Kind::Declared(Declared::Double) => Data::Double(Builder::new(), kind.clone()),
            Kind::Null | Kind::Text | Kind::Declared(Declared::Varchar) => Data::Text(Builder::new()),
            Kind::Json | Kind::Declared(Declared::Json) => Data::Json(Builder::new()),
            Kind::List(items) => {
                Data::List(Validity::default(), Vec::new(), Box::new(Column::new("item".to_owned(), items)))
            }
            Kind::Struct(fields) => Data::Struct(Validity::default(), Members::new(fields)),
        };
        Self { name, data }
    }

    fn push(&mut self, value: &Value) -> Result<(), Misfit> {
        if value.is_null() {
            self.push_null();
            return Ok(());
        }
        // A text of nothing is how many services write that there is no number or date.
        if value.as_str().is_some_and(|text| text.trim().is_empty()) && self.is_declared() {
            self.push_null();
            return Ok(());
        }
        let misfit = |kind: String| Misfit { path: Vec::new(), found: what(value), kind: Some(kind) };
        match &mut self.data {
            Data::Boolean(builder) => {
                builder.push(declared::boolean(value).ok_or_else(|| misfit("BOOLEAN".to_owned()))?)
            }
            Data::Int32(builder, kind) => builder.push(int32(value, kind).ok_or_else(|| misfit(type_name(kind)))?),
            Data::Int64(builder, kind) => builder.push(int64(value, kind).ok_or_else(|| misfit(type_name(kind)))?),
            Data::Decimal(builder, kind) => builder.push(decimal(value, kind).ok_or_else(|| misfit(type_name(kind)))?),
            Data::Double(builder, kind) => builder.push(double(value, kind).ok_or_else(|| misfit(type_name(kind)))?),
            Data::Text(builder) => match value {
                Value::String(text) => builder.push_str(Some(text)),
                other => builder.push(other.to_string()),
            },
            Data::Json(builder) => builder.push(value.to_string()),
            Data::List(validity, ends, items) => {
                let Value::Array(values) = value else { return Err(misfit("a list".to_owned())) };
                for (place, value) in values.iter().enumerate() {
                    items.push(value).map_err(|mut misfit| {
                        misfit.path.insert(0, place.to_string());
                        misfit
                    })?;
                }
                let end = ends.last().copied().unwrap_or(0) as usize + values.len();
                // A page is far below what 32-bit offsets can address; the host refuses one that is not.
                ends.push(i32::try_from(end).unwrap_or(i32::MAX));
                validity.push(true);
            }
            Data::Struct(validity, members) => {
                let Value::Object(object) = value else { return Err(misfit("an object".to_owned())) };
                members.push(object)?;
                validity.push(true);
            }
        }
        Ok(())
    }

    /// Whether the user said that the column holds numbers or times.
    fn is_declared(&self) -> bool {
        match &self.data {
            Data::Int32(_, kind) | Data::Int64(_, kind) | Data::Decimal(_, kind) | Data::Double(_, kind) => {
                matches!(kind, Kind::Declared(_))
            }
            _ => false,
        }
    }

    fn push_null(&mut self) {
        match &mut self.data {
            Data::Boolean(builder) => builder.push(None),
            Data::Int32(builder, _) => builder.push(None),
            Data::Int64(builder, _) => builder.push(None),
            Data::Decimal(builder, _) => builder.push(None),
            Data::Double(builder, _) => builder.push(None),
            Data::Text(builder) | Data::Json(builder) => builder.push_str(None),
            Data::List(validity, ends, _) => {
                ends.push(ends.last().copied().unwrap_or(0));
                validity.push(false);
            }
            Data::Struct(validity, members) => {
                members.push_null();
                validity.push(false);
            }
        }
    }

    fn finish(self, fields: &mut Vec<Field>, nodes: &mut Vec<Node>) {
        let leaf = |array: osiris_sdk::Array, fields: &mut Vec<Field>, nodes: &mut Vec<Node>, json: bool| {
            let (mut own_fields, own_nodes) = array.into_parts(&self.name);
            if json && let Some(field) = own_fields.first_mut() {
                field.metadata = vec![("ARROW:extension:name".to_owned(), "arrow.json".to_owned())];
            }
            fields.extend(own_fields);
            nodes.extend(own_nodes);
        };
        let nested = |format: &str, children: usize| Field {
            name: self.name.clone(),
            format: format.to_owned(),
            nullable: true,
            children: u32::try_from(children).unwrap_or(u32::MAX),
            metadata: Vec::new(),
        };
        match self.data {
            Data::Boolean(builder) => leaf(builder.finish(), fields, nodes, false),
            Data::Int32(builder, kind) => leaf(builder.finish().with_format(&format(&kind)), fields, nodes, false),
            Data::Int64(builder, kind) => leaf(builder.finish().with_format(&format(&kind)), fields, nodes, false),
            Data::Decimal(builder, kind) => leaf(builder.finish().with_format(&format(&kind)), fields, nodes, false),
            Data::Double(builder, _) => leaf(builder.finish(), fields, nodes, false),
            Data::Text(builder) => leaf(builder.finish(), fields, nodes, false),
            Data::Json(builder) => leaf(builder.finish(), fields, nodes, true),
            Data::List(validity, ends, items) => {
                fields.push(nested("+l", 1));
                let mut offsets = 0_i32.to_le_bytes().to_vec();
                offsets.extend(ends.iter().flat_map(|end| end.to_le_bytes()));
                nodes.push(validity.node(vec![offsets]));
                items.finish(fields, nodes);
            }
            Data::Struct(validity, members) => {
                fields.push(nested("+s", members.columns.len()));
                nodes.push(validity.node(Vec::new()));
                let (own_fields, own_nodes) = members.finish();
                fields.extend(own_fields);
                nodes.extend(own_nodes);
            }
        }
    }
}

fn int32(value: &Value, kind: &Kind) -> Option<i32> {
    match kind {
        Kind::Declared(Declared::Date) => declared::date(value.as_str()?),
        _ => i32::try_from(declared::integer(value)?).ok(),
    }
}

fn int64(value: &Value, kind: &Kind) -> Option<i64> {
    match kind {
        Kind::Int => value.as_i64(),
        Kind::Declared(Declared::Timestamp | Declared::TimestampTz) => Some(declared::timestamp(value.as_str()?)?.0),
        _ => declared::integer(value),
    }
}

fn decimal(value: &Value, kind: &Kind) -> Option<i128> {
    let number = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) if matches!(kind, Kind::Declared(_)) => text.clone(),
        _ => return None,
    };
    match kind {
        Kind::Declared(Declared::Decimal(digits, scale)) => declared::decimal(&number, *digits, *scale, false),
        _ => declared::decimal(&number, 38, 0, true),
    }
}

fn double(value: &Value, kind: &Kind) -> Option<f64> {
    match kind {
        Kind::Double => value.as_f64(),
        _ => declared::double(value),
    }
}

/// Arrow's format for the type.
fn format(kind: &Kind) -> String {
    match kind {
        Kind::Declared(Declared::Integer) => "i".to_owned(),
        Kind::Declared(Declared::Date) => "tdD".to_owned(),
        Kind::Declared(Declared::Timestamp) => "tsu:".to_owned(),
        Kind::Declared(Declared::TimestampTz) => "tsu:UTC".to_owned(),
        Kind::Declared(Declared::Decimal(digits, scale)) => format!("d:{digits},{scale}"),
        Kind::Huge => "d:38,0".to_owned(),
        _ => "l".to_owned(),
    }
}

fn type_name(kind: &Kind) -> String {
    match kind {
        Kind::Declared(declared) => declared.name(),
        Kind::Huge => "DECIMAL(38,0)".to_owned(),
        Kind::Double => "DOUBLE".to_owned(),
        _ => "BIGINT".to_owned(),
    }
}

/// What a value is, in words.
fn what(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
