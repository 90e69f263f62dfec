//! Addresses of `http` and `https`: resolved relative to one another, extended by a query, and shown without secrets.
//!
//! Implemented here because servers send addresses that a strict parser of RFC 3986 refuses (`?page[size]=5`), and
//! because a lenient one (WHATWG) brings Unicode tables that are larger than a driver.

use std::fmt::{self, Write as _};

use crate::{Error, Result};

/// An absolute address without user, password and fragment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Url {
    tls: bool,
    /// Host and port in lower case, without the scheme's default port.
    authority: String,
    /// Starts with `/`.
    path: String,
    query: Option<String>,
}

impl Url {
    /// Parses an absolute address; characters that are not allowed in one are percent-encoded.
    ///
    /// # Errors
    /// `config` for an invalid address.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| Error::config(format!("`{}` is not an address: {why}", bare(text)));
        let (scheme, rest) =
            text.trim().split_once("://").ok_or_else(|| wrong("it does not begin with `https://` or `http://`"))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(wrong("only `https` and `http` are spoken")),
        };
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(wrong("it names a user; give user and password as `auth`"));
        }
        let host_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '[' | ']');
        if authority.is_empty() || authority.starts_with(':') || !authority.chars().all(host_letter) {
            return Err(wrong("it names no host"));
        }
        let authority = authority.to_ascii_lowercase();
        let own_port = if tls { ":443" } else { ":80" };
        let authority = authority.strip_suffix(own_port).unwrap_or(&authority).to_owned();
        let (path, query) = path_and_query(rest);
        Ok(Self { tls, authority, path: without_dots(&encoded(path)), query: query.map(encoded) })
    }

    /// Resolves `reference`, absolute or relative, in a document at this address (RFC 3986, 5.2).
    ///
    /// # Errors
    /// `config` for an address with another scheme or without a host.
    pub fn join(&self, reference: &str) -> Result<Self> {
        let reference = reference.trim();
        let scheme = reference.split(['/', '?', '#']).next().unwrap_or_default();
        if scheme.contains(':') {
            return Self::parse(reference);
        }
        if reference.starts_with("//") {
            return Self::parse(&format!("{}:{reference}", self.scheme()));
        }
        let (path, query) = path_and_query(reference);
        let query = query.map(encoded);
        let joined = if path.is_empty() {
            let query = if query.is_some() { query } else { self.query.clone() };
            return Ok(Self { query, ..self.clone() });
        } else if path.starts_with('/') {
            encoded(path)
        } else {
            let folder = self.path.rfind('/').map_or("/", |slash| &self.path[..=slash]);
            format!("{folder}{}", encoded(path))
        };
        Ok(Self { path: without_dots(&joined), query, ..self.clone() })
    }

    /// The address `reference` below this one, as with a base address: `https://x/v1` and `/users` make
    /// `https://x/v1/users`. An absolute reference is unchanged.
    ///
    /// # Errors
    /// As for [`join`](Self::join).
    pub fn below(&self, reference: &str) -> Result<Self> {
        if reference.contains("://") {
            return Self::parse(reference);
        }
        let base = Self { path: format!("{}/", self.path.trim_end_matches('/')), ..self.clone() };
        match reference.trim_start_matches('/') {
            "" => Ok(self.clone()),
            rest => base.join(&format!("./{rest}")),
        }
    }

    /// Sets query parameters: those with the same names are replaced, the others are kept.
    #[must_use]
    pub fn with_query<N: AsRef<str>, V: AsRef<str>>(&self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let pairs: Vec<(String, String)> =
            pairs.into_iter().map(|(name, value)| (component(name.as_ref()), component(value.as_ref()))).collect();
        if pairs.is_empty() {
            return self.clone();
        }
        let replaced =
            |pair: &str| pairs.iter().any(|(name, _)| same_name(pair.split('=').next().unwrap_or_default(), name));
        let kept =
            self.query.iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty() && !replaced(pair));
        let mut query: Vec<String> = kept.map(str::to_owned).collect();
        query.extend(pairs.iter().map(|(name, value)| format!("{name}={value}")));
        Self { query: Some(query.join("&")), ..self.clone() }
    }

    pub fn is_tls(&self) -> bool {
        self.tls
    }

    pub fn authority(&self) -> &str {
        &self.authority
    }

    pub fn path_with_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// Whether both have the same scheme, host and port.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.tls == other.tls && self.authority == other.authority
    }

    /// The same address with `https`.
    #[must_use]
    pub fn secured(&self) -> Self {
        Self { tls: true, ..self.clone() }
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The address for messages: a parameter with the name of a secret is shown without its value.
    pub fn shown(&self) -> String {
        self.shown_without(&[])
    }

    /// Like [`shown`](Self::shown), but also without the values of the parameters in `hidden`.
    pub(super) fn shown_without(&self, hidden: &[String]) -> String {
        let mut shown = format!("{}://{}{}", self.scheme(), self.authority, self.path);
        for (place, pair) in self.query.iter().flat_map(|query| query.split('&')).enumerate() {
            shown.push(if place == 0 { '?' } else { '&' });
            match pair.split_once('=') {
                Some((name, _))
                    if is_secret_name(name) || hidden.iter().any(|hidden| same_name(name, &component(hidden))) =>
                {
                    shown.push_str(&format!("{name}=***"))
                }
                _ => shown.push_str(pair),
            }
        }
        shown
    }
}

