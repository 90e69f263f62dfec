//! OAuth 2 (RFC 6749): a token for client credentials, fetched when it is needed.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::Client;
use crate::{Error, Result};

/// How long before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(30);

/// A login by client credentials.
#[derive(Clone)]
pub struct OAuth {
    token_url: String,
    client_id: String,
    client_secret: String,
    fields: Vec<(String, String)>,
    in_body: bool,
    token: RefCell<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    value: String,
    ends: Option<Instant>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<f64>,
}

impl OAuth {
    /// A login at `token_url`, which the step must be granted as well: `grants: {http: ["POST {config.token_url}"]}`.
    pub fn client_credentials(token_url: &str, client_id: &str, client_secret: &str) -> Self {
        let [token_url, client_id, client_secret] = [token_url, client_id, client_secret].map(str::to_owned);
        Self { token_url, client_id, client_secret, fields: Vec::new(), in_body: false, token: RefCell::default() }
    }

    /// A further field of the request for a token, such as `scope` or `audience`.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends the credentials in the body of the request instead of its `Authorization` header.
    #[must_use]
    pub fn credentials_in_body(mut self) -> Self {
        self.in_body = true;
        self
    }

    /// The token, from the server if there is none that is still good.
    pub(super) fn token(&self, client: &Client) -> Result<String> {
        let good = |token: &&Token| token.ends.is_none_or(|ends| Instant::now() + MARGIN < ends);
        if let Some(token) = self.token.borrow().as_ref().filter(good) {
            return Ok(token.value.clone());
        }
        let client = client.without_headers();
        let mut fields = vec![("grant_type", "client_credentials")];
        fields.extend(self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let request = client.post(&self.token_url)?.header("accept", "application/json").repeatable();
        let request = if self.in_body {
            fields.extend([("client_id", self.client_id.as_str()), ("client_secret", self.client_secret.as_str())]);
            request
        } else {
            // RFC 6749, 2.3.1: both are encoded as form fields first.
            let [id, secret] = [&self.client_id, &self.client_secret].map(|text| super::url::component(text));
            request.basic(&id, &secret)
        };
        let granted: Granted = request.form(&fields).fetch().and_then(|answer| answer.json()).map_err(log_in)?;
        let life = granted.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let ends = life.and_then(|life| Instant::now().checked_add(life));
        *self.token.borrow_mut() = Some(Token { value: granted.access_token.clone(), ends });
        Ok(granted.access_token)
    }

    /// Drops the token, because the server refused it.
    pub(super) fn forget(&self) {
        self.token.take();
    }
}

/// Refused credentials are a matter of the login, whatever the status: RFC 6749, 5.2 has 400 and 401.
fn log_in(error: Error) -> Error {
    let is_refusal = matches!(error.code.as_deref(), Some("HTTP 400" | "HTTP 401" | "HTTP 403"));
    let kind = if is_refusal { crate::ErrorKind::Auth } else { error.kind };
    Error { kind, ..error }.context("cannot get a token")
}
