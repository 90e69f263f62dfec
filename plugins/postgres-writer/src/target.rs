//! The table to write: what it is now, and what must be done to it.

use database_client::{Contract, Mode, WriterConfig};
use osiris_sdk::{Error, Result, context};
use postgres_client::sql::{TableName, quote_name, quote_names, quote_text};
use postgres_client::{Client, Stream};

use crate::shape::InputColumn;

/// What the staging table is called; it lies in the session's own schema and goes with the transaction.
pub const STAGING: &str = "pg_temp.osiris_staging";

/// The table, with its place found out.
#[derive(Debug)]
pub struct Target {
    schema: String,
    table: String,
    /// 0 where it does not exist.
    oid: u32,
    columns: Vec<TargetColumn>,
}

#[derive(Debug)]
struct TargetColumn {
    name: String,
    number: i16,
    /// The type without its bounds, which are the assignment's to check: a cast would cut values to fit.
    base: String,
    is_text: bool,
}

/// What is written, by which statements.
#[derive(Debug)]
pub struct Plan {
    /// The columns that are written.
    pub columns: Vec<InputColumn>,
    /// Statements before the rows are moved: create, alter, empty, lock.
    pub prepare: Vec<String>,
    /// Statements that move the rows out of the staging table.
    pub move_rows: Vec<String>,
}

impl Target {
    /// Looks the table up.
    ///
    /// # Errors
    /// What the server says; `config` for something that is no table.
    pub fn find<S: Stream>(client: &mut Client<S>, name: &TableName) -> Result<Self> {
        let quoted = name.quoted();
        let found = client.query_with(
            "select n.nspname, c.relname, c.oid, c.relkind from pg_catalog.pg_class c \
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = pg_catalog.to_regclass($1)",
            &[Some(&quoted)],
        )?;
        let Some([Some(schema), Some(table), Some(oid), Some(kind)]) = found.first().map(Vec::as_slice) else {
            let schema = match &name.schema {
                Some(schema) => schema.clone(),
                None => client.value("select pg_catalog.current_schema()")?.ok_or_else(|| {
                    Error::config("the user's search_path has no schema to create the table in; name one in `table`")
                })?,
            };
            return Ok(Self { schema, table: name.table.clone(), oid: 0, columns: Vec::new() });
        };
        if !matches!(kind.as_str(), "r" | "p") {
            return Err(Error::config(format!("{quoted} is no table; rows are written to tables only")));
        }
        let columns = client.query(&format!(
            "select a.attname, a.attnum, pg_catalog.format_type(a.atttypid, null), \
             t.typcategory = 'S' and a.atttypid in (25, 1042, 1043, 19, 18) \
             from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid \
             where a.attrelid = {oid} and a.attnum > 0 and not a.attisdropped order by a.attnum"
        ))?;
        let columns = columns.into_iter().filter_map(|row| match row.as_slice() {
            [Some(name), Some(number), Some(base), is_text] => Some(TargetColumn {
                name: name.clone(),
                number: number.parse().ok()?,
                base: base.clone(),
                is_text: is_text.as_deref() == Some("t"),
            }),
            _ => None,
        });
        Ok(Self {
            schema: schema.clone(),
            table: table.clone(),
            oid: oid.parse().unwrap_or(0),
            columns: columns.collect(),
        })
    }

    fn quoted(&self) -> String {
        format!("{}.{}", quote_name(&self.schema), quote_name(&self.table))
    }

    fn column(&self, name: &str) -> Option<&TargetColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Decides what to do.
    ///
    /// # Errors
    /// `config` and `data`, for columns that do not fit the table or the contract; what the server says.
    pub fn plan<S: Stream>(
        &self,
        client: &mut Client<S>,
        config: &WriterConfig,
        input: &[InputColumn],
    ) -> Result<Plan> {
        if let Some(missing) = config.primary_key.iter().find(|key| !input.iter().any(|column| column.name == **key)) {
            let known: Vec<String> = input.iter().map(|column| format!("`{}`", column.name)).collect();
            return Err(Error::config(format!(
                "`primary_key` names `{missing}`, which the input does not have; there are: {}",
                known.join(", ")
            )));
        }
        let columns = self.kept(config, input)?;
        columns.iter().try_for_each(|column| self.refuse_loss(column))?;
        let mut prepare = Vec::new();
        if self.oid == 0 {
            prepare.push(self.create(config, &columns));
        } else {
            let added = columns.iter().filter(|column| self.column(&column.name).is_none());
            let added: Vec<String> =
                added.map(|column| format!("add column {} {}", quote_name(&column.name), column.created)).collect();
            if !added.is_empty() {
                prepare.push(format!("alter table {} {}", self.quoted(), added.join(", ")));
            }
        }
        let move_rows = match config.mode {
            Mode::Append => vec![self.insert(&columns, STAGING)],
            Mode::Replace => {
                if self.oid != 0 {
                    prepare.push(self.empty(client)?);
                }
                vec![self.insert(&columns, STAGING)]
            }
            Mode::Upsert => {
                let unique = self.oid == 0 || self.has_unique_index(client, &config.primary_key)?;
                if !unique {
                    // Without an index, nothing but a lock keeps two writers from inserting the same key.
                    prepare.push(format!("lock table {} in share row exclusive mode", self.quoted()));
                }
                self.upsert(&columns, &config.primary_key, unique)
            }
        };
        Ok(Plan { columns, prepare, move_rows })
    }

