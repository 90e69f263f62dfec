//! One column on its way from DuckDB to MySQL: the text form of its values.

use conversions::SourceType;
use osiris_sdk::sql::{json_text, quote_name};
use osiris_sdk::{Error, Result};

use crate::kinds::Kind;
use crate::table::TableColumn;

/// A column of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub source: SourceType,
    /// The table's column; set once the table is known.
    pub target: TableColumn,
    /// The value to write, as a DuckDB SQL expression of the column's own type.
    pub expression: String,
}

/// The shape of a column as part of a new key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyShape {
    /// Of this type, which has a fixed length.
    Fixed(String),
    Text,
    Bytes,
    /// No index supports it.
    Unfit,
}

/// A value as text, as a DuckDB SQL expression.
struct Spelling {
    sql: String,
    /// Whether it can contain characters that must be escaped.
    escape: bool,
}

fn plain(sql: String) -> Result<Spelling> {
    Ok(Spelling { sql, escape: false })
}

impl Column {
    pub fn new(name: &str, source: SourceType) -> Self {
        Self { name: name.to_owned(), source, target: TableColumn::default(), expression: quote_name(name) }
    }

    pub fn kind(&self) -> Kind {
        Kind::parse(&self.target.kind)
    }

    /// Whether the server treats the column's values as bytes.
    pub fn is_binary_target(&self) -> bool {
        self.kind().is_binary()
    }

    /// The table's type with its collation, for messages.
    pub fn describe_target(&self) -> String {
        match &self.target.collation {
            Some(collation) => format!("{} ({collation})", self.target.kind),
            None => self.target.kind.clone(),
        }
    }

    pub fn key_shape(&self) -> KeyShape {
        use SourceType as S;
        match &self.source {
            S::Json => KeyShape::Unfit,
            nested if nested.is_nested() || nested.item().is_some() => KeyShape::Unfit,
            S::Blob => KeyShape::Bytes,
            source => match crate::kinds::new_type(source) {
                kind if kind == "longtext" => KeyShape::Text,
                kind => KeyShape::Fixed(kind),
            },
        }
    }

    /// The length of a value in characters, or in bytes of a BLOB, as a DuckDB SQL expression.
    pub fn length_sql(&self) -> String {
        let name = quote_name(&self.name);
        if self.source == SourceType::Blob {
            format!("octet_length({name})")
        } else {
            format!("length({name}::varchar)")
        }
    }

    fn is_number(&self) -> bool {
        use SourceType as S;
        self.source.integer_range().is_some()
            || matches!(self.source, S::Float | S::Double | S::Decimal { .. } | S::BigNum | S::Boolean)
    }

    /// The value in the form in which the server reads it into the column.
    fn spelling(&self) -> Result<Spelling> {
        use SourceType as S;
        let (value, kind) = (&self.expression, self.kind());
        if self.target.json && !self.source.is_text() && self.source != S::Null {
            let sql = json_text(value, &self.source.to_string())
                .map_err(|error| Error::from(error).context(format!("column `{}`", self.name)))?;
            return Ok(Spelling { sql, escape: true });
        }
        let varchar = || format!("cast({value} as varchar)");
        match kind.base.as_str() {
            // Whatever this truncates is already zero, or the author asked to truncate it.
            "date" => return plain(format!("cast({} as varchar)", self.moment("date"))),
            "time" if self.source == S::Interval => return plain(span(value)),
            "time" => return plain(format!("cast({} as varchar)", self.moment("time"))),
            "datetime" | "timestamp" => return plain(format!("cast({} as varchar)", self.moment("timestamp"))),
            // A float that is parsed from its text is rounded once; the server would round to a double first.
            "float" if self.is_number() || self.source.is_text() => {
                return plain(format!("cast(cast(cast({} as float) as double) as varchar)", self.number_text()));
            }
            "double" if self.source == S::Float => return plain(format!("cast(cast({value} as double) as varchar)")),
            _ if kind.is_integer() || kind.base == "year" || kind.base == "bit" => {
                if matches!(self.source, S::Boolean | S::Float | S::Double | S::Decimal { .. }) {
                    return plain(format!("cast(cast({value} as hugeint) as varchar)"));
                }
            }
            _ if self.source == S::Boolean && !kind.is_text() => {
                return plain(format!("cast(cast({value} as integer) as varchar)"));
            }
            _ => {}
        }
        match &self.source {
            S::Blob => plain(format!("hex({value})")),
            nested if nested.is_nested() || nested.item().is_some() => {
                let sql = json_text(value, &nested.to_string())
                    .map_err(|error| Error::from(error).context(format!("column `{}`", self.name)))?;
                Ok(Spelling { sql, escape: true })
            }
            S::TimestampTz => plain(format!("cast({} as varchar) || '+00'", utc(value))),
            source if source.is_text() || matches!(source, S::Other(_) | S::Null) => {
                Ok(Spelling { sql: varchar(), escape: true })
            }
            _ => plain(varchar()),
        }
    }

    /// Any number as text.
    fn number_text(&self) -> String {
        match self.source {
            SourceType::Boolean => format!("cast(cast({} as integer) as varchar)", self.expression),
            _ => format!("cast({} as varchar)", self.expression),
        }
    }

    /// A date, time or timestamp as DuckDB's `kind`; an instant in UTC.
    fn moment(&self, kind: &str) -> String {
        let value = &self.expression;
        match &self.source {
            SourceType::TimestampTz => format!("cast({} as {kind})", utc(value)),
            text if text.is_text() && self.kind().base == "timestamp" => {
                format!("cast({} as {kind})", utc(&format!("cast({value} as timestamp with time zone)")))
            }
            _ => format!("cast({value} as {kind})"),
        }
    }

