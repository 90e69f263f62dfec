//! Decides which columns are written, how they are staged, and how the table must be changed first.

use conversions::{Column, SourceType, TargetType, Text};
use database_client::{Contract, Writing};
use osiris_sdk::{Error, Result, context};
use postgres_client::created_type;
use postgres_client::sql::{quote_name, quote_names};

use crate::encoding::SQL_ASCII;
use crate::shape::InputColumn;
use crate::staging::{self, Staged};
use crate::target::{Target, TargetColumn};

/// The columns that are written.
#[derive(Debug)]
pub struct Plan {
    pub columns: Vec<Planned>,
    /// The statement that creates the table or adds its columns.
    pub define: Option<String>,
}

/// A column that is written.
#[derive(Debug, Clone)]
pub struct Planned {
    pub input: InputColumn,
    pub staged: Staged,
    /// The declaration of the target's column.
    pub declaration: String,
}

impl Planned {
    pub fn quoted(&self) -> String {
        quote_name(&self.input.name)
    }
}

/// Decides what to do.
///
/// # Errors
/// `config` and `data` for columns that do not match the table or the contract.
pub fn plan(target: &Target, config: &Writing, input: &[InputColumn]) -> Result<Plan> {
    let is_key = |name: &str| config.primary_key.iter().any(|key| key == name);
    let is_in = |columns: &[InputColumn], name: &str| columns.iter().any(|column| column.name == name);
    if let Some((option, missing)) = config.named_columns().find(|(_, name)| !is_in(input, name)) {
        return Err(missing_column(option, missing, input));
    }
    let kept = kept(target, config, input)?;
    if let Some((option, left_out)) = config.named_columns().find(|(_, name)| !is_in(&kept, name)) {
        return Err(Error::data(format!(
            "the table has no column `{left_out}`, which `{option}` names and the contract leaves out"
        )));
    }
    let columns: Vec<Planned> = kept
        .into_iter()
        .map(|mut input| {
            if target.column(&input.name).is_some_and(|own| takes_json(target, own, &input)) {
                input = input.into_json();
            }
            let (staged, declaration) = match target.column(&input.name) {
                Some(own) => (staging::for_existing(target, &input, own), own.declaration()),
                None => {
                    let created = created(&input, is_key(&input.name));
                    (staging::for_created(&input, created), created.to_owned())
                }
            };
            let is_jsonb =
                target.column(&input.name).map_or(declaration.starts_with("jsonb"), |own| target.is_jsonb(own));
            if is_jsonb {
                input.encode = input.encode.for_jsonb();
            }
            Planned { input, staged, declaration }
        })
        .collect();
    let define = if target.exists() { add_columns(target, &columns) } else { Some(create(target, config, &columns)) };
    Ok(Plan { columns, define })
}

/// Whether the target's column is JSON but the values are not, so that they are written as JSON.
fn takes_json(target: &Target, own: &TargetColumn, input: &InputColumn) -> bool {
    target.holds(own).0 == TargetType::Json && !input.source.is_text() && input.source != SourceType::Null
}

fn missing_column(option: &str, missing: &str, input: &[InputColumn]) -> Error {
    let other = input.iter().find(|column| column.name.to_lowercase() == missing.to_lowercase());
    let hint = other.map(|column| format!("; `{}` differs in letter case, which PostgreSQL tells apart", column.name));
    let known: Vec<String> = input.iter().map(|column| format!("`{}`", column.name)).collect();
    Error::config(format!(
        "`{option}` names `{missing}`, which the input does not have{}; there are: {}",
        hint.unwrap_or_default(),
        known.join(", ")
    ))
}

/// The type of the column that the writer creates. In jsonb, different texts with the same meaning are one key; in
/// text, they are as distinct as in the source.
fn created(column: &InputColumn, is_key: bool) -> &str {
    let is_json = column.source == SourceType::Json || column.source.is_nested();
    if is_key && is_json { "text" } else { &column.created }
}

/// What every column's target can hold, for the checks of values.
pub fn checked_columns(target: &Target, columns: &[Planned], encoding: &str) -> Vec<Column> {
    let column = |planned: &Planned| {
        let (holds, words) = match target.column(&planned.input.name) {
            Some(own) => target.holds(own),
            None => (created_type(&planned.input.source), planned.declaration.clone()),
        };
        let (name, source) = (planned.input.name.clone(), planned.input.source.clone());
        let target = if encoding == SQL_ASCII { in_bytes(holds) } else { holds };
        Column { name, source, target, target_name: words }
    };
    columns.iter().map(column).collect()
}

