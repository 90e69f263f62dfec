//! The rows of a query as a table for people, which fits their terminal.

use comfy_table::{CellAlignment, ContentArrangement, Row, Table, presets};

use crate::untrusted;

/// The most rows in a table for people.
const MAX_ROWS: u64 = 10_000;

/// What a column takes at least, with its border and padding.
const LEAST_WIDTH: usize = 9;

/// The name in place of columns that do not fit.
const OMITTED: &str = "…";

/// A table for people.
pub struct TextTable {
    table: Table,
    /// Where columns are omitted, and how many.
    omitted: std::ops::Range<usize>,
    rows: u64,
    is_fitted: bool,
}

impl TextTable {
    /// A table of columns with these names and DuckDB types, at most `width` wide: long values are cut, and if there are too
    /// many columns, those in the middle are omitted.
    pub fn new(names: &[String], types: &[String], width: Option<u16>) -> Self {
        let most = width.map_or(usize::MAX, |width| (usize::from(width) / LEAST_WIDTH).max(2));
        let omitted = match names.len() {
            fitting if fitting <= most => 0..0,
            // One place is for the sign of the omission.
            many => most / 2..many - (most - 1 - most / 2),
        };
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        if let Some(width) = width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        let mut whole = Self { table, omitted, rows: 0, is_fitted: width.is_some() };
        let head = whole.row(names.iter().map(String::as_str));
        whole.table.set_header(head);
        for (place, right) in whole.kept(types.iter().map(|name| is_number(name)), false).into_iter().enumerate() {
            if let Some(column) = whole.table.column_mut(place).filter(|_| right) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        whole
    }

    pub fn add(&mut self, values: &[Option<&str>]) {
        self.rows += 1;
        if self.rows <= MAX_ROWS {
            let row = self.row(values.iter().map(|value| value.unwrap_or("NULL")));
            self.table.add_row(row);
        }
    }

    /// The table, with the number of its rows, of `total` if it has only the first.
    pub fn finish(self, total: Option<u64>) -> String {
        let Self { table, omitted, rows, .. } = self;
        let mut words = match total {
            Some(total) if total > rows => format!("{rows} of {total} rows"),
            _ => format!("{rows} row{}", if rows == 1 { "" } else { "s" }),
        };
        if rows > MAX_ROWS {
            words += &format!(", the first {MAX_ROWS} shown");
        }
        if !omitted.is_empty() {
            words += &format!(", {} columns not shown", omitted.len());
        }
        format!("{table}\n{words}")
    }

    fn row<'a>(&self, cells: impl Iterator<Item = &'a str>) -> Row {
        let mut row = Row::from(self.kept(cells.map(|text| untrusted::line(text).into_owned()), OMITTED.to_owned()));
        if self.is_fitted {
            row.max_height(1);
        }
        row
    }

    /// The cells that are shown, with `sign` in place of the others.
    fn kept<T>(&self, cells: impl Iterator<Item = T>, sign: T) -> Vec<T> {
        let mut kept: Vec<T> = cells.collect();
        if !self.omitted.is_empty() {
            kept.splice(self.omitted.clone(), [sign]);
        }
        kept
    }
}

/// Whether values of a DuckDB type are numbers, which are aligned to the right.
fn is_number(name: &str) -> bool {
    let is_decimal = name.starts_with("DECIMAL(") && name.ends_with(')');
    is_decimal
        || matches!(
            name.trim_start_matches('U'),
            "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "HUGEINT" | "FLOAT" | "DOUBLE" | "BIGNUM"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: usize, value: &str, width: Option<u16>) -> String {
        let names: Vec<String> = (0..columns).map(|number| format!("c{number}")).collect();
        let mut table = TextTable::new(&names, &vec!["VARCHAR".to_owned(); columns], width);
        table.add(&vec![Some(value); columns]);
        table.finish(None)
    }

    #[test]
    fn a_table_is_no_wider_than_its_terminal() {
        for (columns, value) in [(2, "x".repeat(500)), (200, "word".to_owned()), (9, "日本語のとても長い文".repeat(9))]
        {
            for width in [40, 80, 120] {
                let text = table(columns, &value, Some(width));
                let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
                assert!(widest <= usize::from(width), "{widest} of {width}\n{text}");
                assert_eq!(text.lines().count(), 6, "{text}");
            }
        }
        let many = table(200, "word", Some(80));
        assert!(many.contains("c0 ") && many.contains("c199") && many.contains("columns not shown"), "{many}");
    }

    #[test]
    fn without_a_terminal_nothing_is_cut() {
        let text = table(60, &"x".repeat(300), None);
        assert!(text.contains(&"x".repeat(300)) && text.contains("c59") && !text.contains("not shown"));
    }

    #[test]
    fn the_number_of_all_rows_is_said() {
        let mut some = TextTable::new(&["a".to_owned()], &["INTEGER".to_owned()], None);
        some.add(&[Some("1")]);
        assert!(some.finish(Some(7)).ends_with("1 of 7 rows"));
    }
}
