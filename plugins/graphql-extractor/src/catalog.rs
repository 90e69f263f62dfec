//! The tables of an API, by introspection: each field of its query type that returns objects.

use std::collections::HashMap;

use osiris_sdk::{CatalogColumn, CatalogTable};
use serde_json::Value;

/// Requests all types; a type's wrappers are spelt out to the depth that occurs.
pub const QUERY: &str = "query { __schema { queryType { name } types { kind name fields { name type { ...T } } } } } \
    fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name \
    ofType { kind name ofType { kind name } } } } } } }";

/// The tables that a schema describes.
pub fn tables(schema: &Value) -> Vec<CatalogTable> {
    let types: HashMap<&str, &Value> = schema["types"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|kind| Some((kind["name"].as_str()?, kind)))
        .collect();
    let root = schema["queryType"]["name"].as_str().and_then(|name| types.get(name));
    let fields = root.map_or(&[] as &[Value], |root| fields(root));
    fields.iter().filter_map(|field| table(field, &types)).collect()
}

fn fields(kind: &Value) -> &[Value] {
    kind["fields"].as_array().map_or(&[], Vec::as_slice)
}

/// The type without surrounding lists and non-nulls.
fn bare(kind: &Value) -> &Value {
    match kind["kind"].as_str() {
        Some("NON_NULL" | "LIST") => bare(&kind["ofType"]),
        _ => kind,
    }
}

fn table(field: &Value, types: &HashMap<&str, &Value>) -> Option<CatalogTable> {
    let object =
        |kind: &Value| types.get(bare(kind)["name"].as_str()?).copied().filter(|kind| !fields(kind).is_empty());
    let member = |kind: &Value, name: &str| -> Option<Value> {
        fields(kind).iter().find(|field| field["name"] == name).map(|field| field["type"].clone())
    };
    let whole = object(&field["type"])?;
    // A page of a list: the type of its nodes is what matters.
    let by_edges = || object(&member(object(&member(whole, "edges")?)?, "node")?);
    let rows = member(whole, "nodes").and_then(|nodes| object(&nodes)).or_else(by_edges).unwrap_or(whole);
    let columns: Vec<CatalogColumn> = fields(rows)
        .iter()
        .filter_map(|field| {
            Some(CatalogColumn {
                name: field["name"].as_str()?.to_owned(),
                source_type: spelt(&field["type"]),
                duckdb_type: duckdb(&field["type"]),
                nullable: field["type"]["kind"] != "NON_NULL",
            })
        })
        .collect();
    let id = fields(rows).iter().any(|field| field["name"] == "id" && bare(&field["type"])["name"] == "ID");
    Some(CatalogTable {
        schema: None,
        name: field["name"].as_str()?.to_owned(),
        columns,
        primary_key: if id { vec!["id".to_owned()] } else { Vec::new() },
        estimated_rows: None,
    })
}

/// The type in GraphQL's notation: `[String!]!`.
fn spelt(kind: &Value) -> String {
    match kind["kind"].as_str() {
        Some("NON_NULL") => format!("{}!", spelt(&kind["ofType"])),
        Some("LIST") => format!("[{}]", spelt(&kind["ofType"])),
        _ => kind["name"].as_str().unwrap_or("?").to_owned(),
    }
}

fn duckdb(kind: &Value) -> String {
    match (kind["kind"].as_str(), kind["name"].as_str()) {
        (Some("NON_NULL"), _) => duckdb(&kind["ofType"]),
        (Some("LIST"), _) => format!("{}[]", duckdb(&kind["ofType"])),
        (Some("SCALAR"), Some("Int")) => "BIGINT".to_owned(),
        (Some("SCALAR"), Some("Float")) => "DOUBLE".to_owned(),
        (Some("SCALAR"), Some("Boolean")) => "BOOLEAN".to_owned(),
        (Some("SCALAR" | "ENUM"), _) => "VARCHAR".to_owned(),
        // Its members depend on the fields that a query requests.
        _ => "STRUCT".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_of_the_query_type_are_tables() {
        let named = |kind: &str, name: &str| json!({"kind": kind, "name": name, "ofType": null});
        let some = |kind: Value| json!({"kind": "NON_NULL", "name": null, "ofType": kind});
        let list = |kind: Value| json!({"kind": "LIST", "name": null, "ofType": kind});
        let field = |name: &str, kind: Value| json!({"name": name, "type": kind});
        let user = json!({"kind": "OBJECT", "name": "User", "fields": [
            field("id", some(named("SCALAR", "ID"))), field("age", named("SCALAR", "Int")),
            field("tags", some(list(some(named("SCALAR", "String"))))), field("boss", named("OBJECT", "User"))]});
        let schema = json!({"queryType": {"name": "Q"}, "types": [user,
            {"kind": "OBJECT", "name": "Q", "fields": [
                field("users", named("OBJECT", "UserConnection")), field("everyone", some(list(named("OBJECT", "User")))),
                field("paged", named("OBJECT", "Page")), field("version", named("SCALAR", "String"))]},
            {"kind": "OBJECT", "name": "UserConnection", "fields": [field("edges", list(named("OBJECT", "UserEdge")))]},
            {"kind": "OBJECT", "name": "UserEdge", "fields": [field("node", named("OBJECT", "User"))]},
            {"kind": "OBJECT", "name": "Page", "fields": [field("nodes", list(named("OBJECT", "User")))]}]});
        let found = tables(&schema);
        assert_eq!(found.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["users", "everyone", "paged"]);
        for table in found {
            assert_eq!(table.primary_key, ["id"], "{}", table.name);
            let columns: Vec<_> = table
                .columns
                .iter()
                .map(|c| (c.name.as_str(), c.source_type.as_str(), c.duckdb_type.as_str(), c.nullable))
                .collect();
            assert_eq!(
                columns,
                [
                    ("id", "ID!", "VARCHAR", false),
                    ("age", "Int", "BIGINT", true),
                    ("tags", "[String!]!", "VARCHAR[]", false),
                    ("boss", "User", "STRUCT", true)
                ]
            );
        }
        assert!(tables(&json!({})).is_empty());
    }
}
