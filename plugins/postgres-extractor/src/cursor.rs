//! The cursor column: which of its values have no place in its order, and the start of a lookback.

use database_client::Lookback;
use osiris_sdk::{Error, Result, context};
use postgres_client::sql::quote_text;
use postgres_client::types::Kind;
use postgres_client::{Client, Stream};

use crate::source::SourceColumn;

/// A cursor column.
#[derive(Debug)]
pub struct Cursor<'a> {
    pub name: &'a str,
    /// Its name inside the source's SELECT.
    pub sql: String,
    order: Order,
    /// The server's name for the type.
    source: &'a str,
}

/// The order of a cursor's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Dates and times, as a PostgreSQL type.
    Time(&'static str),
    Whole(i64),
    Float,
    /// `bounded` numerics have no infinity.
    Numeric {
        bounded: bool,
    },
    /// Texts, by their collation.
    Text,
    Other,
}

/// `text`, `char(n)` and `varchar(n)`.
const TEXTS: [u32; 3] = [25, 1042, 1043];

impl<'a> Cursor<'a> {
    pub fn new(name: &'a str, sql: String, column: &'a SourceColumn) -> Self {
        let order = match &column.mapping.kind {
            // A money value is cast; its own text has a currency.
            _ if column.mapping.cast.is_some() => Order::Other,
            Kind::Date => Order::Time("date"),
            Kind::Timestamp => Order::Time("timestamp"),
            Kind::TimestampTz => Order::Time("timestamptz"),
            Kind::Int2 => Order::Whole(i16::MAX.into()),
            Kind::Int4 => Order::Whole(i32::MAX.into()),
            Kind::Int8 => Order::Whole(i64::MAX),
            Kind::Float4 | Kind::Float8 => Order::Float,
            Kind::Decimal { .. } => Order::Numeric { bounded: true },
            Kind::NumericText | Kind::NumericDouble => Order::Numeric { bounded: false },
            Kind::Text if TEXTS.contains(&column.described.type_oid) => Order::Text,
            _ => Order::Other,
        };
        Self { name, sql, order, source: &column.mapping.source }
    }

    /// A description of the order: the same for types that hold the same values in the same order.
    pub fn order_in_words(&self) -> String {
        match self.order {
            Order::Time("timestamptz") => "times with a zone".to_owned(),
            Order::Time(_) => "dates and times without a zone".to_owned(),
            Order::Whole(_) | Order::Float | Order::Numeric { .. } => "numbers".to_owned(),
            Order::Text | Order::Other => format!("values of type {}", self.source),
        }
    }

    /// A condition for values that stand for "no end" and so have no place in the order: infinity, NaN, the year 9999,
    /// the largest integer. `None` for types without such values.
    pub fn is_open(&self, value: &str) -> Option<String> {
        Some(match self.order {
            Order::Time(_) => format!("{value} >= '9999-01-01'"),
            Order::Whole(max) => format!("{value} = {max}"),
            // NaN sorts after infinity.
            Order::Float => format!("{value} >= 'Infinity'"),
            Order::Numeric { bounded: true } => format!("{value} = 'NaN'"),
            // As text, since servers before version 14 have no infinity of this type.
            Order::Numeric { bounded: false } => format!("({value} = 'NaN' or {value}::text = 'Infinity')"),
            Order::Text | Order::Other => return None,
        })
    }

    /// A stored value cast to the cursor's type; only for types that have open ends.
    pub fn typed(&self, value: &str) -> String {
        let kind = match self.order {
            Order::Time(kind) => kind,
            Order::Whole(_) => "int8",
            Order::Float => "float8",
            Order::Numeric { .. } => "numeric",
            Order::Text | Order::Other => "text",
        };
        format!("{}::{kind}", quote_text(value))
    }

    /// The condition for rows from the start of the lookback before `value`.
    ///
    /// # Errors
    /// `config` for a span that does not match the cursor's type.
    pub fn from(&self, value: &str, lookback: &Lookback) -> Result<String> {
        let (typed, sql) = (self.typed(value), &self.sql);
        Ok(match (self.order, lookback) {
            (Order::Time(_), Lookback::Seconds(seconds)) => {
                // A date minus a span is a timestamp. Starting at the year 1 at the earliest keeps it in PostgreSQL's range.
                format!("{sql} >= greatest({typed}, '0001-01-01') - interval '{seconds} seconds'")
            }
            (Order::Whole(_), Lookback::Number(number)) => {
                format!("{sql} >= greatest(ceil({typed}::numeric - {number}), {})::int8", i64::MIN)
            }
            (Order::Float | Order::Numeric { .. }, Lookback::Number(number)) => format!("{sql} >= {typed} - {number}"),
            (Order::Text | Order::Other, _) => {
                return Err(Error::config(format!(
                    "`lookback` needs a cursor of dates, times or numbers; `{}` is none of them",
                    self.name
                )));
            }
            (Order::Time(_), Lookback::Number(_)) => {
                return Err(Error::config(format!(
                    "`lookback: {lookback}` is a number, but cursor `{}` has times; write a duration such as `2h`",
                    self.name
                )));
            }
            (_, Lookback::Seconds(_)) => {
                return Err(Error::config(format!(
                    "`lookback: {lookback}` is a duration, but cursor `{}` has numbers; write a number",
                    self.name
                )));
            }
        })
    }

    /// Refuses a lookback that does not match the cursor, even if there is nothing to look back from yet.
    ///
    /// # Errors
    /// As for [`Cursor::from`].
    pub fn check(&self, lookback: Option<&Lookback>) -> Result<()> {
        lookback.map_or(Ok(()), |lookback| self.from("0", lookback).map(drop))
    }

    /// Reports a greatest value that looks like a mistake: every later row below it would never be read.
    ///
    /// # Errors
    /// The server's error.
    pub fn warn<S: Stream>(&self, client: &mut Client<S>, end: &str) -> Result<()> {
        let sentence = match self.order {
            Order::Time(_) => {
                let future = format!("select {} > pg_catalog.now() + interval '1 day'", self.typed(end));
                if client.value(&future)?.as_deref() != Some("t") {
                    return Ok(());
                }
                "the greatest cursor value lies in the future; rows that appear later with smaller ones are not read"
            }
            Order::Text if !end.starts_with(|c: char| c.is_ascii_digit()) => {
                "the cursor is a text, ordered as its collation says; rows that appear later with smaller values are not read"
            }
            _ => return Ok(()),
        };
        context::warn(sentence, &[("cursor", &self.name), ("value", &end)]);
        Ok(())
    }
}
