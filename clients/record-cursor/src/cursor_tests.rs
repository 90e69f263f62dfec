#![allow(clippy::unwrap_used)]
use super::*;
use serde_json::json;

fn run_with(manner: &Manner, state: Option<&State>, records: &[Value]) -> (Option<Value>, Vec<Value>, State) {
    let mut cursor = Cursor::new("at", manner, state).unwrap();
    let asked = cursor.since().cloned();
    let taken = records.iter().filter(|record| cursor.take(record, String::new).unwrap()).cloned().collect();
    let state = cursor.state(Kind::Null);
    (asked, taken, serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap())
}

fn run(state: Option<&State>, records: &[Value]) -> (Vec<Value>, State) {
    let (_, taken, state) = run_with(&Manner::default(), state, records);
    (taken, state)
}

#[test]
fn ties_are_neither_lost_nor_duplicated() {
    let record = |id: u32, at: &str| json!({"id": id, "at": at});
    let all = [record(1, "2024-01-01T00:00:00Z"), record(2, "2024-01-02T00:00:00Z"), record(3, "2024-01-02T00:00:00Z")];
    let (first, state) = run(None, &all);
    assert_eq!(first.len(), 3);
    let (nothing, state) = run(Some(&state), &all);
    assert!(nothing.is_empty());
    let (nothing, state) = run(Some(&state), &[]);
    assert!(nothing.is_empty());
    // The same instant in another zone, a later one, and the earlier records.
    let more =
        [all[1].clone(), all[2].clone(), record(4, "2024-01-02T01:00:00+01:00"), record(5, "2024-01-03T00:00:00Z")];
    let (new, state) = run(Some(&state), &more);
    assert_eq!(new, more[2..]);
    let (new, _) = run(Some(&state), &more);
    assert!(new.is_empty(), "{new:?}");
}

#[test]
fn records_without_the_field_always_pass() {
    let (taken, state) =
        run(None, &[json!({"id": 1, "at": null}), json!({"id": 2}), json!({"id": 3, "at": 5}), json!({"at": ""})]);
    assert_eq!(taken.len(), 4);
    assert_eq!(state.value().unwrap(), Some(json!(5)));
}

#[test]
fn another_field_starts_anew() {
    let (_, state) = run(None, &[json!({"at": 5})]);
    assert_eq!(Cursor::new("id", &Manner::default(), Some(&state)).unwrap().since(), None);
}

#[test]
fn a_state_of_an_older_version_is_continued() {
    for (value, new) in
        [("\"2024-02-07T10:00:00Z\"", "2024-02-09T08:00:00+01:00"), ("999", "1000.5"), ("\"999\"", "1000")]
    {
        let old = format!(r#"{{"field": "at", "value": {value}, "ties": "", "columns": null}}"#);
        let state: State = serde_json::from_str(&old).unwrap();
        let (asked, taken, _) = run_with(&Manner::default(), Some(&state), &[json!({"at": new})]);
        assert_eq!(asked, Some(serde_json::from_str(value).unwrap()));
        assert_eq!(taken.len(), 1, "{new}");
    }
}

#[test]
fn a_value_that_nothing_can_follow_is_delivered_once_and_blocks_nothing() {
    for sentinel in ["9999-12-31", "infinity", "NaN", "2999-01-01"] {
        let first = [json!({"at": "2024-01-01"}), json!({"at": sentinel})];
        let (taken, state) = run(None, &first);
        assert_eq!(taken.len(), 2);
        let (asked, taken, state) =
            run_with(&Manner::default(), Some(&state), &[first.as_slice(), &[json!({"at": "2024-01-02"})]].concat());
        assert_eq!((asked, taken), (Some(json!("2024-01-01")), vec![json!({"at": "2024-01-02"})]), "{sentinel}");
        // A changed record is delivered again.
        let (taken, _) = run(Some(&state), &[json!({"at": sentinel, "x": 1})]);
        assert_eq!(taken.len(), 1);
        // An older version stored it as the highest.
        let old = format!(r#"{{"field": "at", "value": "{sentinel}", "ties": "", "columns": null}}"#);
        let (asked, taken, _) =
            run_with(&Manner::default(), Some(&serde_json::from_str(&old).unwrap()), &[json!({"at": "2024-01-02"})]);
        assert_eq!((asked, taken.len()), (None, 1));
    }
}

#[test]
fn a_lookback_requests_earlier_records_and_delivers_them_again() {
    let manner = Manner { lookback: Some(json!("2d")), ..Manner::default() };
    let record = |at: &str| json!({"at": at});
    let (_, _, state) = run_with(&manner, None, &[record("2024-01-05"), record("2024-01-09")]);
    let late = [record("2024-01-06"), record("2024-01-07"), record("2024-01-08"), record("2024-01-09")];
    let (asked, taken, state) = run_with(&manner, Some(&state), &late);
    assert_eq!((asked, taken), (Some(json!("2024-01-07")), late[1..].to_vec()));
    // It still continues from the highest.
    let (asked, _, _) = run_with(&manner, Some(&state), &[]);
    assert_eq!(asked, Some(json!("2024-01-07")));
}
