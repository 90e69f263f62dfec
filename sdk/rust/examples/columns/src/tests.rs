use osiris_sdk::testing::{Rows, Step, check_schema};
use serde_json::json;

fn orders() -> Rows {
    Rows::new([
        json!({"key": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "name": "Žofie", "qty": 3, "tags": ["a", null]}),
        json!({"key": null, "name": null, "qty": null, "tags": null}),
    ])
    .typed("qty", "INTEGER")
    .typed("key", "UUID")
}

#[test]
fn the_spec_has_the_options_of_the_config() {
    check_schema::<super::Config>("spec.yaml");
}

#[test]
fn columns_are_computed_and_others_pass_through() {
    for rows in [orders(), orders().in_batches_of(1)] {
        let run = Step::new().input("orders", rows).transform::<super::Columns>();
        let key = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
        assert_eq!(
            run.rows("main"),
            [
                json!({"key": key, "name": "Žofie", "qty": 6, "tags": ["a", null], "upper": "ŽOFIE", "tag_count": 2}),
                json!({"key": null, "name": null, "qty": null, "tags": null, "upper": null, "tag_count": null}),
            ]
        );
        let types = run.types("main");
        assert_eq!([&types["key"], &types["qty"], &types["tags"]], ["UUID", "INTEGER", "VARCHAR[]"]);
    }
}

#[test]
fn an_input_without_rows_gives_a_table_without_rows() {
    let empty = Rows::default().typed("qty", "INTEGER").typed("name", "VARCHAR").typed("tags", "VARCHAR[]");
    let run = Step::new().input("orders", empty).transform::<super::Columns>();
    assert!(run.rows("main").is_empty());
    assert_eq!(run.types("main")["tag_count"], "BIGINT");
}

#[test]
fn a_quantity_that_cannot_be_doubled_is_an_error() {
    let rows = Rows::new([json!({"qty": i32::MAX, "name": "x", "tags": ["a"]})]).typed("qty", "INTEGER");
    let run = Step::new().input("orders", rows).transform::<super::Columns>();
    assert_eq!(run.error().message, "2147483647 is too large to be doubled");
}
