//! Runs a driver's SELECT and returns its rows as JSON records.

use std::collections::HashSet;

use duckdb::arrow::array::{Array, AsArray, StringArray, make_array};
use duckdb_text::{JsonMember, NotFinite, json_object_text};

use super::{Batches, Engine, EngineError, Query, Result, Types, cannot_cross};

/// The size at which a text of records is passed to the guest, in bytes; a single record may be larger.
const TEXT_BYTES: usize = 1 << 20;

impl Engine {
    /// Runs one SELECT and returns each row as a JSON object, with all digits of its numbers.
    ///
    /// # Errors
    /// If a column's type has no JSON text, or two columns have the same name.
    pub fn query_json(&self, select: &str) -> Result<JsonQuery> {
        let rows = self.as_author_of(select, || self.begin_json(select))?;
        let text_bytes = if self.batches == Batches::Small { 1 } else { TEXT_BYTES };
        Ok(JsonQuery { rows, batch: None, text_bytes })
    }

    fn begin_json(&self, select: &str) -> Result<Query> {
        let connection = self.connect()?;
        let statement = self.prepare(&connection, select)?;
        let mut names = HashSet::new();
        let mut columns = Vec::new();
        for (position, (name, kind)) in statement.columns().into_iter().enumerate() {
            if !names.insert(name.clone()) {
                return Err(EngineError::data(format!(
                    "two columns have the name `{name}`, which a JSON record can have once"
                )));
            }
            let kind = kind.sql().map_err(|refused| cannot_cross(&name, &refused.0))?;
            columns.push((name, format!("c{position}"), kind));
        }
        drop(statement);
        let members = columns.iter().map(|(name, column, kind)| JsonMember {
            name,
            expression: column,
            duckdb_type: kind,
            not_finite: NotFinite::Text,
        });
        let members: Vec<JsonMember<'_>> = members.collect();
        let record = json_object_text(&members).map_err(|error| EngineError::data(error.0))?;
        let positions: Vec<&str> = columns.iter().map(|(_, column, _)| column.as_str()).collect();
        let view = self.view(&connection, &positions, select)?;
        let records = connection.prepare_select(&format!("SELECT {record} AS record FROM {view}"))?;
        self.start(records.stream()?, None, Types::Exact)
    }
}

/// A running SELECT whose rows are JSON records.
pub struct JsonQuery {
    rows: Query,
    /// The records of the last batch, and how many of them were passed on.
    batch: Option<(StringArray, usize)>,
    /// The size at which a text is passed on.
    text_bytes: usize,
}

impl JsonQuery {
    /// The next records, each on a line, and their number; `None` after the last.
    pub fn next_records(&mut self) -> Result<Option<(String, u64)>> {
        let (records, first) = match self.batch.take() {
            Some(batch) => batch,
            None => match self.rows.next_batch()? {
                Some(batch) => (make_array(batch.child_data()[0].clone()).as_string::<i32>().clone(), 0),
                None => return Ok(None),
            },
        };
        let mut text = String::new();
        let mut next = first;
        while next < records.len() && text.len() < self.text_bytes {
            text.push_str(records.value(next));
            text.push('\n');
            next += 1;
        }
        let count = (next - first) as u64;
        self.batch = (next < records.len()).then_some((records, next));
        Ok(Some((text, count)))
    }
}
