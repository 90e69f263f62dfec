use osiris_sdk::ErrorKind;
use osiris_sdk::testing::{Exchange, Step, check_schema};
use serde_json::{Value, json};

fn item(id: i64, amount: &str) -> Value {
    json!({"id": id, "name": null, "amount": amount, "tags": ["a", null], "created_at": "2024-01-31T10:00:00.5+02:00"})
}

fn step() -> Step {
    Step::new().config(json!({"url": "https://api.example.com", "page_size": 2})).secret("/token", "t0ken")
}

#[test]
fn the_spec_has_the_options_of_the_config() {
    check_schema::<super::Config>("spec.yaml");
}

#[test]
fn all_pages_are_read_with_their_types() {
    let first = json!({"items": [item(1, "0.10"), item(2, "-7")], "next": 2});
    let run = step()
        .http(Exchange::get("https://api.example.com/items?size=2").json(first))
        .http(Exchange::get("https://api.example.com/items?size=2&page=2").status(429).header("retry-after", "1"))
        .http(Exchange::get("https://api.example.com/items?size=2&page=2").json(json!({"items": [], "next": null})))
        .extract::<super::Rest>();
    let rows = run.rows("main");
    assert_eq!(rows.iter().map(|row| &row["id"]).collect::<Vec<_>>(), [&json!(1), &json!(2)]);
    assert_eq!(rows[1]["amount"].to_string(), "-7.00");
    assert_eq!(rows[0]["created_at"], "2024-01-31 08:00:00.5+00");
    assert_eq!(run.types("main")["amount"], "DECIMAL(18,2)");
    assert_eq!(run.types("main")["created_at"], "TIMESTAMPTZ");
    assert_eq!(run.waits(), [std::time::Duration::from_secs(1)]);
    assert_eq!(run.requests()[0].header("authorization"), Some("Bearer t0ken"));
}

#[test]
fn an_item_of_another_shape_is_an_error() {
    let page = json!({"items": [item(1, "0.105")], "next": null});
    let run = step().http(Exchange::get("https://api.example.com/items?size=2").json(page)).extract::<super::Rest>();
    assert_eq!(run.error().kind, ErrorKind::Data);
    assert!(run.error().message.contains("`0.105` is not a DECIMAL(18,2)"), "{}", run.error());
}
