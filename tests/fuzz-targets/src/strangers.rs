//! Untrusted data from outside: components, statements, certificates, addresses, and the responses of servers.

use std::io::{Cursor, Read, Write};
use std::path::Path;

use database_client::{Login, Reveal, SslMode, Stream};
use osiris::contract::tls::{Trust, server_end_point};
use osiris::engine::{Engine, Furnishing, Warm};
use osiris::grants::endpoint::{Endpoint, HttpScope};
use osiris::grants::limits::Limits;
use osiris::protocol::{Ask, NetworkGrant, Reply};
use osiris_sdk::http::Url;
use osiris_sdk::tcp::TlsOptions;

/// A driver's file, as far as the host reads it.
pub fn component(data: &[u8]) {
    let _ = osiris::driver::inspect::describe(&mut Cursor::new(data), "x.wasm", "spec.yaml");
}

thread_local! {
    static ENGINE: Option<Engine> = engine();
}

fn engine() -> Option<Engine> {
    Warm::open().ok()?.furnish(&Furnishing::bare(Path::new(""), Limits::DEFAULT), || Ok(())).ok()
}

/// A driver's SQL: parsed by DuckDB and judged, not run.
pub fn statement(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let allowed = ENGINE.with(|engine| engine.as_ref().is_some_and(|engine| engine.allows(text)));
    // Within quotes and comments it would only be text.
    let called = text.to_lowercase().contains("current_setting(") && !text.contains(['\'', '"', '-', '/', '$']);
    assert!(!(allowed && called), "a setting may be read: {text:?}");
}

/// A step process's request to its broker, and the reply that it reads.
pub fn ask(data: &[u8]) {
    let _ = serde_json::from_slice::<Reply>(data);
    if let Ok(ask) = serde_json::from_slice::<Ask>(data) {
        let again = serde_json::to_vec(&ask).unwrap_or_default();
        assert_eq!(serde_json::from_slice::<Ask>(&again).ok(), Some(ask));
    }
}

/// PEM bundles of connections, and the certificates of servers.
pub fn certificate(data: &[u8]) {
    assert!(matches!(server_end_point(data).len(), 32 | 48 | 64));
    if let (Ok(text), Ok(trust)) = (std::str::from_utf8(data), Trust::load(&NetworkGrant::default())) {
        let _ = trust.tcp(true, Some(text));
    }
}

/// Addresses: the guest's parser and the host's must derive the same place from the same text.
pub fn url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = Endpoint::parse(text);
    let (Ok(guest), Ok(scope)) = (Url::parse(text), HttpScope::parse(&format!("GET {text}"))) else { return };
    assert_eq!(guest.is_tls(), scope.tls, "{text:?}");
    let default = if scope.tls { 443 } else { 80 };
    let authority = if guest.authority().rsplit_once(':').is_none_or(|(_, port)| port.ends_with(']')) {
        format!("{}:{default}", guest.authority())
    } else {
        guest.authority().to_owned()
    };
    if let Ok(endpoint) = Endpoint::parse(&authority) {
        assert_eq!(endpoint, scope.endpoint, "{text:?}");
    }
    // A path that is allowed below a prefix is still below it for a server that decodes escapes and dots.
    let whole = HttpScope { path: "/v1".to_owned(), ..scope };
    let path = guest.path_with_query();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    if whole.allows("GET", whole.tls, &whole.endpoint, path) {
        let mut depth = 0_i64;
        for part in path.split('/').skip(1) {
            let part = part.to_lowercase().replace("%2e", ".");
            depth += if part == ".." { -1 } else { i64::from(!part.is_empty() && part != ".") };
            assert!(depth >= 0, "{path:?} climbs");
        }
        assert!(path.starts_with("/v1"), "{path:?}");
    }
}

/// A server that sends the fuzzer's bytes.
struct Server(Cursor<Vec<u8>>);

impl Read for Server {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Server {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Stream for Server {
    fn start_tls(&mut self, _options: &TlsOptions) -> osiris_sdk::Result<()> {
        Ok(())
    }
}

fn login() -> Login {
    Login {
        user: "ada".to_owned(),
        password: Some("lovelace".to_owned()),
        database: Some("shop".to_owned()),
        ssl_mode: SslMode::Prefer,
        ca: None,
        reveal: Reveal::Local,
    }
}

/// PostgreSQL's side of a login.
pub fn postgres(data: &[u8]) {
    let _ = postgres_client::Client::start(Server(Cursor::new(data.to_vec())), &login());
}

/// MySQL's side of a login.
pub fn mysql(data: &[u8]) {
    let server = Server(Cursor::new(data.to_vec()));
    let _ = mysql_client::Client::start(server, &login(), mysql_client::LocalFiles::Refused);
}
