//! Values as literals in SQL, so that no value changes a statement. No I/O.
//!
//! A literal is complete in itself, in every mode of its database: a backslash, which PostgreSQL and MySQL read as one or as an
//! escape, depending on a setting, never stands in an ordinary string. What is left to check is that the author did not write
//! the reference inside quotes or a comment, where a literal would end them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parameter::{ParamKind, Scalar};

/// The SQL that an option of a driver is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    DuckDb,
    Postgres,
    MySql,
}

/// A value of the given type as a literal; a list becomes `(…, …)`.
///
/// # Errors
/// Why it has none, as the end of a sentence about the parameter.
pub fn literal(value: &Value, kind: ParamKind, dialect: Dialect) -> Result<String, &'static str> {
    let scalar = match kind {
        ParamKind::Any => None,
        ParamKind::One(scalar) | ParamKind::List(scalar) => Some(scalar),
    };
    match value {
        Value::Array(items) if items.is_empty() => Err("is an empty list, which SQL does not have"),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| one(item, scalar, dialect)).collect::<Result<_, _>>()?;
            Ok(format!("({})", items.join(", ")))
        }
        value => one(value, scalar, dialect),
    }
}

fn one(value: &Value, scalar: Option<Scalar>, dialect: Dialect) -> Result<String, &'static str> {
    match (value, scalar) {
        (Value::String(day), Some(Scalar::Date)) => Ok(format!("DATE '{day}'")),
        (Value::String(time), Some(Scalar::Timestamp)) => Ok(format!("TIMESTAMP '{}'", time.replace('T', " "))),
        (Value::String(text), _) => text_literal(text, dialect),
        (Value::Bool(is_true), _) => Ok(if *is_true { "TRUE" } else { "FALSE" }.to_owned()),
        // Two minus signs would begin a comment.
        (Value::Number(number), _) if number.to_string().starts_with('-') => Ok(format!("({number})")),
        (Value::Number(number), _) => Ok(number.to_string()),
        (Value::Null | Value::Array(_) | Value::Object(_), _) => Err("is neither a scalar nor a list of scalars"),
    }
}

fn text_literal(text: &str, dialect: Dialect) -> Result<String, &'static str> {
    use std::fmt::Write;
    if text.contains('\0') {
        return Err("contains a zero byte, which SQL does not have");
    }
    let doubled = text.replace('\'', "''");
    Ok(match dialect {
        Dialect::Postgres if text.contains('\\') => format!("E'{}'", doubled.replace('\\', r"\\")),
        Dialect::MySql if text.contains('\\') => {
            let mut literal = "_utf8mb4 x'".to_owned();
            for byte in text.bytes() {
                let _ = write!(literal, "{byte:02x}");
            }
            literal + "'"
        }
        _ => format!("'{doubled}'"),
    })
}

/// A literal between the SQL before it and the SQL behind it: spaces keep it from becoming part of a word or string beside it.
///
/// # Errors
/// What `before` leaves open at its end: a string, a quoted name or a comment.
pub fn between(before: &str, literal: &str, after: &str, dialect: Dialect) -> Result<String, &'static str> {
    let readings: &[bool] = match dialect {
        Dialect::DuckDb => &[false],
        // A setting of the server decides what a backslash in a string is.
        Dialect::Postgres | Dialect::MySql => &[false, true],
    };
    for escapes in readings {
        if let Some(open) = open_at_end(before.as_bytes(), dialect, *escapes) {
            return Err(open);
        }
    }
    let touches =
        |c: char| c.is_alphanumeric() || !c.is_ascii() || matches!(c, '_' | '\'' | '"' | '`' | '$' | '@' | '&');
    let space = |c: Option<char>| if c.is_some_and(touches) { " " } else { "" };
    Ok(format!("{}{literal}{}", space(before.chars().next_back()), space(after.chars().next())))
}

