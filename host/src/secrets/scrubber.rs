//! Redacts known secrets from everything that is written, including secrets in another encoding.

use std::collections::BTreeSet;
use std::fmt::Write;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Map, Value};

use super::{MASK, Secret};
use crate::untrusted::Untrusted;

/// A secret shorter than this, in characters, is not redacted from text, because ordinary words and numbers would be
/// redacted with it.
const SHORTEST_SECRET: usize = 6;

/// A secret of letters only, which may be an ordinary word, is redacted from this length on.
const SHORTEST_WORD: usize = 8;

/// A line of a secret that is shorter than this is not redacted, such as the last line of a key.
const SHORTEST_LINE: usize = 8;

/// An encoding of a secret that is shorter than this could match by chance.
const SHORTEST_SPELLING: usize = 6;

/// The line length of wrapped base64 (RFC 2045).
const BASE64_LINE: usize = 76;

/// Whether a secret is long enough to be redacted everywhere. A shorter one is redacted only as a value in an address:
/// a password `shop` would otherwise mask every table of that name.
pub fn is_distinctive(secret: &str) -> bool {
    let length = secret.chars().count();
    length >= SHORTEST_WORD || (length >= SHORTEST_SECRET && !secret.chars().all(char::is_alphabetic))
}

/// Redacts known secrets from text.
#[derive(Debug, Clone, Default)]
pub struct Scrubber {
    finder: Finder,
    /// Secrets that are redacted only in addresses.
    short: Vec<Secret>,
    /// The length of the longest text that is redacted, in bytes.
    longest: usize,
}

#[derive(Debug, Clone, Default)]
enum Finder {
    #[default]
    Nothing,
    Automaton(AhoCorasick),
    /// Used if there are too many encodings for an automaton: slow, but just as thorough.
    OneByOne(Vec<String>),
}

/// A value without known secrets: a scrubber has redacted it, or it is a constant text of the program.
#[derive(Debug, Clone)]
pub struct Scrubbed<T>(T);

