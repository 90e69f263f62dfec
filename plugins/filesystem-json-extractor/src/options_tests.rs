//! What the options come to in SQL.
#![allow(clippy::unwrap_used)]

use super::*;

fn config() -> Config {
    Config {
        path: "a.json.gz".into(),
        format: Format::Auto,
        records: Vec::new(),
        columns: None,
        dtype: BTreeMap::new(),
        compression: Compression::Infer,
        limit: None,
        sample_size: -1,
        max_depth: -1,
        max_record_bytes: None,
        on_bad_lines: OnBadLines::Error,
        maps: true,
        are_objects: true,
    }
}

#[test]
fn hostile_values_stay_inside_their_quotes() {
    let mut hostile = config();
    hostile.records = vec!["d'a\"".into(), "i'".into()];
    assert_eq!(hostile.records_path(), "struct_extract(doc.\"d'a\"\"\", 'i''')");
    let typed = hostile.typed_reader("'f'", &[("a\"b".into(), "INT') --".into())]);
    assert!(typed.contains(r#"columns = {'d''a"': 'STRUCT("i''" STRUCT("a""b" INT'') --)[])'}"#), "{typed}");
    assert_eq!(pointer("a/b~'"), "'/a~1b~0'''");
}

#[test]
fn a_path_of_records_is_a_text_or_a_list() {
    let parse = |records: &str| {
        let text = format!(
            r#"{{"path": "x", "format": "auto", "dtype": {{}}, "compression": "infer", "sample_size": -1, "max_depth": -1, "on_bad_lines": "error"{records}}}"#
        );
        serde_json::from_str::<Config>(&text).unwrap().records
    };
    assert_eq!(parse(r#", "records": "a.b""#), ["a", "b"]);
    assert_eq!(parse(r#", "records": ["a.b"]"#), ["a.b"]);
    assert!(parse("").is_empty());
}

#[test]
fn types_are_given_by_name_and_missing_columns_added() {
    let mut typed = config();
    typed.dtype = BTreeMap::from([("b".into(), "DATE".into()), ("z".into(), "INT".into())]);
    let columns = typed.typed_columns(&[("a", "BIGINT"), ("b", "VARCHAR")]);
    let columns: Vec<(&str, &str)> = columns.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
    assert_eq!(columns, [("a", "BIGINT"), ("b", "DATE"), ("z", "INT")]);
}

#[test]
fn an_empty_file_has_the_columns_that_are_named() {
    let mut named = config();
    assert!(named.empty_reader("'f'").contains("columns = {'json': 'JSON'}"));
    named.columns = Some(vec!["b".into(), "a".into()]);
    named.dtype = BTreeMap::from([("a".into(), "INT".into()), ("c".into(), "DATE".into())]);
    assert!(named.empty_reader("'f'").contains("columns = {'b': 'JSON', 'a': 'INT', 'c': 'DATE'}"));
}

#[test]
fn names_that_duckdb_makes_are_suspected() {
    let all = ["a", "A_1", "b_2", "C0", "Ca", "c_x"];
    let suspects: Vec<&str> = all.into_iter().filter(|name| looks_renamed(name, all.into_iter())).collect();
    assert_eq!(suspects, ["A_1", "C0"]);
}

#[test]
fn skipping_is_for_lines() {
    let skip = Config { on_bad_lines: OnBadLines::Skip, ..config() };
    assert!(skip.clone().settle(1).is_ok());
    assert!(Config { format: Format::Array, ..skip.clone() }.settle(1).is_err());
    assert!(Config { records: vec!["a".into()], ..skip }.settle(1).is_err());
}

#[test]
fn a_document_may_be_as_large_as_its_file() {
    let mut plain = Config { path: "a.json".into(), records: vec!["a".into()], ..config() };
    plain.settle(100 << 20).unwrap();
    assert_eq!(plain.record_bytes(), (100 << 20) + 1);
    let mut lines = config();
    lines.settle(100 << 20).unwrap();
    assert_eq!(lines.record_bytes(), RECORD_BYTES);
}
