//! The pipeline that `osiris copy` runs, as its author would have written it. No I/O.

use std::collections::BTreeSet;

use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value};

use super::endpoint::{Endpoint, Tables};
use crate::error::Report;
use crate::untrusted;

/// One table that is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedTable {
    /// As the source's driver names it; none for files.
    pub source: Option<String>,
    /// As the target's driver names it; none for files.
    pub target: Option<String>,
    /// The columns that identify a row, if the user or the source says so.
    pub key: Vec<String>,
}

impl CopiedTable {
    fn new(source: Option<String>, target: Option<String>) -> Self {
        Self { source, target, key: Vec::new() }
    }
}

/// How the target's rows are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Replace all existing rows
    Replace,
    /// Add the rows
    Append,
    /// Replace the rows with the same key, and add the others
    Upsert,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Append => "append",
            Self::Upsert => "upsert",
        }
    }
}

/// What is copied, and how.
#[derive(Debug)]
pub struct Copying<'a> {
    pub name: &'a str,
    /// The command that the pipeline stands for.
    pub command: &'a str,
    pub source: &'a Endpoint,
    pub target: &'a Endpoint,
    pub tables: &'a [CopiedTable],
    pub mode: Option<Mode>,
    pub incremental: Option<&'a str>,
    /// Whether files that were copied before are left out.
    pub new_files: bool,
    pub columns: &'a [String],
    pub filter: Option<&'a str>,
}

#[derive(Serialize)]
struct WrittenPipeline<'a> {
    oml_version: &'static str,
    name: &'a str,
    steps: Vec<WrittenStep>,
}

#[derive(Serialize)]
struct WrittenStep {
    id: String,
    component: String,
    needs: Vec<String>,
    config: Map<String, Value>,
}

