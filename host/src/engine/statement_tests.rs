#![allow(clippy::unwrap_used)]
use super::*;

/// A statement's tree with a function nested this many levels deep.
fn nested(levels: usize, function: &str) -> String {
    let (open, close) = (r#"{"children":["#.repeat(levels / 2), "]}".repeat(levels / 2));
    let call = format!(r#"{{"type":"FUNCTION","function_name":"{function}","text":"[{{\"["}}"#);
    format!(r#"{{"error":false,"statements":[{open}{call}{close}]}}"#)
}

#[test]
fn a_deep_statement_is_walked_to_its_end() {
    for levels in [10, 200, 2900] {
        assert_eq!(check(&nested(levels, "abs"), &Tables::default()), Ok(false));
        assert_eq!(check(&nested(levels, "now"), &Tables::default()), Ok(true));
        let refused = check(&nested(levels, "current_setting"), &Tables::default()).unwrap_err();
        assert!(refused.to_string().contains("`current_setting`"), "{levels} levels");
    }
    for levels in [3100, 1_000_000] {
        assert!(check(&nested(levels, "abs"), &Tables::default()).unwrap_err().to_string().contains("levels deep"));
    }
}

#[test]
fn the_error_for_an_unknown_function_suggests_a_similar_one() {
    let told = check(&nested(10, "lenght"), &Tables::default()).unwrap_err();
    assert_eq!(told, Refusal::Unknown("there is no function `lenght`; did you mean `length`?".to_owned()));
}
