#![allow(clippy::disallowed_methods, clippy::unwrap_used)]
use std::path::Path;

use super::*;
use crate::columns;
use crate::grants::limits::Limits;

fn engine(folder: &Path, spill_bytes: u64) -> Engine {
    let (output, spill) = (folder.join("out.duckdb"), folder.join("spill"));
    let temporary = TemporaryFolder::create(&folder.join("temporary"), spill_bytes).unwrap();
    let furnishing =
        Furnishing { output: Some(&output), temporary: Some(temporary), ..Furnishing::bare(&spill, Limits::DEFAULT) };
    Warm::open().unwrap().furnish(&furnishing, || Ok(())).unwrap()
}

/// The table that some texts of records make: `name type` of each column, and its rows as JSON.
fn made(texts: &[&str], declared: &[(&str, &str)]) -> Result<(Vec<String>, Vec<String>)> {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 1 << 30);
    let declared: Vec<_> = declared.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect();
    let mut table = engine.create_json_table("main", &declared)?;
    for text in texts {
        table.append(text)?;
    }
    engine.finish_json_table(table)?;
    let column = |select: &str| -> Vec<String> {
        let column = engine.control().first_column(select).unwrap();
        column.map(|column| column.as_string::<i32>().iter().flatten().map(str::to_owned).collect()).unwrap_or_default()
    };
    let types = column(
        "SELECT column_name || ' ' || data_type FROM duckdb_columns()
         WHERE database_name = 'osiris_output' AND table_name = 'main' ORDER BY column_index",
    );
    Ok((types, column("SELECT CAST(to_json(made) AS VARCHAR) FROM osiris_output.main.main made")))
}

fn types(texts: &[&str], declared: &[(&str, &str)]) -> Vec<String> {
    made(texts, declared).unwrap().0
}

