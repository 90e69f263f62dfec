//! A session with a server: statements and their results.

use database_client::Stream;
use osiris_sdk::tcp::Connection;
use osiris_sdk::{Error, Result};

use crate::login::{self, Session};
use crate::types::Definition;
use crate::wire::{Fields, Wire, malformed};
use crate::{Config, Login, MYSQL, ServerError};

/// A logged-in connection. Dropping it ends the session, which rolls back an open transaction and drops temporary
/// tables.
pub struct Client<S> {
    pub(crate) wire: Wire<S>,
    session: Session,
}

/// The rows of a small query, with every value as text.
pub type Rows = Vec<Vec<Option<String>>>;

/// A SELECT that the server has prepared.
#[derive(Debug)]
pub struct Statement {
    id: u32,
    pub columns: Vec<Definition>,
}

/// The result of a statement without rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    pub rows: u64,
    pub warnings: u16,
}

/// How many bytes of LOAD DATA LOCAL are in one packet.
const LOAD_PACKET: usize = 1 << 20;

/// Whether the server may request data by LOAD DATA LOCAL; it gets data from the driver, never a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalFiles {
    Refused,
    Given,
}

/// Connects and logs in.
///
/// # Errors
/// `config` if something is missing, `auth`, `transient`, `timeout`; each names the server.
pub fn connect(config: &Config, files: LocalFiles) -> Result<Client<Connection>> {
    config.begin(MYSQL, |stream, login| {
        let mut client = Client::start(stream, login, files)?;
        client.prepare_session()?;
        Ok(client)
    })
}

impl database_client::Session for Client<Connection> {
    fn connection(&self) -> &Connection {
        &self.wire.stream
    }
}

impl<S: Stream> Client<S> {
    /// Starts a session on a fresh stream.
    ///
    /// # Errors
    /// `auth` if the login or TLS fails, `not-found` for a database that does not exist.
    pub fn start(stream: S, login: &Login, files: LocalFiles) -> Result<Self> {
        let mut wire = Wire::new(stream);
        let session = login::log_in(&mut wire, login, files)?;
        Ok(Self { wire, session })
    }

    /// Sets up the session: text as UTF-8, timestamps as UTC, a server that waits for a slow reader, and no session
    /// default that truncates rows or values.
    ///
    /// # Errors
    /// The server's error.
    /// The server's error.
    pub fn prepare_session(&mut self) -> Result<()> {
        self.execute("set names utf8mb4")?;
        self.execute(
            "set session time_zone = '+00:00', session net_write_timeout = 600, session net_read_timeout = 600, \
             session sql_select_limit = 18446744073709551615, session group_concat_max_len = 1073741824, \
             session sql_auto_is_null = 0",
        )?;
        Ok(())
    }

    /// The server's version, such as `10.11.6-MariaDB-0+deb12u1`.
    pub fn version(&self) -> &str {
        &self.session.version
    }

    pub fn is_mariadb(&self) -> bool {
        self.session.version.contains("MariaDB")
    }

    /// The server's version and the connection's encryption, for messages.
    pub fn describe_server(&self) -> String {
        let product = if self.is_mariadb() { "MariaDB" } else { "MySQL" };
        let encrypted = if self.session.encrypted { "over TLS" } else { "not encrypted" };
        format!("{product} {}, {encrypted}", self.version())
    }

    fn command(&mut self, command: u8, body: &[u8]) -> Result<()> {
        self.wire.begin();
        let mut message = Vec::with_capacity(body.len() + 1);
        message.push(command);
        message.extend_from_slice(body);
        self.wire.send(&message)
    }

    /// Runs a statement that returns no rows.
    ///
    /// # Errors
    /// The server's error.
    pub fn execute(&mut self, sql: &str) -> Result<Done> {
        self.execute_bytes(sql.as_bytes())
    }

