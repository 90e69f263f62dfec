//! Rows as JSON, produced by DuckDB, in batches bounded by rows and bytes.

use conversions::{SourceType, TargetType};
use osiris_sdk::sql::{json_text, query, quote_name, quote_text};
use osiris_sdk::{Error, Input, Reader, Result};

/// A column of the input on its way to the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub source: SourceType,
    pub target: TargetType,
    /// PostgreSQL's name for the table's type.
    pub target_name: String,
    /// Whether only the written rows show how many digits the table's type has.
    pub hides_digits: bool,
    /// Whether the table's column is known not to accept null.
    pub is_required: bool,
    /// The SQL of its values.
    pub expression: String,
}

/// A number of rows as a JSON array.
pub struct Batch {
    pub json: Vec<u8>,
    pub rows: u64,
    /// Row by row, the texts of the columns that are read back.
    pub sent: Vec<Vec<Option<String>>>,
}

/// What is selected from the input.
pub struct Selection<'a> {
    pub columns: &'a [Column],
    /// Positions of the columns whose texts are included, to be compared with what was written.
    pub compared: &'a [usize],
    /// Expressions that order rows, so that rows that are equal in all of them are in one batch.
    pub together: &'a [String],
}

impl Selection<'_> {
    /// The SELECT that makes a JSON text of each row, followed by whether it belongs to the previous one, and texts.
    ///
    /// # Errors
    /// `data` for a type that JSON cannot hold.
    fn sql(&self, table: &str) -> Result<String> {
        let members = self.columns.iter().enumerate().map(|(place, column)| {
            let comma = if place == 0 { "" } else { "," };
            let key = quote_text(&format!("{comma}{}:", serde_json::Value::from(column.name.as_str())));
            let text = value(column).map_err(|error| error.context(format_args!("column `{}`", column.name)))?;
            Ok(format!("{key}, coalesce({text}, 'null')"))
        });
        let members: Vec<String> = members.collect::<Result<_>>()?;
        let line = format!("concat('{{', {}, '}}')", members.join(", "));
        let together = self.together.join(", ");
        let (tied, order) = if together.is_empty() {
            ("false".to_owned(), String::new())
        } else {
            (format!("row_number() over (partition by {together}) > 1"), format!(" order by {together}, 2"))
        };
        let texts = self.compared.iter().map(|&place| format!(", cast({} as varchar)", self.columns[place].expression));
        Ok(format!("select {line} as line, {tied} as tied{} from {table}{order}", texts.collect::<String>()))
    }
}

/// A value as PostgreSQL reads it from JSON; null stays null.
fn value(column: &Column) -> Result<String> {
    let kind = column.source.to_string();
    // A JSON column of the table accepts JSON; all others accept as text whatever JSON lacks.
    match column.target {
        TargetType::Json => Ok(json_text(&column.expression, &kind)?),
        _ => text(&column.expression, &column.source, &column.target, 0),
    }
}

fn text(value: &str, kind: &SourceType, target: &TargetType, depth: usize) -> Result<String> {
    Ok(match kind {
        // PostgreSQL accepts no fraction for an integer, not even `2.0`; it was checked that nothing is lost.
        SourceType::Double | SourceType::Float | SourceType::Decimal { .. } | SourceType::BigNum
            if matches!(target, TargetType::Integer { .. }) =>
        {
            format!("cast({value} as hugeint)::varchar")
        }
        SourceType::Blob => format!("'\"\\\\x' || lower(hex({value})) || '\"'"),
        SourceType::Double | SourceType::Float => format!(
            "case when isnan({value}) then '\"NaN\"' when isinf({value}) then if({value} > 0, '\"Infinity\"', '\"-Infinity\"') \
             else {value}::varchar end"
        ),
        // PostgreSQL writes the era at the end: `0044-03-15 10:00:00 BC`.
        SourceType::Date
        | SourceType::Timestamp
        | SourceType::TimestampS
        | SourceType::TimestampMs
        | SourceType::TimestampNs => format!(
            "'\"' || replace({value}::varchar, ' (BC)', '') || if(contains({value}::varchar, '(BC)'), ' BC', '') || '\"'"
        ),
        SourceType::List(item) | SourceType::Array(item, _) if !kind.is_nested() => {
            let name = format!("item{depth}");
            let target = if let TargetType::List(inner) = target { inner } else { target };
            let inner = text(&name, item, target, depth + 1)?;
            format!(
                "'[' || array_to_string(list_transform({value}, lambda {name}: coalesce({inner}, 'null')), ',') || ']'"
            )
        }
        _ => json_text(value, &kind.to_string())?,
    })
}

/// The input's rows, batch by batch.
pub struct Batches {
    /// `None` after the end.
    lines: Option<Reader>,
    rows: usize,
    bytes: usize,
    compared: usize,
    /// Rows that were read but not returned yet, and the position in them.
    read: Option<(osiris_sdk::Batch, usize)>,
}

/// The largest request, in bytes.
pub const MOST_BYTES: usize = 32 << 20;

impl Batches {
    /// Batches of at most `rows` rows and about `bytes` bytes, except that rows that belong together are not split.
    ///
    /// # Errors
    /// DuckDB's error.
    pub fn read(input: &Input, selection: &Selection<'_>, rows: usize, bytes: usize) -> Result<Self> {
        let lines = query(&selection.sql(&input.sql_name())?)?;
        Ok(Self { lines: Some(lines), rows, bytes, compared: selection.compared.len(), read: None })
    }

    fn next_batch(&mut self) -> Result<Option<Batch>> {
        let (mut json, mut rows, mut sent) = (vec![b'['], 0, Vec::new());
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
                let is_full = rows > 0 && (rows >= self.rows || json.len() + line.len() + 2 > self.bytes);
                let is_tied = rows > 0 && read.column_at(1).booleans()?.get(place) == Some(true);
                if is_full && is_tied && json.len() + line.len() + 2 > MOST_BYTES {
                    return Err(Error::data(
                        "rows whose keys may be equal in the table do not fit into one request of 32 MiB",
                    ));
                }
                if is_full && !is_tied {
                    self.read = Some((read, place));
                    break 'full;
                }
                if rows > 0 {
                    json.push(b',');
                }
                json.extend_from_slice(line);
                let text = |column: usize| Ok(read.column_at(column + 2).strings()?.get(place).map(str::to_owned));
                if self.compared > 0 {
                    sent.push((0..self.compared).map(text).collect::<Result<_>>()?);
                }
                rows += 1;
            }
        }
        json.push(b']');
        Ok((rows > 0).then_some(Batch { json, rows: rows as u64, sent }))
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

/// A column's own SQL name.
pub fn own(name: &str) -> String {
    quote_name(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn column(name: &str, source: SourceType) -> Column {
        Column {
            name: name.to_owned(),
            source,
            target: TargetType::Opaque,
            target_name: String::new(),
            hides_digits: false,
            is_required: false,
            expression: own(name),
        }
    }

    #[test]
    fn names_are_quoted_and_bytes_become_hex() {
        let columns = [column("a'\"", SourceType::Blob), column("b", SourceType::BigInt)];
        let selection = Selection { columns: &columns, compared: &[1], together: &["lower(b)".to_owned()] };
        let sql = selection.sql("t").unwrap();
        assert!(sql.contains(r#"'"\\x' || lower(hex("a'""")) || '"'"#), "{sql}");
        assert!(sql.ends_with(r#"row_number() over (partition by lower(b)) > 1 as tied, cast("b" as varchar) from t order by lower(b), 2"#), "{sql}");
    }
}
