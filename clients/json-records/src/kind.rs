//! The common type of a field's values: each value may widen it, none narrows it, and their order never matters.

use std::collections::HashMap;

use duckdb_text::Names;
use serde::{Deserialize, Serialize};

use crate::declared::Type;
use crate::moment::{Shape, shape};
use crate::number::{NumberType, Numbers};
use crate::text::{Broken, Reader, Token};

/// How deep structs and lists are distinguished; anything deeper is JSON.
pub const MAX_DEPTH: usize = 16;

/// How many members a nested object may have before it is considered a map and stored as JSON.
const MAX_MEMBERS: usize = 256;

/// The source of records, which decides the types of values without a type of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A file, which is known completely. Dates and times in ISO 8601 and UUIDs get types, integers beyond 64 bits
    /// become HUGEINT, and JSON is used for columns of only nulls, numbers beyond any type, or scalars of several
    /// types.
    File,
    /// The responses of a server, which may change tomorrow: texts stay texts, integers beyond 64 bits become
    /// DECIMAL(38,0), and VARCHAR is used for columns of only nulls, numbers beyond any type, or scalars of several
    /// types.
    Answers,
}

/// What is known about a field's values, from the narrowest kind on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Only nulls so far.
    #[default]
    Null,
    Boolean,
    Number(Numbers),
    /// Texts that are all dates, and so on.
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Uuid,
    /// Any texts.
    Text,
    /// Scalars of several types.
    Mixed,
    /// Anything, as JSON text.
    Json,
    List(Box<Kind>),
    Struct(Fields),
}

impl Kind {
    /// Widens the kind so that it can hold the next value of `reader`. Below `max_depth` levels everything is JSON.
    ///
    /// # Errors
    /// For text that is not JSON, and for a record that has a name twice.
    pub fn see(&mut self, reader: &mut Reader<'_>, max_depth: usize) -> Result<(), Broken> {
        self.see_at(reader, 0, max_depth)
    }

    fn see_at(&mut self, reader: &mut Reader<'_>, depth: usize, max_depth: usize) -> Result<(), Broken> {
        let opening = reader.peek();
        if *self == Kind::Json || depth >= max_depth {
            if reader.raw()? != "null" {
                *self = Kind::Json;
            }
            return Ok(());
        }
        match (opening, &mut *self) {
            (Some(b'['), Kind::Null) if depth < MAX_DEPTH => *self = Kind::List(Box::default()),
            (Some(b'{'), Kind::Null) if depth < MAX_DEPTH => *self = Kind::Struct(Fields::default()),
            (Some(b'['), Kind::List(_)) | (Some(b'{'), Kind::Struct(_)) => {}
            (Some(b'[' | b'{'), _) => {
                *self = Kind::Json;
                return reader.raw().map(|_| ());
            }
            _ => {}
        }
        match reader.token()? {
            Token::Null => {}
            Token::Boolean(_) => self.widen(Kind::Boolean),
            Token::Number(token) => match self {
                Kind::Number(numbers) => *numbers = numbers.and(Numbers::of(token)),
                _ => self.widen(Kind::Number(Numbers::of(token))),
            },
            Token::Text(_) if *self == Kind::Text => {}
            Token::Text(text) => self.widen(match shape(&text) {
                Shape::Text => Kind::Text,
                Shape::Date => Kind::Date,
                Shape::Time => Kind::Time,
                Shape::Timestamp => Kind::Timestamp,
                Shape::TimestampTz => Kind::TimestampTz,
                Shape::Uuid => Kind::Uuid,
            }),
            Token::List => {
                let Kind::List(items) = self else { return Ok(()) };
                let mut first = true;
                while reader.item(first)? {
                    items.see_at(reader, depth + 1, max_depth)?;
                    first = false;
                }
            }
            Token::Object => {
                let Kind::Struct(fields) = self else { return Ok(()) };
                let twice = fields.see_members(reader, depth, max_depth)?;
                if depth == 0
                    && let Some(name) = twice
                {
                    return Err(duplicate(reader, &name));
                }
                // A STRUCT cannot have a name twice, but JSON keeps both.
                if depth > 0 && (twice.is_some() || fields.len() > MAX_MEMBERS) {
                    *self = Kind::Json;
                }
            }
        }
        Ok(())
    }

    fn widen(&mut self, seen: Kind) {
        *self = match (std::mem::take(self), seen) {
            (Kind::Null, seen) => seen,
            (Kind::Number(known), Kind::Number(seen)) => Kind::Number(known.and(seen)),
            (Kind::Json | Kind::List(_) | Kind::Struct(_), _) => Kind::Json,
            (known, seen) if known == seen => known,
            (known, seen) if known.is_text() && seen.is_text() => Kind::Text,
            _ => Kind::Mixed,
        };
    }

    fn is_text(&self) -> bool {
        matches!(self, Kind::Date | Kind::Time | Kind::Timestamp | Kind::TimestampTz | Kind::Uuid | Kind::Text)
    }

