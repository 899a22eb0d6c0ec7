//! A connection to PostgreSQL on which much is asked at once.
//!
//! Everything up to one `Sync` is one flush: one write, and one answer that the server sends together. After an error it
//! skips what is left, so nothing asked after a statement happens if that fails. Source: PostgreSQL documentation,
//! "Message Flow", "Pipelining". The driver's client has a `Sync` after each statement, which costs a send and a wake-up
//! on either side; it only makes the connection.

pub(crate) mod failure;
mod output;
pub(crate) mod row;
pub(crate) mod stream;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::FutureExt;
use postgres_protocol::message::backend::{Header, Message};
use postgres_protocol::message::frontend;
use rustls::ClientConfig;
use tokio::io::AsyncReadExt;
use tokio::task::unconstrained;
use tokio_postgres::{CancelToken, Config, NoTls};

use crate::render::Sql;
pub(crate) use failure::Failure;
use output::Output;
pub(crate) use row::Row;
use stream::Stream;

/// Bytes to read at least at once.
const READ: usize = 8 * 1024;
/// A buffer that grew beyond this is given back after use. In bytes.
const KEPT: usize = 64 * 1024;

/// What PostgreSQL says of a statement that it should know and does not, or should not and does.
const UNKNOWN_STATEMENTS: [&str; 2] = ["26000", "42P05"];

/// How a statement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It is read and forgotten.
    Once,
    /// It is read and kept under this number.
    Kept(u32),
    /// It was read before and is kept under this number.
    Known(u32),
}

/// A connection.
pub(crate) struct Wire {
    stream: Stream,
    cancel: CancelToken,
    input: BytesMut,
    output: Output,
    /// Commands that the server keeps, by their text.
    commands: HashMap<&'static str, u32>,
    /// Numbers that were given.
    given: u32,
    /// Statements that the server is to forget, with the next flush.
    closing: Vec<u32>,
    /// How many of them it was told of.
    told: usize,
    /// Whether answers are still to come, or nobody knows.
    broken: bool,
    /// Whether the server knows other statements than it should, as after `DEALLOCATE ALL`: it must not serve others.
    doomed: bool,
}

impl Wire {
    /// Connects. The driver does the handshake; then the stream is ours.
    ///
    /// Errors: nobody there, or no entry.
    pub(crate) async fn connect(config: &Config, tls: Option<&Arc<ClientConfig>>) -> Result<Wire, Failure> {
        let mut stream = Stream::connect(config, tls).await?;
        let mut config = config.clone();
        config.ssl_mode(tokio_postgres::config::SslMode::Disable);
        let (client, connection) =
            config.connect_raw(&mut stream, NoTls).await.map_err(Failure::Handshake)?;
        let cancel = client.cancel_token();
        // never polled, so neither says good-bye
        drop((client, connection));
        Ok(Wire {
            stream,
            cancel,
            input: BytesMut::new(),
            output: Output::default(),
            commands: HashMap::new(),
            given: 0,
            closing: Vec::new(),
            told: 0,
            broken: false,
            doomed: false,
        })
    }

    /// What asks the server to give up what this connection is doing.
    pub(crate) fn cancel(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// A number for a statement to keep.
    pub(crate) fn number(&mut self) -> u32 {
        self.given += 1;
        self.given
    }

    /// Forgets a kept statement, with the next flush.
    pub(crate) fn forget(&mut self, number: u32) {
        self.closing.push(number);
    }

    /// Whether it is still there, as far as can be known without asking.
    pub(crate) fn is_open(&mut self) -> bool {
        loop {
            if self.broken || self.doomed || !self.is_calm() {
                return false;
            }
            self.input.reserve(READ);
            // a task that has used up its turn would be told to wait, whatever there is
            match unconstrained(self.stream.read_buf(&mut self.input)).now_or_never() {
                None => return true,
                Some(Ok(1..)) => {}
                Some(Ok(0) | Err(_)) => self.broken = true,
            }
        }
    }

    /// Whether nothing was said unasked but notices: an error is a farewell.
    fn is_calm(&mut self) -> bool {
        loop {
            match Message::parse(&mut self.input) {
                Ok(None) => return true,
                Ok(Some(message)) if is_unasked(&message) => {}
                Ok(Some(_)) | Err(_) => return false,
            }
        }
    }

    /// Begins a flush.
    pub(crate) fn ask(&mut self) -> Flush<'_> {
        Flush { wire: self, asked: 0, commands: Vec::new(), failed: None }
    }