impl Copying<'_> {
    /// The mode, and the one to be used if none is named: the changes of an incremental copy are merged if the rows
    /// have a key, otherwise the target becomes what the source is.
    pub fn mode(&self, table: &CopiedTable) -> Mode {
        let is_part = self.incremental.is_some() || self.new_files;
        self.mode.unwrap_or(match (is_part, table.key.is_empty()) {
            (true, false) => Mode::Upsert,
            (true, true) => Mode::Append,
            (false, _) => Mode::Replace,
        })
    }

    /// The pipeline as YAML.
    ///
    /// # Errors
    /// If an option does not fit the source or the target.
    pub fn pipeline(&self) -> anyhow::Result<String> {
        let mut used = BTreeSet::new();
        let mut steps = Vec::new();
        for table in self.tables {
            let suffix = match (self.tables.len(), &table.source) {
                (2.., Some(name)) => format!("-{}", free_id(name, &mut used)),
                _ => String::new(),
            };
            let (extract, load) = (format!("extract{suffix}"), format!("load{suffix}"));
            steps.push(WrittenStep {
                id: extract.clone(),
                component: self.extractor(),
                needs: Vec::new(),
                config: self.source_config(table)?,
            });
            steps.push(WrittenStep {
                id: load,
                component: self.writer()?,
                needs: vec![extract],
                config: self.target_config(table)?,
            });
        }
        let written = serde_saphyr::to_string(&WrittenPipeline { oml_version: "0.1.0", name: self.name, steps });
        let text = written.context("cannot write the pipeline as YAML")?;
        Ok(format!("# {}\n{text}", untrusted::line(self.command)))
    }

    fn extractor(&self) -> String {
        match self.source {
            Endpoint::Tables { .. } => format!("{}.extractor", self.source.family().unwrap_or_default()),
            Endpoint::Database { kind, .. } | Endpoint::Files { kind, .. } => kind.extractor.to_owned(),
        }
    }

    fn writer(&self) -> Result<String, Report> {
        match self.target {
            Endpoint::Tables { .. } => Ok(format!("{}.writer", self.target.family().unwrap_or_default())),
            Endpoint::Database { path, kind, .. } | Endpoint::Files { path, kind } => {
                let writer = kind.writer.map(str::to_owned);
                writer.ok_or_else(|| {
                    Report::input(format!("no driver writes files such as `{path}`"))
                        .hint("write a `.csv`, `.json`, `.jsonl`, `.parquet` or `.duckdb` file")
                })
            }
        }
    }

    fn source_config(&self, table: &CopiedTable) -> Result<Map<String, Value>, Report> {
        let mut config = Map::new();
        match self.source {
            Endpoint::Tables { connection, .. } => put(&mut config, "connection", connection.as_str()),
            Endpoint::Database { path, .. } | Endpoint::Files { path, .. } => put(&mut config, "path", path.as_str()),
        }
        if let Some(name) = &table.source {
            put(&mut config, "table", name.as_str());
        }
        let only_tables = |option: &str| match self.source {
            Endpoint::Tables { .. } => Ok(()),
            _ => Err(Report::input(format!("`{option}` is for tables of a connection, not for files"))
                .hint("print the pipeline with `--print`, and add a `duckdb.processor` step with your SELECT")),
        };
        if !self.columns.is_empty() {
            only_tables("--columns")?;
            put(&mut config, "columns", self.columns);
        }
        if let Some(filter) = self.filter {
            only_tables("--filter")?;
            put(&mut config, "filter", filter);
        }
        if let Some(cursor) = self.incremental {
            only_tables("--incremental")?;
            put(&mut config, "replication", "incremental");
            put(&mut config, "cursor", cursor);
        }
        if self.source.is_pattern() {
            // Files of one kind tend to gain columns.
            put(&mut config, "union_by_name", true);
        }
        if self.new_files {
            let Endpoint::Files { .. } = self.source else {
                return Err(Report::input("`--new-files` is for files".to_owned())
                    .hint("for the changes of a table, name a column that grows: `--incremental updated_at`"));
            };
            put(&mut config, "new_files_only", true);
        }
        Ok(config)
    }

    fn target_config(&self, table: &CopiedTable) -> Result<Map<String, Value>, Report> {
        let mut config = Map::new();
        let mode = self.mode(table);
        match self.target {
            Endpoint::Tables { connection, .. } => put(&mut config, "connection", connection.as_str()),
            Endpoint::Database { path, .. } => put(&mut config, "path", path.as_str()),
            Endpoint::Files { path, kind } => {
                put(&mut config, "path", path.as_str());
                if kind.sorts_columns() {
                    put(&mut config, "column_order", "source");
                }
                if mode == Mode::Replace {
                    return Ok(config);
                }
                return Err(Report::input(format!(
                    "a file cannot be written with the mode `{}`: it is replaced as a whole",
                    mode.as_str()
                ))
                .hint(
                    "copy to a `.duckdb` file or to a table of a database; they have the modes `append` and `upsert`",
                ));
            }
        }
        if let Some(name) = &table.target {
            put(&mut config, "table", name.as_str());
        }
        put(&mut config, "mode", mode.as_str());
        if mode == Mode::Upsert {
            if table.key.is_empty() {
                let named = table.source.as_ref().map_or_else(String::new, |name| format!(" `{name}`"));
                return Err(Report::input(format!(
                    "the rows of the table{named} have no known key, which `upsert` needs"
                ))
                .hint("name its columns: `--key id`"));
            }
            put(&mut config, "primary_key", table.key.as_slice());
        }
        Ok(config)
    }
}

