//! The file of a recording: JSON that people can read, review and edit.

use serde::{Deserialize, Serialize};

use super::{Exchange, MAX_COUNT};
use crate::error::Report;
use crate::exact_json::{self, Layout};

/// The version of the format.
const VERSION: u32 = 1;

/// The largest file that is read, in bytes.
pub const MAX_FILE: u64 = 32 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    osiris_recording: u32,
    exchanges: Vec<Exchange>,
}

/// Parses a recording; `file` names it in errors.
///
/// # Errors
/// A [`Report`] with the line.
pub fn parse(text: &str, file: &str) -> Result<Vec<Exchange>, Report> {
    let wrong = |what: String| {
        Report::input(format!("cannot read recording `{file}`: {what}"))
            .hint("correct it, or record it again with `osiris drivers test DRIVER --record`")
    };
    let read: File = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    if read.osiris_recording != VERSION {
        return Err(wrong(format!("it has version {}; known: {VERSION}", read.osiris_recording)));
    }
    check(&read.exchanges).map_err(wrong)?;
    Ok(read.exchanges)
}

/// Checks what types do not.
///
/// # Errors
/// Says which exchange is wrong.
pub fn check(exchanges: &[Exchange]) -> Result<(), String> {
    if exchanges.len() > MAX_COUNT {
        return Err(format!("it has {} exchanges; at most {MAX_COUNT} are replayed", exchanges.len()));
    }
    for (place, Exchange { request, response }) in exchanges.iter().enumerate() {
        let wrong = |what: &str| Err(format!("exchange {}: {what}", place + 1));
        if !request.url.starts_with("http://") && !request.url.starts_with("https://") {
            return wrong("`url` is not an absolute address, such as `https://api.example.com/items`");
        }
        if http::Method::from_bytes(request.method.as_bytes()).is_err() {
            return wrong("`method` is not a method of HTTP");
        }
        if !(200..=599).contains(&response.status) {
            return wrong("`status` is not between 200 and 599");
        }
        for (name, value) in &response.headers {
            if http::HeaderName::from_bytes(name.as_bytes()).is_err() || http::HeaderValue::from_str(value).is_err() {
                return wrong(&format!("`{name}` is not a header of HTTP"));
            }
        }
        if [&request.body, &response.body].into_iter().flatten().any(|body| body.bytes().is_err()) {
            return wrong("a body has malformed base64");
        }
    }
    Ok(())
}

/// The text of a recording.
///
/// # Errors
/// If JSON cannot hold it.
pub fn write(exchanges: &[Exchange]) -> serde_json::Result<String> {
    let file = File { osiris_recording: VERSION, exchanges: exchanges.to_vec() };
    let compact = serde_json::to_string(&file)?;
    Ok(exact_json::rewrite(&compact, Layout::Lines, &mut |_, _| None)? + "\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TEXT: &str = r#"{
  "osiris_recording": 1,
  "exchanges": [
    {
      "request": {
        "method": "GET",
        "url": "https://a.b/x"
      },
      "response": {
        "status": 200,
        "headers": {
          "content-type": "application/json"
        },
        "body": {
          "json": {
            "n": 12345678901234567890.10
          }
        }
      }
    }
  ]
}
"#;

    #[test]
    fn a_recording_is_text_that_people_read_and_no_digit_is_lost() {
        assert_eq!(write(&parse(TEXT, "r.json").unwrap()).unwrap(), TEXT);
    }

    #[test]
    fn a_malformed_recording_is_refused_by_place() {
        for (from, to, expected) in [
            (
                "\"method\"",
                "\"metod\"",
                "unknown field `metod`, expected one of `method`, `url`, `headers`, `body` at line 6",
            ),
            ("recording\": 1", "recording\": 2", "it has version 2; known: 1"),
            ("https://a.b/x", "/x", "exchange 1: `url` is not an absolute address"),
            ("GET", "G T", "exchange 1: `method` is not"),
            ("200", "99", "exchange 1: `status` is not between"),
            ("application/json", "a\\nb", "exchange 1: `content-type` is not a header"),
            (
                "\"json\": {\n            \"n\": 12345678901234567890.10\n          }",
                "\"base64\": \"%\"",
                "malformed base64",
            ),
            ("\"json\"", "\"yaml\"", "unknown variant `yaml`, expected one of `json`, `text`, `base64`"),
            ("}\n  ]", "", "EOF"),
        ] {
            let report = parse(&TEXT.replace(from, to), "r.json").unwrap_err();
            assert!(report.message.contains(expected) && report.message.contains("r.json"), "{}", report.message);
        }
    }
}