impl<T> Scrubbed<T> {
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> std::ops::Deref for Scrubbed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A constant text of the program contains no secret of a run.
impl From<&'static str> for Scrubbed<String> {
    fn from(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}

/// A value that a scrubber can redact.
pub trait Scrub {
    /// The value with the secrets that `scrubber` knows redacted.
    #[must_use]
    fn without_secrets(&self, scrubber: &Scrubber) -> Self;
}

impl Scrub for Untrusted {
    fn without_secrets(&self, scrubber: &Scrubber) -> Self {
        scrubber.scrub_text(self.raw()).into()
    }
}

impl Scrubber {
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let (distinctive, short): (Vec<&Secret>, Vec<&Secret>) =
            secrets.into_iter().partition(|secret| is_distinctive(secret.reveal()));
        let spellings: BTreeSet<String> =
            distinctive.into_iter().map(Secret::reveal).flat_map(with_lines).flat_map(spellings).collect();
        let short = short.into_iter().filter(|secret| !secret.reveal().is_empty()).cloned().collect();
        let longest = spellings.iter().map(String::len).max().unwrap_or(SHORTEST_WORD * 4);
        if spellings.is_empty() {
            return Self { finder: Finder::Nothing, short, longest };
        }
        // If two secrets start alike, the longer one is matched, so that no part of it remains.
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&spellings);
        let finder = automaton.map_or_else(|_| Finder::one_by_one(spellings), Finder::Automaton);
        Self { finder, short, longest }
    }

    /// The length of the longest text that is redacted, in bytes: so much of the end of a text that was cut off may be the
    /// beginning of a secret.
    pub fn longest(&self) -> usize {
        self.longest
    }

    pub fn scrub_text(&self, text: &str) -> String {
        self.scrub_text_as(text, MASK)
    }

    /// Like [`Self::scrub_text`], with `mask` in place of secrets.
    pub fn scrub_text_as(&self, text: &str, mask: &str) -> String {
        let scrubbed = match &self.finder {
            Finder::Nothing => text.to_owned(),
            Finder::Automaton(secrets) => {
                let mut scrubbed = String::with_capacity(text.len());
                secrets.replace_all_with(text, &mut scrubbed, |_, _, out| {
                    out.push_str(mask);
                    true
                });
                scrubbed
            }
            Finder::OneByOne(secrets) => {
                secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), mask))
            }
        };
        self.short.iter().fold(scrubbed, |text, secret| mask_values(&text, secret.reveal(), mask))
    }

    pub fn scrubbed<T: Scrub>(&self, value: &T) -> Scrubbed<T> {
        Scrubbed(value.without_secrets(self))
    }

    /// The redacted text, as a type that guarantees it.
    pub fn scrubbed_text(&self, text: &str) -> Scrubbed<String> {
        Scrubbed(self.scrub_text(text))
    }

    /// A record's fields with secrets redacted. Those that `names` lists contain only names, by which programs find things:
    /// they are not redacted, since a secret may happen to be an ordinary word such as `main`.
    pub fn scrubbed_fields(&self, fields: Map<String, Value>, names: &[&str]) -> Scrubbed<Map<String, Value>> {
        let field = |(key, value): (String, Value)| {
            let value = if names.contains(&key.as_str()) { value } else { self.scrub(value) };
            (key, value)
        };
        Scrubbed(fields.into_iter().map(field).collect())
    }

    /// Redacts every text in `value`, including keys.
    pub fn scrub(&self, value: Value) -> Value {
        if matches!(self.finder, Finder::Nothing) && self.short.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.scrub_text(&text)),
            Value::Array(items) => Value::Array(items.into_iter().map(|item| self.scrub(item)).collect()),
            Value::Object(fields) => Value::Object(self.scrub_object(fields)),
            other => other,
        }
    }

    /// Redacts the keys and every text in `fields`.
    pub fn scrub_object(&self, fields: Map<String, Value>) -> Map<String, Value> {
        fields.into_iter().map(|(key, field)| (self.scrub_text(&key), self.scrub(field))).collect()
    }

    fn finds(&self, text: &str) -> bool {
        match &self.finder {
            Finder::Nothing => false,
            Finder::Automaton(secrets) => secrets.is_match(text),
            Finder::OneByOne(secrets) => secrets.iter().any(|secret| text.contains(secret.as_str())),
        }
    }
}

impl Finder {
    fn one_by_one(spellings: BTreeSet<String>) -> Self {
        let mut longest_first: Vec<String> = spellings.into_iter().collect();
        longest_first.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
        Self::OneByOne(longest_first)
    }
}

/// A secret shorter than this is not looked for, even as a whole value.
const SHORTEST_VALUE: usize = 4;

/// From this length in characters on, a secret is looked for inside other text; a shorter one, such as `2024`, occurs
/// in many unrelated texts.
const SHORTEST_INSIDE: usize = 8;

/// Whether a name that is stored unchanged reveals the secret. A short secret, or one of letters only, such as
/// `customers`, may be a table's name by chance.
pub fn betrays(name: &str, secret: &Secret) -> bool {
    let text = secret.reveal();
    let is_word = text.chars().all(|letter| letter.is_alphabetic() || letter == '_');
    text.chars().count() >= SHORTEST_INSIDE && !is_word && Scrubber::new([secret]).finds(name)
}

/// Whether a JSON text contains the secret: a long one in any encoding anywhere, a short one as a whole value.
pub fn holds(json: &str, secret: &Secret) -> bool {
    let text = secret.reveal();
    if text.chars().count() >= SHORTEST_INSIDE {
        return Scrubber::new([secret]).finds(json);
    }
    text.len() >= SHORTEST_VALUE && serde_json::from_str(json).is_ok_and(|value| is_or_has(&value, text))
}

/// Masks secrets inside the user's own text: a long one anywhere; a short one, which may be an ordinary word, only as a
/// value in an address, such as `?key=SECRET` or `user:SECRET@host`.
pub fn mask_inside<'a>(value: Value, secrets: impl Iterator<Item = &'a Secret> + Clone) -> Value {
    let (long, short): (Vec<&Secret>, Vec<&Secret>) =
        secrets.partition(|secret| secret.reveal().chars().count() >= SHORTEST_INSIDE);
    mask_short(Scrubber::new(long).scrub(value), &short)
}