/// Pairs each table of the source with one of the target; their keys are still empty.
///
/// # Errors
/// If the target does not say where to, or two tables would become one.
pub fn pair(names: &[Option<String>], source: &Endpoint, target: &Endpoint) -> Result<Vec<CopiedTable>, Report> {
    let tables = match target {
        Endpoint::Tables { tables, .. } | Endpoint::Database { tables, .. } => tables,
        Endpoint::Files { path, .. } if names.len() > 1 => {
            return Err(Report::input(format!("{} tables cannot become the one file `{path}`", names.len()))
                .hint("copy them to a `.duckdb` file or to a database"));
        }
        Endpoint::Files { .. } => return Ok(names.iter().map(|name| CopiedTable::new(name.clone(), None)).collect()),
    };
    let mut seen = BTreeSet::new();
    let mut pairs = Vec::new();
    for name in names {
        let own = || {
            let own = name.as_deref().map(last_part).map(str::to_owned).or_else(|| source.stem());
            own.ok_or_else(|| {
                Report::input("the target's table has no name".to_owned())
                    .hint("name it after the target: `@postgres.warehouse.orders`, `warehouse.duckdb#orders`")
            })
        };
        let table = match tables {
            Tables::One(table) => table.clone(),
            Tables::All { schema: Some(schema) } => format!("{schema}.{}", own()?),
            Tables::All { schema: None } | Tables::Same => own()?,
        };
        if !seen.insert(table.to_lowercase()) {
            return Err(Report::input(format!("two tables would become the one table `{table}`"))
                .hint("copy one table or one schema at a time, such as `@postgres.shop.sales.*`, and let the target name none"));
        }
        pairs.push(CopiedTable::new(name.clone(), Some(table)));
    }
    Ok(pairs)
}

/// The table's own name in `schema.table`, whose parts may be in double quotes.
fn last_part(name: &str) -> &str {
    let mut is_quoted = false;
    let mut start = 0;
    for (place, each) in name.char_indices() {
        match each {
            '"' => is_quoted = !is_quoted,
            '.' if !is_quoted => start = place + 1,
            _ => {}
        }
    }
    &name[start..]
}

/// A name that step ids may contain and none has yet.
fn free_id(name: &str, used: &mut BTreeSet<String>) -> String {
    let is_fine = |each: char| each.is_ascii_alphanumeric() || matches!(each, '-' | '_' | '.');
    let plain: String = name.chars().map(|each| if is_fine(each) { each } else { '_' }).take(48).collect();
    let mut id = plain.clone();
    let mut number = 2;
    while !used.insert(id.to_lowercase()) {
        id = format!("{plain}-{number}");
        number += 1;
    }
    id
}

