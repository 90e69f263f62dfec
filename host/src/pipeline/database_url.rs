//! A database's address as a single text, in the form of `DATABASE_URL`:
//! `postgres://user:password@host:5432/database?sslmode=require`. No I/O.

use serde_json::{Map, Value};

/// Schemes of database URLs.
const SCHEMES: [&str; 4] = ["postgres", "postgresql", "mysql", "mariadb"];

/// Parameters that may follow a `?`; each becomes a field.
const PARAMETERS: [&str; 3] = ["sslmode", "ssl_mode", "connect_timeout"];

/// The field of a connection that contains a database URL.
pub const FIELD: &str = "url";

/// The fields that a database URL contains; `None` if it is not one.
///
/// # Errors
/// Says what is wrong without quoting the URL, because it contains a password.
pub fn fields(url: &str) -> Option<Result<Map<String, Value>, String>> {
    let (scheme, rest) = url.split_once("://")?;
    SCHEMES.contains(&scheme.to_lowercase().as_str()).then(|| parse(rest))
}

fn parse(rest: &str) -> Result<Map<String, Value>, String> {
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (authority, database) = rest.split_once('/').map_or((rest, ""), |(authority, database)| (authority, database));
    // A password may contain an unescaped `@`.
    let (login, place) = authority.rsplit_once('@').map_or((None, authority), |(login, place)| (Some(login), place));
    let mut fields = Map::new();
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (place, None),
    };
    if host.is_empty() || host.contains(',') {
        return Err("it does not name one host".to_owned());
    }
    fields.insert("host".to_owned(), decoded(host)?.trim_matches(['[', ']']).into());
    if let Some(port) = port.filter(|port| !port.is_empty()) {
        let port: u16 = port.parse().map_err(|_| "its port is not a number from 1 to 65535".to_owned())?;
        fields.insert("port".to_owned(), port.into());
    }
    if let Some(login) = login {
        let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
        fields.insert("user".to_owned(), decoded(user)?.into());
        if let Some(password) = password {
            fields.insert("password".to_owned(), decoded(password)?.into());
        }
    }
    if database.contains('/') {
        return Err("it names more than one database".to_owned());
    }
    if !database.is_empty() {
        fields.insert("database".to_owned(), decoded(database)?.into());
    }
    for parameter in query.into_iter().flat_map(|query| query.split('&')).filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = decoded(name)?.replace('-', "_");
        if !PARAMETERS.contains(&name.as_str()) {
            return Err(format!(
                "it may be followed by {}, each as a field instead, and by nothing else",
                PARAMETERS.join(", ")
            ));
        }
        let value = decoded(value)?;
        fields.insert(name, value.parse::<u32>().map_or_else(|_| Value::from(value.clone()), Value::from));
    }
    Ok(fields)
}

/// A part of a URL with its escapes decoded (RFC 3986).
fn decoded(part: &str) -> Result<String, String> {
    let wrong = || "it has a `%` that begins no escape; write `%25` for the character itself".to_owned();
    let (mut bytes, mut rest) = (Vec::with_capacity(part.len()), part.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let digits = rest.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit)).ok_or_else(wrong)?;
            let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
            rest = &rest[2..];
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_database_url_becomes_fields() {
        for (url, expected) in [
            ("postgres://h", json!({"host": "h"})),
            (
                "postgresql://u:p@h:5433/d?sslmode=verify-full&connect_timeout=5",
                json!({"host": "h", "port": 5433, "user": "u", "password": "p", "database": "d", "sslmode": "verify-full", "connect_timeout": 5}),
            ),
            (
                "mysql://u%40x:p%2Fw%3A%25@h/d%20b",
                json!({"host": "h", "user": "u@x", "password": "p/w:%", "database": "d b"}),
            ),
            (
                "MariaDB://u:p@ss@[::1]:1/d?ssl-mode=required",
                json!({"host": "::1", "port": 1, "user": "u", "password": "p@ss", "database": "d", "ssl_mode": "required"}),
            ),
            ("postgres://u@h:/", json!({"host": "h", "user": "u"})),
        ] {
            assert_eq!(Value::Object(fields(url).unwrap().unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn other_urls_are_left_alone_and_wrong_ones_are_refused_without_their_password() {
        for url in ["https://u:p@h/v1", "postgres", "sqlite://x", ""] {
            assert!(fields(url).is_none(), "{url}");
        }
        for url in [
            "postgres://u:canary@",
            "postgres://u:canary@a,b/d",
            "postgres://u:canary@h:port/d",
            "postgres://u:canary@h:0x50/d",
            "postgres://u:canary@h/d?sslcert=canary",
            "mysql://u:canary%zz@h/d",
            "mysql://u:canary%ff@h/d",
            "mysql://u:canary@h/a/b",
        ] {
            let why = fields(url).unwrap().unwrap_err();
            assert!(!why.contains("canary"), "{url}: {why}");
        }
    }
}
