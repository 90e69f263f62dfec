//! The temporary table into which the rows are written first: it belongs to the connection, and has the target's types.

use mysql_client::sql::{TableName, quote_name, quote_names};
use mysql_client::{Client, Stream};
use osiris_sdk::{Error, Result};

use crate::column::Column;

/// The temporary table, which is only visible to this connection.
pub const STAGING: &str = "`_osiris_staging`";

/// The rows of the input with their numbers, as the target's columns store them.
#[derive(Debug)]
pub struct Staging {
    /// The columns that are written, quoted and separated by commas.
    pub names: String,
    /// The column that numbers the rows in the input's order, quoted. See [`number`](Self::number).
    pub row: String,
}

impl Staging {
    /// Creates the temporary table, empty.
    ///
    /// # Errors
    /// The server's error.
    pub fn create<S: Stream>(client: &mut Client<S>, table: &TableName, columns: &[Column]) -> Result<Self> {
        let mut row = "_osiris_row".to_owned();
        while columns.iter().any(|column| column.name.eq_ignore_ascii_case(&row)) {
            row.push('_');
        }
        let staging =
            Self { names: quote_names(columns.iter().map(|column| column.name.as_str())), row: quote_name(&row) };
        client.execute(&format!(
            "create temporary table {STAGING} ({} bigint unsigned not null auto_increment primary key) as select {} from {} \
             limit 0",
            staging.row,
            staging.names,
            table.quoted()
        ))?;
        Ok(staging)
    }

    /// The statement that inserts the rows into `table` in the input's order.
    pub fn insert_into(&self, table: &TableName) -> String {
        let Self { names, row } = self;
        format!("insert into {} ({names}) select {names} from {STAGING} order by {row}", table.quoted())
    }

    /// The first two rows of the input that are equal in all of `compared`, as the columns' types and collations
    /// compare, by their values in the counting column. Null equals nothing.
    ///
    /// # Errors
    /// The server's error.
    pub fn equal_rows<S: Stream>(&self, client: &mut Client<S>, compared: &[String]) -> Result<Option<(u64, u64)>> {
        let (row, list) = (&self.row, compared.join(", "));
        let filled = compared.iter().map(|part| format!("{part} is not null")).collect::<Vec<_>>().join(" and ");
        let found = client.query(&format!(
            "select min({row}), max({row}) from {STAGING} where {filled} group by {list} having count(*) > 1 order by 1 \
             limit 1"
        ))?;
        let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
        Ok(found.first().and_then(|pair| Some((number(pair.first()?)?, number(pair.get(1)?)?))))
    }

    /// Deletes rows that are followed by one that is equal in all of `compared`; returns their number.
    ///
    /// # Errors
    /// The server's error.
    pub fn keep_last<S: Stream>(&self, client: &mut Client<S>, compared: &[String]) -> Result<u64> {
        let (row, list) = (&self.row, compared.join(", "));
        let filled = compared.iter().map(|part| format!("{part} is not null")).collect::<Vec<_>>().join(" and ");
        // A temporary table cannot be read and changed in one statement, so the last rows are put into another one
        // first.
        client.execute(&format!(
            "create temporary table `_osiris_last` (last bigint unsigned primary key) as select max({row}) as last from \
             {STAGING} where {filled} group by {list}"
        ))?;
        let done = client.execute(&format!(
            "delete staged from {STAGING} staged left join `_osiris_last` on last = staged.{row} where last is null and \
             {filled}"
        ))?;
        client.execute("drop temporary table `_osiris_last`")?;
        Ok(done.rows)
    }

    /// The number of a row in the input, from 1, by its value in the counting column: servers that replicate each other
    /// increment by other steps.
    ///
    /// # Errors
    /// The server's error.
    pub fn number<S: Stream>(&self, client: &mut Client<S>, row: u64) -> Result<u64> {
        let number = client
            .value(&format!("select ({row} - min({})) div @@auto_increment_increment + 1 from {STAGING}", self.row))?;
        Ok(number.and_then(|text| text.parse().ok()).unwrap_or(row))
    }

    /// The values of some columns in one row, for messages: `'AB'`, or `'AB', 7` for several columns.
    ///
    /// # Errors
    /// The server's error.
    pub fn values<S: Stream>(&self, client: &mut Client<S>, row: u64, columns: &[&Column]) -> Result<String> {
        let texts = columns.iter().map(|column| {
            let name = quote_name(&column.name);
            if column.is_binary_target() { format!("hex({name})") } else { format!("cast({name} as char)") }
        });
        let select =
            format!("select {} from {STAGING} where {} = {row}", texts.collect::<Vec<_>>().join(", "), self.row);
        let values =
            client.query(&select)?.into_iter().next().ok_or_else(|| Error::internal("a staged row is gone"))?;
        let shown = values.iter().zip(columns).map(|(value, column)| match value {
            None => "null".to_owned(),
            Some(value) if column.is_binary_target() => format!("x'{}'", shortened(value)),
            Some(value) => format!("'{}'", shortened(value)),
        });
        Ok(shown.collect::<Vec<_>>().join(", "))
    }
}

/// A value, shortened for a message to at most 80 characters.
fn shortened(value: &str) -> String {
    match value.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}
