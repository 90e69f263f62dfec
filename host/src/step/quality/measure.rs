//! Checks that only count: all conditions of a table in one pass over its rows, and the rest one by one.

use super::{Condition, Quality, Table, count, is_about_statement, quoted, sql};
use crate::engine::EngineError;
use crate::error::Failure;
use crate::pipeline::expect::{Check, Rule};

/// One value that a pass over a table computes: its column in the inner SELECT, and what is computed of it.
struct Figure {
    place: usize,
    column: String,
    of_all: Vec<String>,
}

impl Quality<'_> {
    /// Runs the checks at `places`, which all belong to one table.
    pub(super) fn measure(&mut self, table: usize, places: &[usize]) -> Result<(), Failure> {
        let checks = &self.job.expect.checks;
        let (rows, others): (Vec<usize>, Vec<usize>) = places.iter().partition(|place| {
            checks[**place].rule.finds_rows() && !matches!(checks[**place].rule, Rule::Unique { .. })
        });
        let conditions = self.conditions(table, &rows);
        let mut figures: Vec<Figure> = conditions.iter().map(figure).collect();
        for place in others {
            let check = &checks[place];
            let fitting = self.fitting(&self.tables[table], check);
            if let Err(problem) = fitting {
                self.misfit(place, problem);
                continue;
            }
            match &check.rule {
                Rule::Columns { columns, extra } => self.compare_columns(table, place, columns, *extra)?,
                Rule::RowCount { .. } | Rule::Freshness { .. } => {
                    figures.push(whole(place, check, &self.tables[table]))
                }
                Rule::Unique { columns } => self.count_twins(table, place, columns)?,
                Rule::Rows { select } => self.count_rows(place, select)?,
                _ => {}
            }
        }
        self.pass(table, &figures)?;
        for condition in &conditions {
            self.show_rows(table, condition);
        }
        Ok(())
    }

    /// Computes all figures in one pass. If a row cannot be computed, one by one, to find out which.
    fn pass(&mut self, table: usize, figures: &[Figure]) -> Result<(), Failure> {
        if figures.is_empty() {
            return Ok(());
        }
        match self.compute(table, figures) {
            Ok(()) => Ok(()),
            Err(error) if !is_about_statement(&error) => Err(self.unusable(error)),
            Err(error) if figures.len() == 1 => {
                self.misfit(figures[0].place, error.message);
                Ok(())
            }
            Err(_) => figures.iter().try_for_each(|figure| self.pass(table, std::slice::from_ref(figure))),
        }
    }

    fn compute(&mut self, table: usize, figures: &[Figure]) -> Result<(), EngineError> {
        let Table { from, rows, .. } = &self.tables[table];
        let columns: Vec<&str> = figures.iter().map(|figure| figure.column.as_str()).collect();
        let of_all: Vec<&str> = figures.iter().flat_map(|figure| &figure.of_all).map(String::as_str).collect();
        let select = format!("SELECT {} FROM (SELECT {} FROM {from})", of_all.join(", "), columns.join(", "));
        let (rows, row) = (*rows, self.engine.texts(&select, 1)?.pop().unwrap_or_default());
        let mut column = 0;
        for figure in figures {
            let values = &row[column..column + figure.of_all.len()];
            column += figure.of_all.len();
            let check = &self.job.expect.checks[figure.place];
            let outcome = &mut self.outcomes[figure.place];
            outcome.of = if check.condition.is_some() { count(values, 1) } else { rows };
            match &check.rule {
                Rule::RowCount { min, max } => {
                    let found = outcome.of;
                    outcome.passed = min.is_none_or(|min| found >= min) && max.is_none_or(|max| found <= max);
                    outcome.problem = (!outcome.passed).then(|| row_count(check, found, *min, *max).into());
                }
                Rule::Freshness { column, max_age_seconds } => {
                    let problem = stale(column, *max_age_seconds, values[2].as_deref(), values[3].as_deref());
                    outcome.passed = problem.is_none();
                    outcome.problem = problem.map(Into::into);
                }
                _ => {
                    outcome.rows = count(values, 0);
                    outcome.passed = outcome.rows == 0;
                }
            }
        }
        Ok(())
    }

    /// Counts the rows whose key another row has, too.
    fn count_twins(&mut self, table: usize, place: usize, columns: &[String]) -> Result<(), Failure> {
        let check = &self.job.expect.checks[place];
        let (names, present) = match sql::key(check, &self.tables[table], columns) {
            Ok(key) => key,
            Err(problem) => {
                self.misfit(place, problem);
                return Ok(());
            }
        };
        let (from, list) = (&self.tables[table].from, names.join(", "));
        let select = format!(
            "SELECT CAST(coalesce(sum(n) FILTER (n > 1), 0) AS VARCHAR), CAST(coalesce(sum(n), 0) AS VARCHAR) FROM \
             (SELECT count(*) AS n FROM {from} WHERE {present} GROUP BY {list})"
        );
        match self.engine.texts(&select, 1) {
            Ok(found) => {
                let row = found.first().cloned().unwrap_or_default();
                let outcome = &mut self.outcomes[place];
                (outcome.rows, outcome.of) = (count(&row, 0), count(&row, 1));
                outcome.passed = outcome.rows == 0;
                if !outcome.passed {
                    self.show_twins(table, place, &names, &present);
                }
                Ok(())
            }
            Err(error) if is_about_statement(&error) => {
                self.misfit(place, error.message);
                Ok(())
            }
            Err(error) => Err(self.unusable(error)),
        }
    }

    /// Counts the rows that the author's SELECT returns.
    fn count_rows(&mut self, place: usize, select: &str) -> Result<(), Failure> {
        match self.engine.texts(&format!("SELECT CAST(count(*) AS VARCHAR) FROM ({select}\n)"), 1) {
            Ok(found) => {
                let rows = found.first().map(|row| count(row, 0)).unwrap_or_default();
                let outcome = &mut self.outcomes[place];
                (outcome.rows, outcome.of, outcome.passed) = (rows, rows, rows == 0);
                if rows > 0 {
                    self.show_selected(place, select);
                }
                Ok(())
            }
            Err(error) if is_about_statement(&error) => {
                self.misfit(place, error.message);
                Ok(())
            }
            Err(error) => Err(self.unusable(error)),
        }
    }

    /// Compares a table's columns with those that are expected.
    fn compare_columns(
        &mut self,
        table: usize,
        place: usize,
        expected: &[(String, Option<String>)],
        extra: bool,
    ) -> Result<(), Failure> {
        let mut wrong = Vec::new();
        let found = &self.tables[table].columns;
        for (name, kind) in expected {
            let Some((_, is)) = found.iter().find(|(column, _)| column == name) else {
                wrong.push(format!("column `{name}` is missing"));
                continue;
            };
            let Some(kind) = kind else { continue };
            match sql::type_named(self.engine, kind) {
                Ok(wanted) if wanted == *is => {}
                Ok(_) => wrong.push(format!("column `{name}` is {is}, and {kind} is expected")),
                Err(error) if is_about_statement(&error) => wrong.push(format!("`{kind}` is not a type of DuckDB")),
                Err(error) => return Err(self.unusable(error)),
            }
        }
        if !extra {
            let more = found.iter().filter(|(column, _)| !expected.iter().any(|(name, _)| name == column));
            wrong.extend(more.map(|(column, _)| format!("column `{column}` is not expected")));
        }
        self.outcomes[place].of = self.tables[table].rows;
        if wrong.is_empty() {
            self.outcomes[place].passed = true;
        } else {
            self.misfit(place, format!("table `{}`: {}", self.tables[table].name, wrong.join("; ")));
        }
        Ok(())
    }
}