fn mask_short(value: Value, secrets: &[&Secret]) -> Value {
    match value {
        Value::String(text) => {
            Value::String(secrets.iter().fold(text, |text, secret| mask_values(&text, secret.reveal(), MASK)))
        }
        Value::Array(items) => items.into_iter().map(|item| mask_short(item, secrets)).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, field)| (name, mask_short(field, secrets))).collect(),
        other => other,
    }
}

/// Replaces `secret` by `mask` between `=` or `:` and the end of a value in an address.
fn mask_values(text: &str, secret: &str, mask: &str) -> String {
    if secret.is_empty() {
        return text.to_owned();
    }
    let (mut masked, mut done) = (String::new(), 0);
    for (at, _) in text.match_indices(secret) {
        let (before, after) = (&text[..at], &text[at + secret.len()..]);
        let begins = before.ends_with(['=', ':']);
        let ends = after.is_empty() || after.starts_with(['&', '#', '@', '\'', '"', ' ']);
        if begins && ends && at >= done {
            masked.push_str(&text[done..at]);
            masked.push_str(mask);
            done = at + secret.len();
        }
    }
    masked + &text[done..]
}

/// Whether a value is `text`, or contains a value that is.
fn is_or_has(value: &Value, text: &str) -> bool {
    match value {
        Value::String(string) => string == text,
        Value::Number(number) => number.to_string() == text,
        Value::Array(items) => items.iter().any(|item| is_or_has(item, text)),
        Value::Object(fields) => fields.values().any(|field| is_or_has(field, text)),
        Value::Null | Value::Bool(_) => false,
    }
}

/// The secret and, because text is often reported line by line, each of its lines.
fn with_lines(secret: &str) -> impl Iterator<Item = &str> {
    let lines = secret.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE && line.len() < secret.len());
    std::iter::once(secret).chain(lines)
}

/// The secret, and its forms in JSON, Rust's debug output, URLs, hexadecimal, base64, lists of bytes, SQL and HTML.
fn spellings(secret: &str) -> Vec<String> {
    let quoted = |text: String| text.get(1..text.len().saturating_sub(1)).unwrap_or_default().to_owned();
    let json = quoted(Value::from(secret).to_string());
    let mut found = vec![quoted(Value::from(json.as_str()).to_string()), json, quoted(format!("{secret:?}"))];
    for upper in [true, false] {
        found.push(percent(secret, false, upper));
        found.push(percent(secret, true, upper));
        found.push(secret.bytes().fold(String::new(), |mut hex, byte| {
            let _ = if upper { write!(hex, "{byte:02X}") } else { write!(hex, "{byte:02x}") };
            hex
        }));
        found.push(secret.bytes().fold(String::new(), |mut text, byte| {
            let _ = if upper { write!(text, "%{byte:02X}") } else { write!(text, "%{byte:02x}") };
            text
        }));
    }
    for between in [", ", ","] {
        found.push(secret.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(between));
    }
    found.push(secret.replace('\'', "''"));
    found.extend(["&#39;", "&#x27;", "&apos;"].map(|apostrophe| html(secret, apostrophe)));
    found.push(secret.chars().fold(String::new(), |text, letter| text + &format!("&#{};", u32::from(letter))));
    let lines = STANDARD.encode(secret);
    found.extend(lines.as_bytes().chunks(BASE64_LINE).map(|line| String::from_utf8_lossy(line).into_owned()));
    found.extend([false, true].map(|upper| json_ascii(secret, upper)));
    found.extend((0..3).flat_map(|before| [base64(&STANDARD, secret, before), base64(&URL_SAFE, secret, before)]));
    found.retain(|spelling| spelling.len() >= SHORTEST_SPELLING);
    found.push(secret.to_owned());
    found
}

