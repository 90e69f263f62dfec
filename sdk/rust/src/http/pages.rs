//! Help for reading page after page: the `Link` header, and a guard against a server that goes in circles.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::{Error, Result};

/// The address that a `Link` header (RFC 8288) gives for `relation`, such as `next`.
pub fn link<'a>(header: &'a str, relation: &str) -> Option<&'a str> {
    let mut rest = header;
    while let Some(start) = rest.find('<') {
        let end = rest[start..].find('>')? + start;
        let target = &rest[start + 1..end];
        let parameters = &rest[end + 1..];
        let length = unquoted_comma(parameters);
        let is_relation = parameters[..length].split(';').any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
            name.trim().eq_ignore_ascii_case("rel") && relations.any(|one| one.eq_ignore_ascii_case(relation))
        });
        if is_relation {
            return Some(target);
        }
        rest = &parameters[length..];
    }
    None
}

/// Where the first comma outside quotes stands, or the end.
fn unquoted_comma(text: &str) -> usize {
    let mut quoted = false;
    for (place, letter) in text.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => return place,
            _ => {}
        }
    }
    text.len()
}

/// Counts pages, and notices a server that gives one twice.
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

    /// Lets a page be equal to the one before: for sources whose records may be.
    #[must_use]
    pub fn may_repeat(mut self, may_repeat: bool) -> Self {
        self.may_repeat = may_repeat;
        self
    }

    /// How many pages there were.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Whether that was asked for before, or [noted](Self::note).
    pub fn was_asked(&self, asked: &str) -> bool {
        self.asked.contains(&hash(asked.as_bytes()))
    }

    /// Another name of a page that was asked for.
    pub fn note(&mut self, asked: &str) {
        self.asked.insert(hash(asked.as_bytes()));
    }

    /// Call before a page is asked for, with all that tells it from the others (its address, its cursor).
    ///
    /// # Errors
    /// `data`, when the same was asked for before; `config`, beyond `max_pages`.
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

    /// Whether that is the content of the page before.
    pub fn is_last(&self, content: &[u8]) -> bool {
        self.last == Some(hash(content))
    }

    /// Call with the content of each page that has records.
    ///
    /// # Errors
    /// `data`, when it is that of the page before: the server ignores what page it is asked for.
    pub fn got(&mut self, content: &[u8]) -> Result<()> {
        let content = hash(content);
        if self.last.replace(content) == Some(content) && !self.may_repeat {
            return Err(Error::data(format!(
                "the server gave the same page twice, as page {} and page {}: it does not heed how pages are asked for",
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
            (r#"<https://x/; rel="next""#, None),
            ("", None),
        ] {
            assert_eq!(link(header, "next"), expected, "{header}");
        }
    }

    #[test]
    fn circles_and_endless_pages_are_noticed() {
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
