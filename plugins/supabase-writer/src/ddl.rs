//! The CREATE TABLE for the user to run if the table does not exist, since PostgREST cannot run it.

use conversions::SourceType;
use osiris_sdk::sql::quote_name;

/// The statement that creates a table for the input, with types that can hold all of its values.
pub fn create_table(schema: Option<&str>, table: &str, columns: &[(String, SourceType)], key: &[String]) -> String {
    let mut lines: Vec<String> =
        columns.iter().map(|(name, kind)| format!("{} {}", quote_name(name), postgres_type(kind))).collect();
    if !key.is_empty() {
        let key: Vec<String> = key.iter().map(|name| quote_name(name)).collect();
        lines.push(format!("primary key ({})", key.join(", ")));
    }
    let schema = schema.map_or_else(String::new, |schema| format!("{}.", quote_name(schema)));
    format!("create table {schema}{} ({});", quote_name(table), lines.join(", "))
}

fn postgres_type(kind: &SourceType) -> String {
    match kind {
        SourceType::Boolean => "boolean".to_owned(),
        SourceType::TinyInt | SourceType::SmallInt | SourceType::UTinyInt => "smallint".to_owned(),
        SourceType::Integer | SourceType::USmallInt => "integer".to_owned(),
        SourceType::BigInt | SourceType::UInteger => "bigint".to_owned(),
        SourceType::HugeInt | SourceType::UHugeInt | SourceType::UBigInt | SourceType::BigNum => "numeric".to_owned(),
        SourceType::Decimal { precision, scale } => format!("numeric({precision},{scale})"),
        SourceType::Float => "real".to_owned(),
        SourceType::Double => "double precision".to_owned(),
        SourceType::Blob => "bytea".to_owned(),
        SourceType::Bit => "bit varying".to_owned(),
        SourceType::Uuid => "uuid".to_owned(),
        SourceType::Date => "date".to_owned(),
        SourceType::Time | SourceType::TimeNs => "time".to_owned(),
        SourceType::TimeTz => "timetz".to_owned(),
        SourceType::Timestamp | SourceType::TimestampS | SourceType::TimestampMs | SourceType::TimestampNs => {
            "timestamp".to_owned()
        }
        SourceType::TimestampTz => "timestamptz".to_owned(),
        SourceType::Interval => "interval".to_owned(),
        SourceType::Json | SourceType::Struct(_) | SourceType::Map(..) | SourceType::Union(_) => "jsonb".to_owned(),
        list if list.is_nested() => "jsonb".to_owned(),
        SourceType::List(item) | SourceType::Array(item, _) => format!("{}[]", postgres_type(item)),
        _ => "text".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_names_every_column() {
        let columns = [
            ("id".to_owned(), SourceType::BigInt),
            ("a \"b".to_owned(), SourceType::Decimal { precision: 9, scale: 2 }),
            ("l".to_owned(), SourceType::parse("VARCHAR[]")),
            ("s".to_owned(), SourceType::parse("STRUCT(a INTEGER)[]")),
        ];
        assert_eq!(
            create_table(Some("shop"), "orders", &columns, &["id".to_owned()]),
            r#"create table "shop"."orders" ("id" bigint, "a ""b" numeric(9,2), "l" text[], "s" jsonb, primary key ("id"));"#
        );
    }
}