    async fn message(&mut self) -> Result<Message, Failure> {
        loop {
            if let Some(message) = Message::parse(&mut self.input)? {
                if is_unasked(&message) {
                    continue;
                }
                return Ok(message);
            }
            let whole = Header::parse(&self.input)?.map_or(0, |header| header.len() as usize + 1);
            self.input.reserve(whole.saturating_sub(self.input.len()).max(READ));
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(Failure::ended());
            }
        }
    }
}

fn is_unasked(message: &Message) -> bool {
    matches!(
        message,
        Message::NoticeResponse(_) | Message::ParameterStatus(_) | Message::NotificationResponse(_)
    )
}

fn name(number: u32) -> String {
    number.to_string()
}

/// What is asked together.
pub(crate) struct Flush<'w> {
    wire: &'w mut Wire,
    /// How many statements.
    asked: usize,
    /// Commands that are read for the first time.
    commands: Vec<&'static str>,
    failed: Option<Failure>,
}

impl<'w> Flush<'w> {
    /// Commands without values, one after the other.
    pub(crate) fn commands(&mut self, commands: &[&'static str]) -> &mut Self {
        for command in commands {
            let reading = match self.wire.commands.get(command) {
                Some(number) => Reading::Known(*number),
                None => {
                    let number = self.wire.number();
                    self.wire.commands.insert(command, number);
                    self.commands.push(command);
                    Reading::Kept(number)
                }
            };
            self.statement(&Sql::fixed(command, Vec::new()), reading);
        }
        self
    }

    /// A statement with its values.
    pub(crate) fn statement(&mut self, sql: &Sql, reading: Reading) -> &mut Self {
        if let Err(failure) = self.add(sql, reading) {
            self.failed.get_or_insert(failure);
        }
        self
    }

    fn add(&mut self, sql: &Sql, reading: Reading) -> Result<(), Failure> {
        let output = &mut self.wire.output;
        let name = match reading {
            Reading::Once => String::new(),
            Reading::Kept(number) | Reading::Known(number) => name(number),
        };
        if !matches!(reading, Reading::Known(_)) {
            frontend::parse(&name, sql.text(), [], &mut output.small)?;
        }
        output.bind(&name, sql.values())?;
        frontend::execute("", 0, &mut output.small)?;
        self.asked += 1;
        Ok(())
    }

    /// Sends all, and waits for all answers: the rows of each statement.
    ///
    /// Errors: the first. The server did nothing of what was asked after it.
    pub(crate) async fn answers(self) -> Result<Vec<Vec<Row>>, Failure> {
        let asked = self.asked;
        let mut answers = self.send().await?;
        let mut all = Vec::with_capacity(asked);
        while answers.left > 0 {
            all.push(answers.rows().await?);
        }
        answers.end().await?;
        Ok(all)
    }

    /// Sends all; the answers are yet to be read.
    pub(crate) async fn send(self) -> Result<Answers<'w>, Failure> {
        let Flush { wire, asked, commands, failed } = self;
        // whoever asks while answers are to come would take them for theirs
        let failed = failed.or_else(|| wire.broken.then(Failure::ended));
        if let Some(failure) = failed {
            wire.output.clear();
            wire.unread(&commands);
            return Err(failure);
        }
        for number in &wire.closing {
            frontend::close(b'S', &name(*number), &mut wire.output.small)?;
        }
        wire.told = wire.closing.len();
        frontend::sync(&mut wire.output.small);
        // until the last answer is read, nobody else may ask
        wire.broken = true;
        let Wire { output, stream, .. } = wire;
        output.send(stream).await?;
        if wire.output.small.capacity() > KEPT {
            wire.output.small = BytesMut::new();
        }
        Ok(Answers { wire, left: asked, commands })
    }
}