    /// The columns that the contract lets through.
    fn kept(&self, config: &WriterConfig, input: &[InputColumn]) -> Result<Vec<InputColumn>> {
        if self.oid == 0 {
            return match config.schema_contract {
                Contract::Freeze => Err(Error::not_found(
                    "the table does not exist, and `schema_contract: freeze` makes none; create it, or say `evolve`",
                )),
                Contract::Evolve | Contract::DiscardColumns => Ok(input.to_vec()),
            };
        }
        let (known, unknown): (Vec<_>, Vec<_>) =
            input.iter().cloned().partition(|column| self.column(&column.name).is_some());
        let names = unknown.iter().map(|column| format!("`{}`", column.name)).collect::<Vec<_>>().join(", ");
        match config.schema_contract {
            Contract::Evolve => Ok(input.to_vec()),
            _ if unknown.is_empty() => Ok(known),
            Contract::Freeze => {
                let there: Vec<String> = self.columns.iter().map(|column| format!("`{}`", column.name)).collect();
                Err(Error::data(format!(
                    "the table has no column {names}, and `schema_contract: freeze` adds none; there are: {}; \
                     `discard_columns` would leave them out, `evolve` would add them",
                    there.join(", ")
                )))
            }
            Contract::DiscardColumns if known.is_empty() => Err(Error::data(format!(
                "the table has none of the input's columns {names}, so nothing is left to write"
            ))),
            Contract::DiscardColumns => {
                context::warn("columns that the table does not have are left out", &[("columns", &names)]);
                Ok(known)
            }
        }
    }

    /// Refuses what an assignment would do without a word: rounding to integers, cutting times off.
    fn refuse_loss(&self, column: &InputColumn) -> Result<()> {
        let Some(target) = self.column(&column.name) else { return Ok(()) };
        let from = column.staged.split('(').next().unwrap_or_default();
        let fractions =
            matches!(from, "real" | "double precision") || from == "numeric" && !column.staged.ends_with(",0)");
        let lost = match target.base.as_str() {
            "smallint" | "integer" | "bigint" if fractions => "fractions",
            "date" if from.starts_with("timestamp") => "the time of day",
            "time without time zone" | "time with time zone" if from.starts_with("timestamp") => "the date",
            "timestamp without time zone" if from == "timestamp with time zone" => "the time zone",
            _ => return Ok(()),
        };
        Err(Error::data(format!(
            "column `{}` is {} and the table's is {}, which would lose {lost}; cast it in SQL to say that this is meant",
            column.name, column.staged, target.base
        )))
    }

    fn create(&self, config: &WriterConfig, columns: &[InputColumn]) -> String {
        let mut parts: Vec<String> =
            columns.iter().map(|column| format!("{} {}", quote_name(&column.name), column.created)).collect();
        if !config.primary_key.is_empty() {
            parts.push(format!("primary key ({})", quote_names(config.primary_key.iter().map(String::as_str))));
        }
        format!("create table {} ({})", self.quoted(), parts.join(", "))
    }

    /// Empties the table within the transaction: by TRUNCATE where nothing refers to it and the user may.
    fn empty<S: Stream>(&self, client: &mut Client<S>) -> Result<String> {
        let oid = self.oid;
        let may = client.value(&format!(
            "select pg_catalog.has_table_privilege({oid}, 'truncate') and not exists (select from \
             pg_catalog.pg_constraint where confrelid = {oid} and contype = 'f' and conrelid <> confrelid) \
             and not exists (select from pg_catalog.pg_trigger where tgrelid = {oid} and not tgisinternal)"
        ))?;
        Ok(if may.as_deref() == Some("t") {
            format!("truncate table {}", self.quoted())
        } else {
            format!("delete from {}", self.quoted())
        })
    }

