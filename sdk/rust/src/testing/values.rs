//! Rows as JSON, turned into columns by their DuckDB types and back.

use std::collections::BTreeMap;

use duckdb_text::DuckdbType;
use serde_json::{Map, Value};

use crate::types::{Blob, Date, Instant, Time, Timestamp, Uuid, decimal_text, unscaled};
use crate::{Batch, Column, Field, Node, RawBatch, Schema};

type Fallible<T> = Result<T, String>;

/// The type of values that have none declared: that of the JSON values, all over.
pub fn inferred(values: &[&Value]) -> String {
    let present: Vec<&Value> = values.iter().copied().filter(|value| !value.is_null()).collect();
    match present.first() {
        Some(Value::Bool(_)) => "BOOLEAN".to_owned(),
        Some(Value::Number(_)) if present.iter().all(|value| value.is_i64()) => "BIGINT".to_owned(),
        Some(Value::Number(_)) => "DOUBLE".to_owned(),
        Some(Value::Array(_)) => {
            let items: Vec<&Value> = present.iter().filter_map(|value| value.as_array()).flatten().collect();
            format!("{}[]", inferred(&items))
        }
        Some(Value::Object(_)) => {
            let objects: Vec<&Map<String, Value>> = present.iter().filter_map(|value| value.as_object()).collect();
            let mut names: Vec<&String> = Vec::new();
            for name in objects.iter().flat_map(|object| object.keys()) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            let member = |name: &&String| {
                let values: Vec<&Value> = objects.iter().filter_map(|object| object.get(*name)).collect();
                format!("{} {}", duckdb_text::quote_name(name), inferred(&values))
            };
            format!("STRUCT({})", names.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        _ => "VARCHAR".to_owned(),
    }
}

/// A column of a DuckDB type; `None` and JSON's null are null.
pub fn column(name: &str, kind: &DuckdbType, values: &[Option<&Value>]) -> Fallible<(Vec<Field>, Vec<Node>)> {
    let values: Vec<Option<&Value>> = values.iter().map(|value| value.filter(|value| !value.is_null())).collect();
    let validity =
        if values.iter().all(Option::is_some) { Vec::new() } else { bits(values.iter().map(Option::is_some)) };
    let (format, metadata, mut buffers, children) = match kind {
        DuckdbType::Scalar { name: scalar, arguments } => {
            let (format, extension, buffers) =
                scalars(scalar, arguments, &values).map_err(|what| format!("column `{name}`: {what}"))?;
            let metadata = extension.map(|extension| ("ARROW:extension:name".to_owned(), extension.to_owned()));
            (format, metadata.into_iter().collect(), buffers, Vec::new())
        }
        DuckdbType::List { item, length: None } => {
            let items = |value: &&Value| value.as_array().map_or(0, Vec::len);
            let offsets = offsets(values.iter().map(|value| value.as_ref().map_or(0, items)));
            let inner: Vec<Option<&Value>> =
                values.iter().flatten().filter_map(|value| value.as_array()).flatten().map(Some).collect();
            ("+l".to_owned(), Vec::new(), vec![offsets], vec![column("item", item, &inner)?])
        }
        DuckdbType::Struct(members) => {
            let member = |(name, kind): &(String, DuckdbType)| {
                let inner: Vec<Option<&Value>> = values.iter().map(|value| value.and_then(|v| v.get(name))).collect();
                column(name, kind, &inner)
            };
            let members = members.iter().map(member).collect::<Fallible<Vec<_>>>()?;
            ("+s".to_owned(), Vec::new(), Vec::new(), members)
        }
        other => return Err(format!("column `{name}`: the test's host does not build columns of {other:?}")),
    };
    buffers.insert(0, validity);
    let count = u32::try_from(children.len()).unwrap_or(u32::MAX);
    let field = Field { name: name.to_owned(), format, nullable: true, children: count, metadata };
    let length = u32::try_from(values.len()).unwrap_or(u32::MAX);
    let (mut fields, mut nodes) = (vec![field], vec![Node { length, buffers }]);
    for (inner_fields, inner_nodes) in children {
        fields.extend(inner_fields);
        nodes.extend(inner_nodes);
    }
    Ok((fields, nodes))
}

fn bits(values: impl Iterator<Item = bool>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (place, value) in values.enumerate() {
        if place % 8 == 0 {
            bytes.push(0);
        }
        if let Some(last) = bytes.last_mut() {
            *last |= u8::from(value) << (place % 8);
        }
    }
    bytes
}

fn offsets(lengths: impl Iterator<Item = usize>) -> Vec<u8> {
    let mut end = 0;
    let ends = lengths.map(|length| {
        end += length as i32;
        end
    });
    std::iter::once(0).chain(ends).flat_map(i32::to_le_bytes).collect()
}

/// A value as DuckDB would print it.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The format, the extension and the buffers behind the validity.
type Scalars = (String, Option<&'static str>, Vec<Vec<u8>>);

fn scalars(kind: &str, arguments: &str, values: &[Option<&Value>]) -> Fallible<Scalars> {
    let not = |text: &str| format!("`{text}` is not a {kind}");
    macro_rules! fixed {
        ($format:expr, $extension:expr, $number:ty, $parse:expr) => {{
            let parse: &dyn Fn(&str) -> Option<$number> = &$parse;
            let mut bytes = Vec::new();
            for value in values {
                let number = match value.map(text) {
                    Some(text) => parse(&text).ok_or_else(|| not(&text))?,
                    None => <$number>::default(),
                };
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            Ok(($format.to_owned(), $extension, vec![bytes]))
        }};
    }
    macro_rules! bytes {
        ($format:expr, $extension:expr, $parse:expr) => {{
            let parse: &dyn Fn(&Value) -> Option<Vec<u8>> = &$parse;
            let one = |value: &Option<&Value>| match value {
                Some(value) => parse(value).ok_or_else(|| not(&text(value))),
                None => Ok(Vec::new()),
            };
            let all = values.iter().map(one).collect::<Fallible<Vec<_>>>()?;
            Ok(($format.to_owned(), $extension, vec![offsets(all.iter().map(Vec::len)), all.concat()]))
        }};
    }
    match kind {
        "BOOLEAN" => fixed!("c", Some("arrow.bool8"), i8, |text| text.parse().ok().map(|value: bool| i8::from(value))),
        "TINYINT" => fixed!("c", None, i8, |text| text.parse().ok()),
        "SMALLINT" => fixed!("s", None, i16, |text| text.parse().ok()),
        "INTEGER" => fixed!("i", None, i32, |text| text.parse().ok()),
        "BIGINT" => fixed!("l", None, i64, |text| text.parse().ok()),
        "UTINYINT" => fixed!("C", None, u8, |text| text.parse().ok()),
        "USMALLINT" => fixed!("S", None, u16, |text| text.parse().ok()),
        "UINTEGER" => fixed!("I", None, u32, |text| text.parse().ok()),
        "UBIGINT" => fixed!("L", None, u64, |text| text.parse().ok()),
        "HUGEINT" => fixed!("w:16", Some("arrow.opaque"), i128, |text| text.parse().ok()),
        "FLOAT" => fixed!("f", None, f32, |text| text.parse().ok()),
        "DOUBLE" => fixed!("g", None, f64, |text| text.parse().ok()),
        "DECIMAL" => {
            let (precision, scale) = arguments.split_once(',').unwrap_or(("18", "3"));
            let scale: u8 = scale.trim().parse().map_err(|_| format!("`{arguments}` is not a precision and scale"))?;
            fixed!(format!("d:{},{scale}", precision.trim()), None, i128, |text| unscaled(text, scale))
        }
        "DATE" => fixed!("tdD", None, i32, |text| text.parse().ok().map(|date: Date| date.0)),
        "TIME" => fixed!("ttu", None, i64, |text| text.parse().ok().map(|time: Time| time.0)),
        "TIMESTAMP" => fixed!("tsu:", None, i64, |text| text.parse().ok().map(|moment: Timestamp| moment.0)),
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => {
            fixed!("tsu:UTC", None, i64, |text| text.parse().ok().map(|moment: Instant| moment.0))
        }
        "UUID" => fixed!("w:16", Some("arrow.uuid"), u128, |text| {
            text.parse().ok().map(|uuid: Uuid| u128::from_le_bytes(uuid.0))
        }),
        "VARCHAR" | "TEXT" => bytes!("u", None, |value| value.as_str().map(|text| text.as_bytes().to_vec())),
        "JSON" => bytes!("u", Some("arrow.json"), |value| Some(value.to_string().into_bytes())),
        "BLOB" => bytes!("z", None, |value| value.as_str()?.parse().ok().map(|blob: Blob| blob.0)),
        other => Err(format!("the test's host does not build columns of type {other}")),
    }
}

/// Whether a JSON value can certainly not become one of a declared type: a number, a boolean, a UUID, or a list or struct of
/// them. What else the host refuses is only known to DuckDB.
pub fn cannot_be(kind: &DuckdbType, value: &Value) -> bool {
    const CHECKED: [&str; 13] = [
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "HUGEINT",
        "DOUBLE",
        "DECIMAL",
        "UUID",
    ];
    // An empty text becomes null.
    if value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty()) {
        return false;
    }
    match kind {
        DuckdbType::Scalar { name, arguments } if CHECKED.contains(&name.as_str()) => {
            scalars(name, arguments, &[Some(value)]).is_err()
        }
        DuckdbType::List { item, .. } => {
            value.as_array().is_none_or(|items| items.iter().any(|value| cannot_be(item, value)))
        }
        DuckdbType::Struct(members) => value.as_object().is_none_or(|object| {
            members.iter().any(|(name, kind)| object.get(name).is_some_and(|value| cannot_be(kind, value)))
        }),
        _ => false,
    }
}

/// The rows of a batch as JSON objects.
pub fn rows(fields: &[Field], batch: &RawBatch) -> Fallible<Vec<Map<String, Value>>> {
    if fields.len() != batch.nodes.len() {
        return Err(format!("it has {} nodes for {} fields", batch.nodes.len(), fields.len()));
    }
    let batch = Batch::new(std::rc::Rc::new(Schema::new(fields.to_vec())), batch.clone());
    let columns: Vec<Column<'_>> = (0..batch.schema().columns().len()).map(|place| batch.column_at(place)).collect();
    if let Some(short) = columns.iter().find(|column| column.len() != batch.rows()) {
        return Err(format!("column `{}` has {} values in {} rows", short.field().name, short.len(), batch.rows()));
    }
    let row = |row| columns.iter().map(|column| Ok((column.field().name.clone(), value(column, row)?))).collect();
    (0..batch.rows()).map(row).collect()
}

/// One value as JSON.
fn value(column: &Column<'_>, row: usize) -> Fallible<Value> {
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    let told = |error: crate::Error| error.message;
    let field = column.field();
    let extension =
        field.metadata.iter().find(|(name, _)| name == "ARROW:extension:name").map(|(_, name)| name.as_str());
    macro_rules! as_number {
        ($($format:pat => $number:ty),+) => {
            match field.format.as_str() {
                $($format => Some(column.value_at::<$number>(row).map_err(told)?.to_string()),)+
                _ => None,
            }
        };
    }
    if field.format == "b" || extension == Some("arrow.bool8") {
        return column.booleans().map_err(told)?.get(row).map(Value::Bool).ok_or_else(|| "it is too short".to_owned());
    }
    if let Some(number) = as_number!("c" => i8, "s" => i16, "i" => i32, "l" => i64, "C" => u8, "S" => u16, "I" => u32, "L" => u64, "f" => f32, "g" => f64)
    {
        return Ok(serde_json::from_str(&number).unwrap_or(match number.as_str() {
            "inf" => "Infinity".into(),
            "-inf" => "-Infinity".into(),
            other => other.into(),
        }));
    }
    match field.format.as_str() {
        "u" if extension == Some("arrow.json") => {
            serde_json::from_str(column.strings().map_err(told)?.get(row).unwrap_or_default())
                .map_err(|e| e.to_string())
        }
        "u" => Ok(column.strings().map_err(told)?.get(row).ok_or("it is not UTF-8")?.into()),
        "tdD" => Ok(read::<Date>(column, row)?.to_string().into()),
        "ttu" => Ok(read::<Time>(column, row)?.to_string().into()),
        "tsu:" => Ok(read::<Timestamp>(column, row)?.to_string().into()),
        "tsu:UTC" => Ok(read::<Instant>(column, row)?.to_string().into()),
        "w:16" if extension == Some("arrow.uuid") => Ok(read::<Uuid>(column, row)?.to_string().into()),
        "w:16" => {
            let bytes = column.part(1).map_err(told)?.get(row * 16..row * 16 + 16).ok_or("it is too short")?;
            let bytes: [u8; 16] = bytes.try_into().map_err(|_| "it is too short")?;
            serde_json::from_str(&i128::from_le_bytes(bytes).to_string()).map_err(|e| e.to_string())
        }
        "z" => Ok(read::<Blob>(column, row)?.to_string().into()),
        "+l" => {
            let lists = column.lists().map_err(told)?;
            let range = lists.get(row).filter(|range| range.start <= range.end).ok_or("a list has no end")?;
            range.map(|item| value(&lists.values, item)).collect::<Fallible<Vec<_>>>().map(Value::from)
        }
        "+s" => {
            let member = |member: Column<'_>| Ok((member.field().name.clone(), value(&member, row)?));
            column.children().map(member).collect::<Fallible<Map<_, _>>>().map(Value::from)
        }
        format => match format.strip_prefix("d:").and_then(|rest| rest.split(',').nth(1)?.parse().ok()) {
            Some(scale) => {
                let text = decimal_text(column.value_at::<i128>(row).map_err(told)?, scale);
                serde_json::from_str(&text).map_err(|e| e.to_string())
            }
            None => Ok(format!("a value of format {format}").into()),
        },
    }
}

fn read<'a, T: crate::FromCell<'a>>(column: &Column<'a>, row: usize) -> Fallible<T> {
    T::from_cell(column, row).map_err(|error| error.message)
}

/// The DuckDB types of a table's columns.
pub fn types(fields: &[Field]) -> BTreeMap<String, String> {
    let schema = Schema::new(fields.to_vec());
    let one = |place| {
        let own = &fields[schema.span(place)];
        (own[0].name.clone(), duckdb_type(own))
    };
    (0..schema.columns().len()).map(one).collect()
}

fn duckdb_type(fields: &[Field]) -> String {
    let field = &fields[0];
    let is = |extension: &str| field.metadata.iter().any(|(_, name)| name == extension);
    let members = || {
        let below = Schema::new(fields[1..].to_vec());
        let spans: Vec<_> = (0..below.columns().len()).map(|place| below.span(place)).collect();
        spans
            .into_iter()
            .map(|span| (fields[1..][span.start].name.clone(), duckdb_type(&fields[1..][span])))
            .collect::<Vec<_>>()
    };
    let simple = match field.format.as_str() {
        "b" => "BOOLEAN",
        "c" if is("arrow.bool8") => "BOOLEAN",
        "c" => "TINYINT",
        "s" => "SMALLINT",
        "i" => "INTEGER",
        "l" => "BIGINT",
        "C" => "UTINYINT",
        "S" => "USMALLINT",
        "I" => "UINTEGER",
        "L" => "UBIGINT",
        "f" => "FLOAT",
        "g" => "DOUBLE",
        "u" if is("arrow.json") => "JSON",
        "u" => "VARCHAR",
        "z" => "BLOB",
        "w:16" if is("arrow.uuid") => "UUID",
        "w:16" => "HUGEINT",
        "tdD" => "DATE",
        "ttu" => "TIME",
        "tsu:" => "TIMESTAMP",
        "+l" => return members().first().map_or_else(String::new, |(_, item)| format!("{item}[]")),
        "+s" => {
            let parts: Vec<String> =
                members().iter().map(|(name, kind)| format!("{} {kind}", duckdb_text::quote_name(name))).collect();
            return format!("STRUCT({})", parts.join(", "));
        }
        format if format.starts_with("tsu:") => "TIMESTAMP WITH TIME ZONE",
        format => {
            return format.strip_prefix("d:").map_or_else(|| format.to_owned(), |rest| format!("DECIMAL({rest})"));
        }
    };
    simple.to_owned()
}
