//! envd, the service inside a sandbox: files and processes. It speaks the Connect protocol with JSON: a stream is a sequence
//! of envelopes, each with a byte of flags and its length (connectrpc.com/docs/protocol).

use std::io::{self, BufReader, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::{Request, request};
use ureq::{AsSendBody, SendBody};
use zeroize::Zeroizing;

use super::account::{Account, Created, Repeat, Reply, patiently, read};

/// The port that envd listens on.
pub const PORT: u16 = 49983;

/// How often envd gives a sign of life in a stream without events, in seconds.
const KEEPALIVE: &str = "50";

/// A stream that is silent for so long has broken.
const SILENCE: Duration = Duration::from_secs(150);

/// The most bytes of stdin in one request: a part of a blob and its line.
const PIECE: usize = 2 << 20;

/// The longest message in a stream. envd sends 32 KiB of output at once.
const MOST: u32 = 16 << 20;

/// The flag of a stream's last envelope.
const LAST: u8 = 0b10;

/// How much of what a process says on stderr is kept.
const STDERR: usize = 4096;

/// The envd of one sandbox.
#[derive(Clone)]
pub struct Envd {
    account: Arc<Account>,
    url: String,
    id: String,
    token: Option<Zeroizing<String>>,
}

impl Envd {
    pub fn new(account: Arc<Account>, created: &Created) -> Self {
        let (url, token) = (account.envd_url(created), created.envd_access_token.clone().map(Zeroizing::new));
        Self { account, url, id: created.id.clone(), token }
    }

    fn request(&self, path: &str) -> request::Builder {
        let request = Request::builder().method("POST").uri(format!("{}{path}", self.url));
        let request = request.header("E2b-Sandbox-Id", &self.id).header("E2b-Sandbox-Port", PORT);
        match &self.token {
            Some(token) => request.header("X-Access-Token", token.as_str()),
            None => request,
        }
    }

    fn run<S: AsSendBody>(&self, request: Result<Request<S>, ureq::http::Error>) -> Result<Reply, ureq::Error> {
        self.account.agent.run(self.account.bounded(request.map_err(ureq::Error::Http)?)).and_then(read)
    }

    /// Writes a file below the home folder; `open` gives its content, compressed by gzip, for each try.
    pub fn upload<R: Read>(&self, name: &str, open: impl Fn() -> io::Result<R>) -> io::Result<()> {
        let reply = patiently(Repeat::Freely, || {
            let request =
                self.request(&format!("/files?path={name}")).header("Content-Type", "application/octet-stream");
            let mut content = open()?;
            self.run(request.header("Content-Encoding", "gzip").body(SendBody::from_reader(&mut content)))
        });
        accepted(reply).map(|_| ())
    }

    /// Starts a shell command, whose process outlives this connection.
    pub fn start(&self, command: &str) -> io::Result<Process> {
        let process = json!({"cmd": "/bin/bash", "args": ["-l", "-c", command], "envs": {}});
        let body = envelope(&json!({"process": process, "stdin": true}))?;
        let mut stream = None;
        let reply = patiently(Repeat::Freely, || {
            let request = self
                .request("/process.Process/Start")
                .header("Content-Type", "application/connect+json")
                .header("Connect-Protocol-Version", "1")
                .header("Keepalive-Ping-Interval", KEEPALIVE)
                .body(body.as_slice())
                .map_err(ureq::Error::Http)?;
            let agent = &self.account.agent;
            let request = agent.configure_request(request).timeout_per_read(Some(SILENCE)).build();
            let response = agent.run(request)?;
            if !response.status().is_success() {
                return read(response);
            }
            let (head, body) = response.into_parts();
            stream = Some(body.into_reader());
            read(ureq::http::Response::from_parts(head, ureq::Body::builder().data(Vec::new())))
        });
        accepted(reply)?;
        let stream = stream.ok_or_else(|| io::Error::other("no stream began"))?;
        let mut events = Events { stream: Box::new(BufReader::with_capacity(1 << 16, stream)) };
        match events.next()? {
            Some(Event { start: Some(Start { pid }), .. }) => Ok(Process {
                input: Input { envd: self.clone(), pid, waiting: Zeroizing::default() },
                output: Output::new(events),
            }),
            _ => Err(io::Error::other("the process did not start")),
        }
    }

    /// Sends stdin to a process. Only a request that was certainly not obeyed is repeated: what arrives twice is as bad as what
    /// never arrives.
    fn send_input(&self, pid: u32, bytes: &[u8]) -> io::Result<()> {
        let encoded = Zeroizing::new(STANDARD.encode(bytes));
        let body = format!(r#"{{"process":{{"pid":{pid}}},"input":{{"stdin":"{}"}}}}"#, encoded.as_str());
        let body = Zeroizing::new(body);
        let reply = patiently(Repeat::IfRefused, || {
            let request = self.request("/process.Process/SendInput").header("Content-Type", "application/json");
            self.run(request.header("Connect-Protocol-Version", "1").body(body.as_bytes()))
        });
        accepted(reply).map(|_| ())
    }
}

fn accepted(reply: Result<Reply, ureq::Error>) -> io::Result<Reply> {
    match reply {
        Ok(reply) if reply.status.is_success() => Ok(reply),
        Ok(reply) => Err(io::Error::other(reply.reason())),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}

fn envelope(message: &Value) -> io::Result<Vec<u8>> {
    let text = message.to_string();
    let length = u32::try_from(text.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok([&[0], length.to_be_bytes().as_slice(), text.as_bytes()].concat())
}

/// A process that was started.
pub struct Process {
    pub input: Input,
    pub output: Output,
}

/// The stdin of a process.
pub struct Input {
    envd: Envd,
    pid: u32,
    waiting: Zeroizing<Vec<u8>>,
}

impl Write for Input {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.chunks(PIECE).try_for_each(|piece| self.envd.send_input(self.pid, piece))
    }
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    event: Option<Event>,
    #[serde(default)]
    error: Option<StreamError>,
}

#[derive(Debug, Deserialize)]
struct StreamError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// What happened to a process. What has its default value is left out.
#[derive(Debug, Default, Deserialize)]
struct Event {
    #[serde(default)]
    start: Option<Start>,
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    end: Option<End>,
}

#[derive(Debug, Deserialize)]
struct Start {
    #[serde(default)]
    pid: u32,
}

#[derive(Debug, Deserialize)]
struct Data {
    #[serde(default)]
    stdout: Option<String>,
    #[serde(default)]
    stderr: Option<String>,
}

/// How a process ended.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    #[serde(default)]
    pub exit_code: i32,
    #[serde(default)]
    pub status: String,
}

/// The events of a stream.
struct Events {
    stream: Box<dyn Read + Send>,
}

impl Events {
    /// The next event; `None` at the proper end of the stream.
    fn next(&mut self) -> io::Result<Option<Event>> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let [flags, length @ ..] = head;
        let length = u32::from_be_bytes(length);
        if length > MOST {
            return Err(io::Error::other("a message in the stream is too long"));
        }
        let mut text = vec![0; length as usize];
        self.stream.read_exact(&mut text)?;
        let not_understood = |_| io::Error::other("a message in the stream is not understood");
        let message: Message = serde_json::from_slice(&text).map_err(not_understood)?;
        match message.error {
            Some(StreamError { code, message }) => Err(io::Error::other(format!("{message} ({code})"))),
            None if flags & LAST != 0 => Ok(None),
            None => Ok(Some(message.event.unwrap_or_default())),
        }
    }
}

/// The stdout of a process, from which its stderr and its end are known afterwards.
pub struct Output {
    events: Events,
    ready: io::Cursor<Vec<u8>>,
    aside: Aside,
}

/// What a process said on stderr, and how it ended; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Aside(Arc<Mutex<(Vec<u8>, Option<End>)>>);

impl Aside {
    /// The last that was said on stderr.
    pub fn stderr(&self) -> String {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&found.0).trim().to_owned()
    }

    pub fn end(&self) -> Option<End> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    fn take(&self, stderr: &[u8]) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.0.extend_from_slice(stderr);
        let surplus = found.0.len().saturating_sub(STDERR);
        found.0.drain(..surplus);
    }
}

