//! The SQL of a pipeline's author inside a statement, for errors that show where it is wrong.

use osiris_sdk::sql::excerpt;

use crate::Selection;

/// SQL that the pipeline's author wrote, and where it begins in the statement that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authored<'a> {
    pub text: &'a str,
    /// In bytes.
    pub start: usize,
}

impl Selection {
    /// The author's SQL in a statement that contains it: the `query`, or the `filter`.
    pub fn authored(&self, statement: &str) -> Option<Authored<'_>> {
        if let Some(text) = self.query() {
            return Some(Authored { text, start: statement.find(text)? });
        }
        let text = self.filter.as_deref()?;
        // Between parentheses on lines of their own.
        let start = statement.find(&format!("(\n{text}\n)"))? + 2;
        Some(Authored { text, start })
    }
}

impl Authored<'_> {
    /// The author's line around a position in the statement, in bytes, and a mark below it. A statement that goes wrong
    /// beyond the author's SQL goes wrong at its end. `None` for a position before it.
    pub fn excerpt(&self, position: usize) -> Option<String> {
        excerpt(self.text, position.checked_sub(self.start)?.min(self.text.trim_end().len()))
    }

    /// As [`excerpt`](Self::excerpt), around the only place where the SQL has this name.
    pub fn excerpt_of_name(&self, name: &str) -> Option<String> {
        let is_part = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
        let is_whole = |(place, _): &(usize, &str)| {
            let (before, after) = (&self.text[..*place], &self.text[place + name.len()..]);
            !is_part(before.chars().next_back()) && !is_part(after.chars().next())
        };
        let mut places = self.text.match_indices(name).filter(is_whole).map(|(place, _)| place);
        let place = places.next().filter(|_| !name.is_empty())?;
        if places.next().is_some() { None } else { excerpt(self.text, place) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_authors_sql_is_shown() {
        let filter =
            Selection { table: Some("t".to_owned()), filter: Some("a >\n\n".to_owned()), ..Selection::default() };
        let statement = "select * from t where (\na >\n\n\n) limit 3";
        let authored = filter.authored(statement).unwrap();
        assert_eq!(&statement[authored.start..authored.start + 3], "a >");
        assert_eq!(authored.excerpt(3), None);
        assert_eq!(authored.excerpt(authored.start + 2).as_deref(), Some("LINE 1: a >\n          ^"));
        // At the parenthesis that follows.
        assert_eq!(authored.excerpt(statement.len() - 9).as_deref(), Some("LINE 1: a >\n           ^"));
        let query = Selection { query: Some("select x,\n x1 from t;".to_owned()), ..Selection::default() };
        let authored = query.authored("select 1 from (\nselect x,\n x1 from t\n) as s").unwrap();
        assert_eq!(authored.excerpt_of_name("x1").as_deref(), Some("LINE 2:  x1 from t\n         ^"));
        assert_eq!((authored.excerpt_of_name("y"), authored.excerpt_of_name("")), (None, None));
        assert_eq!(authored.excerpt_of_name("x").as_deref(), Some("LINE 1: select x,\n               ^"));
    }
}
