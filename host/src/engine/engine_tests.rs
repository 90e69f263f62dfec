#![allow(clippy::disallowed_methods, clippy::unwrap_used)]
use duckdb::arrow::array::Array;
use duckdb::arrow::compute::concat_batches;
use duckdb::arrow::datatypes::Int64Type;
use duckdb::arrow::record_batch::RecordBatch;

use super::*;
use crate::grants::limits::Limits;
use duckdb::arrow::array::ArrayData;

fn engine(folder: &Path) -> Engine {
    let (output, spill) = (folder.join("out.duckdb"), folder.join("spill"));
    let furnishing = Furnishing { output: Some(&output), ..Furnishing::bare(&spill, Limits::DEFAULT) };
    Warm::open().unwrap().furnish(&furnishing, || Ok(())).unwrap()
}

/// An engine whose input `back` is the table that another engine wrote.
fn reading(folder: &Path) -> Engine {
    let input = InputTable::new("back", folder.join("out.duckdb"), "main");
    let spill = folder.join("spill");
    let furnishing = Furnishing { inputs: &[input], ..Furnishing::bare(&spill, Limits::DEFAULT) };
    Warm::open().unwrap().furnish(&furnishing, || Ok(())).unwrap()
}

/// All rows of a SELECT as one batch.
fn whole(engine: &Engine, select: &str) -> (Vec<Field>, ArrayData) {
    let mut query = engine.query(select, Types::Exact).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = query.next_batch().unwrap() {
        batches.push(RecordBatch::from(duckdb::arrow::array::StructArray::from(batch)));
    }
    let batch = concat_batches(&batches[0].schema(), &batches).unwrap();
    (query.fields, duckdb::arrow::array::StructArray::from(batch).to_data())
}

#[test]
fn a_batch_larger_than_duckdbs_chunk_is_appended_completely_with_nested_types() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let select = "select i, case when i % 3 = 0 then null else 't' || i end as t, i % 2 = 0 as b, [i, null, -i] as l,
                  case when i % 5 = 0 then null else {'a': i, 'b': ['x' || i]} end as s, map {i: [i]} as m,
                  [i, i + 1]::bigint[2] as f, i::decimal(30, 2) as d, (i % 100)::varchar::blob as z
                  from range(7001) t(i)";
    let (fields, batch) = whole(&engine, select);
    let mut writer = engine.create_table("main", &fields, false).unwrap();
    assert_eq!(batch.len(), 7001);
    writer.append(&batch).unwrap();
    assert_eq!(writer.finish().unwrap(), 7001);
    engine.finish().unwrap();
    let (_, back) = whole(&reading(folder.path()), "from back");
    let (batch, back) = (make_array(batch), make_array(back));
    for (column, (one, other)) in batch.as_struct().columns().iter().zip(back.as_struct().columns()).enumerate() {
        let different = (0..one.len()).find(|row| one.slice(*row, 1).to_data() != other.slice(*row, 1).to_data());
        assert_eq!(different, None, "first different row of column {}", fields[column].name);
    }
}

#[test]
fn only_one_select_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    assert_eq!(engine.create_table_as("main", "select 1 as a").unwrap(), 1);
    for sql in [
        "select 1; select 2",
        "drop table osiris_output.main.main",
        "insert into osiris_output.main.main values (1)",
        "attach 'x'",
        "set threads = 9",
        "set memory_limit = '1TB'",
        "pragma memory_limit = '1TB'",
        "reset memory_limit",
        "pragma database_list",
        "call pragma_version()",
        "explain analyze select 1",
        "",
        "--",
    ] {
        assert!(engine.create_table_as("other", sql).is_err(), "{sql}");
        assert!(engine.query(sql, Types::Exact).is_err(), "{sql}");
        assert!(engine.copy(sql, &folder.path().join("x"), "csv", &[]).is_err(), "{sql}");
    }
}

#[test]
fn ungranted_files_are_out_of_reach() {
    let folder = tempfile::tempdir().unwrap();
    let (granted, other) = (folder.path().join("granted.csv"), folder.path().join("other.csv"));
    for path in [&granted, &other] {
        std::fs::write(path, "a\n1\n").unwrap();
    }
    let (files, spill) = ([granted.clone()], folder.path().join("spill"));
    let furnishing = Furnishing { files: &files, ..Furnishing::bare(&spill, Limits::DEFAULT) };
    let engine = Warm::open().unwrap().furnish(&furnishing, || Ok(())).unwrap();
    let read = |path: &Path| engine.query(&format!("from read_csv({})", quote_path(path).unwrap()), Types::Exact);
    assert!(read(&granted).is_ok());
    assert_eq!(read(&other).err().unwrap().cause, Cause::Denied);
}

