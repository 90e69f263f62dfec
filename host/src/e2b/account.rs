//! E2B's REST API: sandboxes are created, kept alive, listed and deleted, as E2B's own SDK does it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::{Request, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody};
use zeroize::Zeroizing;

use super::egress::Egress;
use crate::environment;
use crate::error::{Blame, Failure, Retry};
use crate::session::noise;

const CONNECT: Duration = Duration::from_secs(10);

/// How long a request may wait for its answer.
const ANSWER: Duration = Duration::from_secs(60);

/// How long a request is tried again while the service is busy.
const BUSY: Duration = Duration::from_secs(60);

/// The longest wait between two tries, whatever the service asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The most bytes of an answer.
const MOST: u64 = 16 << 20;

/// What E2B knows its user by, and the sandboxes that this process has.
pub struct Account {
    pub(super) agent: Agent,
    api: String,
    sandbox_url: Option<String>,
    domain: String,
    key: Zeroizing<String>,
    owned: Mutex<Owned>,
}

#[derive(Default)]
struct Owned {
    /// Sandboxes that have to be deleted.
    ids: BTreeSet<String>,
    /// No more are created.
    closing: bool,
}

/// A sandbox, as the service describes it once it is created.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    #[serde(rename = "sandboxID")]
    pub id: String,
    #[serde(default)]
    pub envd_access_token: Option<String>,
    #[serde(default)]
    pub domain: Option<String>,
}

/// A sandbox in a list.
#[derive(Debug, Deserialize)]
pub struct Listed {
    #[serde(rename = "sandboxID")]
    pub id: String,
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, String>>,
}

/// What is wanted of a new sandbox.
pub struct Wanted<'a> {
    pub template: &'a str,
    /// How long it lives unless it is kept alive.
    pub lifetime: Duration,
    pub egress: &'a Egress,
    pub metadata: &'a BTreeMap<String, String>,
}

/// An answer of the service or of a sandbox.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    retry_after: Option<Duration>,
    /// Whether a repetition may help, if the service says so.
    should_retry: Option<bool>,
}

impl Reply {
    /// Why a request failed, in the words of who answered.
    pub(super) fn reason(&self) -> String {
        #[derive(Deserialize)]
        struct Said {
            message: String,
        }
        let said = serde_json::from_slice::<Said>(&self.body).map(|said| said.message);
        let said = said.unwrap_or_else(|_| String::from_utf8_lossy(&self.body).trim().chars().take(300).collect());
        if said.is_empty() { self.status.to_string() } else { format!("{said} ({})", self.status.as_u16()) }
    }
}

impl Account {
    /// The account of the key in `E2B_API_KEY`.
    ///
    /// # Errors
    /// If there is no key.
    pub fn from_environment() -> Result<Self, Failure> {
        let text = |name| environment::variable(name).and_then(|value| value.into_string().ok());
        let key = text(environment::E2B_API_KEY).ok_or_else(|| {
            Failure::new(Blame::User, "config", "E2B needs a key, and `E2B_API_KEY` is not set").hint(
                "create a key at https://e2b.dev/dashboard, and put it into the environment: `export E2B_API_KEY=…`",
            )
        })?;
        let domain = text(environment::E2B_DOMAIN).unwrap_or_else(|| "e2b.app".to_owned());
        let url = |name| text(name).map(|url| url.trim_end_matches('/').to_owned());
        let certificates = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<_> = certificates.iter().map(|one| Certificate::from_der(one.as_ref()).to_owned()).collect();
        let tls = TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).build();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_per_write(Some(ANSWER))
            .user_agent(format!("osiris/{}", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        Ok(Self {
            agent: agent.into(),
            api: url(environment::E2B_API_URL).unwrap_or_else(|| format!("https://api.{domain}")),
            sandbox_url: url(environment::E2B_SANDBOX_URL),
            domain,
            key: key.into(),
            owned: Mutex::default(),
        })
    }

    fn owned(&self) -> MutexGuard<'_, Owned> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the envd of a sandbox listens.
    pub(super) fn envd_url(&self, created: &Created) -> String {
        let domain = created.domain.as_ref().unwrap_or(&self.domain);
        self.sandbox_url.clone().unwrap_or_else(|| format!("https://{}-{}.{domain}", super::envd::PORT, created.id))
    }

    /// A request whose answer has to be complete in time.
    pub(super) fn bounded<S: AsSendBody>(&self, request: Request<S>) -> Request<S> {
        self.agent.configure_request(request).timeout_recv_body(Some(ANSWER)).build()
    }

    /// Sends a request whose repetition does no harm, again while the service is busy or out of reach.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>, unique: Option<&str>) -> Result<Reply, Failure> {
        patiently(Repeat::Freely, || {
            let mut request = Request::builder().method(method).uri(format!("{}{path}", self.api));
            request = request.header("X-API-Key", self.key.as_str());
            if let Some(key) = unique {
                request = request.header("Idempotency-Key", key);
            }
            let Some(body) = body else {
                let request = request.body(()).map_err(ureq::Error::Http)?;
                return self.agent.run(self.bounded(request)).and_then(read);
            };
            let request = request.header("Content-Type", "application/json").body(body.to_string());
            self.agent.run(self.bounded(request.map_err(ureq::Error::Http)?)).and_then(read)
        })
        .map_err(|error| unreachable_service(&self.api, &error))
    }

