//! A driver that uses everything runs natively: what it is given, what it leaves behind, and what goes wrong.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::time::Duration;

use serde::Deserialize;
#[cfg(feature = "schema")]
use serde::Serialize;
use serde_json::{Value, json};

use super::{Rejected, Rows, Step};
use crate::{
    Array, Blob, CatalogTable, Check, Date, Decimal, Discovery, Error, ErrorKind, Extractor, Inputs, Instant, Output,
    Processor, Result, Time, Timestamp, Uuid, Writer, context, files, sql, state, tcp,
};

/// Every type that has a type in Rust.
#[cfg(feature = "schema")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
struct Every {
    whole: i64,
    small: Option<i16>,
    real: f64,
    flag: bool,
    text: String,
    day: Date,
    clock: Time,
    local: Timestamp,
    at: Instant,
    price: Decimal<18, 2>,
    id: Uuid,
    bytes: Blob,
    tags: Vec<Option<String>>,
    part: Part,
    any: Value,
}

#[cfg(feature = "schema")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
struct Part {
    name: Option<String>,
    days: Vec<Date>,
}

#[cfg(feature = "schema")]
fn every() -> Every {
    Every {
        whole: i64::MIN,
        small: None,
        real: 0.5,
        flag: true,
        text: "ž\"\n".to_owned(),
        day: "0001-02-03".parse().unwrap(),
        clock: "23:59:59.000001".parse().unwrap(),
        local: "2024-02-29 01:02:03.4".parse().unwrap(),
        at: "1900-01-01T02:00:00+02:00".parse().unwrap(),
        price: "-0.10".parse().unwrap(),
        id: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".parse().unwrap(),
        bytes: Blob(vec![0, b'a', b'\\', b'\'', 255]),
        tags: vec![Some("a".to_owned()), None],
        part: Part { name: None, days: vec![Date(0)] },
        any: json!({"a": [1, "b"]}),
    }
}

#[cfg(feature = "schema")]
#[test]
fn rows_of_a_type_have_its_columns_and_come_back_unchanged() {
    driver!(Write: Value, extract |_, output| output.write_rows("main", [every()]).map(drop));
    let run = Step::new().extract::<Write>();
    let columns = crate::schema::columns::<Every>();
    let order: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        order,
        [
            "whole", "small", "real", "flag", "text", "day", "clock", "local", "at", "price", "id", "bytes", "tags",
            "part"
        ]
    );
    let types = run.types("main");
    for (column, kind) in [
        ("whole", "BIGINT"),
        ("small", "SMALLINT"),
        ("real", "DOUBLE"),
        ("flag", "BOOLEAN"),
        ("text", "VARCHAR"),
        ("day", "DATE"),
        ("clock", "TIME"),
        ("local", "TIMESTAMP"),
        ("at", "TIMESTAMPTZ"),
        ("price", "DECIMAL(18,2)"),
        ("id", "UUID"),
        ("bytes", "BLOB"),
        ("tags", "VARCHAR[]"),
        ("part", "STRUCT(\"name\" VARCHAR, \"days\" DATE[])"),
    ] {
        assert_eq!(types[column], kind, "{column}");
    }
    let rows = run.rows("main");
    assert_eq!(rows[0]["price"].to_string(), "-0.10");
    assert_eq!(rows[0]["bytes"], r"\x00a\x5C\x27\xFF");
    assert_eq!(rows[0]["at"], "1900-01-01 00:00:00+00");
    assert_eq!(serde_json::from_value::<Every>(rows[0].clone()).unwrap(), every());
    // The same rows as columns, and back as rows.
    driver!(Back: Value, transform |_, inputs, output| {
        let input = inputs.only()?;
        assert_eq!(input.rows_as::<Every>()?.collect::<Result<Vec<_>>>()?, [every()]);
        input.batches()?.try_for_each(|batch| output.append("main", &batch?))
    });
    let mut input = Rows::new([every()]).typed("any", "JSON");
    for (column, kind) in &columns {
        input = input.typed(column, kind);
    }
    assert_eq!(Step::new().input("in", input).transform::<Back>().rows("main"), rows);
}

