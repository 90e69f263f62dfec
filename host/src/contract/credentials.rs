//! Adds the credentials of a grant to a request that was admitted, when it leaves.

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{Request, Uri};
use wasmtime_wasi_http::Error;

use crate::grants::credentials::{Credential, Place};
use crate::grants::endpoint::{self, Endpoint, HttpScope};

/// Adds to a request for `endpoint` the credentials of its scopes. What the driver put in their places is removed.
pub fn add<B>(
    credentials: &[Credential],
    request: &mut Request<B>,
    encrypted: bool,
    endpoint: &Endpoint,
) -> Result<(), Error> {
    let (method, path) = (request.method().as_str().to_owned(), request.uri().path().to_owned());
    let covers = |scope: &HttpScope| scope.allows(&method, encrypted, endpoint, &path);
    for credential in credentials.iter().filter(|credential| credential.scopes.iter().any(covers)) {
        let value = credential.value.reveal();
        let name = match &credential.place {
            Place::Query(name) => {
                *request.uri_mut() = with_parameter(request.uri(), name, value).ok_or(Error::HttpRequestUriInvalid)?;
                continue;
            }
            Place::Header(name) => HeaderName::from_bytes(name.as_bytes()).map_err(|_| Error::HttpRequestDenied)?,
            Place::Basic => AUTHORIZATION,
        };
        let mut value = HeaderValue::from_str(value).map_err(|_| Error::HttpRequestDenied)?;
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    Ok(())
}

/// The address with one parameter of that name, in place of any that it has.
fn with_parameter(uri: &Uri, name: &str, value: &str) -> Option<Uri> {
    let mut query = Vec::new();
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        // A name that cannot be decoded might be this one to the server.
        let own = endpoint::decoded(pair.split('=').next().unwrap_or_default())?;
        if own != name {
            query.push(pair.to_owned());
        }
    }
    query.push(format!("{name}={}", endpoint::encoded(value)));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{}?{}", uri.path(), query.join("&")).parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::secrets::Secret;

    fn credential(place: Place, value: &str) -> Credential {
        let scopes = vec![HttpScope::parse("GET https://api.example.com/v1").unwrap()];
        Credential { place, value: Secret::new(value.to_owned()), scopes }
    }

    fn sent(credential: Credential, uri: &str, headers: &[(&str, &str)]) -> Option<(String, Vec<String>)> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        let encrypted = uri.starts_with("https");
        let host = uri.split("://").nth(1)?.split('/').next()?;
        let endpoint = Endpoint::parse(&format!("{host}:{}", if encrypted { 443 } else { 80 })).unwrap();
        add(&[credential], &mut request, encrypted, &endpoint).ok()?;
        let values = request.headers().values().map(|value| value.to_str().unwrap().to_owned()).collect();
        Some((request.uri().to_string(), values))
    }

    #[test]
    fn only_a_request_of_the_scope_gets_the_credential() {
        for (uri, gets) in [
            ("https://api.example.com/v1", true),
            ("https://api.example.com/v1/x?y=1", true),
            ("https://api.example.com/v2", false),
            ("https://api.example.com/v1/../v1", false),
            ("https://api.example.com.evil.com/v1", false),
            ("http://api.example.com/v1", false),
        ] {
            let header = credential(Place::Header("x-key".to_owned()), "k");
            assert_eq!(sent(header, uri, &[]).unwrap().1, if gets { vec!["k"] } else { vec![] }, "{uri}");
            let query = credential(Place::Query("key".to_owned()), "k");
            assert_eq!(sent(query, uri, &[]).unwrap().0.contains("key=k"), gets, "{uri}");
        }
    }

    #[test]
    fn what_the_driver_puts_in_its_place_is_removed() {
        let uri = "https://api.example.com/v1";
        for place in [Place::Header("authorization".to_owned()), Place::Basic] {
            let headers = [("Authorization", "mine"), ("authorization", "mine too")];
            assert_eq!(sent(credential(place, "k"), uri, &headers).unwrap().1, ["k"]);
        }
        let query = || credential(Place::Query("key".to_owned()), "a b&c=d");
        for (given, expected) in [
            ("", "?key=a%20b%26c%3Dd"),
            ("?key=mine&x=1&%6bey=mine&key", "?x=1&key=a%20b%26c%3Dd"),
            ("?keys=1&x=key=2", "?keys=1&x=key=2&key=a%20b%26c%3Dd"),
        ] {
            assert_eq!(sent(query(), &format!("{uri}{given}"), &[]).unwrap().0, format!("{uri}{expected}"));
        }
        assert_eq!(sent(query(), &format!("{uri}?%6=mine"), &[]), None);
    }
}
