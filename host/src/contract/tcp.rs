//! `osiris:driver/tcp`: streams to the hosts that the step was granted.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use wasmtime::component::Resource;

use super::bindings::osiris::driver::tcp::{Host, HostConnection, TlsOptions, Verify};
use super::shared::{Shared, Slot, Slots};
use super::{Answer, DriverCall, Error, ErrorKind, View, coded, error, tls};
use crate::channel::network::{Network, Waiting};
use crate::error::listed;
use crate::grants::endpoint::Endpoint;
use crate::protocol::AskAnswer;

/// The most bytes that one `read` returns.
const MAX_READ: u32 = 1 << 20;

/// Whether `bytes` ask a server to start TLS and do nothing else: PostgreSQL's SSLRequest, MySQL's packet of the same
/// name, or the line `STARTTLS` of the protocols that have it.
fn asks_for_tls(bytes: &[u8]) -> bool {
    const MYSQL_SSL: u8 = 1 << 3;
    match bytes {
        [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f] => true,
        // The packet's length and number, and the second byte of its capabilities.
        [32, 0, 0, 1, _, flags, ..] if bytes.len() == 36 => flags & MYSQL_SSL != 0,
        _ => bytes.eq_ignore_ascii_case(b"STARTTLS\r\n"),
    }
}

/// How long a read or a write waits unless the driver says otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

/// The endpoints that the step may connect to, and what it needs for a connection.
pub struct Tcp {
    granted: Vec<Endpoint>,
    verified_tls: bool,
    network: Arc<Network>,
    trust: tls::Trust,
    /// The step's connections, including those of HTTP.
    connections: Slots,
    longest_read: u32,
}

impl Tcp {
    pub fn new(call: &DriverCall<'_>, shared: &Shared) -> Self {
        Self {
            granted: call.job.network.connect.clone(),
            verified_tls: call.job.network.verified_tls,
            network: Arc::clone(&shared.network),
            trust: call.trust.clone(),
            connections: shared.connections.clone(),
            longest_read: call.job.disturbance.longest_read(MAX_READ),
        }
    }
}

/// An open stream.
pub struct Connection {
    endpoint: Endpoint,
    channel: Channel,
    /// Whether nothing may be sent before TLS is established with a server that proved its identity.
    verified_tls: bool,
    /// A buffer that reads reuse.
    buffer: Vec<u8>,
    _slot: Slot,
}

enum Channel {
    Plain(Waiting),
    Tls(Box<StreamOwned<ClientConnection, Waiting>>),
    /// A handshake failed; nothing may follow.
    Broken,
}

impl Channel {
    fn waiting(&mut self) -> Option<&mut Waiting> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Tls(stream) => Some(&mut stream.sock),
            Self::Broken => None,
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
            Self::Broken => Err(broken()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Self::Broken => Err(broken()),
        }
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection was given up before")
}

impl Connection {
    fn failed(&self, doing: &str, cause: &io::Error) -> Error {
        let message = format!("cannot {doing} `{}`: {cause}", self.endpoint);
        let kind = match (cause.kind(), tls::tls_error(cause)) {
            (_, Some(cause)) if tls::is_certificate_error(cause) => ErrorKind::Auth,
            (io::ErrorKind::TimedOut, _) => ErrorKind::Timeout,
            (io::ErrorKind::QuotaExceeded, _) => return coded(ErrorKind::Limit, "network", message),
            _ => ErrorKind::Transient,
        };
        error(kind, message)
    }

    /// The error for what a policy of `tls: verify-full` does not allow.
    fn demanded(&self, what: &str) -> Error {
        let message = format!("the policy demands `tls: verify-full` for `{}`: {what}", self.endpoint);
        error(ErrorKind::Denied, message)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.verified_tls && matches!(self.channel, Channel::Plain(_)) && !asks_for_tls(bytes) {
            return Err(self.demanded("nothing but a request for TLS may be sent before TLS begins"));
        }
        self.channel.write(bytes).map_err(|cause| self.failed("write to", &cause))
    }

    fn start_tls(&mut self, options: &TlsOptions, trust: &tls::Trust) -> Result<(), Error> {
        let renamed = options.server_name.as_ref().is_some_and(|name| !name.eq_ignore_ascii_case(&self.endpoint.host));
        if self.verified_tls && (options.verify != Verify::Full || renamed) {
            return Err(self.demanded("a server that proves to be the one of that name"));
        }
        let name = options.server_name.clone().unwrap_or_else(|| self.endpoint.host.clone());
        let config = trust.tcp(options.verify == Verify::Full, options.ca.as_deref()).map_err(|cause| {
            error(ErrorKind::Config, format!("cannot set up TLS with `{}`: {cause:#}", self.endpoint))
        })?;
        let server = ServerName::try_from(name.clone())
            .map_err(|_| error(ErrorKind::Config, format!("`{name}` is no name that a certificate can have")))?;
        let client = ClientConnection::new(config, server)
            .map_err(|cause| error(ErrorKind::Internal, format!("cannot set up TLS: {cause}")))?;
        let Channel::Plain(stream) = std::mem::replace(&mut self.channel, Channel::Broken) else {
            return Err(error(
                ErrorKind::Internal,
                format!("the connection to `{}` is encrypted already", self.endpoint),
            ));
        };
        let mut stream = StreamOwned::new(client, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|cause| self.failed("agree on TLS with", &cause))?;
        }
        self.channel = Channel::Tls(Box::new(stream));
        Ok(())
    }
}

