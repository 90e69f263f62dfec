//! The type that a field's values have together: each value seen may widen it, none narrows it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::declared::Declared;

/// How deep structs and lists are told apart; what lies deeper is JSON.
const MAX_DEPTH: usize = 16;

/// How many members an object may have before it is taken for a map and kept as JSON.
const MAX_MEMBERS: usize = 256;

/// The type of a field, from the narrowest on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Nothing but nulls so far.
    #[default]
    Null,
    Boolean,
    /// BIGINT.
    Int,
    /// Integers beyond 64 bits with a sign: DECIMAL(38,0).
    Huge,
    Double,
    /// Text, or scalars of several types.
    Text,
    /// Anything, as JSON text.
    Json,
    List(Box<Kind>),
    Struct(Fields),
    /// What the user said it is.
    Declared(Declared),
}

impl Kind {
    /// Widens the type so that `value` fits.
    pub fn see(&mut self, value: &Value) {
        self.see_at(value, 0);
    }

    fn see_at(&mut self, value: &Value, depth: usize) {
        match (&mut *self, value) {
            (_, Value::Null) | (Kind::Json | Kind::Declared(_), _) => {}
            (Kind::List(items), Value::Array(values)) => values.iter().for_each(|value| items.see_at(value, depth + 1)),
            (Kind::Struct(fields), Value::Object(members)) => {
                for (name, value) in members {
                    fields.at(name).see_at(value, depth + 1);
                }
                if depth > 0 && fields.len() > MAX_MEMBERS {
                    *self = Kind::Json;
                }
            }
            (Kind::Null, Value::Array(_) | Value::Object(_)) if depth >= MAX_DEPTH => *self = Kind::Json,
            (Kind::Null, Value::Array(_)) => {
                *self = Kind::List(Box::default());
                self.see_at(value, depth);
            }
            (Kind::Null, Value::Object(_)) => {
                *self = Kind::Struct(Fields::default());
                self.see_at(value, depth);
            }
            (_, Value::Array(_) | Value::Object(_)) | (Kind::List(_) | Kind::Struct(_), _) => *self = Kind::Json,
            (known, scalar) => {
                let seen = of_scalar(scalar);
                let wider = match (&*known, &seen) {
                    (Kind::Null, _) => seen,
                    (known, seen) if *known == *seen => return,
                    (Kind::Int, Kind::Huge) | (Kind::Huge, Kind::Int) => Kind::Huge,
                    (Kind::Int | Kind::Huge | Kind::Double, Kind::Int | Kind::Huge | Kind::Double) => Kind::Double,
                    _ => Kind::Text,
                };
                *self = wider;
            }
        }
    }

    /// The type that a column has whose values were all seen: what stayed open is settled.
    pub fn settle(&mut self) {
        match self {
            Kind::Null => *self = Kind::Text,
            Kind::List(items) => items.settle(),
            Kind::Struct(fields) if fields.is_empty() => *self = Kind::Json,
            Kind::Struct(fields) => fields.kinds_mut().for_each(Kind::settle),
            _ => {}
        }
    }
}

fn of_scalar(value: &Value) -> Kind {
    match value {
        Value::Bool(_) => Kind::Boolean,
        Value::Number(number) if number.is_i64() => Kind::Int,
        Value::Number(number) if number.is_u64() => Kind::Huge,
        Value::Number(_) => Kind::Double,
        _ => Kind::Text,
    }
}

/// The members of an object in the order in which they were first seen.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(String, Kind)>", into = "Vec<(String, Kind)>")]
pub struct Fields {
    members: Vec<(String, Kind)>,
    places: HashMap<String, usize>,
}

