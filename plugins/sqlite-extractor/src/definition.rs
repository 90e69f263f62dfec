//! The columns of a table, from the CREATE TABLE statement that the file has of it.

use crate::tokens::{Token, tokens};
use crate::tree::Storage;

/// A column of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub name: String,
    /// The type as it was declared, or nothing.
    pub declared: String,
    /// Its place in a row as it is stored; `None` for one that is computed when it is read.
    pub place: Option<usize>,
    /// Whether it is another name of the row's number.
    pub is_rowid: bool,
    /// The value that rows have which are older than the column.
    pub default: Default,
}

/// The default of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Default {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
    /// An expression, which no row can lack.
    Computed,
}

/// A table as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    pub columns: Vec<Column>,
    pub storage: Storage,
}

/// Words that end the type of a column.
const CONSTRAINTS: [&str; 12] = [
    "constraint",
    "primary",
    "not",
    "null",
    "unique",
    "check",
    "default",
    "collate",
    "references",
    "generated",
    "as",
    "on",
];

/// Parses a statement; `None` if it does not create a table with columns.
pub fn parse(sql: &str) -> Option<Definition> {
    let tokens = tokens(sql);
    if !tokens.first()?.is("create") || !tokens[..tokens.len().min(4)].iter().any(|token| token.is("table")) {
        return None;
    }
    let open = tokens.iter().position(|token| token.is_sign('('))?;
    let (items, after) = items(&tokens[open + 1..])?;
    let is_keyed = after.windows(2).any(|words| words[0].is("without") && words[1].is("rowid"));
    let storage = if is_keyed { Storage::Key } else { Storage::Rowid };
    let (mut columns, mut key, mut is_alias) = (Vec::new(), Vec::new(), false);
    for item in items {
        if is_table_constraint(item) {
            if let Some(found) = key_of_table(item) {
                // `PRIMARY KEY (id DESC)` names the row's number as well.
                (key, is_alias) = (found, true);
            }
            continue;
        }
        let (column, is_key, is_descending) = column(item)?;
        if is_key {
            (key, is_alias) = (vec![column.name.clone()], !is_descending);
        }
        columns.push(column);
    }
    if let (Storage::Rowid, true, [only]) = (storage, is_alias, &key[..])
        && let Some(column) = columns.iter_mut().find(|column| column.name.eq_ignore_ascii_case(only))
    {
        column.is_rowid = column.declared.eq_ignore_ascii_case("integer");
    }
    set_places(&mut columns, storage, &key)?;
    (!columns.is_empty()).then_some(Definition { columns, storage })
}

/// Where each column is stored: in order, but the columns of the key first in a table without row numbers.
fn set_places(columns: &mut [Column], storage: Storage, key: &[String]) -> Option<()> {
    let mut next = 0;
    let mut first = Vec::new();
    if storage == Storage::Key {
        for name in key {
            let place = columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))?;
            if !first.contains(&place) {
                columns[place].place = Some(next);
                first.push(place);
                next += 1;
            }
        }
    }
    for (place, column) in columns.iter_mut().enumerate() {
        if !first.contains(&place) && column.place.is_some() {
            column.place = Some(next);
            next += 1;
        }
    }
    Some(())
}

/// The parts between commas up to the closing parenthesis, and what follows it.
fn items(tokens: &[Token]) -> Option<(Vec<&[Token]>, &[Token])> {
    let (mut items, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') if depth == 0 => {
                items.push(&tokens[start..at]);
                return Some((items, &tokens[at + 1..]));
            }
            Token::Sign(')') => depth -= 1,
            Token::Sign(',') if depth == 0 => {
                items.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    None
}

fn is_table_constraint(item: &[Token]) -> bool {
    let starts = |word: &str| item.first().is_some_and(|token| token.is(word));
    let then = |word: &str| item.get(1).is_some_and(|token| token.is(word));
    let opens = || item.get(1).is_some_and(|token| token.is_sign('('));
    starts("constraint")
        || (starts("primary") && then("key"))
        || (starts("foreign") && then("key"))
        || (starts("unique") && opens())
        || (starts("check") && opens())
}

/// The columns of a PRIMARY KEY among the constraints of a table, which need no commas between them.
fn key_of_table(item: &[Token]) -> Option<Vec<String>> {
    let at = item.windows(3).position(|words| words[0].is("primary") && words[1].is("key") && words[2].is_sign('('))?;
    let (parts, _) = items(&item[at + 3..])?;
    parts.iter().map(|part| part.first().and_then(Token::name).map(str::to_owned)).collect()
}

/// A column, whether it is the primary key, and whether that is in descending order.
fn column(item: &[Token]) -> Option<(Column, bool, bool)> {
    let (first, rest) = item.split_first()?;
    let name = first.name()?.to_owned();
    let is_constraint = |token: &Token| CONSTRAINTS.iter().any(|word| token.is(word));
    let end = rest.iter().position(is_constraint).unwrap_or(rest.len());
    let (words, constraints) = rest.split_at(end);
    let mut declared = String::new();
    for word in words {
        match word {
            Token::Sign(sign) => declared.push(*sign),
            Token::Number(text) => declared.push_str(text),
            Token::Blob(_) => return None,
            Token::Word(text) | Token::Name(text) | Token::Text(text) => {
                if !declared.is_empty() && !declared.ends_with(['(', ',', '-', '+']) {
                    declared.push(' ');
                }
                declared.push_str(text);
            }
        }
    }
    // `GENERATED ALWAYS` is a part of the type to SQLite where `AS` follows; `AS (…)` without STORED is computed.
    let after = |word: &str| outside_parentheses(constraints).position(|token| token.is(word));
    let is_virtual = after("as").is_some() && after("stored").is_none();
    let key = outside_parentheses(constraints).skip_while(|token| !token.is("primary")).take(3).collect::<Vec<_>>();
    let is_key = key.len() > 1 && key[1].is("key");
    let is_descending = key.get(2).is_some_and(|token| token.is("desc"));
    let column =
        Column { name, declared, place: (!is_virtual).then_some(0), is_rowid: false, default: default(constraints) };
    Some((column, is_key, is_descending))
}

fn outside_parentheses(tokens: &[Token]) -> impl Iterator<Item = &Token> {
    let mut depth = 0_usize;
    tokens.iter().filter(move |token| {
        let was_inside = depth > 0;
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        !was_inside && depth == 0
    })
}

/// The value of a column's DEFAULT.
fn default(constraints: &[Token]) -> Default {
    let mut depth = 0_usize;
    let at = constraints.iter().position(|token| {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && token.is("default")
    });
    let Some(at) = at else { return Default::Null };
    let (sign, value) = match &constraints[at + 1..] {
        [Token::Sign('-'), value, ..] => ("-", value),
        [Token::Sign('+'), value, ..] => ("", value),
        [value, ..] => ("", value),
        [] => return Default::Computed,
    };
    match value {
        Token::Number(number) => number_of(sign, number),
        Token::Text(text) | Token::Name(text) if sign.is_empty() => Default::Text(text.clone()),
        Token::Blob(digits) if sign.is_empty() => bytes_of(digits),
        word if word.is("null") => Default::Null,
        word if word.is("true") => Default::Integer(1),
        word if word.is("false") => Default::Integer(0),
        _ => Default::Computed,
    }
}

fn number_of(sign: &str, number: &str) -> Default {
    let digits = number.replace('_', "");
    if let Some(hexadecimal) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        let value = u64::from_str_radix(hexadecimal, 16).ok().filter(|_| sign.is_empty());
        return value.map_or(Default::Computed, |value| Default::Integer(value as i64));
    }
    let text = format!("{sign}{digits}");
    match (text.parse(), text.parse()) {
        (Ok(integer), _) => Default::Integer(integer),
        (_, Ok(real)) => Default::Real(real),
        _ => Default::Computed,
    }
}

