//! A session with a server: statements and their results.

use database_client::Session;
use osiris_sdk::Result;
use osiris_sdk::tcp::Connection;

use crate::copy::{CopyIn, CopyOut};
use crate::wire::{Fields, Wire, frame, protocol, refuse_nul, text};
use crate::{Config, Login, POSTGRESQL, ServerError, Stream, login};

/// A logged-in connection. Dropping it ends the session, which rolls back an open transaction.
pub struct Client<S> {
    pub(crate) wire: Wire<S>,
    version: String,
}

/// The rows of a small query, with every value as text.
pub type Rows = Vec<Vec<Option<String>>>;

/// A column in the result of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub name: String,
    /// The table that it comes from and its position there; zeros for a computed column.
    pub table: u32,
    pub attribute: i16,
    pub type_oid: u32,
    pub modifier: i32,
}

/// Connects and logs in.
///
/// # Errors
/// `config` if something is missing, `auth`, `transient`, `timeout`; each names the server.
pub fn connect(config: &Config) -> Result<Client<Connection>> {
    config.begin(POSTGRESQL, Client::start)
}

impl Session for Client<Connection> {
    fn connection(&self) -> &Connection {
        &self.wire.stream
    }
}

impl<S: Stream> Client<S> {
    /// Starts a session on a fresh stream.
    ///
    /// # Errors
    /// `auth` if the login or TLS fails, `not-found` for a database that does not exist.
    pub fn start(stream: S, login: &Login) -> Result<Self> {
        let mut wire = Wire::new(stream);
        let version = login::log_in(&mut wire, login)?;
        Ok(Self { wire, version })
    }

    /// The server's version, such as `15.4 (Debian 15.4-1)`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The server's version and the connection's encryption, for messages.
    pub fn describe_server(&self) -> String {
        let encrypted = if self.wire.stream.server_end_point().is_some() { "over TLS" } else { "not encrypted" };
        format!("PostgreSQL {}, {encrypted}", self.version)
    }

    /// Runs statements and returns how many rows the last one affected.
    ///
    /// # Errors
    /// The server's error.
    pub fn execute(&mut self, sql: &str) -> Result<u64> {
        self.run(sql).map(|(_, count)| count)
    }

    /// Like [`execute`](Self::execute), but returns the server's refusal unchanged, so that the caller can use its
    /// code.
    ///
    /// # Errors
    /// Errors of the connection.
    pub fn try_execute(&mut self, sql: &str) -> Result<Result<u64, ServerError>> {
        self.ask(sql)?;
        Ok(self.answer()?.map(|(_, count)| count))
    }

    /// Runs one statement and returns its rows as text: for catalogs and other small results.
    ///
    /// # Errors
    /// The server's error.
    pub fn query(&mut self, sql: &str) -> Result<Rows> {
        self.run(sql).map(|(rows, _)| rows)
    }

