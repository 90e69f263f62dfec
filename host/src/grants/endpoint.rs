//! Addresses that a grant names: a host and port, or an HTTP scope. No I/O.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A host by name or IP literal, in lower case, and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

impl Endpoint {
    /// Parses `host:port` or `[v6]:port`.
    ///
    /// # Errors
    /// Says which form is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no `host:port`");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        Ok(Self { host: host_name(host).ok_or_else(wrong)?, port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A host in lower case without brackets and a final dot; `None` if it is not a valid host.
pub fn host_name(text: &str) -> Option<String> {
    if let Some(literal) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return literal.parse::<std::net::Ipv6Addr>().ok().map(|address| address.to_string());
    }
    // Not the lower case of Unicode, which turns other letters into ASCII.
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let label = |label: &str| (1..=MAX_LABEL).contains(&label.len()) && label.chars().all(letter);
    (name.len() <= 253 && name.split('.').all(label)).then_some(name)
}

/// The longest label of a host name, in bytes (RFC 1035).
const MAX_LABEL: usize = 63;

/// Whether `text` is one label of a host name: letters, digits, and hyphens between them.
pub fn is_label(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (1..=MAX_LABEL).contains(&text.len()) && text.chars().all(letter) && !text.starts_with('-') && !text.ends_with('-')
}

/// The methods that a scope may name: those of HTTP (RFC 9110, RFC 5789) and WebDAV, without the two that make a server
/// repeat a request or open a tunnel.
const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "QUERY",
    "SEARCH",
    "REPORT",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
];

/// The methods in `GET,POST`, in upper case; an error names the one that is unknown.
pub fn methods(text: &str) -> Result<Vec<String>, String> {
    let methods: Vec<String> = text.split(',').map(str::to_ascii_uppercase).collect();
    match methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
        Some(unknown) => Err(format!("`{unknown}` is not a method; known: {}", METHODS.join(", "))),
        None => Ok(methods),
    }
}

/// The methods and the address prefix of permitted HTTP requests: `GET,POST https://host:port/path`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpScope {
    pub methods: Vec<String>,
    pub tls: bool,
    pub endpoint: Endpoint,
    /// Starts with `/`; matches itself and everything below it.
    pub path: String,
}

impl HttpScope {
    /// Parses a scope.
    ///
    /// # Errors
    /// Says which form is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no `METHOD[,METHOD] http[s]://host[:port]/path`");
        let (methods, address) = text.split_once(' ').ok_or_else(wrong)?;
        let methods = self::methods(methods)?;
        let (scheme, rest) = address.split_once("://").ok_or_else(wrong)?;
        let tls = match scheme.to_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(wrong()),
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
        let bare = authority.rsplit_once(':').is_none_or(|(_, port)| port.ends_with(']'));
        let port = if tls { 443 } else { 80 };
        let authority = if bare { format!("{authority}:{port}") } else { authority.to_owned() };
        if authority.contains('@') || !is_plain(path) {
            return Err(wrong());
        }
        Ok(Self { methods, tls, endpoint: Endpoint::parse(&authority).map_err(|_| wrong())?, path: path.to_owned() })
    }

    /// Whether everything that `other` allows is allowed by this one.
    pub fn covers(&self, other: &Self) -> bool {
        self.tls == other.tls
            && self.endpoint == other.endpoint
            && other.methods.iter().all(|method| self.methods.contains(method))
            && is_below(&self.path, &other.path)
    }

    /// Whether one request may be made. `path` is as the request spells it, without its query. A path that a server
    /// could take for another one (dot segments, encoded slashes) is refused.
    pub fn allows(&self, method: &str, tls: bool, endpoint: &Endpoint, path: &str) -> bool {
        self.tls == tls
            && self.endpoint == *endpoint
            && self.methods.iter().any(|allowed| allowed == method)
            && is_plain(path)
            && decoded(&self.path).zip(decoded(path)).is_some_and(|(scope, path)| is_below(&scope, &path))
    }
}

impl fmt::Display for HttpScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{} {scheme}://{}{}", self.methods.join(","), self.endpoint, self.path)
    }
}

/// Whether no server can read the path as a different one, however it decodes, trims or folds it.
///
/// A segment is refused if a server could take it for `.` or `..`: with a parameter after it (`..;x`), with white space
/// or marks around it, or with more dots. Also refused is anything that decodes to a slash, a percent sign, a control
/// character or a look-alike of one of those, that is not UTF-8, or that is a malformed escape (`%u002e`).
pub fn is_plain(path: &str) -> bool {
    let Some(decoded) = decoded(path) else { return false };
    let suspicious = |c: char| c.is_control() || c == '\\' || c == '%' || LOOK_ALIKES.contains(&c);
    if !path.is_ascii() || decoded.chars().any(suspicious) || decoded.matches('/').count() != path.matches('/').count()
    {
        return false;
    }
    decoded.split('/').all(|part| {
        let name = part.split(';').next().unwrap_or_default();
        let shown = || name.chars().filter(|c| !c.is_whitespace() && !INVISIBLE.contains(c));
        shown().next().is_none_or(|first| first != '.') || shown().any(|c| c != '.')
    })
}

