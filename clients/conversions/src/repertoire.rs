//! The characters that a whole database can hold if its encoding is not a Unicode encoding.

use std::collections::BTreeSet;

use osiris_sdk::sql::{query, quote_name};
use osiris_sdk::{Input, Result};

use crate::input::{count_rows, lost, warn};
use crate::{Check, Column, Conversion, LossPolicy, OnLoss, SourceType};

/// The non-ASCII characters in the values of these columns.
///
/// # Errors
/// DuckDB's error.
pub fn characters(input: &Input, columns: &[Column]) -> Result<BTreeSet<char>> {
    let mut found = BTreeSet::new();
    for column in columns.iter().filter(|column| holds_text(&column.source)) {
        let all = format!(
            "select distinct unnest(regexp_extract_all({}::varchar, '[^\\x{{0}}-\\x{{7f}}]')) as one from {}",
            quote_name(&column.name),
            input.sql_name()
        );
        for batch in query(&all)? {
            found.extend(batch?.column_at(0).strings()?.iter().flatten().flat_map(str::chars));
        }
    }
    Ok(found)
}

/// Checks that no value contains one of the characters that `encoding` lacks. `found` are all characters in the values.
///
/// # Errors
/// `data` for the first value that does, unless `policy` covers it.
pub fn check_characters(
    input: &Input,
    columns: &[Column],
    policy: &LossPolicy,
    encoding: &str,
    (found, lacking): (&BTreeSet<char>, &BTreeSet<char>),
    conversions: &mut [Conversion],
) -> Result<()> {
    if lacking.is_empty() {
        return Ok(());
    }
    let check = Check::new(
        format!("not regexp_matches({}::varchar, '[{}]')", crate::check::X, ranges(found, lacking)),
        format!("characters that the database's encoding {encoding} does not have"),
    );
    for (column, conversion) in columns.iter().zip(conversions).filter(|(column, _)| holds_text(&column.source)) {
        let survives = check.survives(&quote_name(&column.name));
        let count = count_rows(input, &survives)?;
        if count == 0 {
            continue;
        }
        if policy.of(&column.name) != OnLoss::Null {
            return Err(lost(input, column, &check, count)?);
        }
        warn("values became null, since the target cannot hold them", input, column, &check, count)?;
        conversion.expression = format!("case when {survives} then {} end", conversion.expression);
        conversion.changed += count;
    }
    Ok(())
}

/// Whether values of a type can contain arbitrary characters, at any depth.
fn holds_text(source: &SourceType) -> bool {
    match source {
        SourceType::List(item) | SourceType::Array(item, _) => holds_text(item),
        other => other.is_text() || other.is_nested(),
    }
}

/// The missing characters as the inside of a regular expression's class, in as few ranges as the found characters
/// permit.
fn ranges(found: &BTreeSet<char>, lacking: &BTreeSet<char>) -> String {
    let mut ranges: Vec<(char, char)> = Vec::new();
    let mut is_open = false;
    for one in found {
        let lacks = lacking.contains(one);
        match ranges.last_mut().filter(|_| is_open && lacks) {
            Some((_, last)) => *last = *one,
            None if lacks => ranges.push((*one, *one)),
            None => {}
        }
        is_open = lacks;
    }
    let range = |(first, last): &(char, char)| format!("\\x{{{:x}}}-\\x{{{:x}}}", *first as u32, *last as u32);
    ranges.iter().map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_characters_form_ranges_between_those_that_exist() {
        let set = |text: &str| text.chars().collect::<BTreeSet<char>>();
        assert_eq!(ranges(&set("aéΩЯ日本"), &set("Ω日本")), "\\x{3a9}-\\x{3a9}\\x{65e5}-\\x{672c}");
        assert_eq!(ranges(&set("日本"), &set("日本")), "\\x{65e5}-\\x{672c}");
        assert_eq!(ranges(&set("é"), &set("")), "");
    }

    #[test]
    fn texts_are_found_at_any_depth() {
        for (kind, expected) in
            [("VARCHAR", true), ("JSON", true), ("INTEGER[]", false), ("VARCHAR[][]", true), ("DOUBLE", false)]
        {
            assert_eq!(holds_text(&SourceType::parse(kind)), expected, "{kind}");
        }
    }
}
