//! Tests every predicate against DuckDB itself.

#![allow(clippy::unwrap_used)]

use duckdb::Connection;

use crate::{Blanks, Characters, Check, IntervalPart, Range, SourceType, TargetType, Text, Verdict, table, verdict};

fn database() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("set timezone = 'UTC'").unwrap();
    connection
}

/// The outcome for a value: whether it survives, what is lost, and its rounded value.
fn fate(connection: &Connection, value: &str, source: &SourceType, check: &Check) -> (bool, Option<String>, String) {
    let rounded = check.rounded("v").unwrap_or_else(|| "null".to_owned());
    let sql = format!(
        "select {}, {}, case when {} then ({rounded})::varchar end, typeof({rounded}) in ('{}', '\"NULL\"') from (select {value}::{source} as v)",
        check.survives("v"),
        check.lost_expression("v"),
        check.survives_rounded("v"),
        source.to_string().replace('\'', "''")
    );
    let row = |row: &duckdb::Row<'_>| {
        let same: bool = row.get(3)?;
        assert!(same, "rounding changes the type: {sql}");
        Ok((row.get(0)?, row.get(1)?, row.get::<_, Option<String>>(2)?.unwrap_or_default()))
    };
    connection.query_row(&sql, [], row).unwrap_or_else(|error| panic!("{error}\n{sql}"))
}

fn decimal(precision: u32, scale: i32) -> TargetType {
    TargetType::Decimal { bounds: Some((precision, scale)), nan: true, infinity: false }
}

fn timestamp(digits: u8, zone: bool) -> TargetType {
    TargetType::Timestamp { digits, zone, range: None, infinity: true }
}

fn text(max_chars: u64) -> TargetType {
    TargetType::Text(Text { max_chars: Some(max_chars), ..Text::default() })
}

fn characters(characters: Characters) -> TargetType {
    TargetType::Text(Text { characters, ..Text::default() })
}

const NUMERIC: TargetType = TargetType::Decimal { bounds: None, nan: true, infinity: true };
const REAL: TargetType = TargetType::Float { double: false, special: true };
const DOUBLE: TargetType = TargetType::Float { double: true, special: true };
const PLAIN_DOUBLE: TargetType = TargetType::Float { double: true, special: false };
const DAY: TargetType = TargetType::Date { range: None, infinity: true };
const TIME: TargetType = TargetType::Time { digits: 6, span: false };