/// What a type can hold in a database that treats each byte as a character.
fn in_bytes(target: TargetType) -> TargetType {
    match target {
        TargetType::Text(Text { max_chars, max_bytes: None, blanks, characters }) => {
            TargetType::Text(Text { max_chars: None, max_bytes: max_chars, blanks, characters })
        }
        TargetType::List(item) => TargetType::List(Box::new(in_bytes(*item))),
        other => other,
    }
}

/// The columns that the contract allows.
fn kept(target: &Target, config: &Writing, input: &[InputColumn]) -> Result<Vec<InputColumn>> {
    if !target.exists() {
        return match config.schema_contract {
            Contract::Freeze => Err(Error::not_found(
                "the table does not exist, and `schema_contract: freeze` does not create one; create it, or set `evolve`",
            )),
            Contract::Evolve | Contract::DiscardColumns => Ok(input.to_vec()),
        };
    }
    refuse_other_case(target, input)?;
    refuse_generated(target, input)?;
    let (known, unknown): (Vec<_>, Vec<_>) =
        input.iter().cloned().partition(|column| target.column(&column.name).is_some());
    let names = unknown.iter().map(|column| format!("`{}`", column.name)).collect::<Vec<_>>().join(", ");
    match config.schema_contract {
        _ if unknown.is_empty() => Ok(known),
        Contract::Evolve => {
            context::warn("columns that the table does not have are added", &[("columns", &names)]);
            Ok(input.to_vec())
        }
        Contract::Freeze => {
            let there: Vec<String> = target.columns.iter().map(|column| format!("`{}`", column.name)).collect();
            Err(Error::data(format!(
                "the table has no column {names}, and `schema_contract: freeze` adds none; there are: {}; \
                 `discard_columns` would leave them out, `evolve` would add them",
                there.join(", ")
            )))
        }
        Contract::DiscardColumns if known.is_empty() => {
            Err(Error::data(format!("the table has none of the input's columns {names}, so nothing is left to write")))
        }
        Contract::DiscardColumns => {
            context::warn("columns that the table does not have are left out", &[("columns", &names)]);
            Ok(known)
        }
    }
}

/// A column whose name differs from the table's only in case is never intended.
fn refuse_other_case(target: &Target, input: &[InputColumn]) -> Result<()> {
    for column in input.iter().filter(|column| target.column(&column.name).is_none()) {
        let lower = column.name.to_lowercase();
        if let Some(own) = target.columns.iter().find(|own| own.name.to_lowercase() == lower) {
            return Err(Error::data(format!(
                "column `{}` of the input and column `{}` of the table differ in letter case alone, and to PostgreSQL \
                 they are two columns; rename it in SQL: select {} as {}",
                column.name,
                own.name,
                quote_name(&column.name),
                quote_name(&own.name)
            )));
        }
    }
    Ok(())
}

/// Refuses values for columns whose values the server generates.
fn refuse_generated(target: &Target, input: &[InputColumn]) -> Result<()> {
    let generated = |column: &&InputColumn| target.column(&column.name).is_some_and(|own| own.is_generated);
    let names: Vec<&str> = input.iter().filter(generated).map(|column| column.name.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    Err(Error::data(format!(
        "the server generates {} of table {} itself and takes no values; leave it out in a step before: `select * exclude \
         ({}) from …`; to write an identity column's values, declare it `generated by default`",
        shown.join(", "),
        target.quoted(),
        quote_names(names)
    )))
}

fn create(target: &Target, config: &Writing, columns: &[Planned]) -> String {
    let mut parts: Vec<String> =
        columns.iter().map(|column| format!("{} {}", column.quoted(), column.declaration)).collect();
    if !config.primary_key.is_empty() {
        parts.push(format!("primary key ({})", quote_names(config.primary_key.iter().map(String::as_str))));
    }
    format!("create table {} ({})", target.quoted(), parts.join(", "))
}

fn add_columns(target: &Target, columns: &[Planned]) -> Option<String> {
    let added = columns.iter().filter(|column| target.column(&column.input.name).is_none());
    let added: Vec<String> =
        added.map(|column| format!("add column {} {}", column.quoted(), column.declaration)).collect();
    (!added.is_empty()).then(|| format!("alter table {} {}", target.quoted(), added.join(", ")))
}
