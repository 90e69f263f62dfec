//! HTTP connections that the requests of one step reuse, to avoid a handshake for each request.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::client::conn::http1::SendRequest;
use wasmtime_wasi::runtime::AbortOnDropJoinHandle;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::grants::endpoint::Endpoint;

/// How long a connection may be idle before it is closed.
const MAX_IDLE: Duration = Duration::from_secs(30);

/// How many connections may be idle.
const MOST_IDLE: usize = 8;

/// How long to wait for a connection whose response was just read to become free.
const SETTLE: Duration = Duration::from_millis(5);

/// An open connection, which ends when this is dropped.
pub struct Pooled {
    pub endpoint: Endpoint,
    pub encrypted: bool,
    pub sender: SendRequest<WasiBody>,
    /// Drives the connection until it is dropped.
    pub _worker: AbortOnDropJoinHandle<Result<(), hyper::Error>>,
    pub used: Instant,
}

/// The connections of a step.
#[derive(Default)]
pub struct Pool {
    connections: Mutex<Vec<Pooled>>,
}

impl Pool {
    /// An idle connection to that endpoint, if there is one.
    pub async fn take(&self, endpoint: &Endpoint, encrypted: bool) -> Option<Pooled> {
        let mut found = {
            let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
            sweep(&mut connections);
            let here = |one: &Pooled| one.encrypted == encrypted && one.endpoint == *endpoint;
            let ready = connections.iter().rposition(|one| here(one) && one.sender.is_ready());
            let place = ready.or_else(|| connections.iter().rposition(here))?;
            connections.remove(place)
        };
        match tokio::time::timeout(SETTLE, found.sender.ready()).await {
            Ok(Ok(())) => Some(found),
            Ok(Err(_)) => None,
            // The response is still being read.
            Err(_) => {
                self.put(found);
                None
            }
        }
    }

    /// Returns a connection to the pool; if its response is still being read, it is reused once that has ended.
    pub fn put(&self, connection: Pooled) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.push(connection);
        sweep(&mut connections);
    }

    /// Closes every connection except those from which a response is being read.
    pub fn close_idle(&self) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|one| !one.sender.is_closed() && !one.sender.is_ready());
    }
}

/// Closes connections that were idle for too long or that the server has closed.
fn sweep(connections: &mut Vec<Pooled>) {
    let is_over = |one: &Pooled| one.sender.is_closed() || one.sender.is_ready() && one.used.elapsed() > MAX_IDLE;
    connections.retain(|one| !is_over(one));
    while connections.iter().filter(|one| one.sender.is_ready()).count() > MOST_IDLE {
        let oldest = connections.iter().position(|one| one.sender.is_ready());
        oldest.map(|oldest| connections.remove(oldest));
    }
}

/// How much of a request's body has been sent.
#[derive(Debug)]
pub struct Progress {
    last: Instant,
    /// Whether the guest has yet to write more of it, so that the server cannot have all of it.
    waits_for_guest: bool,
}

impl Progress {
    /// When the server will have been silent for `wait`. While the guest is to send more, the server has nothing to accept.
    fn due(&self, now: Instant, wait: Duration) -> Instant {
        if self.waits_for_guest { now + wait } else { self.last + wait }
    }
}

/// A request's body that records how much of it has been sent.
pub struct Upload {
    body: WasiBody,
    progress: Arc<Mutex<Progress>>,
}

impl Upload {
    pub fn new(body: WasiBody) -> (Self, Arc<Mutex<Progress>>) {
        let progress = Arc::new(Mutex::new(Progress { last: Instant::now(), waits_for_guest: false }));
        (Self { body, progress: Arc::clone(&progress) }, progress)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let part = Pin::new(&mut self.body).poll_frame(context);
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        *progress = Progress { last: Instant::now(), waits_for_guest: part.is_pending() };
        drop(progress);
        part
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// Completes once the server has neither accepted part of the body nor responded for `wait`. The time that a large body
/// takes over a slow line does not count as silence.
pub async fn silence(progress: Arc<Mutex<Progress>>, wait: Duration) {
    loop {
        let due = progress.lock().unwrap_or_else(PoisonError::into_inner).due(Instant::now(), wait);
        if due <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(due.into()).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http_body_util::BodyExt;

    /// A body with this many available parts, after which the guest has to send more.
    struct Parts(usize);

    impl Body for Parts {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            let Some(left) = self.0.checked_sub(1) else { return Poll::Pending };
            self.0 = left;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    #[test]
    fn a_body_being_sent_is_not_silence() {
        let wait = Duration::from_secs(3600);
        let (mut upload, progress) = Upload::new(Parts(1).boxed_unsync());
        let is_silent = || progress.lock().unwrap().due(Instant::now(), wait) <= Instant::now();
        let make_old = || progress.lock().unwrap().last -= wait;
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(!is_silent());
        make_old();
        assert!(is_silent());
        assert!(Pin::new(&mut upload).poll_frame(&mut context).is_ready());
        assert!(!is_silent(), "the server accepted a part");
        assert!(Pin::new(&mut upload).poll_frame(&mut context).is_pending());
        make_old();
        assert!(!is_silent(), "the guest has to send more");
    }
}
