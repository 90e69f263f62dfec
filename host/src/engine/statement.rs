//! Judges a driver's SELECT by the names and calls that DuckDB's own parser finds in it, before DuckDB binds any of it.
//!
//! Binding runs code: it looks up names, folds constants and opens files, and its errors show what it found. So the
//! text is first only parsed. A statement may name the step's tables, its own common table expressions and files (which
//! DuckDB checks against the grants), and call the functions of [`super::functions`]. No I/O.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::functions::{self, Judgement, Position};
use crate::error::{listed, nearest};

/// The number of levels that the tree of a statement may have. An operator takes two of them, and DuckDB itself stops
/// at a thousand nested operators.
const MOST_LEVELS: usize = 3000;

/// The number of levels that fits on any thread's stack.
const SHALLOW: usize = 100;

/// The stack, in bytes, for a tree of [`MOST_LEVELS`].
const DEEP_STACK: usize = 64 << 20;

/// The prefix of the host's own catalogs and views.
pub const OWN: &str = "osiris_";

/// Why a statement may not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// DuckDB cannot parse it.
    Syntax,
    /// It names a table or function that does not exist.
    Unknown(String),
    /// It does something that no step may do.
    Forbidden(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Syntax => f.write_str("the statement cannot be parsed"),
            Refusal::Unknown(what) | Refusal::Forbidden(what) => f.write_str(what),
        }
    }
}

type Result<T> = std::result::Result<T, Refusal>;

fn forbidden<T>(what: impl Into<String>) -> Result<T> {
    Err(Refusal::Forbidden(what.into()))
}

/// The tables that a statement may name.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// Those that are named without a schema.
    own: Vec<String>,
    /// The tables of DuckDB files, by schema and name.
    of_schemas: Vec<(String, String)>,
}

impl Tables {
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self { own: names.into_iter().collect(), of_schemas: Vec::new() }
    }

    /// Whether a schema may have this name: DuckDB's own schemas and the host's are no table's.
    pub fn is_free(schema: &str) -> bool {
        let schema = schema.to_ascii_lowercase();
        !schema.starts_with(OWN)
            && !["information_schema", "pg_catalog", "temp", "system", "memory"].contains(&&*schema)
    }

    pub fn add(&mut self, schema: &str, table: &str) {
        if schema == DEFAULT_SCHEMA {
            self.own.push(table.to_owned());
        }
        self.of_schemas.push((schema.to_owned(), table.to_owned()));
    }

    fn has(&self, schema: &str, table: &str) -> bool {
        let is_own = matches!(schema, "" | DEFAULT_SCHEMA | "memory");
        let is_same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        (is_own && self.own.iter().any(|name| is_same(name, table)))
            || self.of_schemas.iter().any(|(of, name)| is_same(of, schema) && is_same(name, table))
    }

    /// All names, as a statement may write them.
    fn names(&self) -> Vec<String> {
        let others = self.of_schemas.iter().filter(|(schema, _)| schema != DEFAULT_SCHEMA);
        self.own.iter().cloned().chain(others.map(|(schema, table)| format!("{schema}.{table}"))).collect()
    }
}

/// What is refused first of all.
pub(super) const NO_SELECT: &str = "a statement that is not a SELECT";

/// The schema of tables that are named without one.
const DEFAULT_SCHEMA: &str = "main";

/// Judges the tree that `json_serialize_sql` made of a driver's text. `tables` are the tables that the step may name.
///
/// Returns whether its rows may differ from one run to the next over the same tables: it asks for the time, random numbers or
/// a sample.
///
/// # Errors
/// A [`Refusal`] that says what is refused.
pub fn check(serialized: &str, tables: &Tables) -> Result<bool> {
    match levels(serialized) {
        0..=SHALLOW => check_tree(serialized, tables),
        levels @ ..=MOST_LEVELS => std::thread::scope(|scope| {
            let deep = std::thread::Builder::new().stack_size(DEEP_STACK);
            let walking = deep.spawn_scoped(scope, || check_tree(serialized, tables));
            let failed = || {
                Refusal::Forbidden(format!(
                    "a statement nested {levels} levels deep, for which this machine has no room"
                ))
            };
            walking.map_err(|_| failed())?.join().map_err(|_| failed())?
        }),
        levels => forbidden(format!(
            "a statement nested {levels} levels deep, where {MOST_LEVELS} are allowed; make a step of its own of a part"
        )),
    }
}