    /// Creates a sandbox, which [`Self::delete_all`] will delete.
    ///
    /// # Errors
    /// If the service does not give one; says why and what to do.
    pub fn create(&self, wanted: &Wanted<'_>) -> Result<Created, Failure> {
        let closing = || Failure::new(Blame::User, "interrupted", "the run was ended");
        if self.owned().closing {
            return Err(closing());
        }
        let body = json!({
            "templateID": wanted.template,
            "timeout": wanted.lifetime.as_secs(),
            "secure": true,
            "allow_internet_access": false,
            "network": {"allowOut": wanted.egress.allowed(), "denyOut": ["0.0.0.0/0"]},
            "metadata": wanted.metadata,
        });
        let unique = format!("osiris-{:016x}{:016x}", noise(), noise());
        let reply = self.ask("POST", "/v2/sandboxes", Some(&body), Some(&unique))?;
        if !reply.status.is_success() {
            return Err(refusal(&reply, wanted.template));
        }
        let odd = || Failure::new(Blame::Remote, "protocol", "E2B's answer to `POST /v2/sandboxes` is not understood");
        let created: Created = serde_json::from_slice(&reply.body).map_err(|_| odd())?;
        if !is_name(&created.id) || created.domain.as_ref().is_some_and(|domain| !is_name(domain)) {
            return Err(odd());
        }
        let mut owned = self.owned();
        owned.ids.insert(created.id.clone());
        if owned.closing {
            drop(owned);
            self.delete(&created.id);
            return Err(closing());
        }
        Ok(created)
    }

    /// Lets a sandbox live for `lifetime` from now on.
    pub fn extend(&self, id: &str, lifetime: Duration) -> Result<(), Failure> {
        let body = json!({"timeout": lifetime.as_secs()});
        let reply = self.ask("POST", &format!("/sandboxes/{id}/timeout"), Some(&body), None)?;
        if reply.status.is_success() {
            return Ok(());
        }
        Err(Failure::new(Blame::Remote, "e2b", format!("sandbox `{id}` cannot be kept alive: {}", reply.reason())))
    }

    /// The running sandboxes whose metadata has this value.
    pub fn list(&self, key: &str, value: &str) -> Result<Vec<Listed>, Failure> {
        let reply = self.ask("GET", &format!("/v2/sandboxes?state=running&metadata={key}%3D{value}"), None, None)?;
        if !reply.status.is_success() {
            return Err(refusal(&reply, ""));
        }
        let listed: Vec<Listed> = serde_json::from_slice(&reply.body)
            .map_err(|_| Failure::new(Blame::Remote, "protocol", "E2B's list of sandboxes is not understood"))?;
        Ok(listed.into_iter().filter(|one| is_name(&one.id)).collect())
    }

    /// Deletes a sandbox, with all that runs in it. One that cannot be deleted ends when its lifetime is over.
    pub fn delete(&self, id: &str) {
        match self.ask("DELETE", &format!("/sandboxes/{id}"), None, None) {
            Ok(reply) if reply.status.is_success() || reply.status == StatusCode::NOT_FOUND => {
                self.owned().ids.remove(id);
            }
            Ok(reply) => tracing::warn!(sandbox = id, reason = reply.reason(), "a sandbox cannot be deleted"),
            Err(error) => tracing::warn!(sandbox = id, reason = %error.message, "a sandbox cannot be deleted"),
        }
    }

    /// Deletes all sandboxes that were created, and creates no more.
    pub fn delete_all(&self) {
        let ids: Vec<String> = {
            let mut owned = self.owned();
            owned.closing = true;
            owned.ids.iter().cloned().collect()
        };
        std::thread::scope(|scope| {
            for id in &ids {
                // Without a thread, this one does it.
                if std::thread::Builder::new().spawn_scoped(scope, || self.delete(id)).is_err() {
                    self.delete(id);
                }
            }
        });
    }
}

/// Reads an answer.
pub(super) fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Reply, ureq::Error> {
    let retry_after = response.headers().get("Retry-After").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let should_retry =
        response.headers().get("Should-Retry").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = response.body_mut().with_config().limit(MOST).read_to_vec()?;
    Ok(Reply { status: response.status(), body, retry_after: retry_after.map(Duration::from_secs), should_retry })
}

/// When a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// While its receiver is busy or out of reach: a repetition does no harm.
    Freely,
    /// Only if it certainly had no effect.
    IfRefused,
}