fn counted(what: &str) -> String {
    format!("CAST(count_if({what}) AS VARCHAR)")
}

/// The figure of a check that finds rows: how many offend, and with `where`, of how many.
fn figure(condition: &Condition<'_>) -> Figure {
    let place = condition.place;
    let (mut column, mut of_all) =
        (format!("{} AS osiris_{place}", condition.offends), vec![counted(&format!("osiris_{place}"))]);
    if let Some(checked) = sql::checked(condition.check) {
        column.push_str(&format!(", {checked} AS osiris_{place}_of"));
        of_all.push(counted(&format!("osiris_{place}_of")));
    }
    Figure { place, column, of_all }
}

/// The figure of a check of the whole table: the number of rows that count, and its newest time.
fn whole(place: usize, check: &Check, table: &Table) -> Figure {
    let checked = sql::checked(check).unwrap_or_else(|| "true".to_owned());
    let mut column = format!("{checked} AS osiris_{place}_of");
    let rows = counted(&format!("osiris_{place}_of"));
    let mut of_all = vec![rows.clone(), rows];
    if let Rule::Freshness { column: wanted, .. } = &check.rule {
        let name = sql::column(table, wanted).map_or_else(|_| quoted(wanted), |(name, _)| quoted(name));
        column.push_str(&format!(", CASE WHEN {checked} THEN CAST({name} AS TIMESTAMP) END AS osiris_{place}"));
        let newest = format!("max(osiris_{place}) FILTER (isfinite(osiris_{place}))");
        of_all.extend([format!("CAST({newest} AS VARCHAR)"), format!("CAST(epoch({newest}) AS VARCHAR)")]);
    }
    Figure { place, column, of_all }
}

fn row_count(check: &Check, found: u64, min: Option<u64>, max: Option<u64>) -> String {
    let expected = match (min, max) {
        (Some(min), Some(max)) if min == max => format!("{min} are expected"),
        (Some(min), Some(max)) => format!("{min} to {max} are expected"),
        (Some(min), None) => format!("at least {min} are expected"),
        (None, max) => format!("at most {} are expected", max.unwrap_or_default()),
    };
    let that = check.condition.as_ref().map(|condition| format!(" with `{condition}`")).unwrap_or_default();
    format!("there are {found} rows{that}; {expected}")
}

/// Why a newest time is too old, if it is. An age of less than nothing is that of a time to come.
fn stale(column: &str, most: u64, newest: Option<&str>, seconds: Option<&str>) -> Option<String> {
    let (Some(newest), Some(seconds)) = (newest, seconds.and_then(|seconds| seconds.parse::<f64>().ok())) else {
        return Some(format!("no row has a `{column}`, and one not older than {} is expected", spelled(most as f64)));
    };
    let age = jiff::Timestamp::now().as_second() as f64 - seconds;
    (age > most as f64).then(|| {
        format!("the newest `{column}` is {newest}, {} ago; at most {} is expected", spelled(age), spelled(most as f64))
    })
}

/// A duration in its largest unit.
fn spelled(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        ..172_800.0 => format!("{:.0} h", seconds / 3600.0),
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}
