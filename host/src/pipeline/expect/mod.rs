//! What the author expects of a step's tables: the checks under `expect`, parsed and checked for shape. No I/O.

pub mod outcome;
mod raw;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::StepId;
use super::params::{Environment, Params, substitute};
use super::sql_literal::Dialect;
use crate::error::Report;

pub(super) use raw::{RawExpect, RawRejects};

/// The most checks of one step.
pub const MAX_CHECKS: usize = 200;

/// The end of the name of the table with the rows that checks rejected.
const REJECTED_OF: &str = "__rejected";

/// How many values of offending rows are shown, unless the author says otherwise.
const EXAMPLES: u32 = 3;

/// Everything that the author expects of a step's tables.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub checks: Vec<Check>,
    /// How many rows the driver and the checks may reject together, if the author bounds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_rejected: Option<MostRejected>,
}

/// A bound of rejected rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MostRejected {
    Rows(u32),
    /// Of all rows, rejected or not.
    Percent(f64),
}

/// One check of one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The author's name for it, or one made of what it checks.
    pub name: String,
    /// The table, unless it is the step's only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    pub rule: Rule,
    #[serde(default)]
    pub severity: Severity,
    /// Whether it moves offending rows away instead of failing the step.
    #[serde(default)]
    pub rejects: bool,
    /// A condition in SQL that rows must meet to be checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// How many values of offending rows may be shown.
    pub examples: u32,
    /// Its line in the pipeline.
    pub line: u64,
}

/// What becomes of a step whose check fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It fails, and its output is discarded.
    #[default]
    Error,
    /// It goes on with a warning.
    Warn,
}

/// What must be true.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rule {
    /// The table has these columns, with these types, and no others unless `extra`.
    Columns {
        columns: Vec<(String, Option<String>)>,
        extra: bool,
    },
    NotNull {
        column: String,
    },
    /// No two rows have the same values in all of these columns.
    Unique {
        columns: Vec<String>,
    },
    /// Each value is one of these.
    Values {
        column: String,
        values: Vec<Value>,
    },
    /// Each value lies between these.
    Range {
        column: String,
        min: Option<Value>,
        max: Option<Value>,
        above_min: bool,
        below_max: bool,
    },
    /// Each text matches this regular expression from its beginning to its end.
    Pattern {
        column: String,
        pattern: String,
    },
    RowCount {
        min: Option<u64>,
        max: Option<u64>,
    },
    /// The newest time is not older than this.
    Freshness {
        column: String,
        max_age_seconds: u64,
    },
    /// Each value is in a column of another step's table.
    References {
        column: String,
        target: Target,
    },
    /// A condition in SQL that is true for each row.
    Sql {
        condition: String,
    },
    /// A SELECT that returns offending rows.
    Rows {
        select: String,
    },
}

/// A column of another step's table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// An input of the step, or another step.
    pub from: String,
    /// The table of that step; for an input, the author names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    pub column: String,
    /// The alias of the input that has it, once the step is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

impl Expect {
    /// Whether it says nothing that the step must do.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty() && !matches!(self.most_rejected, Some(MostRejected::Percent(_)))
    }

    /// Whether a check moves rows away.
    pub fn rejects(&self) -> bool {
        self.checks.iter().any(|check| check.rejects)
    }

    /// Whether what passes now may not pass later, with the same rows.
    pub fn depends_on_time(&self) -> bool {
        self.checks.iter().any(|check| matches!(check.rule, Rule::Freshness { .. }))
    }

    /// Whether a table of a step with these tables is one of rows that checks rejected.
    pub fn is_rejected_table<'a>(&self, name: &str, mut tables: impl Iterator<Item = &'a str>) -> bool {
        self.rejects() && name.strip_suffix(REJECTED_OF).is_some_and(|of| tables.any(|table| table == of))
    }

    /// The columns that checks look up in other steps' tables.
    pub fn targets(&self) -> impl Iterator<Item = (&Check, &Target)> {
        self.checks.iter().filter_map(|check| match &check.rule {
            Rule::References { target, .. } => Some((check, target)),
            _ => None,
        })
    }

    /// The columns that checks look up, to be completed by the plan.
    pub fn targets_mut(&mut self) -> impl Iterator<Item = &mut Target> {
        self.checks.iter_mut().filter_map(|check| match &mut check.rule {
            Rule::References { target, .. } => Some(target),
            _ => None,
        })
    }

    /// With parameters in place of `${params.x}`; other variables are not known to checks, whose texts are shown.
    ///
    /// # Errors
    /// For an unknown parameter, or one that does not fit where it is used.
    pub fn with_params(&self, step: &StepId, params: &Params) -> Result<Self, Report> {
        let mut checks = Vec::new();
        for check in &self.checks {
            let place = |report: Report| Report {
                message: format!("check `{}` (line {}): {}", check.name, check.line, report.message),
                ..report
            };
            let fields = Map::from_iter([
                ("rule".to_owned(), serde_json::to_value(&check.rule).unwrap_or_default()),
                ("where".to_owned(), check.condition.clone().into()),
            ]);
            let is_sql = |field: &str| field == "where" || matches!(check.rule, Rule::Sql { .. } | Rule::Rows { .. });
            let dialect = |field: &str| is_sql(field).then_some(Dialect::DuckDb);
            let values = (params, &Environment::default());
            let mut fields = substitute(step.as_str(), &fields, values, dialect).map_err(place)?;
            let unfit = |error: serde_json::Error| place(Report::input(format!("a parameter does not fit: {error}")));
            let rule = serde_json::from_value(fields.remove("rule").unwrap_or_default()).map_err(unfit)?;
            let condition = serde_json::from_value(fields.remove("where").unwrap_or_default()).map_err(unfit)?;
            checks.push(Check { rule, condition, ..check.clone() });
        }
        Ok(Self { checks, most_rejected: self.most_rejected })
    }
}

/// The table with the rows of `table` that checks rejected.
pub fn rejected_of(table: &str) -> String {
    format!("{table}{REJECTED_OF}")
}

impl Rule {
    /// Its key under `expect`.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Columns { .. } => "columns",
            Self::NotNull { .. } => "not_null",
            Self::Unique { .. } => "unique",
            Self::Values { .. } => "values",
            Self::Range { .. } => "range",
            Self::Pattern { .. } => "pattern",
            Self::RowCount { .. } => "row_count",
            Self::Freshness { .. } => "freshness",
            Self::References { .. } => "references",
            Self::Sql { .. } | Self::Rows { .. } => "sql",
        }
    }

    /// The columns that it is about.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Self::Columns { columns, .. } => columns.iter().map(|(name, _)| name.as_str()).collect(),
            Self::Unique { columns } => columns.iter().map(String::as_str).collect(),
            Self::NotNull { column }
            | Self::Values { column, .. }
            | Self::Range { column, .. }
            | Self::Pattern { column, .. }
            | Self::Freshness { column, .. }
            | Self::References { column, .. } => vec![column],
            Self::RowCount { .. } | Self::Sql { .. } | Self::Rows { .. } => Vec::new(),
        }
    }

    /// Whether it finds single rows, so that they can be rejected.
    pub fn finds_rows(&self) -> bool {
        !matches!(self, Self::Columns { .. } | Self::RowCount { .. } | Self::Freshness { .. } | Self::Rows { .. })
    }
}