    /// The type of a column, once all its values have been seen.
    pub fn settle(&self, style: Style) -> Type {
        let file = style == Style::File;
        match self {
            Kind::Null | Kind::Mixed => {
                if file {
                    Type::Json
                } else {
                    Type::Varchar
                }
            }
            Kind::Boolean => Type::Boolean,
            Kind::Number(numbers) => match numbers.settle() {
                NumberType::BigInt => Type::BigInt,
                NumberType::HugeInt if file => Type::HugeInt,
                NumberType::HugeInt if numbers.fits_38_digits() => Type::Decimal(38, 0),
                NumberType::Decimal(scale) => Type::Decimal(38, scale),
                NumberType::Double => Type::Double,
                NumberType::Text if file => Type::Json,
                NumberType::HugeInt | NumberType::Text => Type::Varchar,
            },
            Kind::Date if file => Type::Date,
            Kind::Time if file => Type::Time,
            Kind::Timestamp if file => Type::Timestamp,
            Kind::TimestampTz if file => Type::TimestampTz,
            Kind::Uuid if file => Type::Uuid,
            Kind::Date | Kind::Time | Kind::Timestamp | Kind::TimestampTz | Kind::Uuid | Kind::Text => Type::Varchar,
            Kind::Json => Type::Json,
            Kind::List(items) => Type::List(Box::new(items.settle(style))),
            // A STRUCT cannot distinguish names by case only, and cannot have an empty name.
            Kind::Struct(fields) if fields.is_empty() || !fields.are_names() => Type::Json,
            Kind::Struct(fields) => {
                Type::Struct(fields.iter().map(|(name, kind)| (name.clone(), kind.settle(style))).collect())
            }
        }
    }
}

/// The members of an object in the order in which they were first seen.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(String, Kind)>", into = "Vec<(String, Kind)>")]
pub struct Fields {
    members: Vec<(String, Kind)>,
    places: HashMap<String, usize>,
    /// The number of the object in which each member was last seen, to detect a name that occurs twice.
    seen: Vec<u64>,
    objects: u64,
}

impl Fields {
    /// Adds the members of the object that was opened; returns a name that occurs twice in it.
    fn see_members(
        &mut self,
        reader: &mut Reader<'_>,
        depth: usize,
        max_depth: usize,
    ) -> Result<Option<String>, Broken> {
        let mut twice = None;
        self.objects += 1;
        // Objects of one kind usually have their members in the same order.
        let mut likely = 0;
        while let Some(name) = reader.member(likely == 0)? {
            let place = match self.members.get(likely) {
                Some((known, _)) if *known == *name => likely,
                _ => self.place(&name),
            };
            likely = place + 1;
            if self.seen[place] == self.objects {
                twice = Some(name.into_owned());
            }
            self.seen[place] = self.objects;
            self.members[place].1.see_at(reader, depth + 1, max_depth)?;
        }
        Ok(twice)
    }

    /// Adds the members of the object that `reader` is at.
    ///
    /// # Errors
    /// As for [`Kind::see`].
    pub fn see(&mut self, reader: &mut Reader<'_>, max_depth: usize) -> Result<(), Broken> {
        match reader.token()? {
            Token::Object => {
                self.see_members(reader, 0, max_depth)?.map_or(Ok(()), |name| Err(duplicate(reader, &name)))
            }
            _ => Err(reader.broken("expected an object")),
        }
    }

