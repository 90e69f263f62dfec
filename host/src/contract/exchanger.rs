//! Records the driver's HTTP requests, or answers them from a recording: for tests of a driver.
//!
//! It stands where a request has been admitted and has its credentials, so that a replayed step is granted no more than
//! any other. Whole bodies are held in memory, so they are bounded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use wasmtime_wasi_http::{Error, WasiBody};

use super::http::{Answered, arrived};
use crate::channel::reporter::Reporter;
use crate::protocol::{Job, LogLevel, Message};
use crate::recordings::redaction::Redactor;
use crate::recordings::{self, Exchanges, MAX_BODY, MAX_BYTES, MAX_COUNT, MAX_MESSAGE, Replay, Seen};
use crate::size;

/// Records or answers requests. All instances of a step's driver share it.
#[derive(Debug)]
pub struct Exchanger {
    state: Mutex<State>,
    reporter: Silent,
}

/// A reporter without a debug form.
struct Silent(Reporter);

impl std::fmt::Debug for Silent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reporter")
    }
}

#[derive(Debug)]
struct State {
    redactor: Redactor,
    /// The recording that answers, unless requests are recorded.
    replay: Option<Replay>,
    /// What has been reported.
    bytes: u64,
    count: usize,
}

impl Exchanger {
    /// The exchanger of a step, if its requests do not simply go to the network.
    pub fn of(job: &Job, reporter: &Reporter) -> Option<Arc<Self>> {
        let replay = match &job.exchanges {
            Exchanges::Live => return None,
            Exchanges::Record => None,
            Exchanges::Replay(replay) => Some(replay.clone()),
        };
        let redactor = Redactor::new(job.secrets.values(), &job.network.credentials);
        let state = Mutex::new(State { redactor, replay, bytes: 0, count: 0 });
        Some(Arc::new(Self { state, reporter: Silent(reporter.clone()) }))
    }

    /// The response to a request for `origin`, such as `https://api.example.com`; `live` sends it to the network.
    ///
    /// # Errors
    /// Those of HTTP; a request that no recorded exchange answers is denied.
    pub async fn answer<Sent>(
        self: Arc<Self>,
        origin: String,
        request: Request<WasiBody>,
        live: impl FnOnce(Request<WasiBody>) -> Sent,
    ) -> Result<Answered, Error>
    where
        Sent: Future<Output = Result<Answered, Error>>,
    {
        let (mut head, body) = request.into_parts();
        let body = whole(body).await?;
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let url = format!("{origin}{path}");
        let asked = self.state().redactor.request(head.method.as_str(), &url, &head.headers, &body);
        if self.state().replay.is_some() {
            return self.replayed(asked);
        }
        // A secret inside a compressed body would not be found.
        head.headers.remove(header::ACCEPT_ENCODING);
        let seen = |response, problem: Option<String>| Seen {
            request: asked.clone(),
            response,
            answered_by: None,
            problem: problem.map(Into::into),
        };
        let answered = live(Request::from_parts(head, full(body))).await;
        let (response, _) = answered.inspect_err(|error| {
            self.report(&seen(None, Some(format!("it was not answered: {error}"))));
        })?;
        let (head, body) = response.into_parts();
        let body = whole(body).await.inspect_err(|error| {
            self.report(&seen(None, Some(format!("its response cannot be recorded: {error}"))));
        })?;
        let response = self.state().redactor.response(head.status.as_u16(), &head.headers, &body);
        let is_encoded = head.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
        self.report(&if is_encoded {
            seen(None, Some("its response is compressed, although the request did not allow it".to_owned()))
        } else {
            seen(Some(response), None)
        });
        Ok((Response::from_parts(head, full(body)), arrived()))
    }

    fn replayed(&self, asked: recordings::Request) -> Result<Answered, Error> {
        let mut state = self.state();
        let Some(replay) = &mut state.replay else { return Err(Error::InternalError(None)) };
        let answered = replay.answer(&asked).map(|place| (place, replay.exchanges[place].response.clone()));
        drop(state);
        let (answered_by, problem) = match &answered {
            Ok((place, _)) => (Some(*place), None),
            Err(problem) => (None, Some(problem.as_str().into())),
        };
        self.report(&Seen { request: asked, response: None, answered_by, problem });
        match answered {
            Ok((_, response)) => Ok((respond(&response)?, arrived())),
            Err(problem) => {
                self.reporter.0.log(LogLevel::Warn, problem, [].into());
                Err(Error::HttpRequestDenied)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the host about a request, up to a bound; the first that is beyond it is reported without its content.
    fn report(&self, seen: &Seen) {
        let message = |seen: &Seen| Message::Exchange { seen: serde_json::to_string(seen).unwrap_or_default() };
        let without_content = |problem: String| {
            let request = recordings::Request { url: shortened(&seen.request.url), ..recordings::Request::default() };
            message(&Seen { request, response: None, answered_by: None, problem: Some(problem.into()) })
        };
        let whole = message(seen);
        let length = serde_json::to_vec(&whole).map_or(usize::MAX, |line| line.len());
        let mut state = self.state();
        let was_full = state.is_full();
        state.bytes = state.bytes.saturating_add(length as u64);
        state.count += 1;
        let is_full = state.is_full();
        drop(state);
        if was_full {
            return;
        }
        self.reporter.0.send(&if is_full {
            without_content(format!("there are more than {MAX_COUNT} requests, or {} in all", size::spell(MAX_BYTES)))
        } else if length > MAX_MESSAGE {
            without_content("the request and its response are too long for a test".to_owned())
        } else {
            whole
        });
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.bytes > MAX_BYTES || self.count > MAX_COUNT
    }
}

/// The beginning of an address.
fn shortened(url: &str) -> String {
    url.chars().take(200).collect()
}

/// The whole of a body.
async fn whole(body: WasiBody) -> Result<Bytes, Error> {
    let collected = Limited::new(body, MAX_BODY).collect().await;
    let too_long = || format!("a body is longer than {}, too long for a test", size::spell(MAX_BODY as u64));
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(_) => Error::InternalError(Some(too_long())),
    })
}

fn full(body: Bytes) -> WasiBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

/// A recorded response as it arrives.
fn respond(recorded: &recordings::Response) -> Result<Response<WasiBody>, Error> {
    let malformed = || Error::InternalError(Some("the recorded response is malformed".to_owned()));
    let bytes = recorded.body.as_ref().map_or(Ok(Vec::new()), recordings::Content::bytes).map_err(|_| malformed())?;
    let mut response = Response::builder().status(recorded.status);
    for (name, value) in &recorded.headers {
        response = response.header(name, value);
    }
    if matches!(recorded.body, Some(recordings::Content::Json(_))) && !recorded.headers.contains_key("content-type") {
        response = response.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let mut response = response.body(full(Bytes::from(bytes.clone()))).map_err(|_| malformed())?;
    if !bytes.is_empty() {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    }
    Ok(response)
}
