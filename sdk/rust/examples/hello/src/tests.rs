use osiris_sdk::testing::{Step, check_schema};
use serde_json::json;

#[test]
fn the_spec_has_the_options_of_the_config() {
    check_schema::<super::Config>("spec.yaml");
}

#[test]
fn everybody_is_greeted() {
    let run = Step::new().config(json!({"names": ["Ada", "☃"]})).extract::<super::Hello>();
    assert_eq!(run.rows("main"), [json!({"greeting": "hello Ada"}), json!({"greeting": "hello ☃"})]);
}
