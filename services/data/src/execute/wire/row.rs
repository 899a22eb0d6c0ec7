//! Rows as PostgreSQL sent them, in binary form; nothing is copied.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::DataRowBody;

/// A row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    storage: Bytes,
    columns: Vec<Option<Range<usize>>>,
}

impl Row {
    /// Takes a message apart.
    pub(super) fn of(body: &DataRowBody) -> io::Result<Row> {
        Ok(Row { storage: body.buffer_bytes().clone(), columns: body.ranges().collect()? })
    }

    /// A column's bytes: of `text`, `json`, `xml` and `bytea` the value itself. `None` for null, and past the last.
    pub(crate) fn bytes(&self, column: usize) -> Option<Bytes> {
        let range = self.columns.get(column)?.clone()?;
        Some(self.storage.slice(range))
    }

    /// The same without a share in the message.
    pub(crate) fn slice(&self, column: usize) -> Option<&[u8]> {
        let range = self.columns.get(column)?.clone()?;
        self.storage.get(range)
    }

    /// A text column.
    pub(crate) fn text(&self, column: usize) -> Option<String> {
        self.slice(column).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// A `bigint` column.
    pub(crate) fn integer(&self, column: usize) -> Option<i64> {
        self.slice(column)?.try_into().ok().map(i64::from_be_bytes)
    }

    /// A `boolean` column.
    pub(crate) fn boolean(&self, column: usize) -> Option<bool> {
        self.slice(column).map(|bytes| bytes == [1])
    }
}
