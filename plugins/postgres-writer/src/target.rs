//! The target table, as the server's catalog describes it.

use conversions::TargetType;
use database_client::TableName;
use osiris_sdk::{Error, Result};
use postgres_client::sql::quote_name;
use postgres_client::{Client, Stream, TargetTypes};

/// The table, with its schema resolved.
#[derive(Debug)]
pub struct Target {
    pub schema: String,
    pub table: String,
    /// 0 if it does not exist.
    pub oid: u32,
    pub is_partitioned: bool,
    /// Whether it has triggers or rules, which can drop rows.
    pub has_triggers: bool,
    pub columns: Vec<TargetColumn>,
    pub types: TargetTypes,
}

#[derive(Debug)]
pub struct TargetColumn {
    pub name: String,
    pub number: i16,
    pub type_oid: u32,
    pub modifier: i32,
    /// The type with its bounds, as the server writes it.
    pub full_type: String,
    /// The collation, quoted; `None` for types without one.
    pub collation: Option<String>,
    /// Whether the server generates its values and accepts none: a generated column, or an identity that is always
    /// generated.
    pub is_generated: bool,
    /// Whether a row that remains keeps its value if the input has none: an identity, a part of the primary key.
    pub stays: bool,
}

impl TargetColumn {
    /// The type and the collation, to declare another column.
    pub fn declaration(&self) -> String {
        let collation = self.collation.as_ref().map(|name| format!(" collate {name}"));
        format!("{}{}", self.full_type, collation.unwrap_or_default())
    }
}

impl Target {
    /// Looks up the table.
    ///
    /// # Errors
    /// The server's error; `config` for something that is not a table.
    pub fn find<S: Stream>(client: &mut Client<S>, name: &TableName) -> Result<Self> {
        let quoted = name.quoted();
        let found = client.query_with(
            "select n.nspname, c.relname, c.oid, c.relkind, c.relhastriggers or c.relhasrules from pg_catalog.pg_class c \
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = pg_catalog.to_regclass($1)",
            &[Some(&quoted)],
        )?;
        let Some([Some(schema), Some(table), Some(oid), Some(kind), Some(has_triggers)]) =
            found.first().map(Vec::as_slice)
        else {
            let schema = match &name.schema {
                Some(schema) => schema.clone(),
                None => client.value("select pg_catalog.current_schema()")?.ok_or_else(|| {
                    Error::config("the user's search_path has no schema to create the table in; name one in `table`")
                })?,
            };
            refuse_other_case(client, &schema, &name.table)?;
            return Ok(Self::missing(schema, name.table.clone()));
        };
        if !matches!(kind.as_str(), "r" | "p") {
            return Err(Error::config(format!("{quoted} is not a table; rows are written to tables only")));
        }
        let columns = columns(client, oid)?;
        let types = TargetTypes::read(client, columns.iter().map(|column| column.type_oid))?;
        Ok(Self {
            schema: schema.clone(),
            table: table.clone(),
            oid: oid.parse().unwrap_or(0),
            is_partitioned: kind == "p",
            has_triggers: has_triggers == "t",
            columns,
            types,
        })
    }

    /// A table that is to be created.
    pub fn missing(schema: String, table: String) -> Self {
        Self {
            schema,
            table,
            oid: 0,
            is_partitioned: false,
            has_triggers: false,
            columns: Vec::new(),
            types: TargetTypes::default(),
        }
    }

    pub fn exists(&self) -> bool {
        self.oid != 0
    }

    pub fn quoted(&self) -> String {
        format!("{}.{}", quote_name(&self.schema), quote_name(&self.table))
    }

    /// The table without those that inherit from it. The partitions of a partitioned table count as its own rows.
    pub fn alone(&self) -> String {
        if self.is_partitioned { self.quoted() } else { format!("only {}", self.quoted()) }
    }

    pub fn column(&self, name: &str) -> Option<&TargetColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether a column's values are `jsonb`, or arrays of it.
    pub fn is_jsonb(&self, column: &TargetColumn) -> bool {
        const JSONB: u32 = 3802;
        let (base, _) = self.types.base(column.type_oid, column.modifier);
        self.types.element(base).map_or(base, |element| self.types.base(element, -1).0) == JSONB
    }

    /// What a column can hold, and a description of its type.
    pub fn holds(&self, column: &TargetColumn) -> (TargetType, String) {
        let (base, _) = self.types.base(column.type_oid, column.modifier);
        let words = match self.types.name(base) {
            Some(name) if base != column.type_oid => format!("{} (a domain over {name})", column.full_type),
            _ => column.full_type.clone(),
        };
        (self.types.target(column.type_oid, column.modifier), words)
    }
}

/// A table whose name differs from an existing one only in case is never intended.
fn refuse_other_case<S: Stream>(client: &mut Client<S>, schema: &str, table: &str) -> Result<()> {
    let other = client.query_with(
        "select c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         where n.nspname = $1 and c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relname <> $2 and \
         pg_catalog.lower(c.relname) = pg_catalog.lower($2) limit 1",
        &[Some(schema), Some(table)],
    )?;
    match other.into_iter().next().and_then(|row| row.into_iter().next()).flatten() {
        None => Ok(()),
        Some(other) => Err(Error::config(format!(
            "there is no table `{table}` in schema `{schema}`, but `{other}`, which differs in letter case alone; write \
             the table's name as it is, or create `{table}` first if both are meant"
        ))),
    }
}

fn columns<S: Stream>(client: &mut Client<S>, oid: &str) -> Result<Vec<TargetColumn>> {
    let rows = client.query(&format!(
        "select a.attname, a.attnum, a.atttypid, a.atttypmod, pg_catalog.format_type(a.atttypid, a.atttypmod), \
         case when c.oid is not null then pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname) \
         end, a.attgenerated <> '' or a.attidentity <> '' or exists (select from pg_catalog.pg_index i where i.indrelid = \
         a.attrelid and i.indisprimary and a.attnum = any (i.indkey)), a.attgenerated <> '' or a.attidentity = 'a' from pg_catalog.pg_attribute a \
         left join pg_catalog.pg_collation c on c.oid = a.attcollation \
         left join pg_catalog.pg_namespace n on n.oid = c.collnamespace \
         where a.attrelid = {oid} and a.attnum > 0 and not a.attisdropped order by a.attnum"
    ))?;
    let columns = rows.into_iter().filter_map(|row| match row.as_slice() {
        [Some(name), Some(number), Some(type_oid), Some(modifier), Some(full_type), collation, stays, generated] => {
            Some(TargetColumn {
                name: name.clone(),
                number: number.parse().ok()?,
                type_oid: type_oid.parse().ok()?,
                modifier: modifier.parse().ok()?,
                full_type: full_type.clone(),
                collation: collation.clone(),
                is_generated: generated.as_deref() == Some("t"),
                stays: stays.as_deref() == Some("t"),
            })
        }
        _ => None,
    });
    Ok(columns.collect())
}
