//! The place of an error in a statement, as DuckDB's command line shows it.

/// How many characters of a statement are shown on either side of a position.
const REACH: usize = 60;

/// The line around a position in a statement, in bytes, and a mark below it; `None` for a position that is beyond the
/// statement or inside a character.
pub fn excerpt(statement: &str, position: usize) -> Option<String> {
    let (before, after) = statement.split_at_checked(position)?;
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.matches('\n').count() + 1;
    let written: Vec<char> = before[start..].chars().collect();
    let shown: String = written[written.len().saturating_sub(REACH)..].iter().collect();
    let rest: String = after.chars().take_while(|letter| *letter != '\n').take(REACH).collect();
    let head = format!("LINE {line}: {shown}").replace('\t', " ");
    Some(format!("{head}{}\n{}^", rest.trim_end(), " ".repeat(head.chars().count())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_shown_in_its_line() {
        let shown = |position| excerpt("select\n\tx from ü\nwhere", position);
        assert_eq!(shown(8).as_deref(), Some("LINE 2:  x from ü\n         ^"));
        assert_eq!(shown(23).as_deref(), Some("LINE 3: where\n             ^"));
        // Inside a character, and beyond the end.
        assert_eq!((shown(16), shown(24)), (None, None));
        let long = excerpt(&"x".repeat(1000), 500);
        assert_eq!(
            long.as_deref().and_then(|text| text.lines().next()).map(str::len),
            Some("LINE 1: ".len() + 2 * REACH)
        );
    }
}
