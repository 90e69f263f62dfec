//! Parses YAML into types, with bounds against hostile documents and errors that name the line and the remedy.

use std::borrow::Cow;

use granit_parser::{Event, Parser, ScalarStyle};
use serde::de::DeserializeOwned;
use serde_saphyr::Error;

use crate::error::{Report, nearest};

/// The longest document that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// Parses `text`; `what` and `file` name it in errors.
///
/// # Errors
/// A [`Report`] with file, line and column; an unknown key comes with the nearest known one.
pub fn parse<T: DeserializeOwned>(text: &str, what: &str, file: &str) -> Result<T, Report> {
    if text.len() > MAX_BYTES {
        return Err(Report::input(format!("{what} `{file}` is longer than 1 MiB")));
    }
    let parsed = match quoted(text) {
        // Quotes move what follows them, so that the error has to come from the text as it was written.
        Cow::Owned(quoted) => serde_saphyr::from_str(&quoted)
            .or_else(|error| serde_saphyr::from_str::<T>(text).map_or_else(Err, |_| Err(error))),
        Cow::Borrowed(text) => serde_saphyr::from_str(text),
    };
    parsed.map_err(|error| {
        let place =
            error.location().map_or_else(String::new, |at| format!(", line {}, column {}", at.line(), at.column()));
        let message = plain(&error);
        let report = Report::input(format!("cannot read {what} `{file}`{place}: {message}"));
        report.hint(
            hint(&error)
                .unwrap_or_else(|| "check indentation, brackets and quotes there and in the lines before".to_owned()),
        )
    })
}

/// The text with quotes around what serde-saphyr takes for booleans and PyYAML, which Python Osiris reads pipelines with,
/// for text: `y`, `n` and odd spellings such as `yEs`.
fn quoted(text: &str) -> Cow<'_, str> {
    let mut places = Vec::new();
    for event in Parser::new_from_str(text) {
        // serde-saphyr reports the error.
        let Ok((event, span)) = event else { return Cow::Borrowed(text) };
        if let Event::Scalar(word, ScalarStyle::Plain, _, None) = event
            && is_odd_boolean(&word)
            && let (Some(start), Some(end)) = (span.start.byte_offset(), span.end.byte_offset())
            && text.get(start..end) == Some(&*word)
        {
            places.push((start, end));
        }
    }
    if places.is_empty() {
        return Cow::Borrowed(text);
    }
    let (mut quoted, mut done) = (String::with_capacity(text.len() + 2 * places.len()), 0);
    for (start, end) in places {
        quoted.push_str(&text[done..start]);
        quoted.push_str(&format!("'{}'", &text[start..end]));
        done = end;
    }
    Cow::Owned(quoted + &text[done..])
}

/// Whether serde-saphyr takes a word for a boolean, but PyYAML does not: PyYAML knows `yes`, `Yes` and `YES`, and so on.
fn is_odd_boolean(word: &str) -> bool {
    let is = |other: &str| word.eq_ignore_ascii_case(other);
    let rest = word.get(1..).unwrap_or_default();
    let is_usual = [str::to_lowercase, str::to_uppercase].iter().any(|cased| *word == cased(word))
        || (word.starts_with(|first: char| first.is_ascii_uppercase()) && *rest == rest.to_lowercase());
    is("y") || is("n") || (["yes", "no", "on", "off", "true", "false"].into_iter().any(is) && !is_usual)
}

/// The parser's message on one line, without its excerpt of the text.
fn plain(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    line.split(" at line ").next().unwrap_or(line).trim().to_owned()
}

/// For an unknown key, the nearest known one.
fn hint(error: &serde_saphyr::Error) -> Option<String> {
    match error {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => hint(error),
        Error::SerdeUnknownField { field, expected, .. } => Some(match nearest(field, expected.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("remove `{field}`; the keys known here are listed above"),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        #[expect(dead_code, reason = "known, so that it is no unknown key")]
        name: String,
    }

    #[test]
    fn an_unknown_key_is_reported_with_its_line_and_the_nearest_name() {
        let report = parse::<Shape>("name: a\nnme: b\n", "pipeline", "p.yaml").unwrap_err();
        assert!(report.message.contains("p.yaml"), "{}", report.message);
        assert!(report.message.contains("line 2"), "{}", report.message);
        assert_eq!(report.hint.as_deref(), Some("did you mean `name`?"));
    }

    #[test]
    fn booleans_are_those_of_pyyaml() {
        let text = "{a: y, N: [n, Y], b: yes, c: 'y', d: Off, e: oN, f: TRUE, g: tRUE, h: &x n, i: *x, j: y s}";
        let expected = serde_json::json!({"a": "y", "N": ["n", "Y"], "b": true, "c": "y", "d": false, "e": "oN", "f": true, "g": "tRUE",
            "h": "n", "i": "n", "j": "y s"});
        assert_eq!(parse::<serde_json::Value>(text, "pipeline", "p.yaml").unwrap(), expected);
        let report = parse::<Shape>("{name: y, nme: b}", "pipeline", "p.yaml").unwrap_err();
        assert!(report.message.contains("line 1, column 11"), "{}", report.message);
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let before = level - 1;
            let items = vec![format!("*a{before}"); 10].join(",");
            text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(parse::<serde_json::Value>(&text, "pipeline", "p.yaml").is_err());
    }

    #[test]
    fn deep_nesting_is_refused() {
        let text = "[".repeat(100_000);
        assert!(parse::<serde_json::Value>(&text, "pipeline", "p.yaml").is_err());
    }
}