/// The secret in HTML or XML.
fn html(secret: &str, apostrophe: &str) -> String {
    let escaped = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    escaped.replace('\'', apostrophe)
}

/// The secret in ASCII-only JSON: `\u` and four digits for each UTF-16 unit beyond ASCII.
fn json_ascii(secret: &str, upper: bool) -> String {
    let quoted = Value::from(secret).to_string();
    let inside = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    inside.chars().fold(String::new(), |mut text, letter| {
        if letter.is_ascii() {
            text.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = if upper { write!(text, "\\u{unit:04X}") } else { write!(text, "\\u{unit:04x}") };
            }
        }
        text
    })
}

/// Percent-encoding, as in RFC 3986 or as HTML forms send it (a space as `+`).
fn percent(secret: &str, form: bool, upper: bool) -> String {
    secret.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => text.push(char::from(byte)),
            b'~' if !form => text.push('~'),
            b' ' if form => text.push('+'),
            _ if upper => text.push_str(&format!("%{byte:02X}")),
            _ => text.push_str(&format!("%{byte:02x}")),
        }
        text
    })
}

/// The part of the secret's base64 that does not depend on the surrounding bytes, if the secret starts `before` bytes
/// after a boundary of three: characters that also encode bits of a neighbour are omitted.
fn base64(engine: &impl Engine, secret: &str, before: usize) -> String {
    let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(secret.bytes()).collect();
    let text = engine.encode(&padded);
    let start = (before * 8).div_ceil(6);
    let end = padded.len() * 8 / 6;
    text.get(start..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scrubber(secrets: &[&str]) -> Scrubber {
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect();
        Scrubber::new(&secrets)
    }

    #[test]
    fn a_name_that_is_not_an_ordinary_word_reveals_a_secret() {
        for (name, secret, betrayed) in [
            ("main", "main", false),
            ("customers", "customers", false),
            ("t_s3cret-token", "s3cret-token", true),
            ("t_s3cret-toke", "s3cret-token", false),
        ] {
            assert_eq!(betrays(name, &Secret::new(secret.to_owned())), betrayed, "{name}");
        }
    }

    #[test]
    fn secrets_are_scrubbed_from_keys_and_values_and_longest_first() {
        let scrubbed = scrubber(&["hunter2", "hunter2-long", "ab"])
            .scrub(json!({"hunter2": ["x hunter2-long y", 5, {"z": "ab"}]}));
        assert_eq!(scrubbed, json!({MASK: [format!("x {MASK} y"), 5, {"z": "ab"}]}));
    }

    #[test]
    fn names_in_a_record_are_kept_and_other_fields_are_scrubbed() {
        let fields = json!({"step_id": "customers", "message": "customers", "tables": {"customers": 1}});
        let fields = fields.as_object().cloned().unwrap_or_default();
        let scrubbed = scrubber(&["customers"]).scrubbed_fields(fields, &["step_id", "tables"]);
        let expected = json!({"step_id": "customers", "message": MASK, "tables": {"customers": 1}});
        assert_eq!(Value::Object(scrubbed.into_inner()), expected);
    }

    #[test]
    fn a_short_secret_is_masked_only_as_a_value_in_an_address() {
        let secrets = ["shop", "correct-horse"].map(|secret| Secret::new(secret.to_owned()));
        for (text, expected) in [
            ("http://h/shop?key=shop&a=shops", "http://h/shop?key=***MASKED***&a=shops"),
            ("postgres://shop:shop@h/shop", "postgres://shop:***MASKED***@h/shop"),
            ("a=shop", "a=***MASKED***"),
            ("shop", "shop"),
            ("a correct-horse b", "a ***MASKED*** b"),
        ] {
            assert_eq!(mask_inside(json!([text]), secrets.iter()), json!([expected]));
        }
    }

    #[test]
    fn a_long_secret_is_found_anywhere_and_a_short_one_only_as_a_value() {
        let long = "correct-horse";
        let spelt = format!(r#"{{"at": "x{}"}}"#, STANDARD.encode(format!("{long}y")));
        for (secret, json, expected) in [
            (long, r#"{"at": "x correct-horse y"}"#, true),
            (long, spelt.as_str(), true),
            (long, r#"{"at": "correct"}"#, false),
            ("2024", r#"{"cursor": "2024-03-01", "n": 12024, "2024": 1}"#, false),
            ("2024", r#"{"ties": ["2024"]}"#, true),
            ("4711", r#"{"a": [{"pin": 4711}]}"#, true),
            ("user", r#"{"cursor": "user_id"}"#, false),
            ("abc", r#""abc""#, false),
        ] {
            assert_eq!(holds(json, &Secret::new(secret.to_owned())), expected, "{secret} {json}");
        }
    }

    #[test]
    fn a_short_or_common_word_is_not_masked_everywhere() {
        let scrubber = scrubber(&["shop", "2024", "abcdefg", "hunter2", "it's-secret", "abcdefgh"]);
        for (text, expected) in [
            ("the shop of 2024: abcdefg", "the shop of 2024: abcdefg"),
            ("mysql://shop:shop@h/shop?key=2024", "mysql://shop:***MASKED***@h/shop?key=***MASKED***"),
            ("hunter2, abcdefgh and 'it''s-secret'", "***MASKED***, ***MASKED*** and '***MASKED***'"),
            ("it&#39;s-secret", "***MASKED***"),
        ] {
            assert_eq!(scrubber.scrub_text(text), expected);
        }
        assert!(!is_distinctive("shop") && !is_distinctive("abcdefg") && is_distinctive("abc123"));
    }

    #[test]
    fn more_encodings_than_an_automaton_holds_are_found_one_by_one() {
        let finder = Finder::one_by_one(BTreeSet::from(["hunter2".to_owned(), "hunter2-long".to_owned()]));
        let scrubber = Scrubber { finder, ..Scrubber::default() };
        assert_eq!(scrubber.scrub_text("x hunter2-long hunter2"), format!("x {MASK} {MASK}"));
        assert!(scrubber.finds("hunter2") && !scrubber.finds("hunter"));
    }

    #[test]
    fn the_lines_of_a_secret_are_scrubbed_one_by_one() {
        let key = "-----BEGIN KEY-----\nbm90IGEga2V5\r\n  c2VlPw==x\n-----END KEY-----\n";
        let scrubber = scrubber(&[key]);
        for line in key.lines() {
            assert_eq!(scrubber.scrub_text(&format!("> {}", line.trim())), format!("> {MASK}"));
        }
        assert_eq!(scrubber.scrub_text(key), MASK);
    }

    #[test]
    fn secrets_are_scrubbed_in_every_usual_encoding() {
        let secret = "p\"ss w\\rd/ü+1";
        let scrubber = scrubber(&[secret]);
        let mut told = vec![
            secret.to_owned(),
            Value::from(secret).to_string(),
            Value::from(Value::from(secret).to_string()).to_string(),
            format!("{secret:?}"),
            "p%22ss%20w%5Crd%2F%C3%BC%2B1".to_owned(),
            "p%22ss+w%5crd%2f%c3%bc%2b1".to_owned(),
            "702273732077".to_owned() + "5c72642fc3bc2b31",
            r#"p\"ss w\\rd/\u00fc+1"#.to_owned(),
            r#"p\"ss w\\rd/\u00FC+1"#.to_owned(),
            secret.bytes().map(|byte| format!("%{byte:02X}")).collect(),
            format!("{:?}", secret.as_bytes()),
            Value::from(secret.as_bytes()).to_string(),
            "p&quot;ss w\\rd/ü+1".to_owned(),
        ];
        for before in ["", "u", "us", "user"] {
            for after in ["", "x", "xy"] {
                told.push(STANDARD.encode(format!("{before}{secret}{after}")));
                told.push(URL_SAFE.encode(format!("{before}{secret}{after}")));
            }
        }
        for text in told {
            assert!(scrubber.scrub_text(&format!("see {text} there")).contains(MASK), "{text}");
        }
        assert_eq!(scrubber.scrub_text("nothing to see"), "nothing to see");
    }
}