/// What is still open at the end of a piece of SQL. With `escapes`, a backslash in an ordinary string hides the next character.
fn open_at_end(sql: &[u8], dialect: Dialect, escapes: bool) -> Option<&'static str> {
    let is_mysql = dialect == Dialect::MySql;
    let at = |place: usize| sql.get(place).copied().unwrap_or_default();
    let mut place = 0;
    while place < sql.len() {
        let (found, what) = match (at(place), at(place + 1)) {
            (b'\'', _) => {
                let escapes = escapes || (!is_mysql && is_escape_string(sql, place));
                (end_of_quoted(sql, place, escapes), "a string in quotes")
            }
            (b'"', _) => (end_of_quoted(sql, place, escapes && is_mysql), "double quotes"),
            (b'`', _) if is_mysql => (end_of_quoted(sql, place, false), "backticks"),
            (b'#', _) if is_mysql => (find(sql, place, b"\n"), "a comment"),
            (b'-', b'-') if !is_mysql || at(place + 2) <= b' ' => (end_of_line(sql, place, is_mysql), "a comment"),
            // MySQL executes such comments.
            (b'/', b'*') if is_mysql && matches!(at(place + 2), b'!' | b'M') => (None, "a text behind a comment `/*!`"),
            (b'/', b'*') => (end_of_comment(sql, place, !is_mysql), "a comment"),
            (b'$', _) if !is_mysql && !is_word(sql, place) => match dollar_tag(sql, place) {
                Some(tag) => (find(sql, place + tag.len(), tag), "a string in dollars"),
                None => (Some(place + 1), ""),
            },
            _ => (Some(place + 1), ""),
        };
        match found {
            Some(end) => place = end,
            None => return Some(what),
        }
    }
    None
}

/// Whether the byte before `place` belongs to a word.
fn is_word(sql: &[u8], place: usize) -> bool {
    place.checked_sub(1).is_some_and(|before| {
        let byte = sql[before];
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
    })
}

/// Whether the quote at `place` begins a string like `E'…'`.
fn is_escape_string(sql: &[u8], place: usize) -> bool {
    place.checked_sub(1).is_some_and(|before| matches!(sql[before], b'e' | b'E') && !is_word(sql, before))
}

/// The place behind the quoted text that begins at `place`; a doubled quote does not end it.
fn end_of_quoted(sql: &[u8], place: usize, escapes: bool) -> Option<usize> {
    let quote = sql[place];
    let mut place = place + 1;
    while place < sql.len() {
        match sql[place] {
            b'\\' if escapes => place += 2,
            byte if byte == quote && sql.get(place + 1) == Some(&quote) => place += 2,
            byte if byte == quote => return Some(place + 1),
            _ => place += 1,
        }
    }
    None
}

/// The place behind the next `end` at or after `place`.
fn find(sql: &[u8], place: usize, end: &[u8]) -> Option<usize> {
    let rest = sql.get(place..)?;
    rest.windows(end.len()).position(|window| window == end).map(|found| place + found + end.len())
}

/// The place behind the line of `place`, which in PostgreSQL and DuckDB a carriage return ends, too.
fn end_of_line(sql: &[u8], place: usize, is_mysql: bool) -> Option<usize> {
    let ends = |byte: &u8| *byte == b'\n' || (*byte == b'\r' && !is_mysql);
    sql[place..].iter().position(ends).map(|found| place + found + 1)
}

/// The place behind the comment that begins at `place`.
fn end_of_comment(sql: &[u8], place: usize, nests: bool) -> Option<usize> {
    let (mut place, mut depth) = (place + 2, 1);
    while place < sql.len() {
        match &sql[place..] {
            [b'*', b'/', ..] => {
                (place, depth) = (place + 2, depth - 1);
                if depth == 0 {
                    return Some(place);
                }
            }
            [b'/', b'*', ..] if nests => (place, depth) = (place + 2, depth + 1),
            _ => place += 1,
        }
    }
    None
}

