//! Adds the login to each request.

use std::time::{Duration, Instant};

use osiris_sdk::http::{Client, Request};
use osiris_sdk::{Error, Result, context};
use serde::Deserialize;

use crate::config::{Auth, ClientAuth, Connection, Method, Place};

/// A token is renewed this long before it expires.
const MARGIN: Duration = Duration::from_secs(30);

/// A login, ready to be added to requests.
pub enum Login {
    None,
    Bearer(String),
    Basic(String, String),
    Header(String, String),
    Query(String, String),
    OAuth2(Box<OAuth2>),
}

/// Client credentials, and the token obtained with them.
pub struct OAuth2 {
    token_url: String,
    client_id: String,
    client_secret: String,
    scope: Option<String>,
    audience: Option<String>,
    client_auth: ClientAuth,
    token: Option<(String, Option<Instant>)>,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: Option<f64>,
}

/// The step's login, or else that of its connection.
///
/// # Errors
/// `config` if a part is missing.
pub fn login(auth: Option<&Auth>, connection: &Connection) -> Result<Login> {
    match auth {
        Some(auth) => build(auth, "auth"),
        None => {
            let has = |name: &str| context::secret(&format!("connection.{name}")).is_some();
            let method = match connection.auth_type {
                Some(method) => method,
                None if connection.client_id.is_some() => Method::Oauth2,
                None if has("token") => Method::Bearer,
                None if connection.username.is_some() => Method::Basic,
                None if has("api_key") => Method::ApiKey,
                None => Method::None,
            };
            let auth = Auth {
                method,
                username: connection.username.clone(),
                name: connection.key_name.clone(),
                place: connection.key_in,
                client_id: connection.client_id.clone(),
                url: connection.auth_url.clone(),
                scope: connection.scope.clone(),
                audience: None,
                client_auth: ClientAuth::default(),
            };
            build(&auth, "connection")
        }
    }
}

fn build(auth: &Auth, place: &str) -> Result<Login> {
    let missing = |name: &str| Error::config(format!("`{place}.{name}` is missing, which this kind of login needs"));
    let secret = |name: &str| -> Result<String> {
        let found = match context::secret(&format!("{place}.{name}")) {
            None if place == "auth" => context::secret(&format!("connection.{name}")),
            own => own,
        };
        found.ok_or_else(|| missing(name))
    };
    Ok(match auth.method {
        Method::None => Login::None,
        Method::Bearer => Login::Bearer(secret("token")?),
        Method::Basic => {
            let username = auth.username.clone().ok_or_else(|| missing("username"))?;
            Login::Basic(username, context::secret(&format!("{place}.password")).unwrap_or_default())
        }
        Method::ApiKey => {
            let key = if place == "auth" { secret("key").or_else(|_| secret("api_key"))? } else { secret("api_key")? };
            let name = auth.name.clone();
            match auth.place {
                Place::Query => Login::Query(name.unwrap_or_else(|| "api_key".to_owned()), key),
                Place::Header => Login::Header(name.unwrap_or_else(|| "X-API-Key".to_owned()), key),
                Place::Body => {
                    return Err(Error::config(format!(
                        "`{place}` puts the key into the body; it goes into `header` or `query`"
                    )));
                }
            }
        }
        Method::Oauth2 => Login::OAuth2(Box::new(OAuth2 {
            token_url: auth.url.clone().ok_or_else(|| missing(if place == "auth" { "url" } else { "auth_url" }))?,
            client_id: auth.client_id.clone().ok_or_else(|| missing("client_id"))?,
            client_secret: secret("client_secret")?,
            scope: auth.scope.clone(),
            audience: auth.audience.clone(),
            client_auth: auth.client_auth,
            token: None,
        })),
    })
}

impl Login {
    /// The request with the login.
    ///
    /// # Errors
    /// `auth` if a token is needed and refused.
    pub fn sign(&mut self, client: &Client, request: Request) -> Result<Request> {
        Ok(match self {
            Login::None => request,
            Login::Bearer(token) => request.bearer(token),
            Login::Basic(user, password) => request.basic(user, password),
            Login::Header(name, key) => request.secret_header(name, key),
            Login::Query(name, key) => request.secret_query(name, key),
            Login::OAuth2(login) => request.bearer(&login.token(client)?),
        })
    }

    /// Discards a token that was refused; returns whether a new one may help.
    pub fn renew(&mut self) -> bool {
        match self {
            Login::OAuth2(login) => login.token.take().is_some(),
            _ => false,
        }
    }
}

impl OAuth2 {
    fn token(&mut self, client: &Client) -> Result<String> {
        match &self.token {
            Some((token, end)) if end.is_none_or(|end| Instant::now() < end) => return Ok(token.clone()),
            _ => {}
        }
        let mut fields = vec![("grant_type", "client_credentials")];
        fields.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        fields.extend(self.audience.as_deref().map(|audience| ("audience", audience)));
        if self.client_auth == ClientAuth::Body {
            fields.extend([("client_id", self.client_id.as_str()), ("client_secret", self.client_secret.as_str())]);
        }
        // Requesting a token twice does no harm.
        let mut request = client.post(&self.token_url)?.header("accept", "application/json").form(&fields).repeatable();
        if self.client_auth == ClientAuth::Basic {
            request = request.basic(&self.client_id, &self.client_secret);
        }
        let answer = request.fetch().map_err(|error| {
            let refused = matches!(error.kind, osiris_sdk::ErrorKind::Config);
            let error = error.context("cannot get a token for the login");
            // RFC 6749 responds with 400 if the client is unknown.
            if refused { Error { kind: osiris_sdk::ErrorKind::Auth, ..error } } else { error }
        })?;
        let token: Token = answer.json().map_err(|error| error.context("the token's server gave no token"))?;
        let lasts = token.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let end = lasts.map(|lasts| Instant::now() + lasts.saturating_sub(MARGIN.min(lasts / 2)));
        self.token = Some((token.access_token.clone(), end));
        Ok(token.access_token)
    }
}
