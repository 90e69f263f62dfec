//! The rows on the server: where they are staged, and the statements that move them.

use database_client::DuplicateKey;
use osiris_sdk::{Error, Result};
use postgres_client::sql::{quote_name, quote_names};
use postgres_client::{Client, Stream};

use crate::plan::Planned;
use crate::target::Target;

/// The staging table, which is in the session's own schema and is dropped with the transaction.
pub const STAGING: &str = "pg_temp.osiris_staging";

/// The rows in the target's own types, if the staging table has others.
pub const TYPED: &str = "pg_temp.osiris_typed";

/// The rows before they are moved.
#[derive(Debug)]
pub struct Rows<'a> {
    columns: &'a [Planned],
    /// Whether they are in [`TYPED`].
    pub is_typed: bool,
    duplicates: DuplicateKey,
    key: Vec<&'a Planned>,
}

impl<'a> Rows<'a> {
    /// Rows with these columns. The columns of the key, and others that are `compared` with the table's, are compared in
    /// the target's types, so all rows are assigned to those first if any of them is staged in another type.
    pub fn new(columns: &'a [Planned], key: &[String], compared: &[String], duplicates: DuplicateKey) -> Self {
        // In the order of the key, which may be that of an index.
        let key: Vec<&Planned> =
            key.iter().filter_map(|name| columns.iter().find(|column| column.input.name == *name)).collect();
        let is_compared = |column: &&Planned| column.is_in(&key) || compared.contains(&column.input.name);
        let is_typed = columns.iter().filter(is_compared).any(|column| !column.staged.is_exact);
        Self { columns, is_typed, duplicates, key }
    }

    /// The statement that creates the staging table.
    pub fn stage(&self) -> String {
        let columns: Vec<String> =
            self.columns.iter().map(|column| format!("{} {}", column.quoted(), column.staged.declaration)).collect();
        format!("create temporary table osiris_staging ({}) on commit drop", columns.join(", "))
    }

    /// The statements that assign the staged rows to the target's types, in order.
    pub fn assign(&self) -> Vec<String> {
        if !self.is_typed {
            return Vec::new();
        }
        let columns: Vec<String> =
            self.columns.iter().map(|column| format!("{} {}", column.quoted(), column.declaration)).collect();
        let values: Vec<String> = self.columns.iter().map(|column| column.staged.value(&column.quoted())).collect();
        vec![
            format!("create temporary table osiris_typed ({}) on commit drop", columns.join(", ")),
            format!("insert into {TYPED} select {} from {STAGING}", values.join(", ")),
        ]
    }