#[test]
fn a_columns_type_is_decided_over_all_records_in_any_order_and_division() {
    for (records, expected) in [
        (&[r#"{"a": 1}"#, r#"{"a": -9223372036854775808}"#] as &[&str], &["a BIGINT"] as &[&str]),
        (&[r#"{"a": 1}"#, r#"{"a": 1.5}"#], &["a DOUBLE"]),
        (&[r#"{"a": 1}"#, r#"{"a": 18446744073709551615}"#], &["a DECIMAL(38,0)"]),
        (&[r#"{"a": 12345678901234567890.5}"#, r#"{"a": 0.25}"#], &["a DECIMAL(38,2)"]),
        (&[r#"{"a": 1}"#, r#"{"a": "x"}"#], &["a VARCHAR"]),
        (&[r#"{"a": "2024-01-31"}"#, r#"{"a": null}"#], &["a VARCHAR"]),
        (&[r#"{"a": null}"#, "{}"], &["a VARCHAR"]),
        (&[r#"{"a": true}"#, r#"{"a": [1]}"#], &["a JSON"]),
        (&[r#"{"a": {"b": 1}}"#, r#"{"a": {"b": 2.5, "c": [true]}}"#], &["a STRUCT(b DOUBLE, c BOOLEAN[])"]),
        (&["{}", " \n{}"], &["record JSON"]),
    ] {
        let whole = records.concat();
        assert_eq!(types(records, &[]), expected, "{records:?}");
        assert_eq!(types(&[&whole], &[]), expected, "{records:?} at once");
        let list = format!(" [{}]\n[ ]", records.join(" , "));
        assert_eq!(made(&[&list], &[]).unwrap(), made(records, &[]).unwrap(), "{records:?} in an array");
        let mut members = types(&records.iter().rev().copied().collect::<Vec<_>>(), &[]);
        members.sort();
        if !expected[0].contains("STRUCT") {
            assert_eq!(members, expected, "{records:?} backwards");
        }
    }
}

#[test]
fn every_value_survives_in_the_type_that_is_chosen() {
    let (types, rows) = made(
        &[
            r#"{"i": 9007199254740993, "d": 1234567890123456789.01, "n": 0.1, "t": "ü\n\"", "l": [1, null]}"#,
            r#"{"d": 0.5, "a": 1}{"A": 2, "": 3}"#,
        ],
        &[],
    )
    .unwrap();
    assert_eq!(
        types,
        ["i BIGINT", "d DECIMAL(38,2)", "n DOUBLE", "t VARCHAR", "l BIGINT[]", "a_2 BIGINT", "A BIGINT", "_ BIGINT"]
    );
    assert!(rows[0].contains("9007199254740993") && rows[0].contains("1234567890123456789.01"), "{}", rows[0]);
    assert_eq!(rows.len(), 3);
}

#[test]
fn declared_types_are_used_even_for_members_that_no_record_has() {
    let declared = [("t", "TIMESTAMPTZ"), ("d", "DECIMAL(18,2)"), ("u", "UUID"), ("none", "DATE"), ("h", "HUGEINT")];
    let record = r#"{"h": 170141183460469231731687303715884105727, "d": "12.50", "t": "2024-01-31T10:00:00+02:00", "x": 1, "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}"#;
    let (types, rows) = made(&[record], &declared).unwrap();
    let expected = ["t TIMESTAMP WITH TIME ZONE", "d DECIMAL(18,2)", "u UUID", "none DATE", "h HUGEINT", "x BIGINT"];
    assert_eq!(types, expected, "declared columns come first, whatever the records have");
    for value in ["170141183460469231731687303715884105727", "12.50", "08:00:00+00", "a0eebc99", "null"] {
        assert!(rows[0].contains(value), "{value}: {}", rows[0]);
    }
}

#[test]
fn a_value_that_does_not_fit_its_declared_type_is_named() {
    for (kind, value, said) in [
        ("DECIMAL(4,2)", "1.234", "more digits"),
        ("TINYINT", "300", "beyond"),
        ("DATE", "\"2024-01-31T10:00:00\"", "time of day"),
        ("BIGINT", "\"x\"", "does not fit"),
    ] {
        let texts = ["{\"a\": null}", &format!("{{\"a\": {value}}}")];
        let error = made(&texts, &[("a", kind)]).unwrap_err();
        assert_eq!(error.cause, Cause::Data);
        let message = &error.message;
        assert!(["table `main`", "record 2", "`a`", said].iter().all(|part| message.contains(part)), "{message}");
    }
    let wrong = [("a", "INTEGRE"), ("a", "INTEGER); drop table x"), ("a", "BIGINT")];
    for declared in [&wrong[..1], &wrong[1..2], &[wrong[2], ("A", "BIGINT")]] {
        assert_eq!(made(&[], declared).unwrap_err().cause, Cause::Statement, "{declared:?}");
    }
    assert!(made(&["{\"a\": 1}"], &[("A", "BIGINT")]).unwrap_err().message.contains("case"));
}

#[test]
fn a_malformed_record_is_named_and_loses_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 1 << 30);
    for (number, text) in [
        r#"{"a": 1} {"a": 2"#,
        r#"{"a": 1} [1]"#,
        r#"[{"a": 1}, 5]"#,
        r#"[{"a": 1}, [{"a": 2}]]"#,
        r#"[{"a": 1}, ]"#,
        r#"[{"a": 1} {"a": 2}]"#,
        r#"[{"a": 1}"#,
        r#"[{"a": 1}]]"#,
        r#"{"a": 1} 5"#,
        r#"{"a": 1}, {"a": 2}"#,
        r#"{"a": 1} {"a": 1, "a": 2}"#,
        r#"{"a": 1} {"a": 01}"#,
        "{\"a\": 1} {\"a\": \"x\ny\"}",
        r#"{"a": 1} {"a": "\ud800"}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let mut table = engine.create_json_table(&format!("t{number}"), &[]).unwrap();
        table.append("{\"a\": 0}").unwrap();
        let Err(error) = table.append(text) else { panic!("{text} was accepted") };
        let named = ["record 3", "record 2"].iter().any(|record| error.message.contains(record));
        assert!(error.cause == Cause::Data && named, "{text}: {error}");
        assert_eq!(table.append("{\"a\": 1}").unwrap_err(), error, "nothing may follow");
        assert_eq!(engine.finish_json_table(table).unwrap_err(), error);
    }
    let wide: Vec<String> = (0..5_000).map(|member| format!("\"m{member}\": 1")).collect();
    let mut table = engine.create_json_table("wide", &[]).unwrap();
    assert!(table.append(&format!("{{{}}}", wide.join(","))).unwrap_err().message.contains("4096"));
}

#[test]
fn records_beyond_the_memory_go_to_a_file_and_no_further_than_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 8 << 20);
    let page: String =
        (0..10_000).map(|id| format!("{{\"id\": {id},\n\"text\": \"some text of record {id}\"}}\n")).collect();
    let mut table = engine.create_json_table("main", &[]).unwrap();
    for _ in 0..10 {
        assert_eq!(table.append(&page).unwrap(), 10_000);
    }
    table.append("{\"id\": 0.5}").unwrap();
    let finished = engine.finish_json_table(table).unwrap();
    assert_eq!(finished.rows, 100_001);
    let sum = "SELECT CAST(sum(id) * 2 AS BIGINT) FROM osiris_output.main.main";
    assert_eq!(engine.control().number(sum).unwrap(), 10 * 9_999 * 10_000 + 1);
    assert_eq!(std::fs::read_dir(folder.path().join("temporary")).unwrap().count(), 0);

    let mut table = engine.create_json_table("more", &[]).unwrap();
    let error = (0..100).find_map(|_| table.append(&page).err()).unwrap();
    assert_eq!(error.cause, Cause::Spill);
    assert!(engine.status().has_seen(Trouble::Spill));
}

/// The records of a SELECT.
fn records(select: &str) -> Result<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 0);
    let mut query = engine.query_json(select)?;
    let mut records = Vec::new();
    while let Some((text, count)) = query.next_records()? {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert_eq!(lines.len() as u64, count);
        records.extend(lines);
    }
    assert!(query.next_records()?.is_none());
    Ok(records)
}

#[test]
fn every_value_has_one_exact_json_text() {
    for (value, expected) in [
        ("null", "null"),
        ("true", "true"),
        ("9007199254740993::bigint", "9007199254740993"),
        ("'-170141183460469231731687303715884105728'::hugeint", "-170141183460469231731687303715884105728"),
        ("340282366920938463463374607431768211455::uhugeint", "340282366920938463463374607431768211455"),
        ("0.10::decimal(2,2)", "0.10"),
        ("12345678901234567890123456789012345.678::decimal(38,3)", "12345678901234567890123456789012345.678"),
        ("0.1::double", "0.1"),
        ("0.1::float", "0.1"),
        ("'nan'::double", "\"NaN\""),
        ("'-inf'::float", "\"-Infinity\""),
        ("'inf'::double", "\"Infinity\""),
        ("'ü' || chr(10) || '\"'", r#""ü\n\"""#),
        ("'\\x00abc'::blob", r#""\\x00abc""#),
        ("date '2024-02-29'", "\"2024-02-29\""),
        ("time '10:00:00.5'", "\"10:00:00.5\""),
        ("'2024-01-31 10:00:00.123456789'::timestamp_ns", "\"2024-01-31 10:00:00.123456789\""),
        ("timestamptz '2024-01-31 10:00:00+02'", "\"2024-01-31 08:00:00+00\""),
        ("timetz '10:00:00+02'", "\"10:00:00+02\""),
        ("interval '1 month 2 days'", "\"1 month 2 days\""),
        ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\""),
        ("'0101'::bit", "\"0101\""),
        ("'b'::enum('a', 'b')", "\"b\""),
        ("'{\"k\":  1.0}'::json", "{\"k\":  1.0}"),
        ("[1, null]", "[1,null]"),
        ("[0.5, 1]::decimal(3,1)[2]", "[0.5,1.0]"),
        ("{'a': 1, 'b': {'c': null}}", "{\"a\":1,\"b\":{\"c\":null}}"),
        ("map {1: 'x'}", "{\"1\":\"x\"}"),
        ("union_value(num := 2)", "{\"num\":2}"),
    ] {
        assert_eq!(records(&format!("select {value} as v")).unwrap(), [format!("{{\"v\":{expected}}}")], "{value}");
    }
}

#[test]
fn records_come_in_order_and_in_bounded_texts() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 0);
    let mut query = engine.query_json("select i, repeat('x', 1000) as t from range(10000) r(i)").unwrap();
    let (mut next, mut texts) = (0, 0);
    while let Some((text, _)) = query.next_records().unwrap() {
        assert!(text.len() < (1 << 20) + 2000);
        for line in text.lines() {
            assert!(line.starts_with(&format!("{{\"i\":{next},")), "{next}");
            next += 1;
        }
        texts += 1;
    }
    assert!(next == 10_000 && texts > 5, "{next} records in {texts} texts");
    for (select, said) in [
        ("select 1 as a, 2 as a", "two columns have the name `a`"),
        ("select * from (values (1)) t(a), (values (1)) u(a)", "two columns"),
        ("drop table x", "SELECT"),
    ] {
        assert!(records(select).err().unwrap().message.contains(said), "{select}");
    }
    assert_eq!(records("select 1 as \"a\"\"'b\"").unwrap(), [r#"{"a\"'b":1}"#]);
}

#[test]
fn plain_types_are_those_that_every_language_has() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), 0);
    let select = "select true as b, 7::hugeint as h, '01'::bit as t, 1::bignum as n,
                  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid as u, '{}'::json as j, 'x'::enum('x') as e,
                  timetz '10:00:00+02' as z, interval '1 day' as i, union_value(num := 2) as w, 1.5::decimal(18,3) as d,
                  timestamptz '2024-01-31 10:00:00+02' as s, [7::hugeint, null] as l, {'b': false} as r, 3 as k";
    let formats = |types| -> Vec<String> {
        let fields = engine.query(select, types).unwrap().fields;
        fields.into_iter().map(|field| format!("{} {} {}", field.name, field.format, field.metadata.len())).collect()
    };
    assert_eq!(
        formats(Types::Plain),
        [
            "b b 0",
            "h d:38,0 0",
            "t u 0",
            "n u 0",
            "u u 0",
            "j u 0",
            "e u 0",
            "z u 0",
            "i u 0",
            "w u 0",
            "d d:18,3 0",
            "s tsu:UTC 0",
            "l +l 0",
            "l d:38,0 0",
            "r +s 0",
            "b b 0",
            "k i 0"
        ]
    );
    let exact = formats(Types::Exact);
    assert!(["d d:18,3 0", "s tsu:UTC 0"].iter().all(|format| exact.iter().any(|exact| exact == format)), "{exact:?}");
    let mut query = engine.query(select, Types::Plain).unwrap();
    let booleans = query.booleans.clone();
    let batch = query.next_batch().unwrap().unwrap();
    let mut nodes = columns::flatten_batch(&batch).unwrap();
    columns::pack_booleans(&mut nodes, &booleans);
    assert_eq!((nodes[0].buffers[1][0] & 1, nodes[15].buffers[1][0] & 1), (1, 0));
    assert_eq!(&nodes[3].buffers[2][..], b"1");
    let too_large = engine.query("select 340282366920938463463374607431768211455::uhugeint as h", Types::Plain);
    assert!(too_large.and_then(|mut query| query.next_batch()).is_err());
}
