//! Checks that move rows away: into a table of the step's output, with the reasons.

use super::{Condition, Quality, Table, count, free_name, is_about_statement, quoted, row_of};
use crate::engine::{EngineError, quote_text};
use crate::error::{Blame, Failure};
use crate::pipeline::expect::outcome::reason;
use crate::pipeline::expect::rejected_of;

impl Quality<'_> {
    /// Moves the rows of a table that offend against the checks at `places` into its table of rejected rows, which exists
    /// afterwards even if there are none. The rest is what the table's readers, or the writer's driver, see.
    pub(super) fn reject(&mut self, table: usize, places: &[usize]) -> Result<(), Failure> {
        let conditions = self.conditions(table, places);
        let has_rowid = self.tables[table].columns.iter().any(|(column, _)| column.eq_ignore_ascii_case("rowid"));
        if has_rowid {
            let name = &self.tables[table].name;
            let problem =
                format!("table `{name}` has a column `rowid`, so that its rows cannot be rejected; rename it");
            places.iter().for_each(|place| self.misfit(*place, problem.clone()));
            return Ok(());
        }
        let found = format!("memory.main.osiris_rejected_{table}");
        let conditions = self.find(table, &found, conditions)?;
        let rows = self.number(&format!("SELECT CAST(count(*) AS VARCHAR) FROM {found}"))?;
        for condition in &conditions {
            self.show_rows(table, condition);
        }
        self.by_checks += rows;
        if self.is_beyond_bound() {
            // The step fails, so that nothing of its output is needed.
            return Ok(());
        }
        self.move_rows(table, &found, &conditions)?;
        if !self.job.kind.makes_tables() {
            // From here on, its checks see what its driver sees.
            self.tables[table].from = quoted(&self.tables[table].name);
        }
        self.tables[table].rows -= rows.min(self.tables[table].rows);
        Ok(())
    }

    /// Finds the offending rows and counts those of each check. Checks that cannot be computed are left out.
    fn find<'c>(
        &mut self,
        table: usize,
        found: &str,
        mut conditions: Vec<Condition<'c>>,
    ) -> Result<Vec<Condition<'c>>, Failure> {
        if let Err(error) = self.collect(table, found, &conditions) {
            if !is_about_statement(&error) {
                return Err(self.unusable(error));
            }
            // One of them cannot be computed for some row: which one, they show one by one.
            let mut left = Vec::new();
            for condition in conditions {
                let alone = vec![condition];
                match self.collect(table, found, &alone) {
                    Ok(()) => left.extend(alone),
                    Err(error) if is_about_statement(&error) => self.misfit(alone[0].place, error.message),
                    Err(error) => return Err(self.unusable(error)),
                }
            }
            self.collect(table, found, &left).map_err(|error| self.unusable(error))?;
            conditions = left;
        }
        let counts: Vec<String> =
            conditions.iter().map(|one| format!("CAST(count_if(osiris_{}) AS VARCHAR)", one.place)).collect();
        if counts.is_empty() {
            return Ok(conditions);
        }
        let select = format!("SELECT {} FROM {found}", counts.join(", "));
        let row = self.engine.texts(&select, 1).map_err(|error| self.unusable(error))?.pop().unwrap_or_default();
        for (column, condition) in conditions.iter().enumerate() {
            let outcome = &mut self.outcomes[condition.place];
            (outcome.rows, outcome.of) = (count(&row, column), self.tables[table].rows);
            outcome.passed = outcome.rows == 0;
        }
        Ok(conditions)
    }

    /// Makes the table of offending rows: the place of each, and against which checks it offends.
    fn collect(&self, table: usize, found: &str, conditions: &[Condition<'_>]) -> Result<(), EngineError> {
        let from = &self.tables[table].from;
        let columns: String =
            conditions.iter().map(|one| format!(", {} AS osiris_{}", one.offends, one.place)).collect();
        let any: Vec<String> = conditions.iter().map(|one| format!("osiris_{}", one.place)).collect();
        let any = if any.is_empty() { "false".to_owned() } else { any.join(" OR ") };
        let rows = format!("SELECT * FROM (SELECT rowid AS osiris_place{columns} FROM {from}) WHERE {any}");
        self.engine.run_own(&format!("CREATE OR REPLACE TABLE {found} AS {rows}")).map(|_| ())
    }

    fn move_rows(&self, table: usize, found: &str, conditions: &[Condition<'_>]) -> Result<(), Failure> {
        let checked = &self.tables[table];
        let target = rejected_of(&checked.name);
        if self.tables.iter().any(|other| other.name.eq_ignore_ascii_case(&target)) {
            return Err(Failure::new(
                Blame::User,
                "config",
                format!(
                    "the step makes a table `{target}` itself, which is where checks move rejected rows of `{}`",
                    checked.name
                ),
            )
            .hint("give that table another name, or remove `on_violation: reject`"));
        }
        let ((row, from), found_row) = (row_of(checked), free_name(checked, "osiris_found"));
        let each = |separator: &str, text: &dyn Fn(&Condition<'_>) -> String| {
            let case = |one: &Condition<'_>| {
                format!("CASE WHEN {found_row}.osiris_{} THEN {} END", one.place, quote_text(&text(one)))
            };
            match conditions.iter().map(case).collect::<Vec<_>>().as_slice() {
                [] => "''".to_owned(),
                cases => format!("concat_ws({}, {})", quote_text(separator), cases.join(", ")),
            }
        };
        let [reason_name, check_name, source_name] =
            ["reason", "check", "source"].map(|name| quoted(&free_name(checked, name)));
        let origin = quote_text(&format!("{}.{}:", self.job.step, checked.name));
        let select = format!(
            "SELECT {row}.*, {reasons} AS {reason_name}, {names} AS {check_name}, \
             {origin} || ({found_row}.osiris_place + 1) AS {source_name} \
             FROM {from} JOIN {found} AS {found_row} ON {row}.rowid = {found_row}.osiris_place \
             ORDER BY {found_row}.osiris_place",
            reasons = each("; ", &|one| reason(one.check)),
            names = each(", ", &|one| one.check.name.clone()),
        );
        let run = |statement: String| self.engine.run_own(&statement).map_err(|error| self.unusable(error));
        run(format!("CREATE TABLE {} AS {select}", self.engine.made(&target)))?;
        if self.job.kind.makes_tables() {
            run(format!("DELETE FROM {} WHERE rowid IN (SELECT osiris_place FROM {found})", checked.from))?;
            return run(format!("DROP TABLE {found}")).map(|_| ());
        }
        self.hide(table, found)
    }

    /// Hides rejected rows from a writer: each name of the input now shows the others only.
    fn hide(&self, table: usize, found: &str) -> Result<(), Failure> {
        let Table { name, from, .. } = &self.tables[table];
        let input = self.job.files.inputs.iter().find(|input| input.alias == *name);
        let names = input.into_iter().flat_map(|input| std::iter::once(&input.alias).chain(&input.also));
        let rest = format!("SELECT * FROM {from} WHERE rowid NOT IN (SELECT osiris_place FROM {found})");
        for name in names {
            self.engine.name_table(name, &rest).map_err(|error| self.unusable(error))?;
        }
        Ok(())
    }
}