/// How deeply arrays and objects are nested in a JSON text.
fn levels(json: &str) -> usize {
    let (mut level, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                level += 1;
                deepest = deepest.max(level);
            }
            b']' | b'}' if !in_text => level = level.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn check_tree(serialized: &str, tables: &Tables) -> Result<bool> {
    let unreadable = || Refusal::Forbidden("a statement that cannot be read".to_owned());
    let mut read = serde_json::Deserializer::from_str(serialized);
    // Safe, because `levels` has been bounded.
    read.disable_recursion_limit();
    let tree = Value::deserialize(&mut read).map_err(|_| unreadable())?;
    if tree["error"] != Value::Bool(false) {
        return match tree["error_type"].as_str() {
            Some("parser") => Err(Refusal::Syntax),
            _ => forbidden(NO_SELECT),
        };
    }
    let mut scope = Scope { tables, expressions: Vec::new(), varies: false };
    match tree["statements"].as_array().map(Vec::as_slice) {
        Some([statement]) => scope.walk(statement).map(|()| scope.varies),
        Some(several) => forbidden(format!("{} statements where one SELECT is allowed", several.len())),
        None => Err(unreadable()),
    }
}

/// The names that a part of a statement may use.
struct Scope<'a> {
    tables: &'a Tables,
    /// The names of the common table expressions around the part, in lower case.
    expressions: Vec<String>,
    /// Whether a part walked so far gives other rows in another run.
    varies: bool,
}

impl Scope<'_> {
    fn walk(&mut self, node: &Value) -> Result<()> {
        match node {
            Value::Array(items) => items.iter().try_for_each(|item| self.walk(item)),
            Value::Object(fields) => self.walk_fields(fields),
            _ => Ok(()),
        }
    }

    fn walk_fields(&mut self, fields: &Map<String, Value>) -> Result<()> {
        self.check_own(fields)?;
        self.varies |= varies(fields);
        match word(fields, "type").as_str() {
            "base_table" => self.check_table(fields)?,
            "show_ref" => check_show(fields)?,
            "table_function" => {
                let function = fields.get("function").and_then(Value::as_object);
                let name = function.map(|call| word(call, "function_name")).unwrap_or_default();
                check_function(Position::Table, &name)?;
                self.varies |= functions::varies(Position::Table, &name);
                // The function itself is judged here; its arguments remain.
                return match function {
                    Some(call) => self.walk_members(call),
                    None => forbidden("a table function without a name"),
                };
            }
            _ => {}
        }
        if let Some(name) = fields.get("function_name").and_then(Value::as_str) {
            check_function(Position::Expression, &name.to_ascii_lowercase())?;
        }
        self.walk_members(fields)
    }

    /// Walks the members of a node. Its common table expressions are visible throughout the node; each of them sees the
    /// ones before it.
    fn walk_members(&mut self, fields: &Map<String, Value>) -> Result<()> {
        let outer = self.expressions.len();
        let expressions = fields.get("cte_map").and_then(|map| map["map"].as_array());
        for expression in expressions.into_iter().flatten() {
            self.walk(&expression["value"])?;
            self.expressions.push(expression["key"].as_str().unwrap_or_default().to_ascii_lowercase());
        }
        for (name, member) in fields.iter().filter(|(name, _)| *name != "cte_map") {
            let inner = self.expressions.len();
            if name == "right" {
                // The recursive part of a recursive expression sees the rows so far; its initial part does not.
                let recursive = fields.get("cte_name").and_then(Value::as_str);
                self.expressions.extend(recursive.map(str::to_ascii_lowercase));
            }
            self.walk(member)?;
            self.expressions.truncate(inner);
        }
        self.expressions.truncate(outer);
        Ok(())
    }

    /// Refuses any part of a statement that names a catalog or schema of the host.
    fn check_own(&self, fields: &Map<String, Value>) -> Result<()> {
        for key in ["catalog_name", "schema_name", "catalog", "schema"] {
            let name = word(fields, key);
            if name.starts_with(OWN) {
                return forbidden(format!("the catalog `{name}`, which is the host's own"));
            }
        }
        Ok(())
    }

    fn check_table(&self, fields: &Map<String, Value>) -> Result<()> {
        let (catalog, schema, table) =
            (word(fields, "catalog_name"), word(fields, "schema_name"), word(fields, "table_name"));
        let plain = catalog.is_empty() && schema.is_empty();
        // The name of the rows so far in a recursion with keys.
        let expression = plain || (catalog.is_empty() && schema == "recurring");
        if expression && self.expressions.contains(&table) {
            return Ok(());
        }
        if matches!(catalog.as_str(), "" | "memory") && self.tables.has(&schema, &table) {
            return Ok(());
        }
        // A file in place of a table, which DuckDB checks against the grants. No table of DuckDB's has such a name.
        if plain && table.contains(['/', '.']) {
            return Ok(());
        }
        let shown = fields.get("table_name").and_then(Value::as_str).unwrap_or_default();
        let shown = if schema.is_empty() { shown.to_owned() } else { format!("{schema}.{shown}") };
        let known = self.tables.names();
        let tables = if known.is_empty() {
            "this step has no tables".to_owned()
        } else {
            format!("the tables of this step: {}", listed(known.iter().map(String::as_str)))
        };
        let near = nearest(&shown, known.iter().map(String::as_str));
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        Err(Refusal::Unknown(format!("there is no table `{shown}`; {tables}{near}")))
    }
}