/// Expected outcomes: source type, target, value; whether it survives, a word of the loss, and the rounded value (empty
/// if the value cannot be rounded).
#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<(&'static str, TargetType, &'static str, bool, &'static str, &'static str)> {
    let int = || TargetType::integer(32, true);
    let big = || TargetType::integer(64, true);
    let list = |item: TargetType| TargetType::List(Box::new(item));
    let interval = |smallest, digits| TargetType::Interval { smallest, digits };
    vec![
        ("DOUBLE", int(), "2.5", false, "fractions", "3.0"),
        ("DOUBLE", int(), "-3.0", true, "", "-3.0"),
        ("DOUBLE", int(), "3e9", false, "outside", ""),
        ("DOUBLE", int(), "'nan'", false, "outside", ""),
        ("DOUBLE", big(), "9223372036854775807", false, "outside", ""),
        ("DOUBLE", big(), "-9223372036854775808", true, "", "-9.223372036854776e+18"),
        ("FLOAT", int(), "1.5", false, "fractions", "2.0"),
        ("BIGINT", int(), "2147483648", false, "outside", ""),
        ("BIGINT", int(), "2147483647", true, "", ""),
        ("UBIGINT", big(), "18446744073709551615", false, "outside", ""),
        ("HUGEINT", TargetType::integer(64, false), "18446744073709551615", true, "", ""),
        ("UHUGEINT", big(), "9223372036854775808", false, "outside", ""),
        ("BIGNUM", big(), "'12345678901234567890123456789012345678901234567890'", false, "outside", ""),
        ("BIGNUM", int(), "'-5'", true, "", ""),
        ("DECIMAL(10,2)", int(), "2.50", false, "fractions", "3.00"),
        ("DECIMAL(10,2)", int(), "2.00", true, "", "2.00"),
        ("DECIMAL(38,10)", TargetType::integer(8, true), "128", false, "outside", ""),
        ("VARCHAR", int(), "'2.5'", false, "how", ""),
        ("VARCHAR", int(), "'007'", false, "how", ""),
        ("VARCHAR", int(), "' 7'", false, "how", ""),
        ("VARCHAR", int(), "'-7'", true, "", ""),
        ("VARCHAR", int(), "'3000000000'", false, "itself", ""),
        ("INTEGER", TargetType::Year, "70", false, "year", ""),
        ("INTEGER", TargetType::Year, "1970", true, "", ""),
        ("VARCHAR", TargetType::Year, "'24'", false, "year", ""),
        ("BIGINT", DOUBLE, "9007199254740993", false, "digits", "9007199254740992"),
        ("BIGINT", DOUBLE, "9007199254740992", true, "", "9007199254740992"),
        ("BIGINT", DOUBLE, "9223372036854775807", false, "digits", ""),
        ("INTEGER", REAL, "16777217", false, "digits", "16777216"),
        ("DOUBLE", REAL, "0.1", false, "digits", "0.10000000149011612"),
        ("DOUBLE", REAL, "0.5", true, "", "0.5"),
        ("DOUBLE", REAL, "1e300", false, "digits", ""),
        ("DOUBLE", REAL, "'-inf'", true, "", "-inf"),
        ("DOUBLE", REAL, "'nan'", true, "", "nan"),
        ("DOUBLE", PLAIN_DOUBLE, "'nan'", false, "NaN", ""),
        ("DECIMAL(18,2)", DOUBLE, "1234567890123456.78", false, "digits", "1234567890123456.80"),
        ("DECIMAL(20,2)", DOUBLE, "123456789012345678.91", false, "digits", "123456789012345680.00"),
        ("DECIMAL(10,2)", REAL, "123456.78", true, "", ""),
        ("VARCHAR", DOUBLE, "'1.50'", true, "", ""),
        ("VARCHAR", DOUBLE, "'0.1000000000000000055'", false, "digits", ""),
        ("VARCHAR", DOUBLE, "'NaN'", true, "", ""),
        ("DECIMAL(18,3)", decimal(10, 2), "12.345", false, "2 decimals", "12.350"),
        ("DECIMAL(18,3)", decimal(10, 2), "12.340", true, "", "12.340"),
        ("DECIMAL(18,3)", decimal(10, 2), "123456789.120", false, "8 digits", ""),
        ("DECIMAL(5,3)", decimal(3, 5), "0.009", true, "", "0.009"),
        ("DECIMAL(5,3)", decimal(3, 5), "0.010", false, "bounds", ""),
        ("INTEGER", decimal(3, -2), "99850", false, "last 2", "99900"),
        ("INTEGER", decimal(3, -2), "99900", true, "", "99900"),
        ("DECIMAL(9,1)", decimal(3, -2), "150.0", false, "last 2", "200.0"),
        ("BIGINT", decimal(5, 1), "10000", false, "4 digits", ""),
        ("BIGINT", decimal(5, 1), "-9999", true, "", ""),
        ("DOUBLE", decimal(5, 1), "1.26", false, "1 decimals", "1.3"),
        ("DOUBLE", decimal(5, 1), "0.3", true, "", "0.3"),
        ("DOUBLE", decimal(5, 1), "'nan'", true, "", "nan"),
        ("DOUBLE", decimal(5, 1), "'inf'", false, "infinities", ""),
        ("DOUBLE", decimal(18, 2), "0.1::double + 0.2::double", false, "2 decimals", "0.3"),
        ("DOUBLE", NUMERIC, "0.1::double + 0.2::double", true, "", ""),
        ("FLOAT", decimal(5, 1), "0.1", true, "", "0.1"),
        ("BIGNUM", decimal(3, 0), "'1000'", false, "3 digits", ""),
        ("VARCHAR", decimal(10, 2), "'12.30'", true, "", ""),
        ("VARCHAR", decimal(10, 2), "'12.300'", true, "", ""),
        ("VARCHAR", decimal(10, 2), "'12.345'", false, "digits", ""),
        ("VARCHAR", decimal(10, 2), "'+1'", false, "how", ""),
        ("VARCHAR", decimal(3, 5), "'0.00999'", true, "", ""),
        ("VARCHAR", decimal(3, 5), "'0.01'", false, "how", ""),
        ("VARCHAR", NUMERIC, "'123456789012345678901234567890123456789012345678901234567890.5'", true, "", ""),
        ("VARCHAR", NUMERIC, "'-Infinity'", true, "", ""),
        ("VARCHAR", text(3), "'abc'", true, "", "abc"),
        ("VARCHAR", text(3), "'abc '", false, "characters beyond 3", "abc"),
        ("INTEGER", text(3), "1234", false, "characters beyond 3", ""),
        ("VARCHAR", TargetType::Text(Text { max_bytes: Some(3), ..Text::default() }), "'üü'", false, "bytes", ""),
        (
            "VARCHAR",
            TargetType::Text(Text { blanks: Blanks::Stripped, ..Text::default() }),
            "'a '",
            false,
            "blanks",
            "a",
        ),
        (
            "VARCHAR",
            TargetType::Text(Text {
                max_chars: Some(2),
                characters: Characters::WithoutNul,
                blanks: Blanks::Stripped,
                ..Text::default()
            }),
            "chr(0) || 'ü' || ' ' || 'b'",
            false,
            "NUL",
            "ü",
        ),
        ("VARCHAR", characters(Characters::WithoutNul), "'a' || chr(0) || 'b'", false, "NUL", "ab"),
        ("VARCHAR", characters(Characters::BasicPlane), "'🦆'", false, "plane", ""),
        ("VARCHAR", characters(Characters::BasicPlane), "'€' || chr(10)", true, "", ""),
        ("VARCHAR", characters(Characters::Latin1), "'€'", false, "latin1", ""),
        ("VARCHAR", characters(Characters::Windows1252), "'€ü'", true, "", ""),
        ("VARCHAR", characters(Characters::Ascii), "'ü'", false, "ascii", ""),
        ("BLOB", TargetType::Bytes { max: Some(2), fixed: false }, "'abc'", false, "bytes beyond 2", ""),
        ("BLOB", TargetType::Bytes { max: Some(4), fixed: true }, "'abc'", false, "length", ""),
        ("BIT", TargetType::Bits { length: Some(4), varying: false }, "'101'", false, "length", ""),
        ("BIT", TargetType::Bits { length: Some(4), varying: true }, "'10101'", false, "beyond 4", ""),
        ("VARCHAR", TargetType::Bits { length: None, varying: true }, "'102'", false, "how", ""),
        ("INTEGER", TargetType::Boolean, "2", false, "itself", ""),
        ("VARCHAR", TargetType::Boolean, "'yes'", false, "how", ""),
        ("VARCHAR", TargetType::Uuid, "'80000000-0000-0000-0000-00000000000A'", true, "", ""),
        ("VARCHAR", TargetType::Uuid, "'x'", false, "UUID", ""),
        ("VARCHAR", TargetType::Enum(vec!["it's".to_owned()]), "'its'", false, "none of", ""),
        ("VARCHAR", TargetType::Enum(vec!["it's".to_owned()]), "'it''s'", true, "", ""),
        ("TIMESTAMP", DAY, "'2024-05-01 23:59:59'", false, "time of day", "2024-05-01 00:00:00"),
        ("TIMESTAMP", DAY, "'infinity'", true, "", "infinity"),
        ("TIMESTAMP_NS", DAY, "'2024-05-01'", true, "", "2024-05-01 00:00:00"),
        ("TIMESTAMP WITH TIME ZONE", DAY, "'2024-05-01 00:00:00+00'", false, "zone", "2024-05-01 00:00:00+00"),
        (
            "DATE",
            TargetType::Date { range: Some(Range::new("1000-01-01", "9999-12-31")), infinity: false },
            "'0999-12-31'",
            false,
            "outside 1000",
            "",
        ),
        ("DATE", TargetType::Date { range: None, infinity: false }, "'infinity'", false, "infinities", ""),
        ("VARCHAR", DAY, "'2024-05-01'", true, "", ""),
        ("VARCHAR", DAY, "'2024-05-01 10:00:00'", false, "how", ""),
        ("VARCHAR", DAY, "'2024-02-30'", false, "how", ""),
        ("TIMESTAMP", TIME, "'2024-05-01 10:00:00'", false, "date", "2024-05-01 10:00:00"),
        ("INTERVAL", TIME, "'1 day 10 hours'", false, "days", ""),
        ("INTERVAL", TIME, "'10 hours'", true, "", ""),
        ("INTERVAL", TIME, "'25 hours'", false, "hours", ""),
        ("INTERVAL", TargetType::Time { digits: 6, span: true }, "'-25 hours'", true, "", ""),
        ("TIME WITH TIME ZONE", TIME, "'10:00:00+02:00'", false, "offset", "10:00:00+02"),
        ("TIME", TargetType::Time { digits: 0, span: false }, "'23:59:59.9'", false, "fractions", "23:59:59"),
        ("TIME", TargetType::Time { digits: 3, span: false }, "'23:59:59.9'", true, "", "23:59:59.9"),
        ("VARCHAR", TIME, "'10:00'", true, "", ""),
        ("VARCHAR", TIME, "'10:00:00.1234567'", false, "how", ""),
        ("TIME WITH TIME ZONE", TargetType::TimeTz { digits: 0 }, "'10:00:00.5+02:00'", false, "fractions", ""),
        ("TIMESTAMP", timestamp(0, false), "'2024-05-01 10:00:00.654321'", false, "fractions", "2024-05-01 10:00:01"),
        ("TIMESTAMP", timestamp(0, false), "'1969-12-31 23:59:58.4'", false, "fractions", "1969-12-31 23:59:58"),
        ("TIMESTAMP", timestamp(3, true), "'2024-05-01 10:00:00.654'", true, "", "2024-05-01 10:00:00.654"),
        ("TIMESTAMP", timestamp(0, false), "'-infinity'", true, "", "-infinity"),
        (
            "TIMESTAMP_NS",
            timestamp(6, false),
            "'1969-12-31 23:59:59.999999999'",
            false,
            "first 6",
            "1970-01-01 00:00:00",
        ),
        ("TIMESTAMP_NS", timestamp(6, false), "'2024-05-01 10:00:00.654321'", true, "", "2024-05-01 10:00:00.654321"),
        ("TIMESTAMP_NS", timestamp(6, false), "'infinity'", true, "", "infinity"),
        ("TIMESTAMP_MS", timestamp(0, false), "'2024-05-01 10:00:00.6'", false, "fractions", "2024-05-01 10:00:01"),
        (
            "TIMESTAMP WITH TIME ZONE",
            timestamp(6, false),
            "'2024-05-01 10:00:00+00'",
            false,
            "zone",
            "2024-05-01 10:00:00+00",
        ),
        (
            "TIMESTAMP WITH TIME ZONE",
            timestamp(0, true),
            "'2024-05-01 10:00:00.5+00'",
            false,
            "fractions",
            "2024-05-01 10:00:01+00",
        ),
        (
            "DATE",
            TargetType::Timestamp {
                digits: 6,
                zone: false,
                range: Some(Range::new("4714-11-24 (BC)", "294246-12-31")),
                infinity: true,
            },
            "'5000-01-01 (BC)'",
            false,
            "outside",
            "",
        ),
        (
            "TIMESTAMP",
            TargetType::Date { range: Some(Range::new("4714-11-24 (BC)", "5874897-12-31")), infinity: true },
            "'2024-05-01'",
            true,
            "",
            "",
        ),
        (
            "TIMESTAMP_NS",
            TargetType::Timestamp {
                digits: 6,
                zone: false,
                range: Some(Range::new("1000-01-01", "9999-12-31 23:59:59")),
                infinity: false,
            },
            "'2024-05-01'",
            true,
            "",
            "",
        ),
        (
            "DATE",
            TargetType::Timestamp {
                digits: 6,
                zone: false,
                range: Some(Range::new("1000-01-01", "294247-01-10 04:00:54")),
                infinity: false,
            },
            "'300000-05-01'",
            false,
            "outside",
            "",
        ),
        ("VARCHAR", timestamp(6, true), "'2024-05-01T10:00:00.312Z'", true, "", ""),
        ("VARCHAR", timestamp(6, false), "'2024-05-01T10:00:00.312'", true, "", ""),
        ("VARCHAR", timestamp(6, false), "'2024-05-01T10:00:00+02:00'", false, "how", ""),
        ("VARCHAR", timestamp(0, false), "'2024-05-01 10:00:00.5'", false, "how", ""),
        ("VARCHAR", timestamp(0, false), "'01/05/2024'", false, "how", ""),
        ("INTERVAL", interval(IntervalPart::Day, 6), "'1 day 10 hours'", false, "hours", ""),
        ("INTERVAL", interval(IntervalPart::Day, 6), "'2 days'", true, "", ""),
        ("INTERVAL", interval(IntervalPart::Year, 6), "'1 year 1 month'", false, "months", ""),
        ("INTERVAL", interval(IntervalPart::Minute, 6), "'1.5 minutes'", false, "seconds", ""),
        ("INTERVAL", interval(IntervalPart::Second, 0), "'1.5 seconds'", false, "fractions", "00:00:01"),
        ("VARCHAR", interval(IntervalPart::Day, 6), "'1 day 10 hours'", false, "hours", ""),
        ("VARCHAR", interval(IntervalPart::Day, 6), "'2 days'", true, "", ""),
        ("VARCHAR", interval(IntervalPart::Second, 6), "'1.0000001 seconds'", false, "first 6", ""),
        ("VARCHAR", list(int()), "'{1,2}'", true, "", ""),
        ("DOUBLE[]", list(int()), "[1.4, null, 2.6]", false, "fractions", "[1.0, NULL, 3.0]"),
        ("DOUBLE[]", list(int()), "[1.0, null]", true, "", "[1.0, NULL]"),
        ("DOUBLE[][]", list(int()), "[[1.0], [2.5], null]", false, "fractions", "[[1.0], [3.0], NULL]"),
        ("DOUBLE[2]", list(int()), "[1.0, 2.0]", true, "", ""),
        ("TIMESTAMP[]", list(DAY), "['2024-05-01 10:00:00']", false, "time of day", "['2024-05-01 00:00:00']"),
        ("VARCHAR[]", list(text(1)), "['ab']", false, "beyond 1", "[a]"),
        ("JSON", TargetType::Json, "'{\"a\": \"nan, ]\"}'", true, "", ""),
        ("VARCHAR", TargetType::Json, "'[1,]'", false, "not JSON", ""),
        ("DOUBLE", TargetType::Json, "'inf'", false, "infinities", ""),
        ("DATE[]", TargetType::Json, "['infinity'::date]", true, "", ""),
        ("STRUCT(a DOUBLE[])", TargetType::Json, "{'a': [1, 'nan'::double]}", false, "NaN", ""),
        ("STRUCT(a INTEGER)", text(3), "{'a': 1}", false, "beyond 3", ""),
    ]
}