    /// The field of LOAD DATA, as a DuckDB SQL expression.
    ///
    /// # Errors
    /// `data` for a type that has no text form.
    pub fn load_field(&self) -> Result<String> {
        let Spelling { sql, escape } = self.spelling()?;
        let text = if escape {
            format!(
                "replace(replace(replace(replace({sql}, '\\', '\\\\'), chr(9), '\\t'), chr(10), '\\n'), chr(0), '\\0')"
            )
        } else {
            sql
        };
        Ok(format!("coalesce({text}, '\\N')"))
    }

    /// The value of INSERT, as a DuckDB SQL expression: text as its bytes in hexadecimal, which every `sql_mode` reads
    /// in the same way.
    ///
    /// # Errors
    /// `data` for a type that has no text form.
    pub fn insert_value(&self) -> Result<String> {
        let Spelling { sql, escape } = self.spelling()?;
        let kind = self.kind();
        let literal = if self.source == SourceType::Blob {
            if kind.is_geometry() {
                format!("'st_geomfromwkb(x''' || {sql} || ''')'")
            } else {
                format!("'x''' || {sql} || ''''")
            }
        } else if kind.is_geometry() && self.is_geometry_source() {
            format!("'st_geomfromtext(''' || {sql} || ''')'")
        } else if kind.base == "bit" && !self.is_number() {
            format!("'b''' || {sql} || ''''")
        } else if (kind.base == "year" || kind.base == "bit") && self.is_number() {
            sql
        } else if escape {
            format!("'_utf8mb4 x''' || hex({sql}) || ''''")
        } else {
            format!("'''' || {sql} || ''''")
        };
        Ok(format!("coalesce({literal}, 'null')"))
    }

    /// The expression that LOAD DATA applies to the field in `variable`, if the field needs conversion.
    pub fn convert(&self, variable: &str) -> Option<String> {
        let kind = self.kind();
        match &self.source {
            SourceType::Blob if kind.is_geometry() => Some(format!("st_geomfromwkb(unhex({variable}))")),
            SourceType::Blob => Some(format!("unhex({variable})")),
            _ if kind.is_geometry() && self.is_geometry_source() => Some(format!("st_geomfromtext({variable})")),
            // As text, year 0 would become 2000, and the digit 1 the bits 110001.
            _ if (kind.base == "year" || kind.base == "bit") && self.is_number() => {
                Some(format!("cast({variable} as unsigned)"))
            }
            _ if kind.base == "bit" => Some(format!("cast(conv({variable}, 2, 10) as unsigned)")),
            _ => None,
        }
    }

    fn is_geometry_source(&self) -> bool {
        matches!(&self.source, SourceType::Other(name) if name == "GEOMETRY")
    }

    /// Refuses values that have no text form for the column.
    ///
    /// # Errors
    /// `data`, for example for a number written to a geometry.
    pub fn check_spelling(&self) -> Result<()> {
        if self.kind().is_geometry() && self.source != SourceType::Blob && !self.is_geometry_source() {
            return Err(Error::data(format!(
                "column `{}` is {} and the table's is {}: a geometry is written from well-known binary in a BLOB, or from \
                 a GEOMETRY",
                self.name, self.source, self.target.kind
            )));
        }
        self.spelling().map(|_| ())
    }
}

/// An instant as a timestamp in UTC, regardless of the session's time zone; infinities are unchanged.
fn utc(value: &str) -> String {
    format!(
        "case when isfinite({value}) then make_timestamp(epoch_us({value})) else cast(cast({value} as varchar) as timestamp) \
         end"
    )
}

/// An interval without days as MySQL writes a time: `-25:00:00.000001`.
fn span(value: &str) -> String {
    let (all, span) = (format!("epoch_us({value})"), format!("abs(epoch_us({value}))"));
    format!(
        "case when {all} < 0 then '-' else '' end || ({span} // 3600000000) || ':' || lpad(cast({span} // 60000000 % 60 as \
         varchar), 2, '0') || ':' || lpad(cast({span} // 1000000 % 60 as varchar), 2, '0') || '.' || lpad(cast({span} % \
         1000000 as varchar), 6, '0')"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn column(source: &str, target: &str) -> Column {
        let mut column = Column::new("c", SourceType::parse(source));
        column.target.kind = target.to_owned();
        column
    }

    #[test]
    fn bits_and_bytes_are_converted_for_their_column() {
        assert_eq!(column("BIT", "longtext").convert("@c0"), None);
        assert_eq!(column("BIT", "bit(7)").convert("@c0").unwrap(), "cast(conv(@c0, 2, 10) as unsigned)");
        assert_eq!(column("BOOLEAN", "bit(1)").convert("@c0").unwrap(), "cast(@c0 as unsigned)");
        assert_eq!(column("INTEGER", "year(4)").convert("@c0").unwrap(), "cast(@c0 as unsigned)");
        assert_eq!(column("BLOB", "blob").convert("@c0").unwrap(), "unhex(@c0)");
        assert_eq!(column("BLOB", "point").convert("@c0").unwrap(), "st_geomfromwkb(unhex(@c0))");
        assert!(column("INTEGER", "point").check_spelling().is_err());
    }

    #[test]
    fn keys_have_a_length_or_none() {
        assert_eq!(column("VARCHAR", "").key_shape(), KeyShape::Text);
        assert_eq!(column("BLOB", "").key_shape(), KeyShape::Bytes);
        assert_eq!(column("BIGINT", "").key_shape(), KeyShape::Fixed("bigint".to_owned()));
        assert_eq!(column("INTEGER[]", "").key_shape(), KeyShape::Unfit);
        assert_eq!(column("JSON", "").key_shape(), KeyShape::Unfit);
    }
}
