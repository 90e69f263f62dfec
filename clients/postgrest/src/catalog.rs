//! Tables from PostgREST's OpenAPI 2 description.

use osiris_sdk::{CatalogColumn, CatalogTable};
use serde_json::Value;

use crate::table::required;

/// The mark in PostgREST's description of a primary key's column.
pub(crate) const PRIMARY_KEY: &str = "<pk/>";

/// The tables and views in a description.
pub fn tables(description: &Value) -> Vec<CatalogTable> {
    let definitions = description["definitions"].as_object();
    definitions.into_iter().flatten().map(|(name, definition)| table(name, definition)).collect()
}

fn table(name: &str, definition: &Value) -> CatalogTable {
    let required: Vec<&str> = required(definition).collect();
    let properties = definition["properties"].as_object();
    let columns = properties.into_iter().flatten().map(|(column, property)| {
        let source_type = property["format"].as_str().or(property["type"].as_str()).unwrap_or_default().to_owned();
        CatalogColumn {
            name: column.clone(),
            duckdb_type: duckdb_type(property).to_owned(),
            nullable: !required.contains(&column.as_str()),
            source_type,
        }
    });
    let is_key = |property: &Value| property["description"].as_str().is_some_and(|text| text.contains(PRIMARY_KEY));
    let keys = properties.into_iter().flatten().filter(|(_, property)| is_key(property));
    CatalogTable {
        schema: None,
        name: name.to_owned(),
        columns: columns.collect(),
        primary_key: keys.map(|(column, _)| column.clone()).collect(),
        estimated_rows: None,
    }
}

/// The type of a column of JSON values, unless `dtype` gives a better one.
fn duckdb_type(property: &Value) -> &'static str {
    match property["type"].as_str() {
        Some("integer") => "BIGINT",
        Some("number") => "DOUBLE",
        Some("boolean") => "BOOLEAN",
        Some("string") => "VARCHAR",
        _ => "JSON",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_from_a_description() {
        let description = serde_json::json!({"definitions": {"orders": {
            "required": ["id"],
            "properties": {
                "id": {"type": "integer", "format": "bigint", "description": "Note:\nThis is a Primary Key.<pk/>"},
                "at": {"type": "string", "format": "timestamp with time zone"},
            },
        }}});
        let found = tables(&description);
        assert_eq!((found.len(), found[0].primary_key.as_slice()), (1, ["id".to_owned()].as_slice()));
        let id = found[0].columns.iter().find(|column| column.name == "id");
        assert!(id.is_some_and(|id| !id.nullable && id.source_type == "bigint" && id.duckdb_type == "BIGINT"));
        assert!(tables(&Value::Null).is_empty());
    }
}