#[test]
fn values_survive_or_lose_as_the_table_says() {
    let connection = database();
    let mut wrong = Vec::new();
    for (source, target, value, survives, lost, rounded) in cases() {
        let source = SourceType::parse(source);
        let Verdict::Checked(check) = verdict(&source, &target) else {
            if !(survives && verdict(&source, &target) == Verdict::Lossless) {
                wrong.push(format!("{source} to {target:?}: {:?}", verdict(&source, &target)));
            }
            continue;
        };
        let found = fate(&connection, value, &source, &check);
        let as_said = found.0 == survives
            && found.1.as_deref().unwrap_or_default().contains(lost)
            && found.1.is_none() == survives
            && (survives || found.2 == rounded);
        if !as_said {
            wrong.push(format!("{value}::{source} to {target:?}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_check_of_the_table_runs_and_lets_nulls_through() {
    let connection = database();
    for row in table() {
        if let Verdict::Checked(check) = row.verdict {
            let (survives, lost, _) = fate(&connection, "null", &row.source, &check);
            assert!(survives && lost.is_none(), "{} to {:?}", row.source, row.target);
        }
    }
}

#[test]
fn a_type_can_hold_the_values_of_its_equivalent() {
    for source in crate::sources() {
        let like = TargetType::like(&source).unwrap();
        // PostgreSQL's and MySQL's widest types cannot hold all of DuckDB's unsigned 128 bits; for intervals, the way
        // out of DuckDB is the narrow part. DuckDB's JSON admits more than the standard.
        let narrow = matches!(source, SourceType::UHugeInt | SourceType::Interval | SourceType::Json);
        assert!(narrow || verdict(&source, &like) == Verdict::Lossless, "{source}: {:?}", verdict(&source, &like));
    }
}
