//! How the input's columns are selected, sent, staged and created.

use conversions::SourceType;
use osiris_sdk::sql::json_text;
use osiris_sdk::{Error, Field, Result, Schema};
use postgres_client::sql::check_name;

use crate::encode::Encode;

/// One column on its way.
#[derive(Debug, Clone)]
pub struct InputColumn {
    pub name: String,
    /// Its DuckDB type.
    pub source: SourceType,
    /// Whether it is sent as JSON text.
    pub is_json: bool,
    pub encode: Encode,
    /// Its PostgreSQL type while staged.
    pub staged: String,
    /// Its PostgreSQL type if the writer creates the column.
    pub created: String,
}

/// The input's columns, whose DuckDB types are `sources`.
///
/// # Errors
/// `data`, naming a column whose name PostgreSQL does not accept, or whose type cannot be written.
pub fn columns(schema: &Schema, sources: Vec<SourceType>) -> Result<Vec<InputColumn>> {
    let columns = (0..schema.columns().len()).zip(sources);
    columns.map(|(place, source)| column(&schema.fields()[schema.span(place)], source)).collect()
}

impl InputColumn {
    /// The same column, sent as JSON text.
    pub fn into_json(self) -> Self {
        Self { is_json: true, encode: Encode::Text, staged: "text".to_owned(), ..self }
    }

    /// Selects the DuckDB expression `value` of this column in a form that can be sent.
    ///
    /// # Errors
    /// `data` for a type that JSON cannot hold.
    pub fn select(&self, value: &str) -> Result<String> {
        match self.source {
            _ if self.is_json => json_text(value, &self.source.to_string())
                .map_err(|error| Error::from(error).context(format!("column `{}`", self.name))),
            // BIGNUM crosses as bytes, but as text in digits.
            SourceType::BigNum => Ok(format!("{value}::varchar")),
            _ => Ok(value.to_owned()),
        }
    }
}

fn column(fields: &[Field], source: SourceType) -> Result<InputColumn> {
    let name = fields[0].name.clone();
    check_name("column", &name)?;
    if source.is_nested() {
        let (staged, created) = ("text".to_owned(), "jsonb".to_owned());
        return Ok(InputColumn { name, source, is_json: true, encode: Encode::Text, staged, created });
    }
    let Some((encode, staged, created)) = kind(fields) else {
        return Err(Error::data(format!(
            "column `{name}` has the type {source}, which has no equivalent in PostgreSQL; cast it in SQL"
        )));
    };
    let encode = if encode == Encode::BigNumber { Encode::Text } else { encode };
    Ok(InputColumn { name, source, is_json: false, encode, staged, created })
}

/// How a column's values are sent, and its types when staged and when created.
fn kind(fields: &[Field]) -> Option<(Encode, String, String)> {
    let field = fields.first()?;
    let (format, rest) = field.format.split_once(':').unwrap_or((&field.format, ""));
    let extension = extension(field);
    let simple = |encode, staged: &str| Some((encode, staged.to_owned(), staged.to_owned()));
    match (format, extension) {
        ("c", "arrow.bool8") => simple(Encode::Bool8, "boolean"),
        ("b", _) => simple(Encode::Bool, "boolean"),
        ("c", _) => simple(Encode::Int8, "smallint"),
        ("C", _) => simple(Encode::UInt8, "smallint"),
        ("s", _) => simple(Encode::Int16, "smallint"),
        ("S", _) => simple(Encode::UInt16, "integer"),
        ("i", _) => simple(Encode::Int32, "integer"),
        ("I", _) => simple(Encode::UInt32, "bigint"),
        ("l", _) => simple(Encode::Int64, "bigint"),
        ("L", _) => simple(Encode::UInt64, "numeric(20,0)"),
        ("w", "hugeint") => simple(Encode::HugeInt, "numeric(39,0)"),
        ("w", "uhugeint") => simple(Encode::UHugeInt, "numeric(39,0)"),
        ("f", _) => simple(Encode::Int32, "real"),
        ("g", _) => simple(Encode::Int64, "double precision"),
        ("d", _) => {
            let mut numbers = rest.split(',');
            let (precision, scale) = (numbers.next()?, numbers.next()?);
            simple(Encode::Decimal(scale.parse().ok()?), &format!("numeric({precision},{scale})"))
        }
        ("u", "arrow.json") => Some((Encode::Text, "text".to_owned(), "jsonb".to_owned())),
        ("u", _) => simple(Encode::Text, "text"),
        ("z", "bit") => simple(Encode::Bit, "bit varying"),
        ("z", "bignum") => Some((Encode::BigNumber, "text".to_owned(), "numeric".to_owned())),
        ("z", _) => simple(Encode::Bytes, "bytea"),
        ("tdD", _) => simple(Encode::Date, "date"),
        ("ttu", _) => simple(Encode::Time { divisor: 1 }, "time"),
        ("ttn", _) => simple(Encode::Time { divisor: 1000 }, "time"),
        ("w", "time_tz") => simple(Encode::TimeTz, "time with time zone"),
        ("tss" | "tsm" | "tsu" | "tsn", _) => {
            let (factor, divisor) = match format {
                "tss" => (1_000_000, 1),
                "tsm" => (1000, 1),
                "tsu" => (1, 1),
                _ => (1, 1000),
            };
            let kind = if rest.is_empty() { "timestamp" } else { "timestamp with time zone" };
            simple(Encode::Timestamp { factor, divisor }, kind)
        }
        ("tin", _) => simple(Encode::Interval, "interval"),
        ("w", "arrow.uuid") => simple(Encode::Uuid, "uuid"),
        ("+l" | "+w", _) => {
            let (item, staged, created) = kind(&fields[1..])?;
            let length = if format == "+w" { Some(rest.parse().ok()?) } else { None };
            let (encode, oid) = (Box::new(item), element_oid(&staged)?);
            let encode = match *encode {
                Encode::BigNumber => return None,
                Encode::List { .. } => Encode::List { item: encode, length, oid: 0 },
                _ => Encode::List { item: encode, length, oid },
            };
            Some((encode, format!("{}[]", staged), format!("{}[]", created)))
        }
        _ => None,
    }
}