#[test]
fn a_select_calls_nothing_that_reveals_the_machine_or_takes_pointers() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    for sql in [
        "select current_setting('temp_directory')",
        "select system.main.current_setting('temp_directory')",
        "select (select max(CURRENT_SETTING('threads')))",
        "from duckdb_settings()",
        "select * from system.main.duckdb_databases()",
        "from duckdb_databases",
        "select * from main.pragma_database_list",
        "with x as (from query('from duckdb_settings()')) from x",
        "from query_table('duckdb_databases')",
        "from json_execute_serialized_sql(json_serialize_sql('select 1'))",
        "from glob('/*')",
        "from arrow_scan(1::pointer, 2::pointer, 3::pointer)",
        "from read_duckdb('/x')",
        "from enable_logging()",
        "from force_checkpoint()",
        "from osiris_output.main.main",
        "from (describe osiris_output.main.main)",
        "select 1 from range(1) t(i) where exists (from duckdb_secrets())",
    ] {
        let error = engine.query(sql, Types::Exact).err().map(|error| error.message).unwrap_or_default();
        assert!(["refused", "there is no table"].iter().any(|why| error.contains(why)), "{sql}: {error}");
    }
    for sql in ["from range(3)", "from (describe select 1 as a)", "select * from (values (1)) t(duckdb_settings)"] {
        assert!(engine.query(sql, Types::Exact).is_ok(), "{sql}");
    }
}

#[test]
fn a_reader_has_no_more_rows_after_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let mut query = engine.query("select 1 as a", Types::Exact).unwrap();
    assert!(query.next_batch().unwrap().is_some());
    for _ in 0..3 {
        assert!(query.next_batch().unwrap().is_none());
    }
}

#[test]
fn instances_write_their_parts_into_one_table() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let (fields, batch) = whole(&engine, "select i from range(100) t(i)");
    let mut writers: Vec<_> = (0..3).map(|_| engine.create_table("main", &fields, true).unwrap()).collect();
    for writer in &mut writers {
        writer.append(&batch).unwrap();
    }
    for writer in writers {
        assert_eq!(writer.finish().unwrap(), 100);
    }
    let (others, _) = whole(&engine, "select i::varchar as i from range(1) t(i)");
    assert!(engine.create_table("main", &others, true).is_err(), "other columns");
    assert!(engine.create_table("main", &fields, false).is_err(), "created before");
    assert_eq!(engine.finish().unwrap()["main"], 300);
}

#[test]
fn an_engine_with_an_unfinished_table_closes_cleanly() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(folder.path());
        engine.create_table_as("main", "select i, 't' || i as t from range(10000) t(i)").unwrap();
        let (fields, batch) = whole(&engine, "select i from range(100) t(i)");
        let mut writer = engine.create_table("half", &fields, false).unwrap();
        writer.append(&batch).unwrap();
        drop(writer);
        drop(engine);
    }
}

/// The megabytes that DuckDB uses.
fn megabytes(engine: &Engine) -> u64 {
    let held = "SELECT sum(memory_usage_bytes)::BIGINT // 1000000 FROM duckdb_memory()";
    engine.control().number(held).unwrap()
}

#[test]
fn written_and_read_blocks_are_not_kept_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    // 6.4 MB of incompressible data.
    let columns: Vec<String> = (0..8).map(|column| format!("hash(i, {column}) as c{column}")).collect();
    let (fields, batch) = whole(&engine, &format!("select {} from range(100_000) t(i)", columns.join(", ")));
    let mut writer = engine.create_table("main", &fields, false).unwrap();
    for _ in 0..60 {
        writer.append(&batch).unwrap();
        assert!(megabytes(&engine) < 200, "{} MB after {} rows", megabytes(&engine), writer.rows);
    }
    writer.finish().unwrap();
    engine.finish().unwrap();
    let size = std::fs::metadata(folder.path().join("out.duckdb")).unwrap().len();
    assert!(size > 350_000_000, "the file should be larger than what may be kept of it, but has {size} bytes");

    let reading = reading(folder.path());
    let mut query = reading.query("from back", Types::Exact).unwrap();
    let mut rows = 0;
    while let Some(batch) = query.next_batch().unwrap() {
        rows += batch.len();
        assert!(megabytes(&reading) < 150, "{} MB after {rows} rows", megabytes(&reading));
    }
    assert_eq!(rows, 6_000_000);
    let limit = reading.control().first_column("SELECT current_setting('memory_limit')").unwrap().unwrap();
    assert_eq!(limit.as_string::<i32>().value(0), "1.8 GiB");
}