    /// Runs a statement, which may contain any bytes, that returns no rows.
    ///
    /// # Errors
    /// The server's error.
    pub fn execute_bytes(&mut self, sql: &[u8]) -> Result<Done> {
        self.command(3, sql)?;
        match self.answer()? {
            Answer::Done(done) => Ok(done),
            Answer::Rows(columns) => {
                self.definitions(columns, true)?;
                while self.next_message()?.is_some() {}
                Ok(Done { rows: 0, warnings: 0 })
            }
        }
    }

    /// Like [`execute`](Self::execute), but returns the server's refusal unchanged, so that the caller can use its
    /// number.
    ///
    /// # Errors
    /// Errors of the connection.
    pub fn try_execute(&mut self, sql: &str) -> Result<Result<Done, ServerError>> {
        self.command(3, sql.as_bytes())?;
        let message = self.wire.receive()?;
        match message.first() {
            Some(0) => Ok(Ok(done(message)?)),
            Some(0xff) => Ok(Err(ServerError::parse(message))),
            _ => Err(malformed("it answers with rows where a statement returns none")),
        }
    }

    /// Runs one statement and returns its rows as text: for catalogs and other small results.
    ///
    /// # Errors
    /// The server's error.
    pub fn query(&mut self, sql: &str) -> Result<Rows> {
        self.command(3, sql.as_bytes())?;
        let Answer::Rows(columns) = self.answer()? else { return Ok(Rows::new()) };
        self.definitions(columns, true)?;
        let mut rows = Rows::new();
        while let Some(row) = self.next_message()? {
            let mut fields = Fields(row);
            let row = (0..columns).map(|_| {
                if fields.0.first() == Some(&0xfb) {
                    fields.byte()?;
                    return Ok(None);
                }
                Ok(Some(String::from_utf8_lossy(fields.run()?).into_owned()))
            });
            rows.push(row.collect::<Result<_>>()?);
        }
        Ok(rows)
    }

