//! Why the database gave no answer.

use std::{fmt, io};

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorFields;

/// A failure.
#[derive(Debug)]
pub(crate) enum Failure {
    /// PostgreSQL refused.
    Database(Reported),
    /// It did so while the connection was made.
    Handshake(tokio_postgres::Error),
    /// The connection is gone, or was never there.
    Connection(io::Error),
    /// More values than a statement can bind.
    TooManyValues,
}

/// What PostgreSQL reported.
#[derive(Debug, Default)]
pub(crate) struct Reported {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
    /// Where in which functions.
    pub(crate) context: Option<String>,
}

impl Reported {
    /// Reads the fields of an error. Source: PostgreSQL documentation, "Error and Notice Message Fields".
    pub(super) fn of(mut fields: ErrorFields<'_>) -> io::Result<Reported> {
        let mut reported = Reported::default();
        while let Some(field) = fields.next()? {
            let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'C' => reported.code = value,
                b'M' => reported.message = value,
                b'D' => reported.detail = Some(value),
                b'H' => reported.hint = Some(value),
                b'W' => reported.context = Some(value),
                _ => {}
            }
        }
        Ok(reported)
    }
}

impl Failure {
    /// The connection ended.
    pub(super) fn ended() -> Failure {
        Failure::Connection(io::ErrorKind::UnexpectedEof.into())
    }

    /// The server said what it never should.
    pub(super) fn unexpected() -> Failure {
        Failure::Connection(io::Error::other("the server said something unexpected"))
    }

    /// The SQLSTATE, if PostgreSQL gave one.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Failure::Database(reported) => Some(&reported.code),
            Failure::Handshake(error) => error.code().map(|state| state.code()),
            Failure::Connection(_) | Failure::TooManyValues => None,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Connection(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Database(reported) => write!(f, "{}: {}", reported.code, reported.message),
            Failure::Handshake(_) => f.write_str("the database refused the connection"),
            Failure::Connection(_) => f.write_str("the connection to the database failed"),
            Failure::TooManyValues => f.write_str("a statement binds 65,535 values at most"),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Failure::Handshake(error) => Some(error),
            Failure::Connection(error) => Some(error),
            Failure::Database(_) | Failure::TooManyValues => None,
        }
    }
}
