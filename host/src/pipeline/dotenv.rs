//! The file `.env`: variables for `${NAME}`, one per line. No I/O.
//!
//! ```text
//! # a comment
//! NAME=value                    the text up to ` #`, without the spaces around it
//! export NAME=value             the same
//! NAME='it is $5 # as written'  nothing in it has a meaning; it may span lines
//! NAME="line\nline"             `\n`, `\r`, `\t`, `\"` and `\\`; it may span lines
//! ```

use std::collections::BTreeMap;

use crate::error::Report;

/// The file's name in the base folder.
pub const FILE: &str = ".env";

/// Parses the file; `file` names it in errors, which never contain a value.
///
/// # Errors
/// A [`Report`] with the line that is malformed, or the two that set one variable.
pub fn parse(text: &str, file: &str) -> Result<BTreeMap<String, String>, Report> {
    let mut variables: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let line_of = |rest: &str| 1 + text[..text.len() - rest.len()].matches('\n').count();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(variables.into_iter().map(|(name, (_, value))| (name, value)).collect());
        }
        if rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        let line = line_of(rest);
        let wrong = |what: &str| {
            Report::input(format!("line {line} of `{file}` {what}"))
                .hint("write `NAME=value`, `NAME='value'` or `NAME=\"value\"`; a comment begins with `#`")
        };
        let first = rest.lines().next().unwrap_or_default();
        let (name, _) = first.split_once('=').ok_or_else(|| wrong("has no `=`"))?;
        let after = &rest[name.len() + 1..];
        let name = name.trim();
        let name = name.strip_prefix("export").filter(|name| name.starts_with([' ', '\t'])).unwrap_or(name).trim();
        if !is_name(name) {
            return Err(wrong("does not begin with the name of a variable: letters, digits and `_`"));
        }
        let (value, left) = value(after.trim_start_matches([' ', '\t'])).map_err(wrong)?;
        if value.contains('\0') {
            return Err(wrong("contains a zero byte"));
        }
        if let Some((earlier, _)) = variables.insert(name.to_owned(), (line, value)) {
            return Err(Report::input(format!("lines {earlier} and {line} of `{file}` both set `{name}`"))
                .hint("remove one of them"));
        }
        rest = left;
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The value at the beginning of a text, and what follows its line.
fn value(text: &str) -> Result<(String, &str), &'static str> {
    match text.chars().next() {
        Some('\'') => {
            let (value, rest) = text[1..].split_once('\'').ok_or("begins a text in quotes that does not end")?;
            Ok((value.to_owned(), behind_quotes(rest)?))
        }
        Some('"') => {
            let mut value = String::new();
            let mut chars = text[1..].char_indices();
            while let Some((place, c)) = chars.next() {
                match c {
                    '"' => return Ok((value, behind_quotes(&text[1 + place + 1..])?)),
                    '\\' => value.push(match chars.next() {
                        Some((_, 'n')) => '\n',
                        Some((_, 'r')) => '\r',
                        Some((_, 't')) => '\t',
                        Some((_, c @ ('"' | '\\'))) => c,
                        _ => return Err("has a backslash before something else than `n`, `r`, `t`, `\"` or `\\`"),
                    }),
                    c => value.push(c),
                }
            }
            Err("begins a text in quotes that does not end")
        }
        _ => {
            let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
            let comment = line.find(" #").or_else(|| line.find("\t#")).or_else(|| line.starts_with('#').then_some(0));
            Ok((line[..comment.unwrap_or(line.len())].trim().to_owned(), rest))
        }
    }
}

/// What follows the line, of which only a comment may be left.
fn behind_quotes(text: &str) -> Result<&str, &'static str> {
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    let left = line.trim();
    if left.is_empty() || left.starts_with('#') { Ok(rest) } else { Err("goes on behind the quotes") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_line_sets_a_variable() {
        let text = "\u{feff}# comment\nA=1\r\n\nexport B = two words # comment\nC='$5 # \\n\nx'  # c\nD=\"a\\n\\\"b\\\" \\\\\"\nE=\nF=a#b\nexported=1\nG= # none";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "$5 # \\n\nx"),
            ("D", "a\n\"b\" \\"),
            ("E", ""),
            ("F", "a#b"),
            ("exported", "1"),
            ("G", ""),
        ];
        let expected: BTreeMap<String, String> =
            expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(parse(text, FILE).unwrap(), expected);
        assert!(parse("", FILE).unwrap().is_empty());
    }

    #[test]
    fn a_malformed_line_is_named_without_its_value() {
        for (text, message) in [
            ("A=1\ns3cret", "line 2 of `.env` has no `=`"),
            ("A-B=s3cret", "line 1 of `.env` does not begin with the name"),
            ("=s3cret", "line 1 of `.env` does not begin"),
            ("1A=s3cret", "line 1 of `.env` does not begin"),
            ("A='x\ny'\nB='s3cret", "line 3 of `.env` begins a text in quotes that does not end"),
            ("A=\"s3cret", "does not end"),
            ("A='s3cret'x", "line 1 of `.env` goes on behind the quotes"),
            ("A=\"s3cret\\q\"", "has a backslash before something else"),
            ("A=1\nB=2\nA=s3cret", "lines 1 and 3 of `.env` both set `A`"),
            ("A=s3cret\0", "zero byte"),
        ] {
            let report = parse(text, FILE).unwrap_err();
            assert!(report.message.contains(message) && !report.message.contains("s3cret"), "{}", report.message);
        }
    }
}