impl Wire {
    /// Takes back that commands are known: nobody can say whether the server came to read them.
    fn unread(&mut self, commands: &[&'static str]) {
        for command in commands {
            if let Some(number) = self.commands.remove(command) {
                self.forget(number);
            }
        }
    }
}

/// Answers that are read on later.
pub(crate) struct Paused {
    left: usize,
    commands: Vec<&'static str>,
}

impl Wire {
    /// Reads on.
    pub(crate) fn resume(&mut self, paused: Paused) -> Answers<'_> {
        let Paused { left, commands } = paused;
        Answers { wire: self, left, commands }
    }
}

/// Answers on their way.
pub(crate) struct Answers<'w> {
    wire: &'w mut Wire,
    /// Statements whose answer has not ended yet.
    pub(crate) left: usize,
    commands: Vec<&'static str>,
}

impl Answers<'_> {
    /// The next row of the statement that is being answered; `None` at its end.
    ///
    /// Errors: what PostgreSQL says; then it has skipped the rest.
    pub(crate) async fn next(&mut self) -> Result<Option<Row>, Failure> {
        loop {
            match self.wire.message().await? {
                Message::DataRow(body) => return Ok(Some(Row::of(&body)?)),
                Message::CommandComplete(_) | Message::EmptyQueryResponse => {
                    self.left -= 1;
                    return Ok(None);
                }
                Message::ErrorResponse(body) => {
                    let reported = failure::Reported::of(body.fields())?;
                    self.wire.unread(&self.commands);
                    // what came after the error was not heard
                    self.wire.told = 0;
                    self.wire.doomed |= UNKNOWN_STATEMENTS.contains(&&*reported.code);
                    self.left = 0;
                    // after a farewell there is nothing more to come
                    let _ = self.ready().await;
                    return Err(Failure::Database(reported));
                }
                Message::ParseComplete | Message::BindComplete | Message::CloseComplete => {}
                _ => return Err(Failure::unexpected()),
            }
        }
    }

    /// All rows of the statement that is being answered.
    pub(crate) async fn rows(&mut self) -> Result<Vec<Row>, Failure> {
        let mut rows = Vec::new();
        while let Some(row) = self.next().await? {
            rows.push(row);
        }
        Ok(rows)
    }

    /// To be read on later, before anything else is asked.
    pub(crate) fn pause(self) -> Paused {
        Paused { left: self.left, commands: self.commands }
    }

    /// Waits until the server is ready for more.
    pub(crate) async fn end(mut self) -> Result<(), Failure> {
        self.ready().await
    }

    async fn ready(&mut self) -> Result<(), Failure> {
        loop {
            match self.wire.message().await? {
                Message::ReadyForQuery(_) => {
                    self.wire.broken = false;
                    let told = std::mem::take(&mut self.wire.told);
                    self.wire.closing.drain(..told);
                    if self.wire.input.is_empty() && self.wire.input.capacity() > KEPT {
                        self.wire.input = BytesMut::new();
                    }
                    return Ok(());
                }
                Message::CloseComplete => {}
                // the end itself may fail, as a commit of an implicit transaction does
                Message::ErrorResponse(body) => {
                    let reported = failure::Reported::of(body.fields())?;
                    self.left = 0;
                    let _ = Box::pin(self.ready()).await;
                    return Err(Failure::Database(reported));
                }
                _ => return Err(Failure::unexpected()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
