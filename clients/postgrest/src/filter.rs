//! Quotes names and values for PostgREST's query language.

use serde_json::Value;

/// A column's name in `select`, `order` and `on_conflict`.
pub fn name(column: &str) -> String {
    let plain = !column.is_empty() && column.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    if plain { column.to_owned() } else { quoted(column) }
}

/// A column's name inside `and` and `or`, where the names of operators have a different meaning.
fn word(column: &str) -> String {
    if RESERVED.contains(&column) || column == "not" { quoted(column) } else { name(column) }
}

/// Several names, separated by commas.
pub fn names(columns: &[String]) -> String {
    columns.iter().map(|column| name(column)).collect::<Vec<_>>().join(",")
}

/// A value inside `in.(…)` or `and(…)`, always quoted so that no character in it is special.
pub fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Names of query parameters that do not refer to a column of that name.
const RESERVED: [&str; 8] = ["select", "order", "limit", "offset", "columns", "on_conflict", "and", "or"];

/// The query parameter for a condition (`eq.5`) on a column. If the column's name collides with a parameter, the
/// condition is put inside `and`, where every name can be quoted.
pub fn condition(column: &str, condition: &str) -> (String, String) {
    if name(column) == column && !RESERVED.contains(&column) && column != "not" {
        (column.to_owned(), condition.to_owned())
    } else {
        ("and".to_owned(), format!("({}.{})", quoted(column), inside_logic(condition)))
    }
}

/// A condition inside `and(…)`, where a comma or parenthesis in its value would end it.
fn inside_logic(condition: &str) -> String {
    let (not, rest) = condition.strip_prefix("not.").map_or(("", condition), |rest| ("not.", rest));
    match rest.split_once('.') {
        // Lists are quoted item by item, arrays have braces, and `is` takes keywords.
        Some((operator, value))
            if !matches!(operator, "in" | "is") && !operator.contains('(') && !value.starts_with(['{', '"']) =>
        {
            format!("{not}{operator}.{}", quoted(value))
        }
        _ => condition.to_owned(),
    }
}

/// The query parameter that selects the rows whose column satisfies all `bounds` (operators with their values) or is
/// null.
pub fn within_or_null(column: &str, bounds: &[(&str, String)]) -> (String, String) {
    let name = word(column);
    let bounds: Vec<String> =
        bounds.iter().map(|(operator, value)| format!("{name}.{operator}.{}", quoted(value))).collect();
    ("or".to_owned(), format!("(and({}),{name}.is.null)", bounds.join(",")))
}

/// The query parameter that selects the rows with one of these keys: `id=in.("1","2")`, and for keys of several columns
/// `or=(and(a.eq."1",b.eq."2"),…)`.
pub fn one_of(columns: &[String], keys: &[Vec<String>]) -> (String, String) {
    if let [column] = columns {
        let values: Vec<String> = keys.iter().flatten().map(|value| quoted(value)).collect();
        return condition(column, &format!("in.({})", values.join(",")));
    }
    let rows = keys.iter().map(|key| {
        let parts = columns.iter().zip(key).map(|(column, value)| format!("{}.eq.{}", word(column), quoted(value)));
        format!("and({})", parts.collect::<Vec<_>>().join(","))
    });
    ("or".to_owned(), format!("({})", rows.collect::<Vec<_>>().join(",")))
}

/// A JSON value of a key column as text; `None` for null.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_and_values_stay_inside_their_quotes() {
        assert_eq!(names(&["id".into(), "größe".into(), "a,b".into(), "q\"\\".into()]), r#"id,größe,"a,b","q\"\\""#);
        let (column, value) = one_of(&["id".into()], &[vec!["1".into()], vec!["a\"),x".into()]]);
        assert_eq!((column.as_str(), value.as_str()), ("id", r#"in.("1","a\"),x")"#));
        for name in ["select", "limit", "offset", "order", "on_conflict", "columns", "and", "or", "a.b", "a b"] {
            let (parameter, value) = one_of(&[name.into()], &[vec!["1".into()]]);
            assert_eq!((parameter, value), ("and".to_owned(), format!(r#"("{name}".in.("1"))"#)));
        }
        for (given, written) in [
            ("eq.x,y)", r#"eq."x,y)""#),
            ("not.like.a\"*", r#"not.like."a\"*""#),
            ("in.(1,2)", "in.(1,2)"),
            ("is.null", "is.null"),
            ("not.is.true", "not.is.true"),
            ("cs.{a,b}", "cs.{a,b}"),
        ] {
            assert_eq!(condition("a.b", given).1, format!(r#"("a.b".{written})"#));
            assert_eq!(condition("a", given), ("a".to_owned(), given.to_owned()));
        }
        let bounds = [("gte", "a,b".to_owned()), ("lte", "c\"".to_owned())];
        let within = r#"(and("or".gte."a,b","or".lte."c\""),"or".is.null)"#;
        assert_eq!(within_or_null("or", &bounds), ("or".to_owned(), within.to_owned()));
        let (column, value) = one_of(&["a".into(), "b c".into()], &[vec!["1".into(), "x".into()]]);
        assert_eq!((column.as_str(), value.as_str()), ("or", r#"(and(a.eq."1","b c".eq."x"))"#));
    }
}
