//! `docs/writing-types.md`: the whole table, for readers. The test below rewrites the page if `BLESS` is set.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::{SourceType, TargetType, Verdict, sources, table};

const HEAD: &str = "# Types into databases

This page shows how `postgres.writer`, `mysql.writer` and `supabase.writer` treat a value of a DuckDB type in a column of another
type. It is generated from the table that these drivers use (`clients/conversions`). A test fails if the page is out of date;
`BLESS=1` regenerates it. [types.md](types.md) shows the types that come back when each format reads what it wrote.

| cell | meaning |
|---|---|
| `=` | every value of the type is unchanged |
| a number | it depends on the value. Every value is checked before the first row is sent, and the note with this number says what would be lost. Such a value is refused, and the error shows the column, the row and the value. `on_loss: round` or `on_loss: null` writes another value instead |
| – | every value is refused, and the error shows the column. The note with this number gives the reason. Cast the column in SQL to choose a conversion |

A value is *unchanged* if reading the target gives the same value. `decimal(10,2)`, `text of at most 3
characters` and similar columns are examples: other bounds behave the same. A domain counts as the type that it is based on. Types
of a server that are not in this table, such as `inet`, ranges or composites, accept what the server's own text input accepts
(*another type, by its text*). Everything else is refused, and the error shows the column, the row and the value. Characters that a
database's encoding does not have are refused too. So is what MySQL's server cannot store (years before 1, `-0.0`, members of a
`set` out of order).
";

/// Whether a target type is shown in a table.
type IsOfFamily = fn(&TargetType) -> bool;

/// Families of target types, with one table each.
const FAMILIES: [(&str, IsOfFamily); 3] = [
    ("Numbers", |target| {
        matches!(
            target,
            TargetType::Boolean | TargetType::Integer { .. } | TargetType::Float { .. } | TargetType::Decimal { .. }
        )
    }),
    ("Dates and times", |target| {
        matches!(
            target,
            TargetType::Date { .. }
                | TargetType::Time { .. }
                | TargetType::TimeTz { .. }
                | TargetType::Timestamp { .. }
                | TargetType::Interval { .. }
        )
    }),
    ("Text, bytes and others", |_| true),
];

fn page() -> String {
    let mut page = HEAD.to_owned();
    let mut notes: BTreeMap<String, usize> = BTreeMap::new();
    let mut shown: Vec<TargetType> = Vec::new();
    for (title, belongs) in FAMILIES {
        let columns: Vec<TargetType> =
            crate::targets().into_iter().filter(|target| belongs(target) && !shown.contains(target)).collect();
        let names: Vec<String> = columns.iter().map(TargetType::words).collect();
        let _ = write!(
            page,
            "\n## {title}\n\n| from \\ to | {} |\n|---{}|\n",
            names.join(" | "),
            "|---".repeat(names.len())
        );
        for source in sources() {
            let cells: Vec<String> = columns.iter().map(|target| cell(&source, target, &mut notes)).collect();
            let _ = writeln!(page, "| `{source}` | {} |", cells.join(" | "));
        }
        shown.extend(columns);
    }
    page.push_str("\n## What would be lost\n\n");
    let mut numbered: Vec<(&String, &usize)> = notes.iter().collect();
    numbered.sort_by_key(|(_, number)| **number);
    for (note, number) in numbered {
        let _ = writeln!(page, "{number}. {note}");
    }
    page
}

fn cell(source: &SourceType, target: &TargetType, notes: &mut BTreeMap<String, usize>) -> String {
    let row = table().find(|row| row.source == *source && row.target == *target);
    let mut number = |note: String| {
        let next = notes.len() + 1;
        *notes.entry(note).or_insert(next)
    };
    match row.map(|row| row.verdict) {
        Some(Verdict::Lossless) => "=".to_owned(),
        Some(Verdict::Checked(check)) => number(check.lost()).to_string(),
        // The row and the column already show the types.
        Some(Verdict::Refused(lost)) => match lost.split_once(" have nothing in common") {
            Some(_) => format!("– {}", number("its meaning: the two types have nothing in common".to_owned())),
            None => format!("– {}", number(lost)),
        },
        None => String::new(),
    }
}

#[test]
#[allow(clippy::unwrap_used)]
fn the_page_of_written_types_matches_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/writing-types.md");
    let page = page();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap() == page,
        "docs/writing-types.md is out of date: BLESS=1 regenerates it"
    );
}
