//! The header `Content-Range`: which rows a response contains, and how many there are in total.

use osiris_sdk::http::Answer;
use osiris_sdk::{Error, Result};

/// Rows `first` to `last` of `total`; an empty response has neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    pub rows: Option<(u64, u64)>,
    /// `None` if it was not requested.
    pub total: Option<u64>,
}

/// Parses a response's header.
///
/// # Errors
/// `data` if it is missing or malformed.
pub fn content_range(answer: &Answer) -> Result<ContentRange> {
    let header = answer.header("content-range");
    header.and_then(parse).ok_or_else(|| {
        let told = header.map_or_else(|| "no".to_owned(), |header| format!("the malformed `{header}` as"));
        Error::data(format!("`{}` answered with {told} `Content-Range`; is it PostgREST?", answer.asked()))
    })
}

fn parse(header: &str) -> Option<ContentRange> {
    let (rows, total) = header.trim().split_once('/')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    if rows == "*" {
        return Some(ContentRange { rows: None, total });
    }
    let (first, last) = rows.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some(ContentRange { rows: Some((first, last)), total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_parsed_and_invalid_ones_refused() {
        assert_eq!(parse("0-9/100"), Some(ContentRange { rows: Some((0, 9)), total: Some(100) }));
        assert_eq!(parse("5-5/*"), Some(ContentRange { rows: Some((5, 5)), total: None }));
        assert_eq!(parse("*/0"), Some(ContentRange { rows: None, total: Some(0) }));
        for nonsense in ["", "0-9", "9-0/3", "a-b/3", "0-1/x", "-1-2/3"] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }
}
