//! Parses YAML into types, with bounds against hostile documents and errors that name the line and the remedy.

use std::borrow::Cow;

use granit_parser::{Event, Parser, ScalarStyle};
use serde::de::DeserializeOwned;
use serde_saphyr::Error;

use crate::error::{Place, Report, nearest};

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
        let written = error.location().and_then(|at| Written::at(text, at.line() as usize, at.column() as usize));
        let (message, remedy) =
            written.and_then(|written| written.remedy(&message)).unwrap_or_else(|| (message, hint(&error)));
        let mut report = Report::input(format!("cannot read {what} `{file}`{place}: {message}"));
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        report.place = error.location().map(|at| Place::Spot {
            file: file.to_owned(),
            line: number(at.line()),
            column: number(at.column()),
        });
        report.hint(
            remedy.unwrap_or_else(|| "check indentation, brackets and quotes there and in the lines before".to_owned()),
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

/// What stands at the place of an error.
struct Written<'a> {
    /// The key whose value begins there.
    key: Option<&'a str>,
    /// The rest of the line, as far as it can belong to a plain value.
    value: &'a str,
}

impl<'a> Written<'a> {
    /// `line` and `column` are counted from 1, columns in characters.
    fn at(text: &'a str, line: usize, column: usize) -> Option<Self> {
        let line = text.lines().nth(line.checked_sub(1)?)?;
        let place = line.char_indices().nth(column.checked_sub(1)?)?.0;
        let (before, rest) = line.split_at(place);
        let key = before.trim_end().strip_suffix(':').map(str::trim_end);
        let key = key.and_then(|before| before.rsplit([' ', '{', ',', '-', '[']).next()).filter(|key| !key.is_empty());
        let value = rest.split([',', '}', ']', '#']).next().unwrap_or_default().trim_end();
        Some(Self { key, value })
    }

    /// A message and a hint in place of the parser's, if the mistake is a usual one.
    fn remedy(&self, message: &str) -> Option<(String, Option<String>)> {
        let Self { key, value } = self;
        let short = |value: &str| value.chars().count() <= 40 && !value.is_empty();
        let is = |what: &str, example: Option<String>| {
            let key = key.map_or_else(|| "this".to_owned(), |key| format!("`{key}`"));
            Some((format!("{key} must be {what}"), example))
        };
        let example = |wrap: &dyn Fn(&str) -> String| {
            key.filter(|_| short(value)).map(|key| format!("write `{key}: {}`", wrap(value)))
        };
        if let Some(twice) = message.strip_prefix("duplicate mapping key: ") {
            let name = twice.split(", set ").next().unwrap_or(twice);
            return Some((format!("the key `{name}` is there twice"), Some("write it once".to_owned())));
        }
        match message {
            "expected sequence start" => is("a list", example(&|value| format!("[{value}]"))),
            "expected mapping start" => is("a mapping of keys to values", None),
            _ if message.starts_with("unexpected character: `@'")
                || message.starts_with("unexpected character: ``'") =>
            {
                let quoted = example(&|value| format!("\"{value}\""));
                Some(("a value that begins so needs quotes".to_owned(), quoted))
            }
            _ => None,
        }
    }
}

/// Keys of other tools, and what they are called here.
const SYNONYMS: [(&str, &str); 12] = [
    ("after", "needs"),
    ("dependencies", "needs"),
    ("dependsOn", "needs"),
    ("depends_on", "needs"),
    ("options", "config"),
    ("parameters", "params"),
    ("retry", "retries"),
    ("tests", "expect"),
    ("type", "component"),
    ("uses", "component"),
    ("variables", "params"),
    ("with", "config"),
];

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
        Error::SerdeUnknownField { field, expected, .. } => {
            let synonym = SYNONYMS.iter().find(|(other, name)| other == field && expected.contains(name));
            let near = synonym.map(|(_, name)| *name).or_else(|| nearest(field, expected.iter().copied()));
            Some(match near {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("remove `{field}`; the keys known here are listed above"),
            })
        }
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

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Step {
        #[expect(dead_code, reason = "known, so that it is no unknown key")]
        #[serde(default)]
        needs: Vec<String>,
        #[expect(dead_code, reason = "known, so that it is no unknown key")]
        #[serde(default)]
        config: std::collections::BTreeMap<String, String>,
    }

    #[test]
    fn usual_mistakes_are_named_with_their_remedy() {
        for (text, message, hint) in [
            ("needs: w", "`needs` must be a list", "write `needs: [w]`"),
            ("{config: {}, needs: w}", "`needs` must be a list", "write `needs: [w]`"),
            ("config: [a]", "`config` must be a mapping of keys to values", "check indentation"),
            ("needs: [a]\nneeds: [b]", "the key `needs` is there twice", "write it once"),
            ("config: {connection: @postgres.x, table: t}", "needs quotes", "write `connection: \"@postgres.x\"`"),
            ("depends_on: [w]", "unknown field `depends_on`", "did you mean `needs`?"),
            ("with: {}", "unknown field `with`", "did you mean `config`?"),
        ] {
            let report = parse::<Step>(text, "pipeline", "p.yaml").unwrap_err();
            assert!(report.message.contains(message), "{text}: {}", report.message);
            assert!(report.hint.as_deref().unwrap().contains(hint), "{text}: {:?}", report.hint);
        }
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