/// A string member in lower case, because DuckDB ignores the case of names; empty if the member is missing.
fn word(fields: &Map<String, Value>, key: &str) -> String {
    fields.get(key).and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase()
}

/// Whether a node of a statement, apart from what is below it, gives other rows in another run.
fn varies(node: &Map<String, Value>) -> bool {
    let takes_sample = node.get("sample").is_some_and(|sample| !sample.is_null());
    // `age` of one date is the time that has passed since then.
    let arguments = node.get("children").and_then(Value::as_array).map_or(0, Vec::len);
    let function = word(node, "function_name");
    // DuckDB also reads these names, where no column has them, as the time.
    let column = node.get("column_names").and_then(Value::as_array).and_then(|names| names.last()?.as_str());
    let is_time =
        column.is_some_and(|name| functions::VARYING_NAMES.iter().any(|time| name.eq_ignore_ascii_case(time)));
    takes_sample
        || is_time
        || functions::varies(Position::Expression, &function)
        || (function == "age" && arguments == 1)
}

/// DESCRIBE and SUMMARIZE read the table after them, which is judged like any other. SHOW lists what is attached.
fn check_show(fields: &Map<String, Value>) -> Result<()> {
    let named = ["catalog_name", "schema_name", "table_name"].iter().any(|key| !word(fields, key).is_empty());
    match word(fields, "show_type").as_str() {
        "describe" | "summary" if !named => Ok(()),
        _ => forbidden("SHOW, which lists what is attached; DESCRIBE takes one of the step's tables"),
    }
}

fn check_function(position: Position, name: &str) -> Result<()> {
    let kind = match position {
        Position::Expression => "function",
        Position::Table => "table function",
    };
    match functions::judge(position, name) {
        Judgement::Allowed => Ok(()),
        Judgement::Refused => forbidden(format!("the {kind} `{name}`, which a step may not call")),
        Judgement::Unknown => {
            let near = nearest(name, functions::allowed(position));
            let near = near.map_or_else(
                || {
                    "; functions of DuckDB's extensions that Osiris does not contain, such as `spatial`, are not there"
                        .to_owned()
                },
                |near| format!("; did you mean `{near}`?"),
            );
            Err(Refusal::Unknown(format!("there is no {kind} `{name}`{near}")))
        }
    }
}

#[cfg(test)]
#[path = "statement_tests.rs"]
mod tests;
