//! Helpers for paging: the `Link` header, and a guard against a server that goes in circles.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::{Error, Result};

/// The address that a `Link` header (RFC 8288) gives for `relation`, such as `next`. A link with an `anchor` is about
/// another document, so it is skipped.
pub fn link<'a>(header: &'a str, relation: &str) -> Option<&'a str> {
    let mut rest = header;
    while let Some(start) = rest.find('<') {
        let end = rest[start..].find('>')? + start;
        let (target, behind) = (rest[start + 1..end].trim(), &rest[end + 1..]);
        let length = unquoted(behind, ',');
        let (mut relations, mut is_anchored) = (None, false);
        let mut parameters = &behind[..length];
        while !parameters.is_empty() {
            let (parameter, others) = parameters.split_at(unquoted(parameters, ';'));
            parameters = others.strip_prefix(';').unwrap_or_default();
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let name = name.trim();
            is_anchored |= name.eq_ignore_ascii_case("anchor");
            if name.eq_ignore_ascii_case("rel") {
                // The first one counts (RFC 8288, 3.3).
                relations.get_or_insert_with(|| value.trim().trim_matches(['"', '\'']));
            }
        }
        let mut relations = relations.unwrap_or_default().split_ascii_whitespace();
        if !is_anchored && relations.any(|one| one.eq_ignore_ascii_case(relation)) {
            return Some(target);
        }
        rest = &behind[length..];
    }
    None
}

/// The position of the first `letter` outside quotes, or the end.
fn unquoted(text: &str, letter: char) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (place, found) in text.char_indices() {
        match found {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            found if found == letter && !quoted => return place,
            _ => {}
        }
    }
    text.len()
}

/// Counts pages, and detects a server that returns a page twice.
#[derive(Debug)]
pub struct PageGuard {
    max_pages: u64,
    pages: u64,
    asked: HashSet<u64>,
    last: Option<u64>,
    may_repeat: bool,
}

impl PageGuard {
    pub fn new(max_pages: u64) -> Self {
        Self { max_pages, pages: 0, asked: HashSet::new(), last: None, may_repeat: false }
    }

    /// Allows a page to equal the previous one: for sources whose records may be equal.
    #[must_use]
    pub fn may_repeat(mut self, may_repeat: bool) -> Self {
        self.may_repeat = may_repeat;
        self
    }

    /// Whether a page may equal the previous one.
    pub fn repeats(&self) -> bool {
        self.may_repeat
    }

    /// How many pages there were.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Whether that page was already requested or [noted](Self::note).
    pub fn was_asked(&self, asked: &str) -> bool {
        self.asked.contains(&hash(asked.as_bytes()))
    }

    /// Records another name of a page that was requested.
    pub fn note(&mut self, asked: &str) {
        self.asked.insert(hash(asked.as_bytes()));
    }

    /// Call this before a page is requested, with everything that distinguishes it from the others (its address, its
    /// cursor).
    ///
    /// # Errors
    /// `data` if the same page was requested before; `config` beyond `max_pages`.
    pub fn ask(&mut self, asked: &str) -> Result<()> {
        if self.pages == self.max_pages {
            return Err(Error::config(format!(
                "there are more than {} pages; raise `max_pages` to read them all",
                self.max_pages
            )));
        }
        if !self.asked.insert(hash(asked.as_bytes())) {
            return Err(Error::data(format!(
                "the server goes in circles: after page {} it names a page that was read already",
                self.pages
            )));
        }
        self.pages += 1;
        Ok(())
    }

    /// Whether that is the content of the previous page.
    pub fn is_last(&self, content: &[u8]) -> bool {
        self.last == Some(hash(content))
    }

    /// Call this with the content of each page that has records.
    ///
    /// # Errors
    /// `data` if it equals that of the previous page, because the server ignores which page is requested.
    pub fn got(&mut self, content: &[u8]) -> Result<()> {
        let content = hash(content);
        if self.last.replace(content) == Some(content) && !self.may_repeat {
            return Err(Error::data(format!(
                "the server gave the same page twice, as page {} and page {}: it ignores which page is requested",
                self.pages - 1,
                self.pages
            )));
        }
        Ok(())
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_next_link_is_found() {
        for (header, expected) in [
            (r#"<https://x/?page=2>; rel="next", <https://x/?page=9>; rel="last""#, Some("https://x/?page=2")),
            (r#"<https://x/?page=1>; rel="prev", </b?c=1,2>; title="a, b"; rel=next"#, Some("/b?c=1,2")),
            (r#"<https://x/>; REL="prev next""#, Some("https://x/")),
            (r#"<https://x/>; rel="last""#, None),
            (r#"<https://x/?page=9>; title="a; rel=next"; rel=last, </2>; rel = "next""#, Some("/2")),
            (r#"</9>; title="\"; rel=next, "; rel=last , < /2 >;rel='Next'"#, Some("/2")),
            (r#"</9>; rel="last"; rel="next", </7>; rel="next"; anchor="/other""#, None),
            (r#"</2>; crossorigin; rel=next"#, Some("/2")),
            (r#"<https://x/; rel="next""#, None),
            ("", None),
        ] {
            assert_eq!(link(header, "next"), expected, "{header}");
        }
    }

    #[test]
    fn circles_and_endless_pages_are_detected() {
        let mut guard = PageGuard::new(3);
        guard.ask("a").unwrap();
        guard.got(b"1").unwrap();
        assert!(guard.ask("a").unwrap_err().message.contains("circles"));
        guard.ask("b").unwrap();
        assert!(guard.got(b"1").unwrap_err().message.contains("the same page twice, as page 1 and page 2"));
        guard.ask("c").unwrap();
        assert!(guard.ask("d").unwrap_err().message.contains("more than 3 pages"));
        let mut patient = PageGuard::new(3).may_repeat(true);
        patient.ask("a").unwrap();
        patient.got(b"1").unwrap();
        patient.ask("b").unwrap();
        patient.got(b"1").unwrap();
    }
}
