//! Rows as JSON, made by DuckDB, in batches bounded by rows and bytes.

use osiris_sdk::sql::{query, quote_name, quote_text};
use osiris_sdk::{Input, Reader, Result};

/// A column of the input, with its DuckDB type.
pub struct Column {
    pub name: String,
    pub kind: String,
}

/// Some rows as a JSON array.
pub struct Batch {
    pub json: Vec<u8>,
    pub rows: u64,
}

/// The input's columns.
///
/// # Errors
/// What DuckDB says.
pub fn columns(input: &Input) -> Result<Vec<Column>> {
    let table = input.sql_name();
    let names = query(&format!("select columns(*)::varchar from {table} limit 0"))?;
    let names: Vec<String> = names.schema().columns().map(|field| field.name.clone()).collect();
    let types = format!(
        "select typeof(columns(t.*)) from (values (1)) one left join (select * from {table} limit 0) t on true"
    );
    let batch = query(&types)?.next_batch()?;
    let mut columns = Vec::new();
    for (place, name) in names.into_iter().enumerate() {
        let kind = match &batch {
            Some(batch) => batch.column_at(place).strings()?.get(0).unwrap_or_default().to_owned(),
            None => String::new(),
        };
        columns.push(Column { name, kind });
    }
    Ok(columns)
}

/// A value as PostgreSQL reads it out of JSON: bytes in hex, and what JSON lacks as text.
fn value(column: &Column) -> String {
    let name = quote_name(&column.name);
    match column.kind.as_str() {
        "BLOB" => format!("'\\x' || lower(hex({name}))"),
        "DOUBLE" | "FLOAT" => format!(
            "case when isnan({name}) then to_json('NaN') when isinf({name}) then to_json(if({name} > 0, 'Infinity', '-Infinity')) \
             else to_json({name}) end"
        ),
        _ => name,
    }
}

/// The SELECT that makes a JSON text of each row.
fn select(table: &str, columns: &[Column]) -> String {
    let pairs: Vec<String> =
        columns.iter().map(|column| format!("{}, {}", quote_text(&column.name), value(column))).collect();
    format!("select json_object({})::varchar as line from {table}", pairs.join(", "))
}

/// The input's rows, batch by batch.
pub struct Batches {
    /// `None` once it has ended.
    lines: Option<Reader>,
    rows: usize,
    bytes: usize,
    /// Rows read and not yet given away, and how far.
    read: Option<(osiris_sdk::Batch, usize)>,
}

impl Batches {
    /// Batches of at most `rows` rows and about `bytes` bytes.
    ///
    /// # Errors
    /// What DuckDB says.
    pub fn read(input: &Input, columns: &[Column], rows: usize, bytes: usize) -> Result<Self> {
        Ok(Self { lines: Some(query(&select(&input.sql_name(), columns))?), rows, bytes, read: None })
    }

    fn next_batch(&mut self) -> Result<Option<Batch>> {
        let (mut json, mut rows) = (vec![b'['], 0);
        'full: loop {
            let (read, start) = match self.read.take() {
                Some(read) => read,
                None => match self.lines.as_mut().map(Reader::next_batch).transpose()?.flatten() {
                    Some(read) => (read, 0),
                    None => {
                        self.lines = None;
                        break;
                    }
                },
            };
            for place in start..read.rows() {
                let lines = read.column_at(0).strings()?;
                let line = lines.get(place).unwrap_or("null").as_bytes();
                if rows > 0 && (rows == self.rows || json.len() + line.len() + 2 > self.bytes) {
                    self.read = Some((read, place));
                    break 'full;
                }
                if rows > 0 {
                    json.push(b',');
                }
                json.extend_from_slice(line);
                rows += 1;
            }
        }
        json.push(b']');
        Ok((rows > 0).then_some(Batch { json, rows: rows as u64 }))
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_bytes_become_hex() {
        let column = |name: &str, kind: &str| Column { name: name.to_owned(), kind: kind.to_owned() };
        let select = select("t", &[column("a'\"", "BLOB"), column("b", "BIGINT")]);
        assert_eq!(
            select,
            "select json_object('a''\"', '\\x' || lower(hex(\"a'\"\"\")), 'b', \"b\")::varchar as line from t"
        );
    }
}