    fn place(&mut self, name: &str) -> usize {
        if let Some(&place) = self.places.get(name) {
            return place;
        }
        self.places.insert(name.to_owned(), self.members.len());
        self.members.push((name.to_owned(), Kind::Null));
        self.seen.push(0);
        self.members.len() - 1
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many objects have been seen.
    pub fn objects(&self) -> u64 {
        self.objects
    }

    /// The names that an object has had since this many objects were seen.
    pub fn seen_after(&self, objects: u64) -> impl Iterator<Item = &str> {
        let members = self.members.iter().zip(&self.seen);
        members.filter(move |(_, seen)| **seen > objects).map(|((name, _), _)| name.as_str())
    }

    /// Whether DuckDB accepts the names side by side.
    fn are_names(&self) -> bool {
        let mut names = Names::new(2);
        self.members.iter().all(|(name, _)| !name.is_empty() && names.free(name, "") == *name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &(String, Kind)> {
        self.members.iter()
    }
}

fn duplicate(reader: &Reader<'_>, name: &str) -> Broken {
    reader.broken(format!("duplicate key {name:?} in one record, which ends"))
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.members == other.members
    }
}

impl From<Vec<(String, Kind)>> for Fields {
    fn from(members: Vec<(String, Kind)>) -> Self {
        let places = members.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
        let seen = vec![0; members.len()];
        Self { members, places, seen, objects: 0 }
    }
}

impl From<Fields> for Vec<(String, Kind)> {
    fn from(fields: Fields) -> Self {
        fields.members
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn kind(values: &[&str]) -> Kind {
        let mut kind = Kind::Null;
        values.iter().for_each(|value| kind.see(&mut Reader::new(value), usize::MAX).unwrap());
        kind
    }

    fn name(values: &[&str], style: Style) -> String {
        kind(values).settle(style).name()
    }

    #[test]
    fn values_widen_types_in_any_order() {
        for (values, file, answers) in [
            (&["null"] as &[&str], "JSON", "VARCHAR"),
            (&["null", "true"], "BOOLEAN", "BOOLEAN"),
            (&["1", "-5"], "BIGINT", "BIGINT"),
            (&["1", "1.5"], "DOUBLE", "DOUBLE"),
            (&["1", "18446744073709551615"], "HUGEINT", "DECIMAL(38,0)"),
            (&["18446744073709551615", "0.5"], "DECIMAL(38,1)", "DECIMAL(38,1)"),
            (&["170141183460469231731687303715884105727"], "HUGEINT", "VARCHAR"),
            (&["1e400"], "JSON", "VARCHAR"),
            (&["-0", "5"], "DOUBLE", "DOUBLE"),
            (&["1", "\"x\""], "JSON", "VARCHAR"),
            (&["true", "1", "null"], "JSON", "VARCHAR"),
            (&["[1]", "[]", "[1.5, null]"], "DOUBLE[]", "DOUBLE[]"),
            (&["[[1], [2]]"], "BIGINT[][]", "BIGINT[][]"),
            (&["[1]", "{\"a\": 1}"], "JSON", "JSON"),
            (&["\"x\"", "{\"a\": 1}"], "JSON", "JSON"),
            (&["{\"a\": 1}", "5", "\"x\""], "JSON", "JSON"),
            (&["{}"], "JSON", "JSON"),
            (&["{\"\": 1}"], "JSON", "JSON"),
            (&["[{\"a\": 1}]", "[{\"A\": 1}]"], "JSON[]", "JSON[]"),
            (&["{\"a\": {\"\": 1}}"], "STRUCT(\"a\" JSON)", "STRUCT(\"a\" JSON)"),
            (&["[]"], "JSON[]", "VARCHAR[]"),
            (&["\"2024-01-01\"", "null"], "DATE", "VARCHAR"),
            (&["\"2024-01-01\"", "\"2024-01-01T10:00:00\""], "VARCHAR", "VARCHAR"),
            (&["\"2024-01-01T10:00:00\"", "\"2024-01-01 10:00:00.123456\""], "TIMESTAMP", "VARCHAR"),
            (&["\"2024-01-01T10:00:00Z\"", "\"2024-01-01T10:00:00.5+02:00\""], "TIMESTAMPTZ", "VARCHAR"),
            (&["\"2024-01-01T10:00:00\"", "\"2024-01-01T10:00:00Z\""], "VARCHAR", "VARCHAR"),
            (&["\"2024-01-01\"", "\"\""], "VARCHAR", "VARCHAR"),
            (&["\"2024-01-01\"", "5"], "JSON", "VARCHAR"),
            (
                &["{\"b\": 1, \"a\": null}", "{\"a\": \"x\", \"c\": [true]}"],
                "STRUCT(\"b\" BIGINT, \"a\" VARCHAR, \"c\" BOOLEAN[])",
                "STRUCT(\"b\" BIGINT, \"a\" VARCHAR, \"c\" BOOLEAN[])",
            ),
        ] {
            assert_eq!(name(values, Style::File), file, "{values:?}");
            assert_eq!(name(values, Style::Answers), answers, "{values:?}");
            let backwards: Vec<&str> = values.iter().rev().copied().collect();
            if values.len() < 3 && !file.starts_with("STRUCT") {
                assert_eq!(name(&backwards, Style::File), file, "{backwards:?}");
            }
        }
    }

    #[test]
    fn map_like_and_deep_objects_are_json() {
        let map: Vec<String> = (0..300).map(|n| format!("\"k{n}\": {n}")).collect();
        let map = format!("{{\"map\": {{{}}}}}", map.join(","));
        assert_eq!(name(&[&map], Style::File), "STRUCT(\"map\" JSON)");
        let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(name(&[&deep], Style::File), format!("JSON{}", "[]".repeat(MAX_DEPTH)));
        let mut shallow = Kind::Null;
        shallow.see(&mut Reader::new(r#"{"a": 5, "b": {"c": 1}, "n": null}"#), 2).unwrap();
        assert_eq!(shallow.settle(Style::File).name(), "STRUCT(\"a\" BIGINT, \"b\" STRUCT(\"c\" JSON), \"n\" JSON)");
    }

    #[test]
    fn a_repeated_name_makes_json_or_is_refused() {
        let error = Kind::Null.see(&mut Reader::new(r#"{"a": 1, "a": 2}"#), usize::MAX).unwrap_err();
        assert!(error.why.starts_with("duplicate key \"a\""), "{error}");
        let nested = [r#"{"o": {"b": 1}}"#, r#"{"o": {"b": 1, "c": 2, "b": 1}}"#];
        assert_eq!(name(&nested, Style::File), "STRUCT(\"o\" JSON)");
    }

    #[test]
    fn kinds_survive_serialisation_in_a_state() {
        let kind = kind(&[r#"{"n": null, "l": [1.5], "o": {}, "t": "2024-01-01"}"#]);
        let kept: Kind = serde_json::from_str(&serde_json::to_string(&kind).unwrap()).unwrap();
        assert_eq!(kept, kind);
    }
}
