//! Parses DuckDB's types from the text that `typeof` and `describe` return.

use crate::{Error, Result};

/// How deeply a type may be nested.
const MAX_DEPTH: usize = 64;

/// A type of DuckDB, such as `STRUCT(a JSON, "b c" DECIMAL(18,3)[])`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DuckdbType {
    /// A type without parts, in capitals and without its arguments: `DECIMAL`, `TIMESTAMP WITH TIME ZONE`.
    Scalar {
        name: String,
        /// The text in parentheses: `18,3`; empty if there is none.
        arguments: String,
    },
    /// A list, or an array of a fixed length.
    List {
        item: Box<DuckdbType>,
        length: Option<u32>,
    },
    /// Named members in order. An unnamed struct has empty names.
    Struct(Vec<(String, DuckdbType)>),
    Map(Box<DuckdbType>, Box<DuckdbType>),
    /// Tags with their types.
    Union(Vec<(String, DuckdbType)>),
}

impl DuckdbType {
    /// # Errors
    /// If the text is not a type.
    pub fn parse(text: &str) -> Result<Self> {
        parse(text, 0).ok_or_else(|| Error(format!("`{text}` is not a DuckDB type")))
    }

    /// The name of a type without parts; empty for others.
    pub fn scalar(&self) -> &str {
        match self {
            Self::Scalar { name, .. } => name,
            _ => "",
        }
    }
}

fn parse(text: &str, depth: usize) -> Option<DuckdbType> {
    let text = text.trim();
    if text.is_empty() || depth > MAX_DEPTH {
        return None;
    }
    if let Some(inner) = text.strip_suffix(']') {
        let open = inner.rfind('[')?;
        let length = inner[open + 1..].trim();
        let length = if length.is_empty() { None } else { Some(length.parse().ok()?) };
        return Some(DuckdbType::List { item: Box::new(parse(&inner[..open], depth + 1)?), length });
    }
    let (name, arguments) = match text.find('(') {
        Some(open) => {
            let (arguments, rest) = text[open + 1..].rsplit_once(')')?;
            // `TIMESTAMP(6) WITH TIME ZONE` has its arguments in the middle.
            (format!("{}{}", text[..open].trim_end(), rest), arguments)
        }
        None => (text.to_owned(), ""),
    };
    let name = name.to_ascii_uppercase();
    Some(match name.as_str() {
        "STRUCT" | "ROW" => DuckdbType::Struct(members(arguments, depth)?),
        "UNION" => DuckdbType::Union(members(arguments, depth)?),
        "MAP" => {
            let parts = split(arguments);
            let [key, value] = parts.as_slice() else { return None };
            DuckdbType::Map(Box::new(parse(key, depth + 1)?), Box::new(parse(value, depth + 1)?))
        }
        _ => {
            let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '"');
            if !name.chars().all(word) {
                return None;
            }
            DuckdbType::Scalar { name, arguments: arguments.trim().to_owned() }
        }
    })
}

fn members(arguments: &str, depth: usize) -> Option<Vec<(String, DuckdbType)>> {
    split(arguments).into_iter().map(|part| member(part, depth)).collect()
}

/// A member: its name without quotes, and its type. A member without a name consists of its type only.
fn member(text: &str, depth: usize) -> Option<(String, DuckdbType)> {
    let text = text.trim();
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c.is_whitespace() || c == '(' || c == '[').unwrap_or(text.len());
        let (name, kind) = text.split_at(end);
        return match kind.chars().next().filter(|c| c.is_whitespace()) {
            Some(_) => Some((name.to_owned(), parse(kind, depth + 1)?)),
            None => Some((String::new(), parse(text, depth + 1)?)),
        };
    };
    let mut from = 0;
    loop {
        let end = from + quoted[from..].find('"')?;
        if quoted[end + 1..].starts_with('"') {
            from = end + 2;
        } else {
            return Some((quoted[..end].replace("\"\"", "\""), parse(&quoted[end + 1..], depth + 1)?));
        }
    }
}

/// The parts separated by commas, except commas inside brackets and quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_i32, None);
    for (place, character) in text.char_indices() {
        match character {
            '"' | '\'' if quote.is_none() => quote = Some(character),
            _ if quote == Some(character) => quote = None,
            _ if quote.is_some() => {}
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn scalar(name: &str, arguments: &str) -> DuckdbType {
        DuckdbType::Scalar { name: name.to_owned(), arguments: arguments.to_owned() }
    }

    #[test]
    fn types_are_parsed_into_their_parts() {
        assert_eq!(DuckdbType::parse("decimal(18, 3)").unwrap(), scalar("DECIMAL", "18, 3"));
        assert_eq!(DuckdbType::parse("TIMESTAMP WITH TIME ZONE").unwrap(), scalar("TIMESTAMP WITH TIME ZONE", ""));
        assert_eq!(DuckdbType::parse("ENUM('a(]', 'b''c')").unwrap().scalar(), "ENUM");
        let nested = DuckdbType::parse("STRUCT(\"a \"\", (b\" JSON[2], c MAP(VARCHAR, UNION(n DOUBLE)))[]").unwrap();
        let DuckdbType::List { item, length: None } = nested else { panic!() };
        let DuckdbType::Struct(members) = *item else { panic!() };
        assert_eq!(members[0].0, "a \", (b");
        assert_eq!(members[0].1, DuckdbType::List { item: Box::new(scalar("JSON", "")), length: Some(2) });
        let DuckdbType::Map(key, value) = &members[1].1 else { panic!() };
        assert_eq!(
            (key.scalar(), value.as_ref()),
            ("VARCHAR", &DuckdbType::Union(vec![("n".into(), scalar("DOUBLE", ""))]))
        );
        let DuckdbType::Struct(unnamed) = DuckdbType::parse("STRUCT(INTEGER, VARCHAR[])").unwrap() else { panic!() };
        assert_eq!(unnamed[0], (String::new(), scalar("INTEGER", "")));
    }

    #[test]
    fn text_that_is_not_a_type_is_refused() {
        for text in ["", "]", "a[", "STRUCT(", "MAP(INTEGER)", "INT') --", "x; drop", &"x[]".repeat(100)] {
            assert!(DuckdbType::parse(text).is_err(), "{text}");
        }
    }
}