/// With everything, including secrets: for requests and comparisons, not for messages.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority, self.path_with_query())
    }
}

/// Whether a header or parameter with that name contains a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["key", "token", "secret", "passw", "auth", "sig", "credential", "cookie", "session"]
        .iter()
        .any(|word| name.contains(word))
}

/// The text without its query, which may contain secrets.
fn bare(text: &str) -> &str {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    text.rsplit_once('@').map_or(text, |(_, rest)| rest)
}

fn path_and_query(text: &str) -> (&str, Option<&str>) {
    let text = text.split('#').next().unwrap_or_default();
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}

/// Percent-encodes characters that are not allowed in an address, but nothing that is already encoded.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let allowed = byte.is_ascii_alphanumeric() || b"-._~:/?@!$&'()*+,;=%".contains(&byte);
        push_byte(&mut out, byte, allowed);
    }
    out
}

/// A name or value, encoded for a query.
pub(super) fn component(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        push_byte(&mut out, byte, byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    }
    out
}

fn push_byte(out: &mut String, byte: u8, allowed: bool) {
    if allowed {
        out.push(byte as char);
    } else {
        let _ = write!(out, "%{byte:02X}");
    }
}

/// Whether a name in an address is the encoded `name`.
fn same_name(spelt: &str, name: &str) -> bool {
    spelt == name || component(&decoded(spelt)) == name
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).filter(|hex| byte == b'%' && hex.bytes().all(|c| c.is_ascii_hexdigit()));
        if let Some(value) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            out.push(value);
            at += 3;
        } else {
            out.push(if byte == b'+' { b' ' } else { byte });
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The path without `.` and `..` (RFC 3986, 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.trim_start_matches('/').split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." if last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn references_are_resolved_as_in_the_standard() {
        let base = Url::parse("http://a/b/c/d?q").unwrap();
        for (reference, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d?q"),
            ("", "http://a/b/c/d?q"),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../../../g", "http://a/g"),
            ("https://h:443/x", "https://h/x"),
            ("/t?at=10:30:00", "http://a/t?at=10:30:00"),
        ] {
            assert_eq!(base.join(reference).unwrap().to_string(), expected, "{reference}");
        }
        for reference in ["mailto:x@y", "file:///etc/passwd", "http://", "http://u:p@h/"] {
            assert!(base.join(reference).is_err(), "{reference}");
        }
    }

    #[test]
    fn a_base_address_keeps_its_path() {
        for (base, reference, expected) in [
            ("https://x/v1", "users", "https://x/v1/users"),
            ("https://x/v1/", "/users?a=1", "https://x/v1/users?a=1"),
            ("https://x", "/users", "https://x/users"),
            ("https://x/v1", "", "https://x/v1"),
            ("https://x/v1", "https://y/z", "https://y/z"),
            ("https://x/v1", "a:b", "https://x/v1/a:b"),
        ] {
            assert_eq!(Url::parse(base).unwrap().below(reference).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn parameters_are_encoded_and_replaced() {
        let url = Url::parse("https://x/?page[size]=5&page=1&q=a b").unwrap();
        assert_eq!(url.path_with_query(), "/?page%5Bsize%5D=5&page=1&q=a%20b");
        let next = url.with_query([("page", "2"), ("page[size]", "é&=")]);
        assert_eq!(next.path_with_query(), "/?q=a%20b&page=2&page%5Bsize%5D=%C3%A9%26%3D");
        assert_eq!(url.with_query::<&str, &str>([]), url);
    }

    #[test]
    fn secrets_are_not_shown() {
        let url = Url::parse("https://x/a?page=2&api_key=s3cret&access_token=t").unwrap();
        assert_eq!(url.shown(), "https://x/a?page=2&api_key=***&access_token=***");
        let wrong = Url::parse("https://user:s3cret@x/?token=s3cret").unwrap_err();
        assert!(!wrong.message.contains("s3cret"), "{}", wrong.message);
    }
}