impl Output {
    fn new(events: Events) -> Self {
        Self { events, ready: io::Cursor::default(), aside: Aside::default() }
    }

    pub fn aside(&self) -> Aside {
        self.aside.clone()
    }
}

impl Read for Output {
    /// Ends with the process; a stream that ends earlier is an error.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.ready.read(buffer)?;
            if read > 0 || buffer.is_empty() || self.aside.end().is_some() {
                return Ok(read);
            }
            let decode = |text: String| STANDARD.decode(text).map_err(|_| io::Error::other("output is not in base64"));
            let Some(Event { data, end, .. }) = self.events.next()? else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            if let Some(Data { stdout, stderr }) = data {
                self.aside.take(&decode(stderr.unwrap_or_default())?);
                self.ready = io::Cursor::new(decode(stdout.unwrap_or_default())?);
            }
            if let Some(end) = end {
                self.aside.0.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn output(messages: &[Value]) -> Output {
        let stream: Vec<u8> = messages.iter().flat_map(|message| envelope(message).unwrap()).collect();
        Output::new(Events { stream: Box::new(io::Cursor::new(stream)) })
    }

    fn data(name: &str, bytes: &[u8]) -> Value {
        json!({"event": {"data": {name: STANDARD.encode(bytes)}}})
    }

    #[test]
    fn output_in_pieces_is_put_together_until_the_process_ends() {
        let end = json!({"event": {"end": {"status": "exit status 0", "exited": true}}});
        let messages =
            [data("stdout", "ä".as_bytes().split_at(1).0), json!({"event": {"keepalive": {}}}), data("stderr", b"oh")];
        let mut output = output(&[&messages[..], &[data("stdout", "ä".as_bytes().split_at(1).1), end]].concat());
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), output.aside().stderr().as_str()), ("ä", "oh"));
        assert_eq!(output.aside().end().unwrap().exit_code, 0);
    }

    #[test]
    fn a_stream_that_breaks_or_lies_is_an_error() {
        let end_of = |messages: &[Value]| output(messages).read_to_end(&mut Vec::new()).unwrap_err().to_string();
        assert_eq!(end_of(&[data("stdout", b"x")]), "failed to fill whole buffer");
        assert_eq!(end_of(&[json!({"event": {"data": {"stdout": "?"}}})]), "output is not in base64");
        assert_eq!(end_of(&[json!({"error": {"code": "unavailable", "message": "gone"}})]), "gone (unavailable)");
        let mut long = Output::new(Events { stream: Box::new(io::Cursor::new([0, 255, 255, 255, 255])) });
        assert!(long.read(&mut [0]).unwrap_err().to_string().contains("too long"));
    }
}