fn put(config: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    config.insert(key.to_owned(), value.into());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pipeline::{self, connections};

    fn endpoint(text: &str) -> Endpoint {
        let connections = connections::parse("connections: {mysql: {shop: {}}, postgres: {warehouse: {}}}", "c.yaml");
        Endpoint::parse(text, &connections.unwrap()).unwrap()
    }

    fn pipeline(
        source: &str,
        target: &str,
        names: &[&str],
        change: impl Fn(&mut Copying<'_>),
    ) -> anyhow::Result<pipeline::Pipeline> {
        let (from, to) = (endpoint(source), endpoint(target));
        let names: Vec<Option<String>> = match names {
            [] => vec![None],
            names => names.iter().map(|name| Some((*name).to_owned())).collect(),
        };
        let tables = pair(&names, &from, &to)?;
        let mut copying = Copying {
            name: "copy",
            command: "osiris copy a\nb",
            source: &from,
            target: &to,
            tables: &tables,
            mode: None,
            incremental: None,
            new_files: false,
            columns: &[],
            filter: None,
        };
        change(&mut copying);
        let text = copying.pipeline()?;
        Ok(pipeline::parse(&text, "copy.yaml")?)
    }

    #[test]
    fn a_copy_is_a_pipeline_whose_steps_do_not_wait_for_other_tables() {
        let names = ["sales.orders", "sales.odd name", "sales.odd+name"];
        let all = pipeline("@mysql.shop.*", "@postgres.warehouse.raw.*", &names, |_| {}).unwrap();
        let ids: Vec<&str> = all.steps.iter().map(|step| step.id.as_str()).collect();
        let expected = ["orders", "odd_name", "odd_name-2"]
            .map(|name| ["extract-sales.", "load-sales."].map(|step| format!("{step}{name}")));
        assert_eq!(ids, expected.concat());
        assert!(all.steps.iter().step_by(2).all(|step| step.needs.as_deref() == Some(&[])));
        let load = &all.steps[1];
        assert_eq!(load.needs.as_ref().unwrap()[0].as_str(), "extract-sales.orders");
        let config = serde_json::json!({"connection": "@postgres.warehouse", "table": "raw.orders", "mode": "replace"});
        assert_eq!(Value::Object(load.config.clone()), config);
    }

    #[test]
    fn files_of_a_pattern_are_united_by_name_and_may_be_only_new_ones() {
        let new = pipeline("in/*.csv", "w.duckdb", &[], |copying| copying.new_files = true).unwrap();
        let config = serde_json::json!({"path": "in/*.csv", "union_by_name": true, "new_files_only": true});
        assert_eq!(Value::Object(new.steps[0].config.clone()), config);
        assert_eq!(new.steps[1].config["mode"], "append");
        let one = pipeline("in/a.csv", "w.duckdb", &[], |_| {}).unwrap();
        assert_eq!(Value::Object(one.steps[0].config.clone()), serde_json::json!({"path": "in/a.csv"}));
    }

    #[test]
    fn changes_are_merged_if_rows_have_a_key_and_appended_otherwise() {
        let table = |key: &[&str]| CopiedTable {
            source: None,
            target: None,
            key: key.iter().map(|name| (*name).to_owned()).collect(),
        };
        let (from, to) = (endpoint("@mysql.shop.a"), endpoint("a.duckdb"));
        let copying = |mode, incremental| Copying {
            name: "",
            command: "",
            source: &from,
            target: &to,
            tables: &[],
            mode,
            incremental,
            new_files: false,
            columns: &[],
            filter: None,
        };
        assert_eq!(copying(None, None).mode(&table(&["id"])), Mode::Replace);
        assert_eq!(copying(None, Some("at")).mode(&table(&[])), Mode::Append);
        assert_eq!(copying(None, Some("at")).mode(&table(&["id"])), Mode::Upsert);
        assert_eq!(copying(Some(Mode::Append), Some("at")).mode(&table(&["id"])), Mode::Append);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_a_remedy() {
        for (source, target, names, words) in [
            ("@mysql.shop.*", "out.csv", vec!["a", "b"], "cannot become the one file"),
            ("@mysql.shop.*", "w.duckdb#t", vec!["a", "b"], "two tables would become the one table `t`"),
            ("@mysql.shop.*", "w.duckdb", vec!["x.a", "y.A"], "two tables would become the one table"),
            ("*.csv", "w.duckdb", vec![], "has no name"),
            ("a.csv", "b.xlsx", vec![], "no driver writes files"),
        ] {
            let error = pipeline(source, target, &names, |_| {}).unwrap_err();
            let report = error.downcast_ref::<Report>().unwrap();
            assert!(report.message.contains(words) && report.hint.is_some(), "{report:?}");
        }
        let upsert = pipeline("a.csv", "w.duckdb", &[], |copying| copying.mode = Some(Mode::Upsert)).unwrap_err();
        assert!(upsert.to_string().contains("no known key"), "{upsert}");
        let file = pipeline("@mysql.shop.a", "a.csv", &["a"], |copying| copying.mode = Some(Mode::Append)).unwrap_err();
        assert!(file.to_string().contains("replaced as a whole"), "{file}");
        let table = pipeline("@mysql.shop.a", "w.duckdb", &["a"], |copying| copying.new_files = true).unwrap_err();
        assert!(table.to_string().contains("`--new-files`"), "{table}");
        let filter = pipeline("a.csv", "w.duckdb", &[], |copying| copying.filter = Some("true")).unwrap_err();
        assert!(filter.to_string().contains("`--filter`"), "{filter}");
    }

    #[test]
    fn a_quoted_dot_does_not_end_a_schema() {
        for (name, own) in
            [("a", "a"), ("s.a", "a"), ("s.\"a.b\"", "\"a.b\""), ("\"s.t\".a", "a"), ("\"a\"\".b\"", "\"a\"\".b\"")]
        {
            assert_eq!(last_part(name), own);
        }
    }
}