impl Fields {
    /// The type of the member `name`, which is added where there is none.
    pub fn at(&mut self, name: &str) -> &mut Kind {
        let place = match self.places.get(name) {
            Some(&place) => place,
            None => {
                self.places.insert(name.to_owned(), self.members.len());
                self.members.push((name.to_owned(), Kind::Null));
                self.members.len() - 1
            }
        };
        &mut self.members[place].1
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = &(String, Kind)> {
        self.members.iter()
    }

    pub fn kinds_mut(&mut self) -> impl Iterator<Item = &mut Kind> {
        self.members.iter_mut().map(|(_, kind)| kind)
    }

    /// Keeps the members for which `keep` says so.
    pub fn retain(&mut self, keep: impl Fn(&str, &Kind) -> bool) {
        let members = std::mem::take(&mut self.members);
        *self = members.into_iter().filter(|(name, kind)| keep(name, kind)).collect::<Vec<_>>().into();
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.members == other.members
    }
}

impl From<Vec<(String, Kind)>> for Fields {
    fn from(members: Vec<(String, Kind)>) -> Self {
        let places = members.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
        Self { members, places }
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
    use serde_json::json;

    fn kind(values: &[Value]) -> Kind {
        let mut kind = Kind::Null;
        values.iter().for_each(|value| kind.see(value));
        kind
    }

    #[test]
    fn values_widen_types() {
        let list = |kind| Kind::List(Box::new(kind));
        let table = [
            (vec![json!(null)], Kind::Null),
            (vec![json!(null), json!(true)], Kind::Boolean),
            (vec![json!(1), json!(-5)], Kind::Int),
            (vec![json!(1), json!(1.5)], Kind::Double),
            (vec![json!(1.5), json!(1)], Kind::Double),
            (vec![json!(1), json!(u64::MAX)], Kind::Huge),
            (vec![json!(u64::MAX), json!(0.5)], Kind::Double),
            (vec![json!(1), json!("x")], Kind::Text),
            (vec![json!(true), json!(1)], Kind::Text),
            (vec![json!("x"), json!(null), json!(1)], Kind::Text),
            (vec![json!([1]), json!([]), json!([1.5, null])], list(Kind::Double)),
            (vec![json!([[1], [2]])], list(list(Kind::Int))),
            (vec![json!([1]), json!({"a": 1})], Kind::Json),
            (vec![json!("x"), json!({"a": 1})], Kind::Json),
            (vec![json!({"a": 1}), json!(5), json!("x")], Kind::Json),
        ];
        for (values, expected) in table {
            assert_eq!(kind(&values), expected, "{values:?}");
        }
        let Kind::Struct(fields) = kind(&[json!({"b": 1, "a": null}), json!({"a": "x", "c": [true]})]) else {
            panic!()
        };
        let found: Vec<_> = fields.iter().cloned().collect();
        assert_eq!(
            found,
            [("b".to_owned(), Kind::Int), ("a".to_owned(), Kind::Text), ("c".to_owned(), list(Kind::Boolean))]
        );
    }

    #[test]
    fn objects_that_are_maps_and_deep_ones_are_json() {
        let map: serde_json::Map<String, Value> = (0..300).map(|n| (format!("k{n}"), json!(n))).collect();
        let Kind::Struct(fields) = kind(&[json!({"map": map})]) else { panic!() };
        assert_eq!(fields.iter().next().unwrap().1, Kind::Json);
        let mut deep = json!(1);
        for _ in 0..100 {
            deep = json!([deep]);
        }
        assert!(serde_json::to_string(&kind(&[deep])).unwrap().contains("json"));
    }

    #[test]
    fn what_stays_open_is_settled() {
        let mut open = kind(&[json!({"n": null, "l": [], "o": {}})]);
        open.settle();
        let Kind::Struct(fields) = &open else { panic!() };
        let kinds: Vec<Kind> = fields.iter().map(|(_, kind)| kind.clone()).collect();
        assert_eq!(kinds, [Kind::Text, Kind::List(Box::new(Kind::Text)), Kind::Json]);
        let kept: Kind = serde_json::from_str(&serde_json::to_string(&open).unwrap()).unwrap();
        assert_eq!(kept, open);
    }
}