impl Host for View<'_, Tcp> {
    fn connect(&mut self, host: String, port: u16, timeout_ms: u32) -> Answer<Resource<Connection>> {
        let asked = Endpoint::parse(&format!("{}:{port}", bracketed(&host)));
        let Some(endpoint) = asked.ok().filter(|asked| self.own.granted.contains(asked)) else {
            let known: Vec<String> = self.own.granted.iter().map(ToString::to_string).collect();
            let known = listed(known.iter().map(String::as_str));
            let message = format!("the step may not connect to `{host}:{port}`; it was granted: {known}");
            return Ok(Err(error(ErrorKind::Denied, message)));
        };
        let Some(slot) = self.own.connections.take() else {
            let most = self.own.connections.most();
            let message = format!("the driver has {most} connections open, as many as it may; drop one first");
            return Ok(Err(coded(ErrorKind::Limit, "connections", message)));
        };
        match self.own.network.connect(&endpoint, Duration::from_millis(u64::from(timeout_ms))) {
            Ok(socket) => {
                let channel = Channel::Plain(self.own.network.waiting(socket, PATIENCE));
                let verified_tls = self.own.verified_tls;
                let buffer = Vec::new();
                Ok(Ok(self.handles.push(Connection { endpoint, channel, verified_tls, buffer, _slot: slot })?))
            }
            Err(refused) => Ok(Err(refusal(refused))),
        }
    }
}

/// An IPv6 literal in the brackets that an endpoint needs.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

/// The host's refusal as an error of the contract.
fn refusal(answer: AskAnswer) -> Error {
    match answer {
        AskAnswer::Denied(why) => error(ErrorKind::Denied, why),
        AskAnswer::TimedOut(why) => error(ErrorKind::Timeout, why),
        AskAnswer::Unreachable(why) => error(ErrorKind::Transient, why),
        AskAnswer::Connected => error(ErrorKind::Internal, "the host sent no stream"),
    }
}

impl HostConnection for View<'_, Tcp> {
    fn set_timeout(&mut self, connection: Resource<Connection>, timeout_ms: u32) -> wasmtime::Result<()> {
        if let Some(stream) = self.handles.get_mut(&connection)?.channel.waiting() {
            stream.timeout = Duration::from_millis(u64::from(timeout_ms));
        }
        Ok(())
    }

    fn read(&mut self, connection: Resource<Connection>, length: u32) -> Answer<Vec<u8>> {
        let length = length.min(self.own.longest_read) as usize;
        let connection = self.handles.get_mut(&connection)?;
        if connection.buffer.len() < length {
            connection.buffer.resize(length, 0);
        }
        Ok(match connection.channel.read(&mut connection.buffer[..length]) {
            Ok(count) => Ok(connection.buffer[..count].to_vec()),
            Err(cause) => Err(connection.failed("read from", &cause)),
        })
    }

    fn write(&mut self, connection: Resource<Connection>, bytes: Vec<u8>) -> Answer<()> {
        Ok(self.handles.get_mut(&connection)?.write(&bytes))
    }

    fn start_tls(&mut self, connection: Resource<Connection>, options: TlsOptions) -> Answer<()> {
        Ok(self.handles.get_mut(&connection)?.start_tls(&options, &self.own.trust))
    }

    fn server_end_point(&mut self, connection: Resource<Connection>) -> wasmtime::Result<Option<Vec<u8>>> {
        let Channel::Tls(stream) = &self.handles.get(&connection)?.channel else { return Ok(None) };
        let certificate = stream.conn.peer_certificates().and_then(<[_]>::first);
        Ok(certificate.map(|certificate| tls::server_end_point(certificate)))
    }

    fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.handles.delete(connection)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_for_tls_is_recognised_as_one() {
        let mysql = |flags: u8, length: usize| [&[32, 0, 0, 1, 0, flags][..], &vec![0; length - 6]].concat();
        for bytes in [&[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f][..], &mysql(0x0a, 36), b"STARTTLS\r\n", b"starttls\r\n"] {
            assert!(asks_for_tls(bytes), "{bytes:?}");
        }
        for bytes in [
            &[][..],
            &[0, 0, 0, 8, 4, 0xd2, 0x16, 0x30],
            &[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f, 0],
            &mysql(0x02, 36),
            &mysql(0x0a, 37),
            b"STARTTLS\r\nUSER a\r\n",
            b"GET / HTTP/1.0\r\n\r\n",
        ] {
            assert!(!asks_for_tls(bytes), "{bytes:?}");
        }
    }
}
