//! One table from PostgREST's description, with the columns that refer to it.

use serde_json::Value;

/// A column, as far as the description shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// PostgreSQL's name for the type, without length and digits.
    pub format: String,
    pub max_length: Option<u64>,
    /// The labels of an enum.
    pub labels: Vec<String>,
    /// Whether it is part of the primary key.
    pub is_key: bool,
    /// Whether it does not accept null.
    pub is_required: bool,
    /// The table and column that it refers to.
    pub refers_to: Option<(String, String)>,
}

impl Column {
    /// The type as PostgreSQL writes it.
    pub fn type_name(&self) -> String {
        match self.max_length {
            Some(length) => format!("{}({length})", self.format),
            None => self.format.clone(),
        }
    }

    /// Whether it treats texts that differ only in case as equal.
    pub fn ignores_case(&self) -> bool {
        crate::types::is_citext(&self.format)
    }
}

/// A column of another table that refers to one of this table's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub table: String,
    pub column: String,
    pub own_column: String,
}

/// A table or view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<Column>,
    pub referred_by: Vec<Reference>,
}

impl Table {
    /// The table `name` in a description; `None` if there is no such table.
    pub fn find(description: &Value, name: &str) -> Option<Self> {
        let definitions = description["definitions"].as_object()?;
        let columns = columns(definitions.get(name)?);
        let others = definitions.iter().flat_map(|(table, definition)| {
            columns_of(definition).filter_map(move |(column, property)| {
                let (referred, own_column) = reference(property)?;
                (referred == name).then(|| Reference { table: table.clone(), column: column.clone(), own_column })
            })
        });
        Some(Self { columns, referred_by: others.collect() })
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The columns of the primary key.
    pub fn primary_key(&self) -> Vec<String> {
        self.columns.iter().filter(|column| column.is_key).map(|column| column.name.clone()).collect()
    }
}

fn columns_of(definition: &Value) -> impl Iterator<Item = (&String, &Value)> {
    definition["properties"].as_object().into_iter().flatten()
}

fn columns(definition: &Value) -> Vec<Column> {
    let required: Vec<&str> = required(definition).collect();
    let column = |(name, property): (&String, &Value)| Column {
        is_required: required.contains(&name.as_str()),
        name: name.clone(),
        format: property["format"].as_str().or(property["type"].as_str()).unwrap_or_default().to_owned(),
        max_length: property["maxLength"].as_u64(),
        labels: property["enum"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        is_key: note(property).contains(crate::catalog::PRIMARY_KEY),
        refers_to: reference(property),
    };
    columns_of(definition).map(column).collect()
}

/// The names of the columns that do not accept null.
pub(crate) fn required(definition: &Value) -> impl Iterator<Item = &str> {
    definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn note(property: &Value) -> &str {
    property["description"].as_str().unwrap_or_default()
}

/// The table and column in the mark `<fk table='customers' column='id'/>`.
fn reference(property: &Value) -> Option<(String, String)> {
    let mark = note(property).split_once("<fk table='")?.1;
    let (table, rest) = mark.split_once("' column='")?;
    let (column, _) = rest.split_once("'/>")?;
    Some((table.to_owned(), column.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_table_knows_its_types_and_what_refers_to_it() {
        let description = serde_json::json!({"definitions": {
            "orders": {"properties": {
                "id": {"format": "bigint", "description": "Note:\nThis is a Primary Key.<pk/>"},
                "code": {"format": "character", "maxLength": 5},
                "mood": {"format": "public.mood", "enum": ["sad", "happy"]},
            }},
            "lines": {"properties": {"order_id": {"description": "Note:\nThis is a Foreign Key to `orders.id`.<fk table='orders' column='id'/>"}}},
        }});
        let table = Table::find(&description, "orders").unwrap();
        assert_eq!(table.primary_key(), ["id"]);
        assert_eq!(table.column("code").unwrap().type_name(), "character(5)");
        assert_eq!(table.column("mood").unwrap().labels, ["sad", "happy"]);
        let reference = Reference { table: "lines".into(), column: "order_id".into(), own_column: "id".into() };
        assert_eq!(table.referred_by, [reference]);
        assert_eq!(Table::find(&description, "nothing"), None);
    }
}