/// Characters that some servers fold to a dot, a slash, a backslash or a percent sign (Unicode's compatibility forms).
const LOOK_ALIKES: &[char] = &[
    '\u{2024}', '\u{2025}', '\u{2026}', '\u{2044}', '\u{2215}', '\u{2216}', '\u{29f5}', '\u{29f8}', '\u{29f9}',
    '\u{3002}', '\u{fe19}', '\u{fe30}', '\u{fe52}', '\u{fe68}', '\u{fe6a}', '\u{ff05}', '\u{ff0e}', '\u{ff0f}',
    '\u{ff3c}', '\u{ff61}',
];

/// Characters without a visible form, which some servers drop.
const INVISIBLE: &[char] =
    &['\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{2060}', '\u{feff}'];

/// Text in which everything but RFC 3986's unreserved characters is percent-encoded.
pub fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// A path with its escapes decoded once; `None` if one is malformed, or the result is not UTF-8.
pub fn decoded(path: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(path.len()), path.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok().filter(|digits| !digits.starts_with('+'))?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whether `path` is `prefix` or is below it: `/v1` covers `/v1` and `/v1/x`, but not `/v10`.
fn is_below(prefix: &str, path: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn endpoints_are_parsed_and_invalid_ones_refused() {
        for (text, shown) in [
            ("DB.example.com:5432", "db.example.com:5432"),
            ("db.:1", "db:1"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("[0:0::1]:80", "[::1]:80"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), shown);
        }
        for text in
            ["", "db", "db:", "db:0", "db:70000", ":80", "a b:80", "a@b:80", "[x]:80", "a..b:80", "::1:80", "*:80"]
        {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_scope_covers_itself_and_everything_below_it() {
        let scope = HttpScope::parse("GET,POST https://api.example.com/v1").unwrap();
        for (text, covered) in [
            ("GET https://api.example.com/v1", true),
            ("POST https://API.example.com:443/v1/users?x=1", true),
            ("GET https://api.example.com/v10", false),
            ("GET https://api.example.com/", false),
            ("DELETE https://api.example.com/v1", false),
            ("GET http://api.example.com:443/v1", false),
            ("GET https://api.example.com:8443/v1", false),
            ("GET https://api.example.com.evil.com/v1", false),
        ] {
            assert_eq!(scope.covers(&HttpScope::parse(text).unwrap()), covered, "{text}");
        }
        for text in [
            "https://x/",
            "GET x",
            "GET ftp://x/",
            "GET https://a@b/",
            "GET https://x/../y",
            "GET https://x/%2e%2e/y",
            " https://x/",
        ] {
            assert!(HttpScope::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_that_might_leave_its_scope_is_refused_however_it_is_spelt() {
        let scope = HttpScope::parse("GET,POST https://api.example.com/v1").unwrap();
        let endpoint = Endpoint::parse("api.example.com:443").unwrap();
        for (method, tls, path, allowed) in [
            ("GET", true, "/v1", true),
            ("GET", true, "/v1/a%20b", true),
            ("GET", false, "/v1", false),
            ("PUT", true, "/v1", false),
            ("get", true, "/v1", false),
            ("GET", true, "/v1/../admin", false),
            ("GET", true, "/v1/%2E%2e/admin", false),
            ("GET", true, "/v1/..;/admin", false),
            ("GET", true, "/v1/..%2fadmin", false),
            ("GET", true, "/v1/%252e%252e/admin", false),
            ("GET", true, "/v1\\..\\admin", false),
            ("GET", true, "/v1/%c0%ae%c0%ae/admin", false),
            ("GET", true, "/v1/%u002e%u002e/admin", false),
            ("GET", true, "/v1/..%3b/admin", false),
            ("GET", true, "/v1/..%20/admin", false),
            ("GET", true, "/v1/%20../admin", false),
            ("GET", true, "/v1/%2e%2e%09/admin", false),
            ("GET", true, "/v1/%ef%bc%8e%ef%bc%8e/admin", false),
            ("GET", true, "/v1/..%e2%88%95admin", false),
            ("GET", true, "/v1/\u{2215}admin", false),
            ("GET", true, "/v1/.%e2%80%8b./admin", false),
            ("GET", true, "/v1/%c2%a0../admin", false),
            ("GET", true, "/v1/.../admin", false),
            ("GET", true, "/v1/%e2%80%a5/admin", false),
            ("GET", true, "/v1/%0d%0aadmin", false),
            ("GET", true, "/v1/%", false),
            ("GET", true, "/v1/%2", false),
            ("GET", true, "/v1/%+2", false),
            ("GET", true, "/v1/%7f", false),
            ("GET", true, "/v1/%c2%85", false),
            ("GET", true, "/v1/%efbc%8f", false),
            ("GET", true, "/v1/%ef%bc%85e", false),
            ("GET", true, "/v1/caf%C3%A9;v=1/%E6%97%A5", true),
            ("GET", true, "/v1/.well-known/a.b/..c/d..", true),
            ("GET", true, "/v1//x/", true),
            ("GET", true, "/v1/a+b@c:d,e=f&g'(h)*!~$", true),
            ("GET", true, "/v10", false),
            ("GET", true, "", false),
        ] {
            assert_eq!(scope.allows(method, tls, &endpoint, path), allowed, "{method} {tls} {path}");
        }
    }
}