/// The tag, such as `$$` or `$body$`, that begins at `place`.
fn dollar_tag(sql: &[u8], place: usize) -> Option<&[u8]> {
    let end = place + 1 + sql[place + 1..].iter().position(|byte| *byte == b'$')?;
    let name = &sql[place + 1..end];
    let is_name = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii());
    (is_name && !name.first().is_some_and(u8::is_ascii_digit)).then(|| &sql[place..=end])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use Dialect::{DuckDb, MySql, Postgres};
    use serde_json::json;

    #[test]
    fn a_value_is_one_literal_of_its_type() {
        let (any, date) = (ParamKind::Any, ParamKind::One(Scalar::Date));
        for (value, kind, dialect, expected) in [
            (json!("it's"), any, DuckDb, "'it''s'"),
            (json!(r"\' or 1=1 -- "), any, DuckDb, r"'\'' or 1=1 -- '"),
            (json!(r"\' or 1=1 -- "), any, Postgres, r"E'\\'' or 1=1 -- '"),
            (json!(r"\'"), any, MySql, "_utf8mb4 x'5c27'"),
            (json!("it's ü"), any, MySql, "'it''s ü'"),
            (json!(5), any, DuckDb, "5"),
            (json!(-5), any, DuckDb, "(-5)"),
            (json!(-0.5), any, DuckDb, "(-0.5)"),
            (json!(true), any, MySql, "TRUE"),
            (json!("2024-01-31"), date, MySql, "DATE '2024-01-31'"),
            (
                json!("2024-01-31T10:00:00.5"),
                ParamKind::One(Scalar::Timestamp),
                Postgres,
                "TIMESTAMP '2024-01-31 10:00:00.5'",
            ),
            (
                json!(["2024-01-31", "2024-02-01"]),
                ParamKind::List(Scalar::Date),
                DuckDb,
                "(DATE '2024-01-31', DATE '2024-02-01')",
            ),
            (json!(["a'", "b"]), ParamKind::List(Scalar::String), DuckDb, "('a''', 'b')"),
        ] {
            assert_eq!(literal(&value, kind, dialect).unwrap(), expected, "{value}");
        }
        for value in [json!([]), json!("a\0b"), json!({"a": 1}), json!([[1]])] {
            assert!(literal(&value, any, DuckDb).is_err(), "{value}");
        }
    }

    #[test]
    fn a_literal_stands_only_where_sql_expects_one() {
        for (before, dialect, is_open) in [
            ("where a = ", DuckDb, false),
            ("where a = '", DuckDb, true),
            ("where a = 'it''s' and b = ", DuckDb, false),
            ("where a = '\\' and b = ", DuckDb, false),
            ("where a = '\\' and b = ", Postgres, true),
            ("where a = '\\' and b = ", MySql, true),
            (r"where a = '\\' and b = ", MySql, false),
            (r"where a = E'\' and b = ", DuckDb, true),
            (r"where a = e'\' and b = ", Postgres, true),
            (r"where a = e'\'' and b = ", Postgres, false),
            (r"where type'\' = ", DuckDb, false),
            ("where \"a", DuckDb, true),
            ("where \"a\"\"b\" = ", DuckDb, false),
            ("where `a", MySql, true),
            ("where `a'` = ", MySql, false),
            ("-- ", DuckDb, true),
            ("-- it's\n", DuckDb, false),
            ("-- it's\r", DuckDb, false),
            ("-- x\r", MySql, true),
            ("5--", DuckDb, true),
            ("5--1 = ", MySql, false),
            ("# ", MySql, true),
            ("#> ", Postgres, false),
            ("/* a /* b */ ", Postgres, true),
            ("/* a /* b */ ", MySql, false),
            ("/*! select */ ", MySql, true),
            ("$$", DuckDb, true),
            ("$$ it's $$ = ", DuckDb, false),
            ("$a$ $$ ", Postgres, true),
            ("$1 = ", Postgres, false),
            ("a$b$ = ", Postgres, false),
        ] {
            assert_eq!(between(before, "1", "", dialect).is_err(), is_open, "{before:?} in {dialect:?}");
        }
    }

    #[test]
    fn a_literal_does_not_join_what_stands_beside_it() {
        for (before, after, expected) in [
            ("a = ", "", "'x'"),
            ("(", ")", "'x'"),
            ("E", "and", " 'x' "),
            ("'a'", "'b'", " 'x' "),
            ("ü", "_", " 'x' "),
        ] {
            assert_eq!(between(before, "'x'", after, Postgres).unwrap(), expected);
        }
    }
}