    /// The columns whose values are assigned to another type than they were staged in.
    pub fn assigned(&self) -> impl Iterator<Item = &'a Planned> {
        self.columns.iter().filter(|column| !column.staged.is_exact)
    }

    /// The table that contains them.
    pub fn table(&self) -> &'static str {
        if self.is_typed { TYPED } else { STAGING }
    }

    pub fn key(&self) -> impl Iterator<Item = String> {
        self.key.iter().map(|column| column.quoted())
    }

    pub fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    fn value(&self, column: &Planned) -> String {
        if self.is_typed { column.quoted() } else { column.staged.value(&column.quoted()) }
    }

    /// The rows to write, as a source for a SELECT: all of them, or the last of each key. The columns that are compared
    /// have the target's types there.
    pub fn source(&self) -> String {
        let table = self.table();
        if !self.leaves_some_out() {
            return table.to_owned();
        }
        let key = self.key().collect::<Vec<_>>().join(", ");
        format!("(select distinct on ({key}) * from {table} order by {key}, ctid desc) as staged")
    }

    /// The number of rows to write.
    ///
    /// # Errors
    /// The server's error.
    pub fn count<S: Stream>(&self, client: &mut Client<S>) -> Result<u64> {
        let count = client.value(&format!("select count(*) from {}", self.source()))?;
        count.and_then(|text| text.parse().ok()).ok_or_else(|| Error::internal("a count that is no number"))
    }

    /// The number of rows that the statements of [`upsert`](Self::upsert) insert and update, if none are dropped.
    ///
    /// # Errors
    /// The server's error.
    pub fn upserted<S: Stream>(&self, client: &mut Client<S>, target: &Target, unique: bool) -> Result<u64> {
        let (alone, same) = (target.alone(), self.same_key());
        let new = format!("(select {} from {}) as new", self.typed(), self.source());
        let is_old = format!("exists (select from {alone} as old where {same})");
        let changes_nothing = self.columns.iter().all(|column| column.is_in(&self.key));
        // With an index a row is inserted or updated; without one, it may update several rows with its key.
        let select = match (unique, changes_nothing) {
            (true, false) => return self.count(client),
            (_, true) => format!("select count(*) from {new} where not {is_old}"),
            (false, false) => format!(
                "select (select count(*) from {new} where not {is_old}) + (select count(*) from {alone} as old where \
                 exists (select from {new} where {same}))"
            ),
        };
        let count = client.value(&select)?;
        count.and_then(|text| text.parse().ok()).ok_or_else(|| Error::internal("a count that is no number"))
    }

    /// The values in the target's types, by name.
    fn typed(&self) -> String {
        let typed = self.columns.iter().map(|column| format!("{} as {}", self.value(column), column.quoted()));
        typed.collect::<Vec<_>>().join(", ")
    }

    /// The names of the columns that are written.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.columns.iter().map(|column| column.input.name.as_str())
    }

    fn quoted_names(&self) -> String {
        quote_names(self.names())
    }

    /// Whether only the last of several rows with the same key is written.
    pub fn leaves_some_out(&self) -> bool {
        self.duplicates != DuplicateKey::Error && self.has_key()
    }

    /// The name of a column with the rows' numbers in the input, and a source for a SELECT of the rows with that column,
    /// in the target's types.
    pub fn numbered(&self) -> (String, String) {
        let mut number = "osiris_row".to_owned();
        while self.names().any(|name| name == number) {
            number.push('_');
        }
        let values: Vec<String> =
            self.columns
                .iter()
                .map(|column| {
                    if self.is_typed {
                        column.quoted()
                    } else {
                        format!("{} as {}", column.assigned(), column.quoted())
                    }
                })
                .collect();
        let select = format!("select row_number() over (order by ctid) as {number}, {}", values.join(", "));
        let rows = format!("({select} from {}) as numbered", self.table());
        (number, rows)
    }

    fn values(&self) -> String {
        self.columns.iter().map(|column| self.value(column)).collect::<Vec<_>>().join(", ")
    }

    /// Inserts the rows.
    pub fn insert(&self, target: &Target) -> String {
        format!(
            "insert into {} ({}) select {} from {}",
            target.quoted(),
            self.quoted_names(),
            self.values(),
            self.source()
        )
    }

    /// A condition that is true if `old` and `new` have the same key.
    pub fn same_key(&self) -> String {
        self.key().map(|name| format!("old.{name} = new.{name}")).collect::<Vec<_>>().join(" and ")
    }

    /// Replaces existing rows with the same keys, and inserts the others. `unique` is true if an index makes keys
    /// unique; `cleared` are columns of the target that get their defaults.
    pub fn upsert(&self, target: &Target, unique: bool, cleared: &[&str]) -> Vec<String> {
        let others: Vec<String> =
            self.columns.iter().filter(|column| !column.is_in(&self.key)).map(Planned::quoted).collect();
        let set = |from: &str| {
            let own = others.iter().map(|name| format!("{name} = {from}.{name}"));
            let cleared = cleared.iter().map(|name| format!("{} = default", quote_name(name)));
            own.chain(cleared).collect::<Vec<_>>().join(", ")
        };
        if unique {
            let key = self.key().collect::<Vec<_>>().join(", ");
            let set = set("excluded");
            let action = if set.is_empty() { "do nothing".to_owned() } else { format!("do update set {set}") };
            return vec![format!("{} on conflict ({key}) {action}", self.insert(target))];
        }
        let (alone, same, names) = (target.alone(), self.same_key(), self.quoted_names());
        let new = format!("(select {} from {}) as new", self.typed(), self.source());
        let mut statements = Vec::new();
        let set = set("new");
        if !set.is_empty() {
            statements.push(format!("update {alone} as old set {set} from {new} where {same}"));
        }
        statements.push(format!(
            "insert into {} ({names}) select {names} from {new} where not exists (select from {alone} as old where {same})",
            target.quoted()
        ));
        statements
    }
}

impl Planned {
    /// The staged value in the target's type.
    pub fn assigned(&self) -> String {
        let kind = self.declaration.split(" collate ").next().unwrap_or_default();
        format!("({})::{kind}", self.staged.value(&self.quoted()))
    }

    fn is_in(&self, key: &[&Planned]) -> bool {
        key.iter().any(|column| column.input.name == self.input.name)
    }
}
