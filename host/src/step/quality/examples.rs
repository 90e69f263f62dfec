//! Values of offending rows, which a person needs to find them. They are redacted before they are cut.

use super::{Condition, Quality, quoted, row_of, sql};
use crate::pipeline::expect::Rule;
use crate::untrusted::Untrusted;

/// How many characters of an example are shown.
const MAX_EXAMPLE: usize = 200;

/// How many offending rows are looked at for values that differ.
const LOOKED_AT: u32 = 1000;

impl Quality<'_> {
    /// Shows values of the rows that a condition found.
    pub(super) fn show_rows(&mut self, table: usize, condition: &Condition<'_>) {
        let Condition { place, check, offends } = condition;
        if self.outcomes[*place].rows == 0 || check.examples == 0 {
            return;
        }
        let checked = &self.tables[table];
        let select = match &check.rule {
            Rule::NotNull { .. } | Rule::Sql { .. } => {
                let (row, from) = row_of(checked);
                format!(
                    "SELECT CAST(to_json({row}) AS VARCHAR) FROM (FROM {from} WHERE {offends} LIMIT {}) AS {row}",
                    check.examples
                )
            }
            rule => {
                let names =
                    rule.columns().into_iter().map(|name| sql::column(checked, name).map(|(name, _)| quoted(name)));
                let Ok(names) = names.collect::<Result<Vec<_>, _>>() else { return };
                format!(
                    "SELECT v FROM (SELECT DISTINCT v FROM (SELECT {} AS v FROM {} WHERE {offends} LIMIT {LOOKED_AT})) \
                     ORDER BY v LIMIT {}",
                    listed(&names),
                    checked.from,
                    check.examples
                )
            }
        };
        self.show(*place, &select);
    }

    /// Shows keys that several rows have.
    pub(super) fn show_twins(&mut self, table: usize, place: usize, names: &[String], present: &str) {
        let (from, most) = (&self.tables[table].from, self.job.expect.checks[place].examples);
        let select = format!(
            "SELECT {} AS v FROM {from} WHERE {present} GROUP BY {} HAVING count(*) > 1 ORDER BY count(*) DESC, v LIMIT {most}",
            listed(names),
            names.join(", ")
        );
        self.show(place, &select);
    }

    /// Shows rows that the author's SELECT returned.
    pub(super) fn show_selected(&mut self, place: usize, select: &str) {
        let most = self.job.expect.checks[place].examples;
        let select = format!(
            "SELECT CAST(to_json(osiris_row) AS VARCHAR) FROM (SELECT * FROM ({select}\n) LIMIT {most}) AS osiris_row"
        );
        self.show(place, &select);
    }

    /// Without examples if there are none to be had: the check's result does not depend on them.
    fn show(&mut self, place: usize, select: &str) {
        let most = self.job.expect.checks[place].examples as usize;
        if most == 0 {
            return;
        }
        let rows = self.engine.texts(select, most).unwrap_or_default();
        let shown = rows.into_iter().filter_map(|mut row| row.swap_remove(0));
        self.outcomes[place].examples = shown.map(|text| excerpt(&self.reporter.told(text))).collect();
    }
}

fn excerpt(text: &Untrusted) -> Untrusted {
    match text.raw().char_indices().nth(MAX_EXAMPLE) {
        Some((end, _)) => format!("{}…", &text.raw()[..end]).into(),
        None => text.clone(),
    }
}

/// The values of some columns as one text.
fn listed(names: &[String]) -> String {
    let texts: Vec<String> = names.iter().map(|name| format!("CAST({name} AS VARCHAR)")).collect();
    match texts.as_slice() {
        [text] => text.clone(),
        _ => format!("concat_ws(', ', {})", texts.join(", ")),
    }
}