#[test]
fn values_of_columns_are_read_and_columns_built_from_them() {
    driver!(Copy: Value, transform |_, inputs, output| {
        let batch = inputs.only()?.read()?.next_batch()?.unwrap();
        let row = batch.each_row().next().unwrap();
        let day: Array = vec![row.get::<Date>("day")?].into();
        let at: Array = vec![row.get::<Option<Instant>>("at")?].into();
        let local: Array = vec![row.get::<Timestamp>("local")?].into();
        let clock: Array = vec![row.get::<Time>("clock")?].into();
        let price: Array = vec![row.get::<Decimal<5, 1>>("price")?].into();
        let id: Array = vec![row.get::<Uuid>("id")?].into();
        let bytes: Array = vec![row.get::<Blob>("bytes")?].into();
        assert!(row.get::<Instant>("at").unwrap_err().message.contains("`at` is null"));
        assert!(row.get::<Instant>("local").unwrap_err().message.contains("`tsu:UTC` was expected"));
        assert!(row.get::<Decimal<3, 1>>("large").unwrap_err().message.contains("`100.00` is not a DECIMAL(3,1)"));
        let columns = vec![("day", day), ("at", at), ("local", local), ("clock", clock), ("price", price), ("id", id)];
        output.write_columns("main", [columns, vec![("bytes", bytes)]].into_iter().flatten().collect())?;
        let other = batch.without_column("large")?.with_column("day", vec![7_i64].into())?;
        assert!(other.column("large").is_err() && other.column("at").is_ok());
        output.append("other", &other)?;
        let error = output.append("other", &other.with_column("more", vec![true].into())?).unwrap_err();
        assert!(error.message.contains("other columns than the first"), "{error}");
        Ok(())
    });
    let row = json!({
        "day": "2024-02-29", "at": null, "local": "2024-02-29 00:00:00", "clock": "01:02:03", "price": "12.50",
        "id": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "bytes": "\\x00a", "large": "100.00"
    });
    let types = [
        ("day", "DATE"),
        ("at", "TIMESTAMPTZ"),
        ("local", "TIMESTAMP"),
        ("clock", "TIME"),
        ("price", "DECIMAL(18,2)"),
        ("id", "UUID"),
        ("bytes", "BLOB"),
        ("large", "DECIMAL(18,2)"),
    ];
    let input = types.iter().fold(Rows::new([row.clone()]), |rows, (column, kind)| rows.typed(column, kind));
    let run = Step::new().input("in", input).transform::<Copy>();
    let mut expected = row;
    expected.as_object_mut().unwrap().remove("large");
    expected["price"] = serde_json::from_str("12.5").unwrap();
    assert_eq!(run.rows("main"), [expected]);
    assert_eq!(run.types("main")["price"], "DECIMAL(5,1)");
    assert_eq!(run.types("other")["day"], "BIGINT");
}

#[test]
fn texts_that_are_no_values_are_refused() {
    for text in ["2024-02-30", "24-01-01", "2024-1-01", "2024-01-01 ", " 2024-01-01", "+2024-01-01", ""] {
        assert!(text.parse::<Date>().is_err(), "{text}");
    }
    for text in ["24:00:01", "1:00:00", "00:60:00", "23:59:60", "00:00:00.1234567", "00", ""] {
        assert!(text.parse::<Time>().is_err(), "{text}");
    }
    assert!("2024-01-01 00:00:00+00".parse::<Timestamp>().is_err() && "2024-01-01".parse::<Timestamp>().is_ok());
    assert!("2024-01-01 00:00:00".parse::<Instant>().is_err());
    for (text, expected) in
        [("2024-01-01T00:00:00Z", 0), ("2024-01-01 00:00:00-01", 3600), ("2024-01-01T01:30:00+0130", 0)]
    {
        let instant: Instant = text.parse().unwrap();
        assert_eq!(instant.0, (1_704_067_200 + expected) * 1_000_000, "{text}");
    }
    for (text, expected) in [
        ("1.5", Some(150)),
        ("-0", Some(0)),
        ("1e2", Some(10_000)),
        ("12.30e-1", Some(123)),
        ("999", Some(99_900)),
        ("1000", None),
        ("0.001", None),
        ("1e-3", None),
        ("1e40", None),
        ("", None),
        ("1.", Some(100)),
        ("x", None),
        ("--1", None),
    ] {
        assert_eq!(text.parse::<Decimal<5, 2>>().ok().map(|value| value.0), expected, "{text}");
    }
    for text in ["\\x0", "\\", "\\xzz", "ü"] {
        assert!(text.parse::<Blob>().is_err(), "{text}");
    }
    assert!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1".parse::<Uuid>().is_err());
}