/// The extension type of a field: DuckDB's own by DuckDB's name, others by Arrow's.
fn extension(field: &Field) -> &str {
    let entry = |key: &str| field.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    match entry("ARROW:extension:name") {
        Some("arrow.opaque") => {
            let details = entry("ARROW:extension:metadata").unwrap_or_default();
            ["uhugeint", "hugeint", "time_tz", "bit", "bignum"]
                .into_iter()
                .find(|name| details.contains(&format!("\"{name}\"")))
                .unwrap_or_default()
        }
        other => other.unwrap_or_default(),
    }
}

/// The OID of an array's elements in its binary form.
fn element_oid(staged: &str) -> Option<u32> {
    let base = staged.trim_end_matches("[]");
    Some(match base.split('(').next()? {
        "boolean" => 16,
        "smallint" => 21,
        "integer" => 23,
        "bigint" => 20,
        "real" => 700,
        "double precision" => 701,
        "numeric" => 1700,
        "text" => 25,
        "bytea" => 17,
        "bit varying" => 1562,
        "date" => 1082,
        "time" => 1083,
        "time with time zone" => 1266,
        "timestamp" => 1114,
        "timestamp with time zone" => 1184,
        "interval" => 1186,
        "uuid" => 2950,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn field(name: &str, format: &str, children: u32, extension: &str) -> Field {
        let metadata = match extension {
            "" => Vec::new(),
            opaque if !opaque.starts_with("arrow.") => vec![
                ("ARROW:extension:name".to_owned(), "arrow.opaque".to_owned()),
                ("ARROW:extension:metadata".to_owned(), format!("{{\"type_name\":\"{opaque}\"}}")),
            ],
            named => vec![("ARROW:extension:name".to_owned(), named.to_owned())],
        };
        Field { name: name.to_owned(), format: format.to_owned(), nullable: true, children, metadata }
    }

    #[test]
    fn every_type_can_be_written() {
        for (fields, staged, created) in [
            (vec![field("x", "c", 0, "arrow.bool8")], "boolean", "boolean"),
            (vec![field("x", "c", 0, "")], "smallint", "smallint"),
            (vec![field("x", "w:16", 0, "uhugeint")], "numeric(39,0)", "numeric(39,0)"),
            (vec![field("x", "d:18,3", 0, "")], "numeric(18,3)", "numeric(18,3)"),
            (vec![field("x", "tsn:", 0, "")], "timestamp", "timestamp"),
            (vec![field("x", "tsu:UTC", 0, "")], "timestamp with time zone", "timestamp with time zone"),
            (vec![field("x", "u", 0, "arrow.json")], "text", "jsonb"),
            (vec![field("x", "z", 0, "bignum")], "text", "numeric"),
            (
                vec![field("x", "+l", 1, ""), field("item", "+w:3", 1, ""), field("item", "i", 0, "")],
                "integer[][]",
                "integer[][]",
            ),
            (vec![field("x", "+l", 1, ""), field("item", "+s", 1, ""), field("a", "i", 0, "")], "text", "jsonb"),
        ] {
            let source = if created == "jsonb" && fields.len() > 1 { "STRUCT(a INTEGER)[]" } else { "INTEGER" };
            let columns = columns(&Schema::new(fields), vec![SourceType::parse(source)]).unwrap();
            assert_eq!((columns[0].staged.as_str(), columns[0].created.as_str()), (staged, created));
        }
    }

    #[test]
    fn names_that_would_be_truncated_are_refused() {
        let long = field(&"ü".repeat(32), "i", 0, "");
        assert!(columns(&Schema::new(vec![long]), vec![SourceType::Integer]).unwrap_err().message.contains("64 bytes"));
    }
}
