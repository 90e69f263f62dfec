//! What PostgreSQL's types can hold, for writers: domains are resolved to their base types, including bounds.

use std::collections::BTreeMap;

use conversions::{Blanks, Characters, IntervalPart, Range, SourceType, TargetType, Text};
use osiris_sdk::Result;

use crate::types::Types;
use crate::{Client, Stream};

/// The types of a table's columns.
#[derive(Debug, Default)]
pub struct TargetTypes {
    types: Types,
    labels: BTreeMap<u32, Vec<String>>,
    /// The number of digits after the point in the server's money type.
    money_scale: i32,
}

const MONEY: u32 = 790;

impl TargetTypes {
    /// Reads the types with these OIDs and everything that they are made of.
    ///
    /// # Errors
    /// The server's error.
    pub fn read<S: Stream>(client: &mut Client<S>, oids: impl IntoIterator<Item = u32>) -> Result<Self> {
        let types = Types::read(client, oids)?;
        let enums: Vec<String> =
            types.0.iter().filter(|(_, entry)| entry.kind == "e").map(|(oid, _)| oid.to_string()).collect();
        let mut labels: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        if !enums.is_empty() {
            let rows = client.query(&format!(
                "select enumtypid, enumlabel from pg_catalog.pg_enum where enumtypid in ({}) order by enumtypid, \
                 enumsortorder",
                enums.join(",")
            ))?;
            for row in rows {
                if let [Some(oid), Some(label)] = row.as_slice() {
                    labels.entry(oid.parse().unwrap_or(0)).or_default().push(label.clone());
                }
            }
        }
        let mut money_scale = 2;
        if types.0.contains_key(&MONEY) {
            let scale = client.value("select pg_catalog.scale('0'::money::numeric)")?;
            money_scale = scale.and_then(|text| text.parse().ok()).unwrap_or(2);
        }
        Ok(Self { types, labels, money_scale })
    }

    /// The base type of a domain; any other type itself.
    pub fn base(&self, oid: u32, modifier: i32) -> (u32, i32) {
        self.types.base(oid, modifier)
    }

    /// The name of a type without its bounds.
    pub fn name(&self, oid: u32) -> Option<&str> {
        self.types.0.get(&oid).map(|entry| entry.name.as_str())
    }

    /// The declared type of an array's elements, which may be a domain; `None` if the type is not an array.
    pub fn element(&self, oid: u32) -> Option<u32> {
        self.types.0.get(&oid).map(|entry| entry.element).filter(|element| *element != 0)
    }

    /// Whether a type accepts text without a cast: text, varchar, char, name, citext.
    pub fn is_text(&self, oid: u32) -> bool {
        matches!(oid, 18 | 19 | 25 | 1042 | 1043) || self.is_citext(oid)
    }

    fn is_citext(&self, oid: u32) -> bool {
        self.types
            .0
            .get(&oid)
            .is_some_and(|entry| entry.extension && entry.kind == "b" && entry.name.ends_with("citext"))
    }

    /// What a column of this type can hold.
    pub fn target(&self, oid: u32, modifier: i32) -> TargetType {
        let (oid, modifier) = self.base(oid, modifier);
        if let Some(element) = self.element(oid) {
            return TargetType::List(Box::new(self.target(element, modifier)));
        }
        if let Some(labels) = self.labels.get(&oid) {
            return TargetType::Enum(labels.clone());
        }
        let bound = |less: i32| u64::try_from(modifier - less).ok();
        let digits = u8::try_from(modifier).ok().filter(|digits| *digits <= 6).unwrap_or(6);
        match oid {
            16 => TargetType::Boolean,
            17 => TargetType::Bytes { max: None, fixed: false },
            20 => TargetType::integer(64, true),
            21 => TargetType::integer(16, true),
            23 => TargetType::integer(32, true),
            26 => TargetType::integer(32, false),
            700 | 701 => TargetType::Float { double: oid == 701, special: true },
            1700 => TargetType::Decimal { bounds: bounds(modifier), nan: true, infinity: modifier == -1 },
            MONEY => TargetType::Decimal { bounds: Some((19, self.money_scale)), nan: false, infinity: false },
            25 => text(None, None),
            1043 => text(bound(4), None),
            1042 => TargetType::Text(Text {
                max_chars: bound(4),
                blanks: Blanks::Padded,
                characters: Characters::WithoutNul,
                max_bytes: None,
            }),
            19 => text(None, Some(63)),
            18 => text(None, Some(1)),
            _ if self.is_citext(oid) => text(None, None),
            114 | 3802 => TargetType::Json,
            1082 => date(),
            1083 => TargetType::Time { digits, span: false },
            1266 => TargetType::TimeTz { digits },
            1114 => timestamp(digits, false),
            1184 => timestamp(digits, true),
            1186 => interval(modifier),
            1560 => TargetType::Bits { length: Some(bound(0).unwrap_or(1)), varying: false },
            1562 => TargetType::Bits { length: bound(0), varying: true },
            2950 => TargetType::Uuid,
            _ => TargetType::Opaque,
        }
    }
}

