//! `docs/writing-types.md`: the whole table for people. The test below rewrites it if `BLESS` is set.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::{SourceType, TargetType, Verdict, sources, table};

const HEAD: &str = "# Types into databases

What becomes of a value of a DuckDB type in a column of another type, for `postgres.writer`, `mysql.writer` and
`supabase.writer`. The page is generated from the table by which these drivers decide (`clients/conversions`); a test fails where
it is out of date (`BLESS=1` writes it anew). [types.md](types.md) shows what comes back when each format reads what it wrote.

| cell | meaning |
|---|---|
| `=` | every value of the type survives |
| a number | survival depends on the value: every value is checked before the first row is sent, and the note says what would be lost. Such a value is refused by column, row and value; `on_loss: round` or `on_loss: null` allows something else |
| – | refused for every value, by column; the note with the same number gives the reason. Cast the column in SQL to choose a conversion |

A value *survives* if the target, read back, gives the same value. `decimal(10,2)`, `text of at most 3
characters` and the like are examples: other bounds behave the same. A domain counts as the type that it is over. Types of a
server that are not in this table, such as `inet`, ranges or composites, accept what the server's own text input accepts
(*another type, by its text*), and everything else is refused by column, row and value. A database whose encoding is not UTF-8 also refuses characters that it
lacks; MySQL also refuses what its server cannot store (years before 1, `-0.0`, members of a `set` out of order).
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
        "docs/writing-types.md is out of date: BLESS=1 writes it anew"
    );
}
