//! Makes the connections that a step requests: the host resolves the name, checks the address, connects, and passes the
//! stream on.
//!
//! The step process cannot create a socket. It sends a request line over the socket that is its stdin and receives an
//! open stream to an address that was checked here, so no DNS answer can change between the check and the connection.

use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::grants::address;
use crate::grants::endpoint::Endpoint;
use crate::protocol::{Ask, AskAnswer, Reachable, Reply};

/// The longest line that is read, in bytes; a host name has at most 253 characters.
const MAX_LINE: u64 = 1024;

/// The longest time that one connection may take.
const MAX_WAIT: Duration = Duration::from_secs(120);

/// The shortest wait for a look-up, even if the step requests less, so that a look-up is not restarted before it had a
/// fair chance.
const LOOKUP_FLOOR: Duration = Duration::from_secs(5);

/// Answers a step process until it ends, on a separate thread: one connection at a time, and as many as the step's time
/// allows. Returns a flag that is set before the first connection is passed on.
///
/// # Errors
/// If the machine provides no thread or no file for it.
pub fn serve(socket: UnixStream, reachable: Reachable) -> anyhow::Result<Arc<AtomicBool>> {
    let mut lines = BufReader::new(socket.try_clone().context("cannot connect for a step")?);
    let mut resolver = Resolver::new(system_resolve);
    let connected = Arc::new(AtomicBool::new(false));
    let has_connected = Arc::clone(&connected);
    let answering = move || {
        loop {
            let mut line = Vec::new();
            match (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let (number, outcome) = match serde_json::from_slice::<Ask>(&line) {
                Ok(ask) => (ask.number, connect(&ask, &reachable, |host, until| resolver.resolve(host, until))),
                Err(_) => (0, Err(AskAnswer::Denied("the request is malformed".to_owned()))),
            };
            has_connected.fetch_or(outcome.is_ok(), Ordering::SeqCst);
            if answer(&socket, number, outcome).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("broker".to_owned()).spawn(answering).context("cannot connect for a step")?;
    Ok(connected)
}

fn answer(socket: &UnixStream, number: u64, outcome: Result<TcpStream, AskAnswer>) -> std::io::Result<()> {
    let (stream, answer) = match outcome {
        Ok(stream) => (Some(stream), AskAnswer::Connected),
        Err(refused) => (None, refused),
    };
    let mut line = serde_json::to_vec(&Reply { number, answer })?;
    line.push(b'\n');
    let Some(stream) = stream else { return (&*socket).write_all(&line) };
    // The stream is sent with the first byte; the rest of the line follows.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let passed = [stream.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&passed));
    let sent = sendmsg(socket, &[IoSlice::new(&line)], &mut ancillary, SendFlags::NOSIGNAL)?;
    (&*socket).write_all(&line[sent..])
}

/// Resolves the name once, checks the addresses, and connects to one of them.
#[expect(clippy::disallowed_methods, reason = "the one place that connects")]
fn connect(
    ask: &Ask,
    reachable: &Reachable,
    resolve: impl FnOnce(&str, Instant) -> Result<Vec<IpAddr>, AskAnswer>,
) -> Result<TcpStream, AskAnswer> {
    let asked = Endpoint { host: ask.host.clone(), port: ask.port };
    let Some(endpoint) = reachable.endpoints.iter().find(|endpoint| **endpoint == asked) else {
        return Err(AskAnswer::Denied(format!("the step was not granted a connection to `{asked}`")));
    };
    let wait = Duration::from_millis(u64::from(ask.timeout_ms)).min(MAX_WAIT);
    let private = reachable.private_hosts.contains(&endpoint.host);
    let found = match endpoint.host.parse() {
        Ok(address) => vec![address],
        Err(_) => resolve(&endpoint.host, Instant::now() + wait.max(LOOKUP_FLOOR))?,
    };
    let until = Instant::now() + wait;
    let mut refused = AskAnswer::Unreachable(format!("`{}` has no address", endpoint.host));
    for address in found {
        let socket = SocketAddr::new(address, endpoint.port);
        if let Err(why) = address::permit(&endpoint.host, address, private) {
            refused = AskAnswer::Denied(why);
            continue;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(timed_out(endpoint));
        }
        let connected = TcpStream::connect_timeout(&socket, left).and_then(prepare);
        match connected.and_then(|stream| stream.local_addr().map(|own| (stream, own))) {
            Ok((stream, own)) => match address::permit_end(&endpoint.host, own.ip(), socket.ip(), private) {
                Ok(()) => return Ok(stream),
                Err(why) => refused = AskAnswer::Denied(why),
            },
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => refused = timed_out(endpoint),
            Err(error) => refused = AskAnswer::Unreachable(format!("cannot connect to `{endpoint}`: {error}")),
        }
    }
    Err(refused)
}

fn timed_out(endpoint: &Endpoint) -> AskAnswer {
    AskAnswer::TimedOut(format!("`{endpoint}` did not answer in time"))
}

/// Sets what the step process cannot set itself: no blocking in the kernel, no delay of small writes, and probes that
/// detect a peer that has gone.
fn prepare(stream: TcpStream) -> std::io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_keepalive(&stream, true)?;
    Ok(stream)
}

/// Looks up names on a separate thread, one at a time: the C library's resolver has no deadline, and a step that gives
/// up early and asks again must not start another look-up.
struct Resolver {
    look_up: fn(&str) -> std::io::Result<Vec<IpAddr>>,
    /// The thread, once the first name was requested: it receives names and returns each with its addresses.
    thread: Option<(Sender<String>, Receiver<Found>)>,
    /// The name that the thread is looking up.
    pending: Option<String>,
}

type Found = (String, std::io::Result<Vec<IpAddr>>);

#[expect(clippy::disallowed_methods, reason = "the one place that resolves names")]
fn system_resolve(host: &str) -> std::io::Result<Vec<IpAddr>> {
    Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

impl Resolver {
    fn new(look_up: fn(&str) -> std::io::Result<Vec<IpAddr>>) -> Self {
        Self { look_up, thread: None, pending: None }
    }

    /// The addresses of a host. If an earlier request gave up before its answer arrived, this one gets that answer.
    fn resolve(&mut self, host: &str, until: Instant) -> Result<Vec<IpAddr>, AskAnswer> {
        let unreachable = |why: &dyn std::fmt::Display| AskAnswer::Unreachable(format!("cannot find `{host}`: {why}"));
        if self.thread.is_none() {
            self.thread = Some(self.start().map_err(|error| unreachable(&error))?);
        }
        let Some((names, found)) = &self.thread else { return Err(unreachable(&"there is no resolver")) };
        loop {
            if self.pending.is_none() {
                names.send(host.to_owned()).map_err(|_| unreachable(&"the resolver has ended"))?;
                self.pending = Some(host.to_owned());
            }
            match found.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok((name, addresses)) => {
                    self.pending = None;
                    if name == host {
                        return addresses.map_err(|error| unreachable(&error));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(AskAnswer::TimedOut(format!("the address of `{host}` was not found in time")));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(unreachable(&"the resolver has ended")),
            }
        }
    }

    fn start(&self) -> std::io::Result<(Sender<String>, Receiver<Found>)> {
        let (names, asked) = channel::<String>();
        let (tell, found) = channel();
        let look_up = self.look_up;
        std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            for name in asked {
                let addresses = look_up(&name);
                if tell.send((name, addresses)).is_err() {
                    return;
                }
            }
        })?;
        Ok((names, found))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, clippy::unwrap_used)]
    use super::*;
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn ask(host: &str, port: u16, reachable: &Reachable) -> Result<TcpStream, AskAnswer> {
        let mut resolver = Resolver::new(system_resolve);
        let ask = Ask { number: 1, host: host.to_owned(), port, timeout_ms: 5000 };
        connect(&ask, reachable, |host, until| resolver.resolve(host, until))
    }

    #[test]
    fn a_dns_answer_that_changes_after_the_check_has_no_effect() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ask = Ask { number: 1, host: "rebind.example".to_owned(), port, timeout_ms: 1000 };
        let endpoint = Endpoint { host: ask.host.clone(), port };
        let reachable = |private: bool| Reachable {
            endpoints: vec![endpoint.clone()],
            private_hosts: private.then(|| ask.host.clone()).into_iter().collect(),
        };
        // The first answer for the name, and the answer to a second look-up.
        let answers = std::cell::RefCell::new(vec!["169.254.169.254", "127.0.0.1"]);
        let next = |_: &str, _: Instant| Ok(vec![answers.borrow_mut().pop().unwrap().parse().unwrap()]);
        let stream = connect(&ask, &reachable(true), next).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
        assert!(matches!(connect(&ask, &reachable(true), next), Err(AskAnswer::Denied(_))));
        answers.borrow_mut().push("127.0.0.1");
        assert!(matches!(connect(&ask, &reachable(false), next), Err(AskAnswer::Denied(_))));
    }

    #[test]
    fn a_step_reaches_what_it_was_granted_and_nothing_else() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let reachable = |host: &str, private: &[&str]| Reachable {
            endpoints: vec![Endpoint { host: host.to_owned(), port }],
            private_hosts: private.iter().map(|host| (*host).to_owned()).collect(),
        };
        assert!(ask("127.0.0.1", port, &reachable("127.0.0.1", &[])).is_ok());
        assert!(ask("localhost", port, &reachable("localhost", &[])).is_ok());
        for (host, port) in [("localhost", port), ("127.0.0.1", port ^ 1), ("127.0.0.2", port), ("", port)] {
            let refused = ask(host, port, &reachable("127.0.0.1", &[])).unwrap_err();
            assert!(matches!(refused, AskAnswer::Denied(_)), "{host}:{port} {refused:?}");
        }
        // The machine's own name resolves to the machine itself, which a grant of the name alone does not cover.
        if let Ok(name) = std::fs::read_to_string("/etc/hostname")
            && let Ok(addresses) = (name.trim(), port).to_socket_addrs()
            && addresses.into_iter().all(|found| address::zone(found.ip()) != address::Zone::Public)
        {
            assert!(matches!(ask(name.trim(), port, &reachable(name.trim(), &[])), Err(AskAnswer::Denied(_))));
        }
    }

    #[test]
    fn a_step_may_request_as_many_connections_as_its_time_allows() {
        let (step, host) = UnixStream::pair().unwrap();
        serve(host, Reachable::default()).unwrap();
        let (mut lines, mut asking) = (BufReader::new(step.try_clone().unwrap()), step);
        let mut line = String::new();
        for _ in 0..100_001 {
            asking.write_all(b"\n").unwrap();
            line.clear();
            lines.read_line(&mut line).unwrap();
        }
        assert!(line.contains("malformed"), "{line}");
    }

    #[test]
    fn a_request_gets_the_answer_that_an_earlier_one_did_not_wait_for_without_another_look_up() {
        static LOOK_UPS: AtomicU64 = AtomicU64::new(0);
        fn slow(host: &str) -> std::io::Result<Vec<IpAddr>> {
            LOOK_UPS.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(300));
            Ok(vec![IpAddr::from([1, 2, 3, u8::try_from(host.len()).unwrap()])])
        }
        let mut resolver = Resolver::new(slow);
        let mut ask = |host: &str, wait: u64| resolver.resolve(host, Instant::now() + Duration::from_millis(wait));
        for _ in 0..1000 {
            assert!(matches!(ask("a.example", 0), Err(AskAnswer::TimedOut(_))));
        }
        // The thread may not have started yet.
        assert!(LOOK_UPS.load(Ordering::SeqCst) <= 1);
        assert_eq!(ask("longer.example", 10_000), Ok(vec![IpAddr::from([1, 2, 3, 14])]), "another name waits its turn");
        assert_eq!(ask("a.example", 10_000), Ok(vec![IpAddr::from([1, 2, 3, 9])]));
        assert_eq!(LOOK_UPS.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn an_endpoint_without_a_listener_is_reported() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let reachable =
            Reachable { endpoints: vec![Endpoint { host: "127.0.0.1".to_owned(), port }], ..Reachable::default() };
        assert!(matches!(ask("127.0.0.1", port, &reachable), Err(AskAnswer::Unreachable(_))));
    }
}
