//! What a driver's SELECT may call and name, tested against the linked DuckDB.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::functions::{Judgement, Position, allowed, judge};
use super::*;
use crate::grants::limits::Limits;

/// The texts in the first column.
fn texts(connection: &Arc<Connection>, select: &str) -> Vec<String> {
    let mut rows = connection.prepare_select(select).unwrap().stream().unwrap();
    let mut found = Vec::new();
    while let Some(batch) = rows.next().unwrap() {
        let column = make_array(batch.child_data()[0].clone());
        found.extend(column.as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    found
}

/// An engine with the table `open` of a file that also has the table `hidden`.
fn with_a_hidden_table(folder: &Path) -> Engine {
    let path = folder.join("in.duckdb");
    let database = Database::open_in_memory(&[]).unwrap();
    let connection = database.connect().unwrap();
    for statement in [
        &format!("ATTACH {} AS made", quote_path(&path).unwrap()),
        "CREATE TABLE made.main.open AS SELECT 'granted' AS t",
        "CREATE TABLE made.main.hidden AS SELECT 'treasure' AS t, 7 AS n",
        "CREATE VIEW made.main.planted AS FROM read_text('/etc/hostname')",
        "CREATE MACRO made.main.lurking() AS TABLE FROM made.main.hidden",
        "CREATE TYPE made.main.mood AS ENUM ('treasure')",
        "CREATE SEQUENCE made.main.steps",
    ] {
        connection.execute(statement).unwrap();
    }
    drop(connection);
    reading(folder, "open").unwrap()
}

fn reading(folder: &Path, table: &str) -> std::result::Result<Engine, FurnishError> {
    let input = InputTable {
        alias: "Open".to_owned(),
        also: vec!["df_source".to_owned()],
        rows: None,
        is_reference: false,
        schema: None,
        path: folder.join("in.duckdb"),
        table: table.to_owned(),
    };
    let spill = folder.join("spill");
    let furnishing = Furnishing { inputs: &[input], ..Furnishing::bare(&spill, Limits::DEFAULT) };
    Warm::open().unwrap().furnish(&furnishing, || Ok(()))
}

/// All values of a SELECT as text, or its error.
fn outcome(engine: &Engine, select: &str) -> std::result::Result<String, EngineError> {
    let mut query = engine.query(select, Types::Exact)?;
    let mut all = String::new();
    while let Some(batch) = query.next_batch()? {
        all.push_str(&format!("{:?}", make_array(batch)));
    }
    Ok(all)
}

/// The catalogs of inputs, whose names no driver knows.
fn catalogs(engine: &Engine) -> Vec<String> {
    texts(&engine.control(), "SELECT database_name FROM duckdb_databases() WHERE database_name LIKE 'osiris%'")
}

#[test]
fn every_function_of_the_linked_duckdb_is_judged_and_no_other() {
    let database = Database::open_in_memory(&[]).unwrap();
    let connection = database.connect().unwrap();
    for (position, kinds) in
        [(Position::Expression, "'scalar', 'aggregate', 'macro'"), (Position::Table, "'table', 'table_macro'")]
    {
        let select = format!("SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type IN ({kinds})");
        let there: BTreeSet<String> = texts(&connection, &select).iter().map(|name| name.to_lowercase()).collect();
        assert!(there.len() > 80);
        let unjudged: Vec<&String> = there.iter().filter(|name| judge(position, name) == Judgement::Unknown).collect();
        assert!(unjudged.is_empty(), "put these into a group of functions.rs, with the reason: {unjudged:?}");
        // The parser turns it into a dedicated operator.
        let parsed = |name: &&str| position == Position::Expression && *name == "unnest";
        let gone: Vec<&str> =
            allowed(position).filter(|name| !there.contains(&name.to_lowercase()) && !parsed(name)).collect();
        assert!(gone.is_empty(), "this DuckDB has them no more: {gone:?}");
        let twice: Vec<&str> =
            allowed(position).filter(|name| allowed(position).filter(|n| n == name).count() > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}

#[test]
fn no_allowed_table_function_is_a_macro_and_each_allowed_macro_calls_only_allowed_functions() {
    let database = Database::open_in_memory(&[]).unwrap();
    let connection = database.connect().unwrap();
    let macros = texts(&connection, "SELECT function_name FROM duckdb_functions() WHERE function_type = 'table_macro'");
    assert!(macros.contains(&"histogram".to_owned()));
    for name in macros {
        assert_eq!(judge(Position::Table, &name), Judgement::Refused, "{name}");
    }
    let defined =
        "SELECT function_name || ' ' || macro_definition FROM duckdb_functions() WHERE function_type = 'macro'";
    let mut seen = 0;
    for defined in texts(&connection, defined) {
        let (name, definition) = defined.split_once(' ').unwrap();
        if judge(Position::Expression, name) == Judgement::Refused {
            continue;
        }
        seen += 1;
        let serialize =
            format!("SELECT CAST(json_serialize_sql({}) AS VARCHAR)", quote_text(&format!("SELECT {definition}")));
        let tree = texts(&connection, &serialize).remove(0);
        assert!(statement::check(&tree, &statement::Tables::default()).is_ok(), "{name} is {definition}");
    }
    assert!(seen > 60, "{seen}");
}

/// Each is given the name of a table as text, which DuckDB would accept from a caller that guessed its catalog.
#[test]
fn no_allowed_table_function_takes_a_table_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let engine = with_a_hidden_table(folder.path());
    let catalog = catalogs(&engine).remove(0);
    let hidden = quote_text(&format!("{catalog}.main.hidden"));
    // The control: the table exists under this name.
    assert_eq!(texts(&engine.control(), &format!("SELECT t FROM query_table({hidden})")), ["treasure"]);
    for name in allowed(Position::Table) {
        for arguments in [hidden.clone(), format!("{hidden}, 't'"), format!("{hidden}, 1"), format!("[{hidden}]")] {
            let answer = outcome(&engine, &format!("FROM {name}({arguments})")).unwrap_or_default();
            assert!(!answer.contains("treasure"), "{name}({arguments}): {answer}");
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table: a line for each way to name one")]
fn an_ungranted_table_can_be_neither_seen_nor_named() {
    let folder = tempfile::tempdir().unwrap();
    let engine = with_a_hidden_table(folder.path());
    let catalog = &catalogs(&engine).remove(0);
    for select in [
        "from hidden".to_owned(),
        "from main.hidden".to_owned(),
        "from memory.main.hidden".to_owned(),
        "from \"in\".hidden".to_owned(),
        "from \"in\".main.hidden".to_owned(),
        format!("from {catalog}.hidden"),
        format!("from {catalog}.main.hidden"),
        format!("from {}.MAIN.\"Hidden\"", catalog.to_uppercase()),
        format!("from \"{catalog}\".\"main\".hidden as open"),
        format!("describe {catalog}.main.hidden"),
        format!("from (summarize {catalog}.main.hidden)"),
        format!("select (select max(t) from {catalog}.main.hidden)"),
        format!("with open as (from {catalog}.main.hidden) from open"),
        format!("from {catalog}.main.lurking()"),
        format!("select 'treasure'::{catalog}.main.mood"),
        format!("select nextval('{catalog}.main.steps')"),
        format!("from histogram('{catalog}.main.hidden', t)"),
        format!("from histogram_values('{catalog}.main.hidden', t)"),
        format!("from query_table('{catalog}.main.hidden')"),
        format!("from query_table(['{catalog}.main.hidden'])"),
        format!("from query('from {catalog}.main.hidden')"),
        format!("from pragma_table_info('{catalog}.main.hidden')"),
        format!("from pragma_show('{catalog}.main.hidden')"),
        format!("from pragma_storage_info('{catalog}.main.hidden')"),
        "show tables".to_owned(),
        "show all tables".to_owned(),
        "from (show all tables)".to_owned(),
        format!("show tables from {catalog}"),
        "from sqlite_master".to_owned(),
        "from \"sqlite_master\"".to_owned(),
        "from SQLite_Master".to_owned(),
        "from system.main.sqlite_master".to_owned(),
        "from main.sqlite_master".to_owned(),
        "from duckdb_tables".to_owned(),
        "from duckdb_tables()".to_owned(),
        "from duckdb_columns()".to_owned(),
        "from duckdb_constraints()".to_owned(),
        "from DUCKDB_VIEWS()".to_owned(),
        "from \"duckdb_databases\"()".to_owned(),
        "from system.main.duckdb_schemas()".to_owned(),
        "from information_schema.tables".to_owned(),
        "from system.information_schema.columns".to_owned(),
        "from pg_catalog.pg_class".to_owned(),
        "from pg_class".to_owned(),
        "from pg_attribute as open".to_owned(),
        // Names of common table expressions outside their scope.
        "with duckdb_tables as (from duckdb_tables) from duckdb_tables".to_owned(),
        "select (with pg_class as (select 1) select count(*) from pg_class), (select count(*) from pg_class)"
            .to_owned(),
        "with recursive pg_class as (from pg_class union all from pg_class) from pg_class".to_owned(),
        "with a as (from pg_class), pg_class as (select 1) from a".to_owned(),
        "(with pg_class as (select 1) from pg_class) union all from pg_class".to_owned(),
        "from open where exists (with pg_class as (select 1) from pg_class) and exists (from pg_class)".to_owned(),
        "with pg_class as (select 1) from main.pg_class".to_owned(),
        "select pg_get_viewdef(1)".to_owned(),
        "select format_type(1, 1)".to_owned(),
        "select get_block_size('x')".to_owned(),
        "from open at (version => 1), hidden".to_owned(),
        "pivot hidden on t using sum(n)".to_owned(),
        "from (pivot hidden on t in ('treasure') using sum(n))".to_owned(),
        "from hidden pivot (sum(n) for t in ('treasure'))".to_owned(),
        "unpivot hidden on n".to_owned(),
        "table hidden".to_owned(),
    ] {
        let error = outcome(&engine, &select).expect_err(&select);
        let told = ["refused", "there is no", "does not exist"].iter().any(|why| error.message.contains(why));
        assert!(told && !error.message.contains("treasure"), "{select}: {}", error.message);
        assert!(!select.contains(catalog.as_str()) || !error.message.contains("Did you mean"), "{}", error.message);
    }
}

#[test]
fn granted_tables_can_be_read_by_every_name_they_have() {
    let folder = tempfile::tempdir().unwrap();
    let engine = with_a_hidden_table(folder.path());
    for select in [
        "from Open",
        "from \"open\"",
        "from main.open",
        "from memory.main.OPEN",
        "from DF_Source",
        "describe open",
        "from (summarize open)",
        "with pg_class as (from open) from pg_class",
        "with a as (from open), b as (from a) from b",
        "with recursive q as (select t, 1 as n from open union all select t, n + 1 from q where n < 3) from q",
        "with recursive q(t, n) using key (t) as (select t, 1 from open union select t, n + 1 from q where n < 3) from q",
        "from (from open) where exists (with pg_class as (select 1) from pg_class)",
        "select t.t from open t order by (with o as (select 1) from o)",
        "from open pivot (count(*) for t in ('granted'))",
    ] {
        let all = outcome(&engine, select).unwrap_or_else(|error| panic!("{select}: {error}"));
        assert!(!all.contains("treasure"), "{select}");
    }
}

#[test]
fn a_view_in_an_input_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    drop(with_a_hidden_table(folder.path()));
    for table in ["planted", "nothing", "hidden' OR '1' = '1"] {
        let refused = reading(folder.path(), table).err().unwrap();
        assert_eq!(refused, FurnishError::NoTable { alias: "Open".to_owned(), table: table.to_owned() });
    }
    let whole = reading(folder.path(), "HIDDEN").unwrap();
    assert!(outcome(&whole, "from open").unwrap().contains("treasure"));
}

#[test]
fn an_error_reveals_no_setting_because_refused_text_is_never_bound() {
    let folder = tempfile::tempdir().unwrap();
    let engine = with_a_hidden_table(folder.path());
    let place = folder.path().to_str().unwrap();
    for select in [
        "from range(current_setting('temp_directory')::bigint)",
        "select 1 limit current_setting('temp_directory')::bigint",
        "select * from read_csv(current_setting('temp_directory'))",
        "select struct_extract({'a': 1}, current_setting('temp_directory'))",
        "select regexp_matches('a', '(' || current_setting('temp_directory'))",
        "select error(current_setting('temp_directory'))",
        "from range((select path from duckdb_databases() limit 1)::bigint)",
        "select 1 using sample (current_setting('temp_directory')::bigint) rows",
        "select [x for x in [1] if current_setting('temp_directory')::bigint = x]",
        "select columns(c -> c = current_setting('temp_directory')) from open",
        "select * replace (current_setting('temp_directory')::int as t) from open",
        "from open tablesample reservoir(10) offset current_setting('temp_directory')::bigint",
        "select sum(1) over (rows current_setting('temp_directory')::bigint preceding) from open",
        "select sum(1) filter (where current_setting('temp_directory')::bool) from open",
        "select sum(1 order by current_setting('temp_directory')::bigint) from open",
        "select 1 group by current_setting('temp_directory')::bigint",
        "select t qualify current_setting('temp_directory')::bigint from open",
        "values (current_setting('temp_directory')::bigint)",
        "from open join open o on current_setting('temp_directory')::bigint",
        "select distinct on (current_setting('temp_directory')::bigint) 1",
        "select 1 order by current_setting('temp_directory')::bigint",
        "select t.current_setting()::bigint from (select 'temp_directory' as t) t",
    ] {
        let error = outcome(&engine, select).expect_err(select);
        assert!(!error.message.contains(place), "{select}: {}", error.message);
    }
}

#[test]
fn legitimate_sql_and_its_mistakes_get_duckdbs_own_answers() {
    let folder = tempfile::tempdir().unwrap();
    let engine = with_a_hidden_table(folder.path());
    for select in [
        "select '2024-01-31 10:00'::timestamp at time zone 'Europe/Berlin', extract(year from date '2024-01-01')",
        "select [x + 1 for x in [1, 2] if x > 1], {'a': 1}.a, map {1: 2}[1], [1, 2, 3][2:], array(select 1)",
        "select 'a' like 'b' escape 'c', 'a' similar to 'b', 1 is distinct from 2, try_cast('x' as int), 1 in (1, 2)",
        "select row_number() over w, lag(n) over w, sum(n) over w, ntile(2) over w from range(3) t(n) window w as (order by n)",
        "select t collate nocase, upper(t), t[1], length(t), md5(t), t ~ 'x', t || 'y', coalesce(t, 'z'), if(t = '', 1, 2) from open",
        "select count(*), any_value(t), string_agg(t, ','), list(t), quantile_cont(1.0, 0.5), median(1), grouping(t) from open group by rollup (t)",
        "select unnest([1, 2]), unnest({'a': 1}), generate_series(1, 3), current_date, now() is null, current_user, version()",
        "select json_extract('{\"a\": 1}', '$.a'), '{\"a\": 1}' ->> 'a', to_json({'a': 1}), from_json('1', '\"INT\"')",
        "select formatReadableSize(1), format('{}', 1), printf('%d', 1), strftime(date '2024-01-01', '%Y'), hash(1)",
        "select * exclude (t), columns('t') from open",
        "select -n, n!, 2 ** n, n ^ 2, ~n, @n, n // 2, n % 2, n & 1, n | 1, n << 1, n >> 1 from (select 3 as n)",
        "select interval 3 days + date '2024-01-01', date_trunc('month', date '2024-01-31'), age(date '2024-01-01')",
        "from open positional join (select 1 as b)",
        "from open asof join (select 'a' as t, 1 as b) o on open.t >= o.t",
        "select t from open using sample 10 rows",
        "from (values (1, 'a'), (2, 'b')) v(id, name) union all by name select 3 as id",
        "select list_transform([1, 2], lambda x: x * 2), list_reduce([1, 2], lambda a, b: a + b), list_aggregate([1], 'sum')",
        "select overlay('abc' placing 'x' from 1)",
        "select trim(both ' ' from ' a '), substring('abc' from 2), position('b' in 'abc')",
    ] {
        let answer = outcome(&engine, select);
        // DuckDB 1.5.6 parses OVERLAY but has no such function.
        assert_eq!(answer.is_ok(), !select.contains("overlay"), "{select}: {answer:?}");
    }
    for (select, told) in [
        ("select lenght(t) from open", "there is no function `lenght`; did you mean `length`?"),
        ("from opne", "there is no table `opne`; the tables of this step: `Open`, `df_source`; did you mean `Open`?"),
        ("from read_cvs('x')", "there is no table function `read_cvs`; did you mean `read_csv`?"),
    ] {
        let error = outcome(&engine, select).unwrap_err();
        assert_eq!((error.message.as_str(), error.cause), (told, Cause::Statement));
    }
    let error = outcome(&engine, "selec 1").unwrap_err();
    assert!(error.message.contains("syntax error at or near \"selec\"") && error.message.contains("LINE 1"), "{error}");
    assert_eq!(outcome(&engine, "select nothing from open").unwrap_err().cause, Cause::Statement);
}