#[test]
fn an_errors_cause_is_the_same_wherever_it_appears() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let fails = |select: &str| {
        let mut query = match engine.query(select, Types::Exact) {
            Ok(query) => query,
            Err(error) => return error,
        };
        loop {
            match query.next_batch() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{select} succeeds"),
                Err(error) => return error,
            }
        }
    };
    for (select, cause, begins) in [
        ("select * from absent", Cause::Statement, "there is no table `absent`; this step has no tables"),
        ("select 1 frm x y", Cause::Statement, "Parser Error: syntax error"),
        ("select x from (select 1 as a)", Cause::Statement, "Binder Error: Referenced column \"x\" not found"),
        ("from read_csv('/etc/passwd')", Cause::Denied, "Permission Error: Cannot access file"),
        ("select cast('a' as integer)", Cause::Data, "Conversion Error: Could not convert string 'a'"),
        // At a row that is far from the first.
        (
            "select cast(if(i = 190000, 'x', '1') as integer) from range(200000) t(i)",
            Cause::Data,
            "Conversion Error: Could not convert string 'x'",
        ),
        ("select error('IO Error: {\"exception_type\":\"Permission\"}')", Cause::Data, "Invalid Input Error: IO Error"),
    ] {
        let error = fails(select);
        assert_eq!(error.cause, cause, "{select}: {error}");
        assert!(error.message.starts_with(begins), "{select}: {error}");
        assert!(!error.message.contains("exception_message"), "{select}: {error}");
    }
    assert!(
        fails("select x from (select 1 as a)")
            .message
            .ends_with("LINE 1: select x from (select 1 as a)\n               ^")
    );
    engine.create_table_as("t", "select 1 as a").unwrap();
    for (name, words) in [("t", "table `t` exists already"), ("T", "table `T` differs only in case from table `t`")] {
        let error = engine.create_table_as(name, "select 1 as a").unwrap_err();
        assert!(error.cause == Cause::Data && error.message.starts_with(words), "{error}");
    }
}

#[test]
fn exact_bigint_reads_what_duckdb_prints_as_the_same_text_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let texts = "select unnest(['', '-', '0', '-0', '+0', '00', '1', '-1', '+1', ' 1', '1 ', '01', '-01', '1.0', '1e3', '1_000', \
                 '0x1', 'x', '--1', '1-', 'é', '１', '٣', chr(0), '9223372036854775807', '9223372036854775808', \
                 '-9223372036854775808', '-9223372036854775809', '9999999999999999999', '-9999999999999999999', \
                 '10000000000000000000', '99999999999999999999', '123456789012', '1234567890123', repeat('1', 100), null]) as text \
                 union all select (case when i % 2 = 0 then -1 else 1 end * (hash(i) >> 1)::bigint)::varchar from range(5000) r(i) \
                 union all select (i - 3000)::varchar from range(6000) r(i) \
                 union all select hash(i)::varchar from range(1000) r(i) \
                 union all select case when i % 7 = 0 then null else chr((i % 96 + 32)::int) || i end from range(3000) r(i)";
    let expected = "case when try_cast(text as bigint)::varchar = text then try_cast(text as bigint) end";
    let wrong = format!(
        "select count(*) filter (exact_bigint(text) is distinct from {expected}) as wrong, \
         count(exact_bigint(text)) as numbers, count(*) as texts from ({texts})"
    );
    let (_, counts) = whole(&engine, &wrong);
    let counts = make_array(counts);
    let counts: Vec<i64> =
        counts.as_struct().columns().iter().map(|one| one.as_primitive::<Int64Type>().value(0)).collect();
    assert_eq!(counts[0], 0);
    assert!(counts[1] > 11_000 && counts[2] - counts[1] > 2_000, "{counts:?}");
    // Of one value for all rows, and of no rows.
    let (_, constant) = whole(&engine, "select sum(exact_bigint('-12'))::bigint as sum from range(3000)");
    assert_eq!(make_array(constant).as_struct().column(0).as_primitive::<Int64Type>().value(0), -36_000);
    assert!(
        engine
            .query("select exact_bigint(range::varchar) from range(0)", Types::Exact)
            .unwrap()
            .next_batch()
            .unwrap()
            .is_none()
    );
}