fn bytes_of(digits: &str) -> Default {
    let pair = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(pair).collect();
    bytes.map_or(Default::Computed, Default::Blob)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shown(sql: &str) -> Vec<String> {
        let definition = parse(sql).unwrap();
        let column = |column: &Column| {
            let place = column.place.map_or("-".to_owned(), |place| place.to_string());
            format!("{}:{}:{place}{}", column.name, column.declared, if column.is_rowid { ":rowid" } else { "" })
        };
        definition.columns.iter().map(column).collect()
    }

    #[test]
    fn columns_have_their_types_and_places() {
        for (sql, expected) in [
            (
                "CREATE TABLE t(a, b INTEGER PRIMARY KEY, c VARCHAR(10, 2) NOT NULL)",
                "a::0 b:INTEGER:1:rowid c:VARCHAR(10,2):2",
            ),
            ("CREATE TABLE t(a INTEGER PRIMARY KEY DESC, b)", "a:INTEGER:0 b::1"),
            ("CREATE TABLE t(a INT PRIMARY KEY)", "a:INT:0"),
            ("CREATE TABLE t(a INTEGER, b, PRIMARY KEY(a DESC))", "a:INTEGER:0:rowid b::1"),
            (
                "create table \"t(\"(\"a, b\" double precision default (1, 2), [c d] text check (c in ('x,)', 1)))",
                "a, b:double precision:0 c d:text:1",
            ),
            ("CREATE TABLE t(a, b, c, PRIMARY KEY(c, a) UNIQUE(b)) WITHOUT ROWID, STRICT", "a::1 b::2 c::0"),
            ("CREATE TABLE t(a TEXT PRIMARY KEY, b) WITHOUT ROWID", "a:TEXT:0 b::1"),
            ("CREATE TABLE t(a, b AS (a + 1), c INT GENERATED ALWAYS AS (a) STORED, d)", "a::0 b::- c:INT:1 d::2"),
            ("CREATE TABLE t(a, CONSTRAINT k FOREIGN KEY (a) REFERENCES u(b) ON DELETE CASCADE)", "a::0"),
        ] {
            assert_eq!(shown(sql).join(" "), expected, "{sql}");
        }
        for sql in [
            "",
            "CREATE VIEW v AS SELECT 1",
            "CREATE TABLE t",
            "CREATE TABLE t(",
            "CREATE TABLE t()",
            "CREATE TABLE t(a, PRIMARY KEY(b)) WITHOUT ROWID",
        ] {
            assert_eq!(parse(sql), None, "{sql}");
        }
    }

    #[test]
    fn a_default_is_a_literal_or_computed() {
        for (default_, expected) in [
            ("", Default::Null),
            ("default 5", Default::Integer(5)),
            ("default -1.5e3", Default::Real(-1500.0)),
            ("default 'it''s'", Default::Text("it's".to_owned())),
            ("default x'0Aff'", Default::Blob(vec![10, 255])),
            ("not null default true", Default::Integer(1)),
            ("default 0xff", Default::Integer(255)),
            ("default null check (a = 'default')", Default::Null),
            ("default (random())", Default::Computed),
            ("default current_timestamp", Default::Computed),
        ] {
            let definition = parse(&format!("create table t(a integer {default_})")).unwrap();
            assert_eq!(definition.columns[0].default, expected, "{default_}");
        }
    }
}