#[test]
fn a_step_gives_and_takes_everything_else() {
    #[derive(Deserialize)]
    struct Config {
        path: String,
    }
    driver!(Kitchen: Config, extract |config, output| {
        assert_eq!(context::secret("login.password").as_deref(), Some("pa55"));
        assert_eq!((context::secret("/nothing"), context::attempt(), context::partition().count), (None, 2, 4));
        assert_eq!(context::secrets_below("login"), [("password".to_owned(), "pa55".to_owned())]);
        assert_eq!(state::get::<i64>()?, Some(4));
        state::set(&5)?;
        assert_eq!(state::set(&"pa55").unwrap_err().kind, ErrorKind::Denied);
        context::warn("careful", &[("page", &3)]);
        crate::context::metric("pages", 3.0);
        context::progress(1, Some(2));
        context::reject(&json!({"id": 2}), "no price")?;
        let file = files::open(&config.path)?;
        files::create("out")?.write(&file.read(1, 3)?)?;
        assert_eq!(files::open("elsewhere").unwrap_err().kind, ErrorKind::NotFound);
        let mut connection = tcp::connect("db", 1, Duration::from_secs(1))?;
        connection.write_all(b"ping")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        assert_eq!(answer, "hello ping");
        assert_eq!(tcp::connect("db", 2, Duration::from_secs(1)).unwrap_err().kind, ErrorKind::Denied);
        sql::create_table(&output, "made", "select 1")?;
        let mut records = output.create_json_table("main", &[("n", "BIGINT")])?;
        for row in sql::query_json("select 2")?.rows_as::<Value>() {
            records.write(&row?)?;
        }
        records.finish().map(drop)
    });
    let step = || {
        let greet = |bytes: &[u8]| if bytes.is_empty() { b"hello ".to_vec() } else { bytes.to_vec() };
        Step::new()
            .config(json!({"path": "in"}))
            .secret("/login/password", "pa55")
            .state(&json!(4))
            .attempt(2)
            .part(1, 4)
            .file("in", "abcde")
            .server("db:1", greet)
            .sql(|select| Rows::new([json!({"select": select})]))
    };
    let run = step().extract::<Kitchen>();
    assert_eq!(run.rows("made"), [json!({"select": "select 1"})]);
    assert_eq!(run.rows("main"), [json!({"n": null, "select": "select 2"})]);
    assert_eq!(
        (run.state(), run.file("out"), run.progress()),
        (Some(json!(5)), Some(b"bcd".as_slice()), Some((1, Some(2))))
    );
    assert_eq!((run.metrics()["pages"], run.tables()), (3.0, vec!["made", "main"]));
    assert_eq!(run.rejected(), [Rejected { row: json!({"id": 2}), reason: "no price".to_owned() }]);
    assert_eq!((run.log()[0].message.as_str(), run.log()[0].fields["page"].as_str()), ("careful", "3"));
    let refused = step().rejects(0).extract::<Kitchen>();
    assert_eq!(
        (refused.error().kind, refused.error().message.as_str()),
        (ErrorKind::Data, "a row was rejected: no price")
    );
}

#[test]
fn other_kinds_run_too_and_an_unfinished_table_is_an_error() {
    struct Others;
    impl Writer for Others {
        type Config = Value;
        fn load(_: Value, inputs: Inputs) -> Result<()> {
            files::create("out")?.write(format!("{}", inputs.only()?.rows()).as_bytes())?;
            Ok(())
        }
    }
    impl Check for Others {
        type Config = Value;
        fn check(config: Value) -> Result<String> {
            config["server"].as_str().map(str::to_owned).ok_or_else(|| Error::config("no server"))
        }
    }
    impl Discovery for Others {
        type Config = Value;
        fn discover(_: Value) -> Result<Vec<CatalogTable>> {
            Ok(Vec::new())
        }
    }
    driver!(Unfinished: Value, extract |_, output| output.create_json_table("main", &[]).map(drop));
    let run = Step::new().input("in", Rows::new([json!({"a": 1})])).load::<Others>();
    assert_eq!(run.file("out"), Some(b"1".as_slice()));
    assert_eq!(Step::new().load::<Others>().error().kind, ErrorKind::Config);
    assert_eq!(Step::new().config(json!({"server": "S 1"})).check::<Others>().success(), "S 1");
    assert!(Step::new().discover::<Others>().success().is_empty());
    assert!(Step::new().extract::<Unfinished>().error().message.contains("did not finish the table `main`"));
}

#[test]
fn malformed_columns_and_records_are_refused() {
    driver!(Wrong: Value, extract |_, output| {
        let schema = crate::Batch::from_columns(vec![("a", vec![1_i64].into())])?.schema().clone();
        let mut table = output.create_table("main", &schema)?;
        let short = crate::RawBatch { rows: 2, nodes: vec![crate::Node { length: 2, buffers: vec![vec![], vec![0; 8]] }] };
        let short = crate::Batch::new(std::rc::Rc::new(schema.clone()), short);
        assert!(table.append(&short).unwrap_err().message.contains("is malformed"));
        table.finish()?;
        assert!(output.create_table("main", &schema).unwrap_err().message.contains("exists already"));
        let mut whole = output.create_json_table("whole", &[])?;
        let half = std::collections::BTreeMap::from([("a", std::collections::BTreeMap::from([((1, 2), 3)]))]);
        assert_eq!(whole.write(&half).unwrap_err().kind, ErrorKind::Data);
        whole.write(&json!({"whole": 1}))?;
        assert_eq!(whole.finish()?, 1, "half a record does not spoil the next one");
        let columns = [("n", "BIGINT"), ("tags", "STRUCT(id UUID)[]"), ("day", "DATE"), ("t", "VARCHAR")];
        for (record, words) in [
            (json!({"n": 1.5}), "record 2: `n` is 1.5, which is no BIGINT"),
            (json!({"tags": [{"id": "x"}]}), "`tags` is [{\"id\":\"x\"}], which is no STRUCT(id UUID)[]"),
        ] {
            let mut typed = output.create_json_table(words, &columns)?;
            typed.write(&json!({"n": "7", "tags": [], "day": "", "t": 5}))?;
            typed.write(&record)?;
            assert!(typed.finish().unwrap_err().message.contains(words));
        }
        let mut records = output.create_json_table("records", &[])?;
        records.append("[1]")?;
        assert!(records.finish().unwrap_err().message.contains("malformed"));
        context::reject_json("{", "broken").map(drop)
    });
    assert!(Step::new().extract::<Wrong>().error().message.contains("not JSON"));
}
