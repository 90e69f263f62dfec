//! COPY in PostgreSQL's binary format, in both directions.

use osiris_sdk::Result;

use crate::wire::{Fields, frame, protocol};
use crate::{Client, ServerError, Stream};

/// The start of a binary COPY: a signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Rows being read.
pub struct CopyOut<'a, S> {
    client: &'a mut Client<S>,
    started: bool,
    ended: bool,
}

impl<'a, S: Stream> CopyOut<'a, S> {
    pub(crate) fn new(client: &'a mut Client<S>) -> Self {
        Self { client, started: false, ended: false }
    }

    /// The next row: for each column a length of four bytes, which is -1 for a null, and the value's bytes. `None`
    /// after the last, once the server has confirmed that the COPY is complete.
    ///
    /// # Errors
    /// The server's error; `transient` if the connection broke.
    pub fn next_row(&mut self, columns: usize) -> Result<Option<&[u8]>> {
        let skip = loop {
            // The body is borrowed again below, once it is known to be a row.
            let Client { wire, .. } = &mut *self.client;
            let message = wire.peek()?;
            match (message.tag, self.ended) {
                (b'd', false) => {
                    let mut body = message.body;
                    let mut skip = 0;
                    if !self.started {
                        body = body.strip_prefix(HEADER).ok_or_else(|| protocol("a COPY without its header"))?;
                        skip = HEADER.len();
                        self.started = true;
                        if body.is_empty() {
                            wire.take();
                            continue;
                        }
                    }
                    match Fields(body).int16()? {
                        -1 => {
                            self.ended = true;
                            wire.take();
                        }
                        count if usize::try_from(count) == Ok(columns) => break skip + 2,
                        _ => return Err(protocol("a COPY row of another width")),
                    }
                }
                (b'c', true) => {
                    wire.take();
                    self.client.rows()?;
                    return Ok(None);
                }
                (b'E', _) => {
                    let error = ServerError::parse(message.body);
                    wire.take();
                    self.client.settle();
                    return Err(error.into());
                }
                _ => return Err(protocol("an unknown message inside a COPY")),
            }
        };
        Ok(Some(&self.client.wire.take()[skip..]))
    }
}

/// Rows being written. If it is dropped without [`finish`](Self::finish), the session must be dropped too.
pub struct CopyIn<'a, S> {
    client: &'a mut Client<S>,
    framed: Vec<u8>,
    /// The number of bytes sent since the last check for an error from the server.
    unwatched: usize,
}

/// How many bytes are sent between two checks for an error from the server.
const WATCH_BYTES: usize = 8 << 20;

impl<'a, S: Stream> CopyIn<'a, S> {
    pub(crate) fn new(client: &'a mut Client<S>) -> Self {
        let mut framed = Vec::new();
        frame(&mut framed, b'd', |body| body.extend_from_slice(HEADER));
        Self { client, framed, unwatched: 0 }
    }

    /// Sends rows: each is a column count of two bytes, followed by each column as in [`CopyOut::next_row`]. `write`
    /// appends them to the message's body.
    ///
    /// # Errors
    /// The error of `write`, `transient` if the connection broke, or the server's reason to abort.
    pub fn send(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        let mut written = Ok(());
        frame(&mut self.framed, b'd', |body| written = write(body));
        written?;
        self.client.wire.send(&self.framed)?;
        self.unwatched += self.framed.len();
        self.framed.clear();
        if self.unwatched >= WATCH_BYTES {
            self.unwatched = 0;
            self.client.wire.look_for_error()?;
        }
        Ok(())
    }

    /// Ends the COPY; returns how many rows the server accepted.
    ///
    /// # Errors
    /// The server's error.
    pub fn finish(mut self) -> Result<u64> {
        frame(&mut self.framed, b'd', |body| body.extend_from_slice(&(-1_i16).to_be_bytes()));
        frame(&mut self.framed, b'c', |_| {});
        self.client.wire.send(&self.framed)?;
        Ok(self.client.rows()?.1)
    }
}
