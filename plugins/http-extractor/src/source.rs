//! The requests: what all pages have in common, and what differs.

use osiris_sdk::http::{Answer, Client, Request, Retry, Url};
use osiris_sdk::{Error, ErrorKind, Result, context};
use record_cursor::{Cursor, spelt};
use serde_json::{Map, Value};

use crate::auth::{self, Login};
use crate::config::{Config, Connection, Manner, Place};
use crate::pages::Ask;

/// The source of the records.
pub struct Source {
    client: Client,
    method: String,
    address: Url,
    params: Vec<(String, String)>,
    body: Option<Value>,
    login: Login,
    retry_post: bool,
    retry: Retry,
}

impl Source {
    /// # Errors
    /// `config` if the address, the login or the body is invalid.
    pub fn new(config: &Config, cursor: Option<&Cursor>) -> Result<Self> {
        let mut params: Vec<(String, String)> = Vec::new();
        for (name, value) in &config.params {
            params.extend(spelt(value).map(|value| (name.clone(), value)));
        }
        params.extend(context::secrets_below("params"));
        let mut body = config.body.clone();
        if let Some(body) = &mut body {
            context::restore_secrets("body", body);
        }
        if let Some(options) = &config.cursor
            && let Some(value) = cursor.and_then(Cursor::since).or(options.initial.as_ref())
        {
            if options.place == Place::Body {
                member(&mut body, options.param.clone(), value.clone())?;
            } else {
                params.extend(spelt(value).map(|value| (options.param.clone(), value)));
            }
        }
        let client = client(&config.manner)
            .configured_headers("connection.headers", &config.connection.headers)
            .configured_headers("headers", &config.headers);
        Ok(Self {
            client,
            method: config.method.clone(),
            address: config.address()?,
            params,
            body,
            login: auth::login(config.auth.as_ref(), &config.connection)?,
            retry_post: config.manner.retry_post,
            retry: config.manner.patience.retry(),
        })
    }

    pub fn address(&self) -> &Url {
        &self.address
    }

    pub fn requests(&self) -> u64 {
        self.client.sent()
    }

    /// Reads one page.
    ///
    /// # Errors
    /// As for [`Request::fetch`].
    pub fn fetch(&mut self, ask: &Ask, in_body: bool) -> Result<Answer> {
        match self.request(ask, in_body)?.fetch() {
            Err(error) if matches!(error.kind, ErrorKind::Auth) && self.login.renew() => {
                context::info("the token was refused, so another one is asked for", &[]);
                self.request(ask, in_body)?.fetch()
            }
            answer => answer,
        }
    }

    /// Waits until a page may be requested again whose response says that it was accepted but is not ready; `tried`
    /// counts the responses so far.
    ///
    /// # Errors
    /// The response as an error, if it was requested often enough.
    pub fn wait(&self, tried: u32, answer: &Answer) -> Result<()> {
        let error = answer.as_error(answer.status);
        let may_repeat = self.method != "POST" || self.retry_post;
        let Some(wait) = self.retry.wait(tried, None, &error).filter(|_| may_repeat) else {
            return Err(Error { message: format!("{} (tried {tried} times)", error.message), ..error });
        };
        context::info("a page is not done yet and is asked for again", &[("wait_ms", &wait.as_millis())]);
        std::thread::sleep(wait);
        Ok(())
    }

    fn request(&mut self, ask: &Ask, in_body: bool) -> Result<Request> {
        let mut body = self.body.clone();
        let mut request = match &ask.url {
            // An address from the server already contains the parameters.
            Some(url) => self.client.request_to(&self.method, url.clone()),
            None => {
                let mut request = self.client.request_to(&self.method, self.address.clone());
                for (name, value) in &self.params {
                    request = request.query(name, value);
                }
                request
            }
        };
        for (name, value) in &ask.params {
            if in_body {
                member(&mut body, name.clone(), value.clone())?;
            } else if let Some(value) = spelt(value) {
                request = request.query(name, &value);
            }
        }
        if let Some(body) = &body {
            request = request.json(body)?;
        }
        if self.retry_post {
            request = request.repeatable();
        }
        self.login.sign(&self.client, request)
    }
}

/// Sets a member of the body, which is created as an object if there is none.
fn member(body: &mut Option<Value>, name: String, value: Value) -> Result<()> {
    match body.get_or_insert_with(|| Value::Object(Map::new())) {
        Value::Object(members) => {
            members.insert(name, value);
            Ok(())
        }
        _ => Err(Error::config(format!("`body` is not an object, so `{name}` cannot be set in it"))),
    }
}

fn client(manner: &Manner) -> Client {
    let mut client = manner
        .patience
        .client(concat!("osiris-http-extractor/", env!("CARGO_PKG_VERSION")))
        .header("accept", "application/json")
        .redirects(manner.max_redirects);
    if let Some(encoding) = &manner.encoding {
        client = client.charset(encoding);
    }
    match manner.requests_per_second {
        Some(requests) => client.requests_per_second(requests),
        None => client,
    }
}

/// Requests the connection's address and describes the response.
///
/// # Errors
/// As for [`Request::fetch`], except that an address at which there is nothing is not an error.
pub fn check(connection: &Connection, manner: &Manner) -> Result<String> {
    let base = connection.url.as_deref().ok_or_else(|| Error::config("the connection has no `url`"))?;
    let url = Url::parse(base)?.below(connection.check_path.as_deref().unwrap_or_default())?;
    let client = client(manner).configured_headers("connection.headers", &connection.headers);
    let mut login = auth::login(None, connection)?;
    let mut request = client.request_to("GET", url.clone());
    if connection.check_path.is_none() {
        // A base address alone often leads to nothing, which is not an error.
        request = request.accept(404).accept(405);
    }
    let answer = login.sign(&client, request)?.fetch()?;
    let server = answer.header("server").map(|server| format!(" by {server}")).unwrap_or_default();
    Ok(format!("HTTP {} from {}{server}", answer.status, url.shown()))
}