    /// Whether an index makes the key's columns unique, so that ON CONFLICT can go by them.
    fn has_unique_index<S: Stream>(&self, client: &mut Client<S>, key: &[String]) -> Result<bool> {
        let numbers = key.iter().map(|name| self.column(name).map(|column| column.number));
        let Some(mut numbers) = numbers.collect::<Option<Vec<i16>>>() else { return Ok(false) };
        numbers.sort_unstable();
        let numbers = numbers.iter().map(i16::to_string).collect::<Vec<_>>().join(",");
        let found = client.value(&format!(
            "select exists (select from pg_catalog.pg_index i where indrelid = {} and indisunique and indisvalid and \
             indimmediate and indpred is null and indexprs is null and (select array_agg(n order by n) from \
             unnest((indkey::smallint[])[0:indnkeyatts - 1]) as n) = array[{numbers}]::smallint[])",
            self.oid
        ))?;
        Ok(found.as_deref() == Some("t"))
    }

    /// A staged column as the target's column takes it.
    fn cast(&self, column: &InputColumn) -> String {
        let staged = quote_name(&column.name);
        let depth = column.staged.matches("[]").count();
        let is_text = column.staged.trim_end_matches("[]") == "text";
        match self.column(&column.name) {
            None if column.created != column.staged => format!("{staged}::{}", column.created),
            None => staged,
            Some(target) if target.is_text || !is_text => staged,
            // A list of texts to one value of another type, or the other way, is the server's to refuse.
            Some(target) if (depth > 0) != target.base.ends_with("[]") => staged,
            Some(target) if target.base == "bit" => format!("{staged}::bit varying"),
            Some(target) => format!("{staged}::{}", target.base),
        }
    }

    fn insert(&self, columns: &[InputColumn], from: &str) -> String {
        let names = quote_names(columns.iter().map(|column| column.name.as_str()));
        let casts: Vec<String> = columns.iter().map(|column| self.cast(column)).collect();
        format!("insert into {} ({names}) select {} from {from}", self.quoted(), casts.join(", "))
    }

    /// Of rows with the same key the last one counts, as if each had been written after the one before.
    fn upsert(&self, columns: &[InputColumn], key: &[String], unique: bool) -> Vec<String> {
        let is_key = |column: &&InputColumn| key.contains(&column.name);
        let keys: Vec<String> = columns.iter().filter(is_key).map(|column| self.cast(column)).collect();
        let keys = keys.join(", ");
        let last = format!("(select distinct on ({keys}) * from {STAGING} order by {keys}, ctid desc) as staged");
        let names = quote_names(key.iter().map(String::as_str));
        let others: Vec<&InputColumn> = columns.iter().filter(|column| !is_key(column)).collect();
        if unique {
            let set: Vec<String> = others
                .iter()
                .map(|column| quote_name(&column.name))
                .map(|name| format!("{name} = excluded.{name}"))
                .collect();
            let action =
                if set.is_empty() { "do nothing".to_owned() } else { format!("do update set {}", set.join(", ")) };
            return vec![format!("{} on conflict ({names}) {action}", self.insert(columns, &last))];
        }
        let table = self.quoted();
        let typed: Vec<String> =
            columns.iter().map(|column| format!("{} as {}", self.cast(column), quote_name(&column.name))).collect();
        let typed = format!("(select {} from {last}) as new", typed.join(", "));
        let same: Vec<String> =
            key.iter().map(|name| quote_name(name)).map(|name| format!("old.{name} = new.{name}")).collect();
        let same = same.join(" and ");
        let names = quote_names(columns.iter().map(|column| column.name.as_str()));
        let mut statements = Vec::new();
        if !others.is_empty() {
            let set: Vec<String> = others
                .iter()
                .map(|column| quote_name(&column.name))
                .map(|name| format!("{name} = new.{name}"))
                .collect();
            statements.push(format!("update {table} as old set {} from {typed} where {same}", set.join(", ")));
        }
        statements.push(format!(
            "insert into {table} ({names}) select {names} from {typed} where not exists (select from {table} as old \
             where {same})"
        ));
        statements
    }
}

/// The first column of the key that has a null among the staged rows.
///
/// # Errors
/// What the server says.
pub fn null_key<S: Stream>(client: &mut Client<S>, key: &[String]) -> Result<Option<String>> {
    if key.is_empty() {
        return Ok(None);
    }
    let tests: Vec<String> = key
        .iter()
        .map(|name| format!("when bool_or({} is null) then {}", quote_name(name), quote_text(name)))
        .collect();
    client.value(&format!("select case {} end from {STAGING}", tests.join(" ")))
}
