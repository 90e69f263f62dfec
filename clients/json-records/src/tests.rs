//! Runs records through the whole path into a sink that collects the batches.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::rc::Rc;

use osiris_sdk::{Batch, Result, Schema};
use serde_json::{Value, json};

use crate::{Kind, Options, Records, Sink};

#[derive(Default)]
struct Kept {
    columns: Vec<(String, String)>,
    batches: Vec<Batch>,
    finished: bool,
    warnings: Vec<String>,
}

#[derive(Clone, Default)]
struct Keep(Rc<RefCell<Kept>>);

impl Sink for Keep {
    fn create(&mut self, schema: &Schema) -> Result<()> {
        self.0.borrow_mut().columns =
            schema.fields().iter().map(|field| (field.name.clone(), field.format.clone())).collect();
        Ok(())
    }

    fn append(&mut self, batch: &Batch) -> Result<()> {
        let copy = Batch::new(Rc::new(batch.schema().clone()), batch.raw().clone());
        self.0.borrow_mut().batches.push(copy);
        Ok(())
    }

    fn warn(&mut self, message: &str, fields: &[(&str, &dyn std::fmt::Display)]) {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.0.borrow_mut().warnings.push(format!("{message} {}", fields.join(" ")));
    }

    fn finish(&mut self) -> Result<u64> {
        let mut kept = self.0.borrow_mut();
        kept.finished = true;
        Ok(kept.batches.iter().map(|batch| batch.rows() as u64).sum())
    }
}

fn options(hold_bytes: u64) -> Options {
    Options { hold_bytes, ..Options::default() }
}

fn run(options: &Options, known: Option<Kind>, records: impl IntoIterator<Item = Value>) -> Result<(Keep, u64, Kind)> {
    let keep = Keep::default();
    let mut into = Records::into_sink(keep.clone(), options, known)?;
    for record in records {
        into.push(record)?;
    }
    let (rows, kind) = into.finish()?;
    assert!(keep.0.borrow().finished);
    Ok((keep, rows, kind))
}

fn columns(keep: &Keep) -> Vec<(String, String)> {
    keep.0.borrow().columns.clone()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, format)| ((*name).to_owned(), (*format).to_owned())).collect()
}

#[test]
fn a_late_record_widens_and_adds_columns() {
    let records = [
        json!({"id": 1, "v": 1, "o": {"a": null}, "l": []}),
        json!({"id": 2, "v": 0.5, "o": {"a": 5, "b": "x"}, "new": true}),
        json!({"id": 3, "v": null, "o": null, "l": [[1], null]}),
    ];
    let (keep, rows, _) = run(&options(1 << 20), None, records).unwrap();
    assert_eq!(rows, 3);
    let expected = [
        ("id", "l"),
        ("v", "g"),
        ("o", "+s"),
        ("a", "l"),
        ("b", "u"),
        ("l", "+l"),
        ("item", "+l"),
        ("item", "l"),
        ("new", "b"),
    ];
    assert_eq!(columns(&keep), pairs(&expected));
    let kept = keep.0.borrow();
    let batch = &kept.batches[0];
    assert_eq!(batch.column("v").unwrap().values::<f64>().unwrap()[..2], [1.0, 0.5]);
    assert!(batch.column("v").unwrap().is_null(2));
    assert_eq!(batch.column("new").unwrap().booleans().unwrap().get(0), None);
    let object = batch.column("o").unwrap();
    assert!(object.is_null(2) && !object.is_null(0));
    assert_eq!(object.child("b").unwrap().strings().unwrap().get(1), Some("x"));
    let lists = batch.column("l").unwrap().lists().unwrap();
    assert_eq!([lists.get(0), lists.get(1), lists.get(2)], [Some(0..0), None, Some(0..2)]);
}

#[test]
fn beyond_the_hold_memory_stays_flat_and_rows_are_complete() {
    let many =
        (0..100_000_u64).map(|id| json!({"id": id, "text": format!("{:x}", id.wrapping_mul(0x9E37_79B9_7F4A_7C15))}));
    let (keep, rows, _) = run(&options(64 << 10), None, many).unwrap();
    assert_eq!(rows, 100_000);
    let kept = keep.0.borrow();
    let sum: i64 =
        kept.batches.iter().flat_map(|batch| batch.column("id").unwrap().values::<i64>().unwrap().to_vec()).sum();
    assert_eq!(sum, 4_999_950_000);
    assert!(kept.batches.iter().all(|batch| batch.rows() <= 8192));
}