    /// The first value of the first row.
    ///
    /// # Errors
    /// The server's error.
    pub fn value(&mut self, sql: &str) -> Result<Option<String>> {
        Ok(self.query(sql)?.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    fn run(&mut self, sql: &str) -> Result<(Rows, u64)> {
        self.ask(sql)?;
        self.rows()
    }

    fn ask(&mut self, sql: &str) -> Result<()> {
        refuse_nul(sql)?;
        let mut bytes = Vec::with_capacity(sql.len() + 8);
        frame(&mut bytes, b'Q', |body| text(body, sql));
        self.wire.send(&bytes)
    }

    /// Runs one statement with parameters, which are sent as text for the server to convert to their types.
    ///
    /// # Errors
    /// The server's error.
    pub fn query_with(&mut self, sql: &str, parameters: &[Option<&str>]) -> Result<Rows> {
        refuse_nul(sql)?;
        let mut bytes = Vec::with_capacity(sql.len() + 64);
        frame(&mut bytes, b'P', |body| {
            text(body, "");
            text(body, sql);
            body.extend_from_slice(&0_i16.to_be_bytes());
        });
        frame(&mut bytes, b'B', |body| {
            text(body, "");
            text(body, "");
            body.extend_from_slice(&0_i16.to_be_bytes());
            body.extend_from_slice(&(parameters.len() as u16).to_be_bytes());
            for parameter in parameters {
                match parameter {
                    None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
                    Some(value) => {
                        body.extend_from_slice(&(value.len() as u32).to_be_bytes());
                        body.extend_from_slice(value.as_bytes());
                    }
                }
            }
            body.extend_from_slice(&0_i16.to_be_bytes());
        });
        frame(&mut bytes, b'E', |body| {
            text(body, "");
            body.extend_from_slice(&0_i32.to_be_bytes());
        });
        frame(&mut bytes, b'S', |_| {});
        self.wire.send(&bytes)?;
        Ok(self.rows()?.0)
    }

    /// The columns that a statement would return, without running it; none for a statement without a result. The server's
    /// refusal is returned unchanged, so that the caller can show its place in the statement.
    ///
    /// # Errors
    /// Errors of the connection.
    pub fn describe(&mut self, sql: &str) -> Result<Result<Vec<Described>, ServerError>> {
        refuse_nul(sql)?;
        let mut bytes = Vec::with_capacity(sql.len() + 32);
        frame(&mut bytes, b'P', |body| {
            text(body, "");
            text(body, sql);
            body.extend_from_slice(&0_i16.to_be_bytes());
        });
        frame(&mut bytes, b'D', |body| {
            body.push(b'S');
            text(body, "");
        });
        frame(&mut bytes, b'S', |_| {});
        self.wire.send(&bytes)?;
        let mut columns = Vec::new();
        let mut refused = None;
        loop {
            let message = self.wire.message()?;
            match message.tag {
                b'T' => columns = described(message.body)?,
                b'E' => refused = Some(ServerError::parse(message.body)),
                b'Z' => break,
                _ => {}
            }
        }
        Ok(refused.map_or(Ok(columns), Err))
    }

    /// Starts `COPY ... TO STDOUT`.
    ///
    /// # Errors
    /// The server's error.
    pub fn copy_out(&mut self, sql: &str) -> Result<CopyOut<'_, S>> {
        self.start_copy(sql, b'H')?;
        Ok(CopyOut::new(self))
    }

    /// Starts `COPY ... FROM STDIN`.
    ///
    /// # Errors
    /// The server's error.
    pub fn copy_in(&mut self, sql: &str) -> Result<CopyIn<'_, S>> {
        self.start_copy(sql, b'G')?;
        Ok(CopyIn::new(self))
    }

    fn start_copy(&mut self, sql: &str, wanted: u8) -> Result<()> {
        self.ask(sql)?;
        let message = self.wire.message()?;
        match message.tag {
            tag if tag == wanted => Ok(()),
            b'E' => {
                let error = ServerError::parse(message.body);
                self.settle();
                Err(error.into())
            }
            _ => Err(protocol("no COPY where one was asked for")),
        }
    }

    /// Reads until the server is ready again, after an error that has already been received.
    pub(crate) fn settle(&mut self) {
        while self.wire.message().is_ok_and(|message| message.tag != b'Z') {}
    }

    /// The rest of a statement's response: its rows, if any, and the count of the last statement.
    pub(crate) fn rows(&mut self) -> Result<(Rows, u64)> {
        self.answer()?.map_err(Into::into)
    }

    fn answer(&mut self) -> Result<Result<(Rows, u64), ServerError>> {
        let (mut rows, mut count) = (Vec::new(), 0);
        loop {
            let message = self.wire.message()?;
            match message.tag {
                b'D' => rows.push(data_row(message.body)?),
                b'C' => count = completed(message.body)?,
                b'E' => {
                    let error = ServerError::parse(message.body);
                    self.settle();
                    return Ok(Err(error));
                }
                b'Z' => return Ok(Ok((rows, count))),
                _ => {}
            }
        }
    }
}

fn described(body: &[u8]) -> Result<Vec<Described>> {
    let mut fields = Fields(body);
    (0..fields.int16()?)
        .map(|_| {
            let (name, table, attribute) = (fields.text()?, fields.uint32()?, fields.int16()?);
            let (type_oid, _, modifier, _) = (fields.uint32()?, fields.int16()?, fields.int32()?, fields.int16()?);
            Ok(Described { name, table, attribute, type_oid, modifier })
        })
        .collect()
}

fn data_row(body: &[u8]) -> Result<Vec<Option<String>>> {
    let mut fields = Fields(body);
    (0..fields.int16()?).map(|_| Ok(fields.value()?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))).collect()
}

/// The count at the end of a command's tag: `INSERT 0 12`, `COPY 5`.
fn completed(body: &[u8]) -> Result<u64> {
    let tag = Fields(body).text()?;
    Ok(tag.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0))
}