    /// The first value of the first row.
    ///
    /// # Errors
    /// The server's error.
    pub fn value(&mut self, sql: &str) -> Result<Option<String>> {
        Ok(self.query(sql)?.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    /// Prepares a statement; the server describes its columns.
    ///
    /// # Errors
    /// The server's error; `config` for a statement with placeholders.
    pub fn prepare(&mut self, sql: &str) -> Result<Statement> {
        self.try_prepare(sql)?.map_err(Into::into)
    }

    /// Like [`prepare`](Self::prepare), but returns the server's refusal unchanged, so that the caller can show its place
    /// in the statement.
    ///
    /// # Errors
    /// Errors of the connection; `config` for a statement with placeholders.
    pub fn try_prepare(&mut self, sql: &str) -> Result<Result<Statement, ServerError>> {
        self.command(0x16, sql.as_bytes())?;
        let message = self.wire.receive()?;
        if message.first() == Some(&0xff) {
            return Ok(Err(ServerError::parse(message)));
        }
        let mut fields = Fields(message);
        fields.byte()?;
        let (id, columns, parameters) = (fields.u32()?, fields.u16()?, fields.u16()?);
        self.definitions(parameters.into(), false)?;
        let columns = self.definitions(columns.into(), false)?;
        if parameters > 0 {
            return Err(Error::config("the statement has placeholders (`?`), which nothing fills"));
        }
        Ok(Ok(Statement { id, columns }))
    }

    /// Runs a prepared SELECT; all its rows must be read with [`next_row`](Self::next_row).
    ///
    /// # Errors
    /// The server's error; `transient` if the columns differ from those that were described.
    pub fn open(&mut self, statement: &Statement) -> Result<()> {
        let mut body = statement.id.to_le_bytes().to_vec();
        body.extend_from_slice(&[0, 1, 0, 0, 0]);
        self.command(0x17, &body)?;
        let Answer::Rows(columns) = self.answer()? else {
            return Err(Error::config("the statement gives no rows"));
        };
        let columns = self.definitions(columns, true)?;
        if !columns.iter().map(Definition::shape).eq(statement.columns.iter().map(Definition::shape)) {
            return Err(Error::new(
                osiris_sdk::ErrorKind::Transient,
                "the columns changed while they were about to be read",
            ));
        }
        Ok(())
    }

    /// The next row in the binary format: a bitmap of nulls, then the values. `None` after the last.
    ///
    /// # Errors
    /// The server's error, or `transient` if the connection broke.
    #[inline]
    pub fn next_row(&mut self) -> Result<Option<&[u8]>> {
        match self.next_message()? {
            None => Ok(None),
            Some([0, row @ ..]) => Ok(Some(row)),
            Some(_) => Err(malformed("an invalid row")),
        }
    }

    /// Closes a prepared statement. The server does not reply.
    ///
    /// # Errors
    /// `transient` if the connection broke.
    pub fn close(&mut self, statement: &Statement) -> Result<()> {
        self.command(0x19, &statement.id.to_le_bytes())
    }

    /// Runs `LOAD DATA LOCAL INFILE` and sends the server what `more` appends until it returns false. `None` if the
    /// server does not accept local data.
    ///
    /// # Errors
    /// The errors of the server and of `more`. After an error of `more` the connection cannot be used.
    pub fn load(&mut self, sql: &str, mut more: impl FnMut(&mut Vec<u8>) -> Result<bool>) -> Result<Done> {
        self.command(3, sql.as_bytes())?;
        if self.wire.receive_answer()?.first() != Some(&0xfb) {
            return Err(malformed("LOAD DATA LOCAL asks for no data"));
        }
        let mut waiting = Vec::new();
        while more(&mut waiting)? {
            let mut sent = 0;
            while waiting.len() - sent >= LOAD_PACKET {
                self.wire.send(&waiting[sent..sent + LOAD_PACKET])?;
                sent += LOAD_PACKET;
            }
            waiting.drain(..sent);
        }
        for packet in waiting.chunks(LOAD_PACKET) {
            self.wire.send(packet)?;
        }
        self.wire.send(&[])?;
        done(self.wire.receive_answer()?)
    }

    /// The start of a response.
    fn answer(&mut self) -> Result<Answer> {
        let message = self.wire.receive_answer()?;
        match message.first() {
            Some(0) => Ok(Answer::Done(done(message)?)),
            Some(0xfb) => {
                // No statement asked to load data; a server that requests it anyway is after a file.
                self.wire.send(&[])?;
                Err(malformed("it asks for a file that no statement offered"))
            }
            _ => Ok(Answer::Rows(usize::try_from(Fields(message).length()?).unwrap_or(usize::MAX))),
        }
    }

    fn definitions(&mut self, count: usize, always_ended: bool) -> Result<Vec<Definition>> {
        // MySQL's limit for a table or a SELECT is 4,096.
        if count > 65_535 {
            return Err(malformed("more columns than there can be"));
        }
        let extended = self.session.extended_metadata;
        let mut definitions = Vec::with_capacity(count);
        for _ in 0..count {
            definitions.push(Definition::parse(self.wire.receive_answer()?, extended)?);
        }
        if !self.session.deprecate_eof && (always_ended || count > 0) && self.next_message()?.is_some() {
            return Err(malformed("columns without an end"));
        }
        Ok(definitions)
    }

    /// The next row; `None` for the message that ends them.
    #[inline]
    fn next_message(&mut self) -> Result<Option<&[u8]>> {
        let message = self.wire.receive_answer()?;
        // A row that starts with 0xfe starts with a text of more than 16 MiB.
        Ok(if message.first() == Some(&0xfe) && message.len() < 0xff_ffff { None } else { Some(message) })
    }
}

enum Answer {
    Done(Done),
    Rows(usize),
}

fn done(message: &[u8]) -> Result<Done> {
    let mut fields = Fields(message);
    fields.byte()?;
    let rows = fields.length()?;
    fields.length()?;
    fields.u16()?;
    Ok(Done { rows, warnings: fields.u16()? })
}