#[test]
fn beyond_the_hold_an_error_shows_how_to_declare_a_misfit() {
    for (last, expected) in [
        (json!({"id": 1.5}), "a number in `id`, 1.5, which has more digits than BIGINT keeps"),
        (json!({"id": 1, "late": 1}), "`late`, which none of the records before had"),
        (json!({"id": 1, "o": {"a": {"b": 1}}}), "an object in `o.a`, {\"b\":1}, which does not fit"),
    ] {
        let noise = |id: u64| format!("{:x}", id.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let many = (0..50_000).map(|id| json!({"id": id, "text": noise(id), "o": {"a": 1}})).chain([last]);
        let error = run(&options(64 << 10), None, many).map(|_| ()).unwrap_err();
        assert!(error.message.starts_with("record 50001 has "), "{error}");
        assert!(error.message.contains(expected) && error.message.contains("`dtype`"), "{error}");
    }
}

#[test]
fn names_that_duckdb_considers_equal_are_made_distinct() {
    let record = r#"{"Id": 1, "ID": 2, "id_2": 3, "": 4, "o": {"x": 1, "X": 2}}"#;
    let backwards = r#"{"o": {"X": 2, "x": 1}, "": 4, "id_2": 3, "ID": 2, "Id": 1}"#;
    for record in [record, backwards] {
        let (keep, ..) = run(&options(1 << 20), None, [serde_json::from_str(record).unwrap()]).unwrap();
        let kept = keep.0.borrow();
        let batch = &kept.batches[0];
        for (name, value) in [("ID", 2), ("Id_3", 1), ("id_2", 3), ("_", 4)] {
            assert_eq!(batch.column(name).unwrap().values::<i64>().unwrap().to_vec(), [value], "{name}");
        }
        let mut warned: Vec<&str> =
            kept.warnings.iter().filter_map(|told| told.split_once("key=").map(|(_, fields)| fields)).collect();
        warned.sort_unstable();
        assert_eq!(warned, [" column=_", "Id column=Id_3"]);
    }
    let flatten = Options { flatten: Some("_".to_owned()), ..options(1 << 20) };
    let (keep, ..) = run(&flatten, None, [json!({"user_id": 7, "user": {"id": 90}})]).unwrap();
    assert!(keep.0.borrow().warnings[0].ends_with("key=user.id column=user_id_2"), "{:?}", keep.0.borrow().warnings);
}

#[test]
fn a_declared_name_that_matches_only_in_another_case_is_an_error() {
    let declared = |name: &str, record: Value| {
        let dtype = [(name.to_owned(), "DATE".to_owned())].into();
        run(&Options { dtype, ..options(1 << 20) }, None, [record]).map(|_| ())
    };
    for (name, record, column) in [
        ("AT", json!({"at": "2024-02-29"}), "`at`"),
        ("at", json!({"At": null}), "`At`"),
        ("id", json!({"Id": 1, "ID": 2}), "`ID`"),
    ] {
        let error = declared(name, record).unwrap_err();
        assert!(matches!(error.kind, osiris_sdk::ErrorKind::Config) && error.message.contains(column), "{error}");
    }
    declared("at", json!({"at": "2024-02-29", "b": 1})).unwrap();
    declared("at", json!({"b": 1})).unwrap();
}

#[test]
fn objects_are_flattened() {
    let options = Options { flatten: Some("_".to_owned()), ..options(1 << 20) };
    let records = [json!({"a": null, "l": [{"x": 1}]}), json!({"a": {"b": {"c": 1}, "d": 2}}), json!({"a": {}})];
    let (keep, rows, _) = run(&options, None, records).unwrap();
    assert_eq!(rows, 3);
    assert_eq!(columns(&keep), pairs(&[("l", "+l"), ("item", "+s"), ("x", "l"), ("a_b_c", "l"), ("a_d", "l")]));
}

#[test]
fn declared_types_are_kept_and_checked() {
    let dtype = [
        ("d", "DATE"),
        ("t", "TIMESTAMPTZ"),
        ("n", "DECIMAL(5,2)"),
        ("j", "JSON"),
        ("i", "integer"),
        ("gone", "BIGINT"),
    ];
    let dtype = dtype.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect();
    let options = Options { dtype, ..options(1 << 20) };
    let records = [
        json!({"d": "2024-02-29", "t": "2024-02-29T12:00:00+02:00", "n": 1.010, "j": {"a": 1}, "i": "7"}),
        json!({"d": "", "t": null, "n": "12.5", "j": "x", "i": 8}),
    ];
    let (keep, ..) = run(&options, None, records).unwrap();
    let mut found = columns(&keep);
    found.sort();
    assert_eq!(found, pairs(&[("d", "tdD"), ("gone", "l"), ("i", "i"), ("j", "u"), ("n", "d:5,2"), ("t", "tsu:UTC")]));
    let kept = keep.0.borrow();
    let batch = &kept.batches[0];
    assert_eq!(batch.column("n").unwrap().values::<i128>().unwrap().to_vec(), [101, 1250]);
    assert_eq!(batch.column("j").unwrap().strings().unwrap().get(1), Some("\"x\""));
    assert!(batch.column("d").unwrap().is_null(1));
    assert!(kept.warnings[0].ends_with("column=d count=1"), "{:?}", kept.warnings);
    drop(kept);
    let error = run(&options, None, [json!({"d": "29.2.2024"})]).map(|_| ()).unwrap_err();
    assert!(
        error.message.contains("record 1 has a text in `d`, \"29.2.2024\", which does not fit its column's type, DATE"),
        "{error}"
    );
    for (record, words) in [
        (
            json!({"n": 1.005}),
            "1.005, which has more digits than DECIMAL(5,2) keeps; declare it under `dtype`, such as `n: VARCHAR`",
        ),
        (json!({"n": 1000}), "1000, which is beyond DECIMAL(5,2)"),
        (json!({"d": "2024-02-29T10:00:00"}), "whose time of day DATE would drop"),
        (json!({"i": 2147483648_u64}), "which is beyond INTEGER"),
    ] {
        let error = run(&options, None, [record]).map(|_| ()).unwrap_err();
        assert!(error.message.contains(words), "{error}");
    }
}

#[test]
fn an_empty_run_has_the_columns_of_earlier_runs_and_no_type_gets_narrower() {
    let (_, _, kind) = run(&options(1 << 20), None, [json!({"id": 1.5, "o": {"a": "x"}, "n": null})]).unwrap();
    let kept: Kind = serde_json::from_str(&serde_json::to_string(&kind).unwrap()).unwrap();
    let (keep, rows, _) = run(&options(1 << 20), Some(kept.clone()), []).unwrap();
    assert_eq!((rows, columns(&keep)), (0, pairs(&[("id", "g"), ("o", "+s"), ("a", "u"), ("n", "u")])));
    // A column of which only nulls were seen may still get any type.
    let (keep, ..) = run(&options(1 << 20), Some(kept), [json!({"id": 1, "n": 5})]).unwrap();
    assert_eq!(columns(&keep), pairs(&[("id", "g"), ("o", "+s"), ("a", "u"), ("n", "l")]));
}

#[test]
fn scalars_are_records_too() {
    let (keep, rows, _) = run(&options(1 << 20), None, [json!(1), json!("x")]).unwrap();
    assert_eq!((rows, columns(&keep)), (2, pairs(&[("value", "u")])));
    assert_eq!(keep.0.borrow().batches[0].column("value").unwrap().strings().unwrap().get(0), Some("1"));
}

#[test]
fn fields_that_flatten_to_the_same_name_stay_two_columns() {
    let flatten = |separator: &str| Options { flatten: Some(separator.to_owned()), ..options(1 << 20) };
    let names = |separator: &str, records: &[&str]| {
        let records: Vec<Value> = records.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        let mut found: Vec<(String, String)> = Vec::new();
        for backwards in [false, true] {
            let mut records = records.clone();
            if backwards {
                records.reverse();
            }
            let (keep, ..) = run(&flatten(separator), None, records).unwrap();
            let kept = keep.0.borrow();
            let mut values: Vec<(String, String)> = Vec::new();
            for (name, _) in &kept.columns {
                let rows = |batch: &Batch| -> Vec<Option<i64>> {
                    let column = batch.column(name).unwrap();
                    match column.values::<i64>() {
                        Ok(values) => {
                            (0..batch.rows()).map(|row| (!column.is_null(row)).then(|| values[row])).collect()
                        }
                        Err(_) => vec![None; batch.rows()],
                    }
                };
                let mut rows: Vec<Option<i64>> = kept.batches.iter().flat_map(rows).collect();
                rows.sort_unstable();
                values.push((name.clone(), format!("{rows:?}")));
            }
            values.sort();
            assert!(!backwards || values == found, "{values:?} {found:?}");
            found = values;
        }
        found
    };
    let both = names("_", &[r#"{"user_id": 7, "user": {"id": 90}}"#, r#"{"user": {"id": 91}, "user_id": 8}"#]);
    assert_eq!(both, pairs(&[("user_id", "[Some(7), Some(8)]"), ("user_id_2", "[Some(90), Some(91)]")]));
    let null = names("_", &[r#"{"user_id": 7, "user": {"id": null}}"#]);
    assert_eq!(null, pairs(&[("user_id", "[Some(7)]"), ("user_id_2", "[None]")]));
    let empty = names("_", &[r#"{"a": {"b": {}}, "a_b": 1}"#]);
    assert_eq!(empty, pairs(&[("a_b", "[Some(1)]"), ("a_b_2", "[None]")]));
    let levels = names("_", &[r#"{"a": {"b_c": 1, "b": {"c": 2}}, "a_b": {"c": 3}}"#, r#"{"a_b_c": 4, "a_b_c_2": 5}"#]);
    let expected = [("a_b_c", "[None, Some(4)]"), ("a_b_c_2", "[None, Some(5)]"), ("a_b_c_3", "[None, Some(1)]")];
    assert_eq!(levels[..3], pairs(&expected));
    assert_eq!(levels[3..], pairs(&[("a_b_c_4", "[None, Some(3)]"), ("a_b_c_5", "[None, Some(2)]")]));
    let dots = names(".", &[r#"{"a": {"b": 1}, "a.b": 2}"#]);
    assert_eq!(dots, pairs(&[("a.b", "[Some(2)]"), ("a.b_2", "[Some(1)]")]));
    let apart = names(".", &[r#"{"user_id": 7, "user": {"id": 90}}"#]);
    assert_eq!(apart, pairs(&[("user.id", "[Some(90)]"), ("user_id", "[Some(7)]")]));
}

#[test]
fn a_declared_column_of_a_nested_field_may_appear_late() {
    let dtype = [("a_b", "DECIMAL(30,20)")].map(|(name, kind)| (name.to_owned(), kind.to_owned())).into();
    let options = Options { flatten: Some("_".to_owned()), dtype, ..options(64 << 10) };
    let noise = |id: u64| format!("{:x}", id.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let many = (0..50_000).map(|id| json!({"text": noise(id)}));
    let late: Value = serde_json::from_str(r#"{"a": {"b": 0.12345678901234567891}}"#).unwrap();
    let (keep, rows, _) = run(&options, None, many.chain([late])).unwrap();
    assert_eq!((rows, columns(&keep)), (50_001, pairs(&[("text", "u"), ("a_b", "d:30,20")])));
    let kept = keep.0.borrow();
    let last = kept.batches.last().unwrap();
    assert_eq!(last.column("a_b").unwrap().values::<i128>().unwrap().last(), Some(&12_345_678_901_234_567_891));
}

#[test]
fn a_null_among_records_is_a_row_without_values() {
    let (keep, rows, _) = run(&options(1 << 20), None, [json!({"a": 1}), json!(null), json!({"a": 2})]).unwrap();
    assert_eq!((rows, columns(&keep)), (3, pairs(&[("a", "l")])));
    assert!(keep.0.borrow().batches[0].column("a").unwrap().is_null(1));
}

#[test]
fn numbers_keep_their_digits_at_any_depth() {
    let text = r#"{"whole": 1234567890123456789012, "nested": {"x": 1234567890123456.78, "l": [9007199254740993, 0.5]},
        "text": "x", "json": {"a": 12345678901234567890.123456789, "b": 1.10}, "declared": 1.10, "huge": 170141183460469231731687303715884105727}"#;
    let dtype = [("json", "JSON"), ("declared", "VARCHAR"), ("huge", "HUGEINT")];
    let dtype = dtype.map(|(name, kind)| (name.to_owned(), kind.to_owned())).into();
    let mixed = json!({"text": serde_json::from_str::<Value>("1.10").unwrap()});
    let options = Options { dtype, ..options(1 << 20) };
    let (keep, ..) = run(&options, None, [serde_json::from_str(text).unwrap(), mixed]).unwrap();
    let kept = keep.0.borrow();
    let batch = &kept.batches[0];
    assert_eq!(batch.column("whole").unwrap().values::<i128>().unwrap()[0], 1_234_567_890_123_456_789_012);
    let nested = batch.column("nested").unwrap();
    assert_eq!(nested.child("x").unwrap().values::<i128>().unwrap()[0], 123_456_789_012_345_678);
    assert_eq!(batch.column("text").unwrap().strings().unwrap().get(1), Some("1.10"));
    assert_eq!(batch.column("declared").unwrap().strings().unwrap().get(0), Some("1.10"));
    let json = batch.column("json").unwrap().strings().unwrap().get(0).map(str::to_owned);
    assert_eq!(json.as_deref(), Some(r#"{"a":12345678901234567890.123456789,"b":1.10}"#));
    let formats = columns(&keep);
    assert!(formats.contains(&("whole".into(), "d:38,0".into())) && formats.contains(&("huge".into(), "w:16".into())));
}

#[test]
fn every_declared_type_has_its_layout() {
    let dtype = [
        ("map", "MAP(INTEGER, DECIMAL(20,2)[])"),
        ("row", "STRUCT(a BLOB, \"b c\" TIME)[]"),
        ("bits", "BIT"),
        ("id", "UUID"),
        ("span", "INTERVAL"),
        ("tz", "TIMETZ"),
        ("flag", "BOOLEAN"),
    ];
    let dtype = dtype.map(|(name, kind)| (name.to_owned(), kind.to_owned())).into();
    let options = Options { dtype, ..options(1 << 20) };
    let record = json!({"map": {"1": [1.5, null], "2": null}, "row": [{"a": "\\xFF", "b c": "10:00:00"}, null], "bits": "101",
        "id": "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "span": "1 month 00:00:01", "tz": "10:00:00+02", "flag": 1});
    let (keep, rows, _) = run(&options, None, [record.clone(), json!({}), json!({"flag": "TRUE"})]).unwrap();
    assert_eq!(rows, 3);
    let formats: Vec<String> = columns(&keep).into_iter().map(|(_, format)| format).collect();
    for format in ["+m", "+s", "i", "+l", "d:20,2", "z", "ttu", "w:16", "tin", "w:8", "b"] {
        assert!(formats.contains(&format.to_owned()), "{format} {formats:?}");
    }
    let wrong = json!({"row": [{"a": "x", "d": 1}]});
    let error = run(&options, None, [record, wrong]).map(|_| ()).unwrap_err();
    assert!(error.message.contains("record 2 has `row.0.d`, which its column's type has no member for"), "{error}");
}

#[test]
fn doubles_and_large_integers_are_the_written_ones() {
    let text = r#"{"a": 0.1, "b": 1.7976931348623157e308, "c": 9007199254740993, "d": 18446744073709551615, "e": 123456789.12345679}"#;
    let (keep, ..) = run(&options(1 << 20), None, [serde_json::from_str(text).unwrap()]).unwrap();
    let kept = keep.0.borrow();
    let double = |name: &str| kept.batches[0].column(name).unwrap().values::<f64>().unwrap()[0];
    assert_eq!([double("a"), double("b"), double("e")], [0.1, f64::MAX, 123_456_789.123_456_79]);
    assert_eq!(kept.batches[0].column("c").unwrap().values::<i64>().unwrap()[0], 9_007_199_254_740_993);
    assert_eq!(kept.batches[0].column("d").unwrap().values::<i128>().unwrap()[0], i128::from(u64::MAX));
}