impl Repeat {
    /// How long to wait before it is sent again, if it is; `wait` unless its receiver says so.
    fn pause(self, outcome: &Result<Reply, ureq::Error>, wait: Duration) -> Option<Duration> {
        match outcome {
            Ok(reply) => {
                let status = reply.status.as_u16();
                let is_busy = status == 429 || (self == Self::Freely && matches!(status, 502..=504));
                (is_busy && reply.should_retry != Some(false))
                    .then(|| reply.retry_after.unwrap_or(wait).min(LONGEST_WAIT))
            }
            Err(ureq::Error::ConnectionFailed | ureq::Error::HostNotFound) => Some(wait),
            Err(ureq::Error::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => Some(wait),
            Err(ureq::Error::Io(_)) if self == Self::Freely => Some(wait),
            Err(_) => None,
        }
    }
}

/// Sends a request until it is answered, or [`BUSY`] is over.
pub(super) fn patiently(
    repeat: Repeat,
    mut send: impl FnMut() -> Result<Reply, ureq::Error>,
) -> Result<Reply, ureq::Error> {
    let until = Instant::now() + BUSY;
    let mut wait = Duration::from_millis(200);
    loop {
        let outcome = send();
        match repeat.pause(&outcome, wait) {
            Some(pause) if Instant::now() + pause < until => std::thread::sleep(pause),
            _ => return outcome,
        }
        wait *= 2;
    }
}

/// Whether a text of the service can be part of an address.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn unreachable_service(api: &str, error: &ureq::Error) -> Failure {
    let again = Some(Retry { after_ms: None });
    Failure { retry: again, ..Failure::new(Blame::Remote, "e2b", format!("E2B at `{api}` cannot be reached: {error}")) }
        .hint("check the connection of this machine, and `E2B_API_URL` or `E2B_DOMAIN` if they are set")
}

/// Why the service gives no sandbox.
fn refusal(reply: &Reply, template: &str) -> Failure {
    let reason = reply.reason();
    match reply.status.as_u16() {
        401 | 403 => Failure::new(Blame::User, "config", format!("E2B refuses the key in `E2B_API_KEY`: {reason}"))
            .hint("create a key at https://e2b.dev/dashboard, and put it into the environment"),
        404 => Failure::new(Blame::User, "config", format!("E2B has no template `{template}`: {reason}"))
            .hint("`e2b template list` shows yours; without one, `--on e2b` uploads this program"),
        429 => Failure {
            retry: Some(Retry { after_ms: None }),
            ..Failure::new(Blame::Remote, "e2b", format!("E2B gives no more sandboxes: {reason}"))
        }
        .hint("run fewer steps at once with `--jobs N`, delete sandboxes that nobody uses, or have the quota raised"),
        status => Failure {
            retry: (status >= 500).then_some(Retry { after_ms: None }),
            ..Failure::new(Blame::Remote, "e2b", format!("E2B gives no sandbox: {reason}"))
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            body: body.into(),
            retry_after: Some(Duration::ZERO),
            should_retry: None,
        }
    }

    #[test]
    fn a_busy_service_is_asked_again_and_a_refusal_is_final() {
        for (answers, expected) in [([429, 502, 201], 201), ([401, 201, 201], 401), ([503, 404, 201], 404)] {
            let mut answers = answers.into_iter();
            let found = patiently(Repeat::Freely, || Ok(reply(answers.next().unwrap(), ""))).unwrap();
            assert_eq!(found.status.as_u16(), expected);
        }
        // A quota is not free sooner because it is asked for again.
        let quota = patiently(Repeat::Freely, || Ok(Reply { should_retry: Some(false), ..reply(429, "") })).unwrap();
        assert_eq!(quota.status.as_u16(), 429);
        // What may have had an effect is not repeated, unless it may have it twice.
        let mut answers = [429, 502, 201].into_iter();
        let found = patiently(Repeat::IfRefused, || Ok(reply(answers.next().unwrap(), ""))).unwrap();
        assert_eq!(found.status.as_u16(), 502);
    }

    #[test]
    fn a_refusal_says_what_the_service_said_and_what_to_do() {
        for (status, body, message, hint) in [
            (
                401,
                r#"{"code": 401, "message": "no such key"}"#,
                "refuses the key in `E2B_API_KEY`: no such key (401)",
                "create a key",
            ),
            (
                404,
                r#"{"message": "template not found"}"#,
                "no template `t`: template not found (404)",
                "e2b template list",
            ),
            (429, "<html>slow down</html>", "no more sandboxes: <html>slow down</html> (429)", "--jobs"),
        ] {
            let failure = refusal(&reply(status, body), "t");
            assert!(failure.message.raw().contains(message), "{}", failure.message.raw());
            assert!(failure.hint.unwrap().raw().contains(hint));
        }
        assert_eq!(reply(507, "").reason(), "507 Insufficient Storage");
    }

    #[test]
    fn no_text_of_the_service_leads_to_another_address() {
        for text in ["", "a/../b", "a?b", "a b", "a@b", "a:1", "é", &"a".repeat(254)] {
            assert!(!is_name(text), "{text}");
        }
        assert!(is_name("i0a_1-b") && is_name("e2b.example.com"));
    }
}