/// What a column can hold that a writer creates for values of a DuckDB type.
pub fn created_type(source: &SourceType) -> TargetType {
    match source {
        source if source.is_nested() => TargetType::Json,
        SourceType::List(item) | SourceType::Array(item, _) => TargetType::List(Box::new(created_type(item))),
        SourceType::Varchar | SourceType::Enum(_) | SourceType::Null => text(None, None),
        SourceType::UBigInt => TargetType::decimal(20, 0),
        SourceType::HugeInt | SourceType::UHugeInt => TargetType::decimal(39, 0),
        SourceType::UTinyInt => TargetType::integer(16, true),
        SourceType::USmallInt => TargetType::integer(32, true),
        SourceType::UInteger => TargetType::integer(64, true),
        SourceType::Date => date(),
        SourceType::TimeNs => TargetType::Time { digits: 6, span: false },
        SourceType::Timestamp | SourceType::TimestampS | SourceType::TimestampMs | SourceType::TimestampNs => {
            timestamp(6, false)
        }
        SourceType::TimestampTz => timestamp(6, true),
        source => TargetType::like(source).unwrap_or(TargetType::Opaque),
    }
}

fn text(max_chars: Option<u64>, max_bytes: Option<u64>) -> TargetType {
    TargetType::Text(Text { max_chars, max_bytes, blanks: Blanks::Kept, characters: Characters::WithoutNul })
}

fn date() -> TargetType {
    TargetType::Date { range: Some(Range::postgres_date()), infinity: true }
}

fn timestamp(digits: u8, zone: bool) -> TargetType {
    TargetType::Timestamp { digits, zone, range: Some(Range::postgres_timestamp()), infinity: true }
}

/// The number of digits of a numeric and how many of them are after the point, from the modifier.
fn bounds(modifier: i32) -> Option<(u32, i32)> {
    let bounds = modifier.checked_sub(4).filter(|bounds| *bounds >= 0)?;
    // Eleven bits, signed, since PostgreSQL 15.
    let scale = ((bounds & 0x7ff) ^ 0x400) - 0x400;
    Some(((bounds >> 16 & 0xffff).unsigned_abs(), scale))
}

/// The fields of an interval: a bit mask in the modifier's upper half, the digits of a second in its lower half.
fn interval(modifier: i32) -> TargetType {
    const FULL: i32 = 0xffff;
    let (mask, precision) = if modifier < 0 { (0x7fff, FULL) } else { (modifier >> 16 & 0x7fff, modifier & 0xffff) };
    let digits = u8::try_from(precision).ok().filter(|digits| *digits <= 6).unwrap_or(6);
    let smallest = [(12, IntervalPart::Second), (11, IntervalPart::Minute), (10, IntervalPart::Hour)]
        .into_iter()
        .chain([(3, IntervalPart::Day), (1, IntervalPart::Month), (2, IntervalPart::Year)])
        .find(|(bit, _)| mask >> bit & 1 == 1)
        .map_or(IntervalPart::Second, |(_, part)| part);
    TargetType::Interval { smallest, digits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_are_decoded_to_bounds() {
        assert_eq!(bounds((10 << 16 | 2) + 4), Some((10, 2)));
        assert_eq!(bounds((3 << 16 | (-2 & 0x7ff)) + 4), Some((3, -2)));
        assert_eq!(bounds(-1), None);
        let day = TargetType::Interval { smallest: IntervalPart::Day, digits: 6 };
        assert_eq!(interval(8 << 16 | 0xffff), day);
        let seconds = TargetType::Interval { smallest: IntervalPart::Second, digits: 2 };
        assert_eq!(interval(0x7fff << 16 | 2), seconds);
        assert_eq!(interval(4 << 16 | 0xffff), TargetType::Interval { smallest: IntervalPart::Year, digits: 6 });
    }
}
